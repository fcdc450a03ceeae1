#ifndef EXT_WSGI_WSGI_H
#define EXT_WSGI_WSGI_H

#include "ext/worker/worker.h"

/* The part of a worker that only WSGI applications need. */
struct wsgi {
    PyObject *templates; /* a list of environs: one a listener, and that of a rehearsal */
    PyObject *empty_input;
    bool has_script_name; /* the templates' SCRIPT_NAME is not empty */
};

static inline struct wsgi *wsgi_of(const struct worker *worker)
{
    return worker->app;
}

#endif
