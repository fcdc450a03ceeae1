#ifndef EXT_WSGI_WSGI_H
#define EXT_WSGI_WSGI_H

#include "ext/core/methods.h"
#include "ext/worker/worker.h"

/* Methods of the Bridge that are called for WSGI applications alone. */
#define WSGI_METHODS(X)                                                                            \
    X(around)                                                                                      \
    X(body_dropped)                                                                                \
    X(early_hints)                                                                                 \
    X(fill_changed)                                                                                \
    X(script_name_mismatch)                                                                        \
    X(templates)

enum { WSGI_METHODS(METHOD_INDEX) WSGI_METHOD_COUNT };

/* The part of a worker that only WSGI applications need. */
struct wsgi {
    PyObject *templates; /* a list of environs: one a listener, and that of a rehearsal */
    PyObject *empty_input;
    PyObject *methods[WSGI_METHOD_COUNT];
    bool has_script_name; /* the templates' SCRIPT_NAME is not empty */
};

static inline struct wsgi *wsgi_of(const struct worker *worker)
{
    return worker->app;
}

#endif
