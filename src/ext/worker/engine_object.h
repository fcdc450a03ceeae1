#ifndef EXT_WORKER_ENGINE_OBJECT_H
#define EXT_WORKER_ENGINE_OBJECT_H

#include "ext/worker/options.h"
#include "ext/worker/worker.h"

/* gunicorn._core.Engine: a worker's run() makes it from its configuration, and runs it. */
struct engine_object {
    PyObject_HEAD struct worker worker;
    struct options options;
    PyObject *exchange;   /* worker.exchange */
    PyObject *slot;       /* worker.slot: maps the memory that the engine writes to its end */
    PyObject *own_fields; /* bytes: the lines of each answer's head that the user may change */
    bool logs_in_python;  /* the access log */
    int wake_fd;          /* the worker's pipe that signal handlers write to */
};

static inline struct worker *worker_of(PyObject *op)
{
    return &((struct engine_object *)op)->worker;
}

/* NULL with an exception: there is none, or it is the parent process's. */
static inline struct engine *engine_of(PyObject *op)
{
    struct engine *engine = worker_of(op)->engine;
    if (!engine)
        PyErr_SetString(PyExc_RuntimeError, "Engine was not initialised");
    if (!engine || engine_is_ours(engine))
        return engine;
    PyErr_SetString(PyExc_RuntimeError, "the engine is that of the process that forked this one");
    return NULL;
}

#endif
