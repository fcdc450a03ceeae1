#ifndef EXT_WORKER_TLS_ABOUT_H
#define EXT_WORKER_TLS_ABOUT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Values of a connection's TLS: new references, or NULL with an exception. */

struct tls;

/* `what` is "version", "cipher" …; a KeyError for others. */
PyObject *tls_about(struct tls *tls, PyObject *what);

/* The client's certificate as DER; None without one. */
PyObject *tls_about_certificate(struct tls *tls);

#endif
