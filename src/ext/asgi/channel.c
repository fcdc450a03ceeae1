#include "ext/asgi/channel.h"

#include "ext/core/compat.h"
#include "ext/worker/access.h"
#include "ext/worker/hooks.h"
#include "proto/websocket/close.h"
#include "serve/request/response.h"

#include <stddef.h>

struct channel *channel_new(struct asgi_call *call, PyObject *scope)
{
    struct worker *worker = call->base.worker;
    const struct awaitable_futures *futures = &asgi_of(worker)->futures;
    struct channel *channel = PyMem_Calloc(1, sizeof(*channel));
    if (!channel) {
        Py_DECREF(scope);
        return (struct channel *)PyErr_NoMemory();
    }
    channel->references = 1;
    list_push(&asgi_of(worker)->channels, &channel->link);
    channel->worker = worker;
    channel->call = call;
    channel->scope = scope;
    channel->code = WS_CLOSE_ABNORMAL;
    awaitable_queue_init(&channel->readers, futures);
    awaitable_queue_init(&channel->writers, futures);
    return channel;
}

void channel_release(struct channel *channel)
{
    if (--channel->references > 0)
        return;
    list_remove(&channel->link);
    Py_XDECREF(channel->scope);
    Py_XDECREF(channel->task);
    Py_XDECREF(channel->timer);
    Py_XDECREF(channel->trailers);
    Py_XDECREF(channel->headers);
    Py_XDECREF(channel->reason);
    PyMem_Free(channel);
}

void channel_cut_all(struct asgi *asgi)
{
    while (!list_empty(&asgi->channels)) {
        struct channel *channel = list_entry(asgi->channels.next, struct channel, link);
        list_remove(&channel->link);
        channel->worker = NULL;
        channel->call = NULL;
        channel->phase = CHANNEL_CUT;
    }
}

/* The end of a request */

/* Hooks and loggers in Python are given the same as in WSGI workers. */
static void report_described(struct channel *channel)
{
    struct call *base = &channel->call->base;
    struct asgi *asgi = asgi_of(base->worker);
    const struct response *response = &base->request->response;
    PyObject *environ = METHODS_CALL(asgi->methods, environ, Py_NewRef(channel->scope));
    PyObject *status = response->started ? text_new(response->head, response->status_size) : NULL;
    PyObject *headers =
        channel->headers ? METHODS_CALL(asgi->methods, pairs, Py_NewRef(channel->headers)) : NULL;
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(asgi->half);
    hooks_report(base, environ, status, headers);
    Py_XDECREF(environ);
    Py_XDECREF(status);
    Py_XDECREF(headers);
    if (!worker_is_alive(base->worker)) /* a hook may end its worker so */
        engine_drain(base->worker->engine);
}

static void report(struct channel *channel)
{
    struct call *base = &channel->call->base;
    if (base->worker->hooks)
        report_described(channel);
    else
        access_answered(base);
}

static void stop_timer(struct channel *channel)
{
    PyObject *timer = channel->timer;
    channel->timer = NULL;
    PyObject *stopped = timer ? PyObject_CallMethod(timer, "cancel", NULL) : NULL;
    if (timer && !stopped)
        PyErr_WriteUnraisable(timer);
    Py_XDECREF(stopped);
    Py_XDECREF(timer);
}

void channel_finish(struct channel *channel, enum channel_phase phase)
{
    struct asgi_call *call = channel->call;
    struct worker *worker = channel->worker;
    PyObject *raised = PyErr_GetRaisedException();
    report(channel);
    struct request *request = call->base.request;
    channel->phase = phase;
    channel->call = NULL;
    call->channel = NULL;
    call_part(&call->base);
    call_end(&call->base, request);
    if (!channel->starting)
        engine_finish(worker->engine, request);
    stop_timer(channel);
    awaitable_wake(&channel->readers);
    awaitable_wake(&channel->writers);
    channel_release(channel);
    PyErr_SetRaisedException(raised);
}

void channel_cancel(struct channel *channel, enum channel_cancel why)
{
    if (!channel->task || channel->cancelled != NOT_CANCELLED)
        return;
    channel->cancelled = why;
    struct asgi *asgi = asgi_of(channel->worker);
    PyObject *done = METHODS_CALL(asgi->methods, cancel_task, Py_NewRef(channel->task));
    if (!done)
        PyErr_WriteUnraisable(asgi->half);
    Py_XDECREF(done);
}

/* Functions */

PyObject *channel_function_new(struct channel *channel, vectorcallfunc function)
{
    struct channel_function *self =
        PyObject_New(struct channel_function, channel->worker->state->channel_function_type);
    if (self) {
        self->vectorcall = function;
        self->channel = channel;
        channel->references++;
    }
    return (PyObject *)self;
}

static void function_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    channel_release(channel_of(op));
    PyObject_Free(op);
    Py_DECREF(type);
}

static PyMemberDef function_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(struct channel_function, vectorcall),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot function_slots[] = {
    {Py_tp_dealloc, function_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, function_members},
    {Py_tp_doc, "receive() or send() of one run of an ASGI application."},
    {0, NULL},
};

PyType_Spec channel_function_spec = {
    .name = "gunicorn._core.ChannelFunction",
    .basicsize = sizeof(struct channel_function),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = function_slots,
};
