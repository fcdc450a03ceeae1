#ifndef EXT_CORE_SSL_CONTEXT_H
#define EXT_CORE_SSL_CONTEXT_H

#include "ext/core/state.h"

#include <stdbool.h>

/* The SSL_CTX that the engine uses for an ssl.SSLContext. */

struct ssl_ctx_st;

/* Adds TLSUnavailable and the functions of TLS to the module. 0, or -1. */
int ssl_context_add_to(PyObject *module);

/* Borrowed; NULL with an exception. */
struct ssl_ctx_st *ssl_context_of(struct core_state *state, PyObject *context);

/* Whether clients are asked for certificates. */
bool ssl_context_verifies(const struct ssl_ctx_st *ctx);

#endif
