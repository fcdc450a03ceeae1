#ifndef EXT_CORE_SSL_CONTEXT_H
#define EXT_CORE_SSL_CONTEXT_H

#include "ext/core/state.h"

#include <stdbool.h>

/*
 * The SSL_CTX of an ssl.SSLContext, for the OpenSSL that Python's ssl module has loaded: nothing is
 * linked, and a context works here as it does there.
 */

struct ssl_ctx_st;

/* Adds tls_check(), tls_set_ticket_keys() and TLSUnavailable to the module. 0, or -1. */
int ssl_context_add_to(PyObject *module);

/* `library` may be NULL. */
int ssl_context_visit(struct ssl_library *library, visitproc visit, void *arg);
void ssl_context_free(struct ssl_library *library);

/* Borrowed; NULL with an exception. */
struct ssl_ctx_st *ssl_context_of(struct core_state *state, PyObject *context);

/* Whether clients are asked for certificates by a context that ssl_context_of() has returned. */
bool ssl_context_verifies(const struct core_state *state, const struct ssl_ctx_st *ctx);

#endif
