#include "ext/wsgi/wsgi.h"

#include "serve/request/response.h"

#include <stddef.h>
#include <sys/socket.h>

/* A callable that belongs to a request: start_response, write, wsgi.early_hints. */
struct bound {
    PyObject_HEAD vectorcallfunc vectorcall;
    struct call *call; /* NULL when the request is over */
};

PyObject *bound_new(struct core_state *state, vectorcallfunc function, struct call *call)
{
    struct bound *self = PyObject_New(struct bound, state->bound_type);
    if (self) {
        self->vectorcall = function;
        self->call = call;
    }
    return (PyObject *)self;
}

struct call *bound_call(PyObject *object)
{
    struct call *call = ((struct bound *)object)->call;
    if (!call || !call->request) {
        PyErr_SetString(PyExc_RuntimeError, "the request that this belongs to is over");
        return NULL;
    }
    return call;
}

static void bound_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMemberDef bound_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct bound, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot bound_slots[] = {
    {Py_tp_dealloc, bound_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, bound_members},
    {Py_tp_doc, "A callable that the server gives to an application for one request."},
    {0, NULL},
};

PyType_Spec bound_spec = {
    .name = "gunicorn._core.RequestCallable",
    .basicsize = sizeof(struct bound),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = bound_slots,
};

/* An object that the application has kept is cut off from the next request; ours is used again. */
static void keep_or_cut(PyObject **object, void (*cut)(PyObject *))
{
    if (*object && Py_REFCNT(*object) > 1) {
        cut(*object);
        Py_CLEAR(*object);
    }
}

void bound_detach(PyObject *object)
{
    ((struct bound *)object)->call = NULL;
}

static bool make_objects(struct call *call)
{
    struct core_state *state = call->wsgi->state;
    if (!call->start_response)
        call->start_response = bound_new(state, start_response_call, call);
    if (!call->write)
        call->write = bound_new(state, write_call, call);
    if (!call->early_hints)
        call->early_hints = bound_new(state, early_hints_call, call);
    if (!call->socket)
        call->socket = socket_new(state, call);
    return call->start_response && call->write && call->early_hints && call->socket;
}

struct call *call_begin(struct wsgi *wsgi, struct request *request)
{
    struct call *call = wsgi->calls;
    if (call) {
        wsgi->calls = call->next;
    } else {
        call = PyMem_Calloc(1, sizeof(*call));
        if (!call)
            return (struct call *)PyErr_NoMemory();
        call->wsgi = wsgi;
    }
    call->request = request;
    call->socket_taken = call->warned = call->reported = false;
    request->call = call;
    if (make_objects(call) && (!wsgi->timeout_error || deadline_attach(call) == 0) &&
        (request->head.framing == HEAD_NO_BODY || (call->input = input_new(wsgi->state, request))))
        return call;
    call_end(call);
    return NULL;
}

/* A thread of the application that still reads or writes would find the next request's memory. */
static void await_others(struct wsgi *wsgi, struct request *request)
{
    while (request->blocked > 0) {
        if (wsgi_ops.wait(wsgi, -1, 0, OTHERS_PAUSE_MS) < 0)
            PyErr_WriteUnraisable(wsgi->worker);
        if (request->blocked > 0) {
            request_interrupt(request, true);
            response_abort(request);
        }
    }
}

/* The members that only hooks fill. */
static void forget_described(struct call *call)
{
    Py_CLEAR(call->status);
    Py_CLEAR(call->headers);
    Py_CLEAR(call->described);
    Py_CLEAR(call->given);
    Py_CLEAR(call->begun);
    Py_CLEAR(call->environ);
}

/* From here on nothing that the application has kept leads to the request. No Python code runs. */
static void let_go(struct call *call)
{
    call->request->call = NULL;
    call->request = NULL;
    if (call->input)
        input_detach(call->input);
}

void call_end(struct call *call)
{
    struct wsgi *wsgi = call->wsgi;
    if (call->socket_taken)
        socket_finish(call->socket);
    await_others(wsgi, call->request);
    let_go(call);
    Py_CLEAR(call->input);
    if (wsgi->hooks)
        forget_described(call);
    keep_or_cut(&call->start_response, bound_detach);
    keep_or_cut(&call->write, bound_detach);
    keep_or_cut(&call->early_hints, bound_detach);
    if (call->socket && socket_is_real(call->socket)) {
        socket_detach(call->socket);
        Py_CLEAR(call->socket);
    }
    keep_or_cut(&call->socket, socket_detach);
    keep_or_cut(&call->deadline, deadline_detach);
    Py_CLEAR(call->coroutine);
    call->next = wsgi->calls;
    wsgi->calls = call;
}

void call_free(struct call *call)
{
    Py_XDECREF(call->start_response);
    Py_XDECREF(call->write);
    Py_XDECREF(call->early_hints);
    Py_XDECREF(call->socket);
    Py_XDECREF(call->deadline);
    PyMem_Free(call);
}
