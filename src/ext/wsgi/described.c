#include "ext/wsgi/described.h"

#include "ext/worker/bound.h"
#include "ext/worker/describe.h"
#include "ext/worker/hooks.h"
#include "ext/wsgi/application.h"
#include "ext/wsgi/environ.h"
#include "serve/request/response.h"

enum { PROCEEDING_PAUSE_MS = 1 }; /* until it is looked again whether it has come back */

/* With hooks, an access log or methods of the worker's own, in gunicorn's order. */
static int serve_described(struct wsgi_call *call)
{
    if (hooks_before(&call->base) < 0)
        return -1;
    call->environ = environ_build(call);
    return call->environ ? application_call(call, call->environ) : -1;
}

/* Before the worker's own handle_request() goes on, which may change the request again. */
static void report(struct wsgi_call *call)
{
    hooks_report(&call->base, call->environ, call->status, call->headers);
}

/* handle_request() of a class may pass on other things than it was given. */
static int take_given(struct wsgi_call *call, PyObject *const *args, Py_ssize_t count)
{
    if (count != 4) {
        PyErr_Format(PyExc_TypeError, "expected a request, two addresses and a socket, got %zd",
                     count);
        return -1;
    }
    PyObject *given = PyTuple_Pack(3, args[1], args[2], args[3]);
    if (!given)
        return -1;
    Py_XSETREF(call->given, given);
    Py_XSETREF(call->base.described, Py_NewRef(args[0]));
    return 0;
}

/* handle_request() of our worker classes calls it: (request, client, server, socket). */
static PyObject *proceed(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    (void)kwnames;
    struct wsgi_call *call = wsgi_call_of(self);
    if (!call)
        return NULL;
    if (call->proceeds || call->base.begun) {
        PyErr_SetString(PyExc_RuntimeError, "handle_request() was called for this request before");
        return NULL;
    }
    if (take_given(call, args, PyVectorcall_NARGS(nargsf)) < 0)
        return NULL;
    call->proceeds = true;
    int sent = serve_described(call);
    if (sent == 0)
        report(call);
    call->proceeds = false;
    return sent < 0 ? NULL : Py_NewRef(Py_None);
}

/* The worker's own handle_request() may have caught the application's exception. */
static int check_answered(struct wsgi_call *call)
{
    const struct response *response = &call->base.request->response;
    if (response->finished || response->broken || call->base.socket_taken)
        return 0;
    if (response->sent_head) {
        response_abort(call->base.request);
        return 0;
    }
    PyErr_SetString(PyExc_AssertionError,
                    "handle_request() of the worker returned without an answer");
    return -1;
}

/* It may have called ours in another thread or greenlet, and not waited for its end. */
static void await_proceeding(struct wsgi_call *call)
{
    PyObject *raised = PyErr_GetRaisedException();
    while (call->proceeds)
        if (worker_wait(call->base.worker, -1, 0, PROCEEDING_PAUSE_MS) < 0)
            PyErr_WriteUnraisable(call->base.worker->object);
    PyErr_SetRaisedException(raised);
}

static int serve_around(struct wsgi_call *call)
{
    struct worker *worker = call->base.worker;
    PyObject *on = bound_new(worker->state, proceed, &call->base);
    if (!on)
        return -1;
    PyObject *done = METHODS_CALL(wsgi_of(worker)->methods, around, Py_NewRef(call->base.described),
                                  Py_NewRef(call->base.socket), Py_NewRef(on),
                                  PyLong_FromSsize_t(worker_listener(worker, call->base.request)));
    await_proceeding(call);
    bound_detach(on);
    Py_DECREF(on);
    worker_check_process(worker, call->base.request);
    Py_XDECREF(done);
    return done ? check_answered(call) : -1;
}

void described_answer(struct wsgi_call *call)
{
    struct worker *worker = call->base.worker;
    int sent = -1;
    call->base.described = describe_request(&call->base, wsgi_call_body(call));
    if (call->base.described)
        sent = worker->around ? serve_around(call) : serve_described(call);
    if (sent < 0)
        call_fail(&call->base);
    report(call);
    if (!worker_is_alive(worker)) /* a hook may end its worker so */
        engine_drain(worker->engine);
}
