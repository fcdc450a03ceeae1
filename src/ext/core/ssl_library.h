#ifndef EXT_CORE_SSL_LIBRARY_H
#define EXT_CORE_SSL_LIBRARY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

/*
 * The OpenSSL of the engine. If Python's ssl module has a library that can be reached, it is that
 * one, and contexts are used as they are. If OpenSSL is hidden inside Python, it is the system's,
 * and contexts are made again.
 */

struct ssl_library {
    void *handle;
    PyTypeObject *context_type; /* _ssl._SSLContext */
    bool shared;                /* with Python's ssl module */
};

/* NULL with an exception, which is `unavailable` if there is no library. */
struct ssl_library *ssl_library_open(PyObject *unavailable, bool layout_is_known);

/* `library` may be NULL. */
int ssl_library_visit(struct ssl_library *library, visitproc visit, void *arg);
void ssl_library_free(struct ssl_library *library);

#endif
