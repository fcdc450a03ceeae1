#include "ext/wsgi/wsgi.h"

#include "ext/worker/access.h"
#include "ext/worker/ops.h"
#include "ext/wsgi/application.h"
#include "ext/wsgi/described.h"
#include "ext/wsgi/environ.h"
#include "ext/wsgi/input.h"
#include "ext/wsgi/wsgi_call.h"

static void answer(struct wsgi_call *call)
{
    if (call->base.worker->hooks) {
        described_answer(call);
        return;
    }
    PyObject *environ = environ_build(call);
    if (!environ || application_call(call, environ) < 0)
        call_fail(&call->base);
    access_write(&call->base, environ);
    Py_XDECREF(environ);
}

static void wsgi_run(void *app, struct request *request)
{
    struct call *base = call_begin(app, request);
    if (!base)
        return;
    struct wsgi_call *call = (struct wsgi_call *)base;
    if (wsgi_call_prepare(call) == 0)
        answer(call);
    else
        call_refuse(base);
    wsgi_call_end(call);
}

static const struct app_ops wsgi_ops = {.run = wsgi_run, WORKER_OPS};

/* The part of the environ that is the same for all requests of a listener, made in Python. */
static PyObject *make_templates(struct worker *worker, PyObject *empty_input)
{
    PyObject *made = PyObject_CallMethod(worker->bridge, "templates", "OOO", worker->object,
                                         (PyObject *)worker->state->file_wrapper_type, empty_input);
    Py_ssize_t count = (Py_ssize_t)worker->engine->listener_count;
    if (!made || (PyList_Check(made) && PyList_GET_SIZE(made) > count))
        return made;
    PyErr_SetString(PyExc_SystemError, "a template for each listener, and one more, was expected");
    Py_DECREF(made);
    return NULL;
}

static int wsgi_open(struct worker *worker)
{
    struct wsgi *wsgi = worker->app = PyMem_Calloc(1, sizeof(*wsgi));
    if (!wsgi) {
        PyErr_NoMemory();
        return -1;
    }
    wsgi->empty_input = input_new(worker->state, NULL);
    wsgi->templates = wsgi->empty_input ? make_templates(worker, wsgi->empty_input) : NULL;
    if (!wsgi->templates)
        return -1;
    PyObject *script = PyDict_GetItemWithError(PyList_GET_ITEM(wsgi->templates, 0),
                                               NAME(worker->state, script_name));
    wsgi->has_script_name = script && PyUnicode_GET_LENGTH(script) > 0;
    return PyErr_Occurred() ? -1 : 0;
}

static void wsgi_close(struct worker *worker)
{
    struct wsgi *wsgi = worker->app;
    if (!wsgi)
        return;
    Py_XDECREF(wsgi->templates);
    Py_XDECREF(wsgi->empty_input);
    PyMem_Free(wsgi);
    worker->app = NULL;
}

const struct app_kind wsgi_kind = {
    .name = "wsgi",
    .ops = &wsgi_ops,
    .call_size = sizeof(struct wsgi_call),
    .open = wsgi_open,
    .close = wsgi_close,
    .free_call = wsgi_call_free,
};
