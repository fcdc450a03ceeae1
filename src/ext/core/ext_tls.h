#ifndef EXT_TLS_H
#define EXT_TLS_H

#include "ext/wsgi/wsgi.h"

/*
 * TLS with the SSL_CTX of an ssl.SSLContext, by the OpenSSL that Python's ssl module has loaded:
 * nothing is linked, and a context works here as it does there.
 */

struct ext_tls;

/* Adds tls_check(), tls_set_ticket_keys() and TLSUnavailable to the module. 0, or -1. */
int ext_tls_init(PyObject *module);
void ext_tls_free(struct ext_tls *tls);

/* Reads what the handler says of TLS, and has the listeners speak it. 0, or -1 with an exception.
 */
int ext_tls_start(struct wsgi *wsgi);

/* Every now and then: whether there is a renewed certificate. Attached. */
void ext_tls_look(struct wsgi *wsgi, uint64_t now_ns);

/* Adds what there is to say of the connection's TLS. 0, or -1 with an exception. */
int ext_tls_environ(struct wsgi *wsgi, PyObject *environ, struct tls *tls);

/* What gunicorn.socket says of TLS: "version", "cipher" … A new reference, or NULL. */
PyObject *ext_tls_about(struct tls *tls, PyObject *what);

#endif
