#ifndef EXT_WSGI_WSGI_H
#define EXT_WSGI_WSGI_H

#include "ext/worker/worker.h"

/* WSGI applications (PEP 3333): one of the kinds that a worker serves. Its part of a worker: */
struct wsgi {
    PyObject *templates; /* a list of environs: one a listener, and that of a rehearsal */
    PyObject *empty_input;
    bool has_script_name; /* the templates' SCRIPT_NAME is not empty */
};

static inline struct wsgi *wsgi_of(const struct worker *worker)
{
    return worker->app;
}

extern const struct app_kind wsgi_kind;

#endif
