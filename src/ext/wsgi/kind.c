#include "ext/wsgi/kind.h"

#include "ext/worker/access.h"
#include "ext/worker/ops.h"
#include "ext/wsgi/application.h"
#include "ext/wsgi/described.h"
#include "ext/wsgi/environ.h"
#include "ext/wsgi/input.h"
#include "ext/wsgi/start_response.h"
#include "ext/wsgi/wsgi_call.h"
#include "serve/request/stream.h"

/* A request begins, runs, and ends */

/* Those that the last request has left are used again. */
static bool make_callables(struct wsgi_call *call)
{
    struct core_state *state = call->base.worker->state;
    if (!call->start_response)
        call->start_response = bound_new(state, start_response_call, &call->base);
    if (!call->write)
        call->write = bound_new(state, write_call, &call->base);
    if (!call->early_hints)
        call->early_hints = bound_new(state, early_hints_call, &call->base);
    bool has_trailers = request_is_http2(call->base.request);
    if (has_trailers && !call->send_trailers)
        call->send_trailers = bound_new(state, send_trailers_call, &call->base);
    return call->start_response && call->write && call->early_hints &&
           (!has_trailers || call->send_trailers);
}

static int prepare(struct wsgi_call *call)
{
    struct request *request = call->base.request;
    call->warned = false;
    if (!make_callables(call))
        return -1;
    if (request->head.framing == HEAD_NO_BODY)
        return 0;
    call->input = input_new(call->base.worker->state, request);
    return call->input ? 0 : -1;
}

/* The members that only hooks fill. */
static void forget_described(struct wsgi_call *call)
{
    Py_CLEAR(call->status);
    Py_CLEAR(call->headers);
    Py_CLEAR(call->given);
    Py_CLEAR(call->environ);
}

static void end(struct wsgi_call *call)
{
    struct request *request = call->base.request;
    call_part(&call->base);
    if (call->input)
        input_detach(call->input);
    Py_CLEAR(call->input);
    if (call->base.worker->hooks)
        forget_described(call);
    call_keep_or_cut(&call->start_response, bound_detach);
    call_keep_or_cut(&call->write, bound_detach);
    call_keep_or_cut(&call->early_hints, bound_detach);
    if (call->send_trailers)
        call_keep_or_cut(&call->send_trailers, bound_detach);
    call_end(&call->base, request);
}

static int wsgi_visit_call(struct call *base, visitproc visit, void *arg)
{
    struct wsgi_call *call = (struct wsgi_call *)base;
    Py_VISIT(call->start_response);
    Py_VISIT(call->write);
    Py_VISIT(call->early_hints);
    Py_VISIT(call->send_trailers);
    return 0;
}

static void wsgi_free_call(struct call *base)
{
    struct wsgi_call *call = (struct wsgi_call *)base;
    Py_XDECREF(call->start_response);
    Py_XDECREF(call->write);
    Py_XDECREF(call->early_hints);
    Py_XDECREF(call->send_trailers);
}

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

static enum run_result wsgi_run(void *app, struct request *request)
{
    struct call *base = call_begin(app, request);
    if (!base)
        return RUN_DONE;
    struct wsgi_call *call = (struct wsgi_call *)base;
    if (prepare(call) == 0)
        answer(call);
    else
        call_refuse(base);
    end(call);
    return RUN_DONE;
}

static const struct app_ops wsgi_ops = {.run = wsgi_run, WORKER_OPS};

/* A worker begins and ends */

/* The part of the environ that is the same for all requests of a listener, made in Python. */
static PyObject *make_templates(struct worker *worker, PyObject *empty_input)
{
    PyObject *made =
        METHODS_CALL(wsgi_of(worker)->methods, templates, Py_NewRef(worker->object),
                     Py_NewRef(worker->state->file_wrapper_type), Py_NewRef(empty_input));
    Py_ssize_t count = (Py_ssize_t)worker->engine->listener_count;
    if (!made || (PyList_Check(made) && PyList_GET_SIZE(made) > count))
        return made;
    PyErr_SetString(PyExc_SystemError, "a template for each listener, and one more, was expected");
    Py_DECREF(made);
    return NULL;
}

static const char *const wsgi_methods[] = {WSGI_METHODS(METHOD_TEXT)};

static int wsgi_open(struct worker *worker)
{
    struct wsgi *wsgi = worker->app = PyMem_Calloc(1, sizeof(*wsgi));
    if (!wsgi) {
        PyErr_NoMemory();
        return -1;
    }
    if (methods_bind(worker->bridge, wsgi_methods, WSGI_METHOD_COUNT, wsgi->methods) < 0)
        return -1;
    wsgi->empty_input = input_new(worker->state, NULL);
    wsgi->templates = wsgi->empty_input ? make_templates(worker, wsgi->empty_input) : NULL;
    if (!wsgi->templates)
        return -1;
    PyObject *script = PyDict_GetItemWithError(PyList_GET_ITEM(wsgi->templates, 0),
                                               NAME(worker->state, script_name));
    wsgi->has_script_name = script && PyUnicode_GET_LENGTH(script) > 0;
    return PyErr_Occurred() ? -1 : 0;
}

static int wsgi_visit(struct worker *worker, visitproc visit, void *arg)
{
    struct wsgi *wsgi = wsgi_of(worker);
    if (!wsgi)
        return 0;
    Py_VISIT(wsgi->templates);
    Py_VISIT(wsgi->empty_input);
    return methods_visit(wsgi->methods, WSGI_METHOD_COUNT, visit, arg);
}

static void wsgi_clear(struct worker *worker)
{
    struct wsgi *wsgi = wsgi_of(worker);
    if (!wsgi)
        return;
    Py_CLEAR(wsgi->templates);
    Py_CLEAR(wsgi->empty_input);
    methods_clear(wsgi->methods, WSGI_METHOD_COUNT);
}

static void wsgi_close(struct worker *worker)
{
    PyMem_Free(worker->app);
    worker->app = NULL;
}

const struct app_kind wsgi_kind = {
    .name = "wsgi",
    .ops = &wsgi_ops,
    .call_size = sizeof(struct wsgi_call),
    .open = wsgi_open,
    .visit = wsgi_visit,
    .clear = wsgi_clear,
    .close = wsgi_close,
    .visit_call = wsgi_visit_call,
    .free_call = wsgi_free_call,
};
