#include "ext/wsgi/application.h"

#include "ext/worker/timeout.h"
#include "ext/wsgi/file_wrapper.h"
#include "ext/wsgi/start_response.h"
#include "serve/request/response.h"

static PyTypeObject *wrapper_type(const struct wsgi_call *call)
{
    return call->base.worker->state->file_wrapper_type;
}

/* A sequence of one item is known to be the last one: head, body and end leave together. */
static int send_sequence(struct wsgi_call *call, PyObject *result)
{
    bool list = PyList_CheckExact(result);
    for (Py_ssize_t i = 0;; i++) {
        Py_ssize_t size = list ? PyList_GET_SIZE(result) : PyTuple_GET_SIZE(result);
        if (i >= size)
            return 0;
        PyObject *item = list ? PyList_GET_ITEM(result, i) : PyTuple_GET_ITEM(result, i);
        Py_INCREF(item);
        int sent = start_response_write(call, item, i == size - 1);
        Py_DECREF(item);
        if (sent < 0)
            return -1;
    }
}

static int send_iterable(struct wsgi_call *call, PyObject *result)
{
    PyObject *iterator = PyObject_GetIter(result);
    if (!iterator) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError,
                         "the application returned %.100R (%.100s), which is no iterable of byte "
                         "strings",
                         result, Py_TYPE(result)->tp_name);
        return -1;
    }
    PyObject *item;
    int sent = 0;
    call->base.request->response.streamed = true;
    while (sent == 0 && (item = PyIter_Next(iterator))) {
        sent = start_response_write(call, item, false);
        Py_DECREF(item);
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : sent;
}

static int send_body(struct wsgi_call *call, PyObject *result)
{
    worker_check_process(call->base.worker, call->base.request);
    if (PyObject_TypeCheck(result, wrapper_type(call))) {
        int sent = file_wrapper_send(call, result);
        if (sent != 0)
            return sent < 0 ? -1 : 0;
    }
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return send_sequence(call, result);
    return send_iterable(call, result);
}

static int finish_response(struct wsgi_call *call)
{
    worker_check_process(call->base.worker, call->base.request);
    if (!call->base.request->response.started) {
        PyErr_SetString(PyExc_AssertionError,
                        "the application returned without calling start_response()");
        return -1;
    }
    enum response_error error = response_finish(call->base.request);
    return error == RESPONSE_OK ? 0 : start_response_raise(call, error, Py_None);
}

/* close() is called however the body ended (PEP 3333); an exception of the body goes first. */
static int close_result(const struct core_state *state, PyObject *result)
{
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return 0;
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *close = PyObject_GetAttr(result, NAME(state, close));
    PyObject *closed = NULL;
    if (close)
        closed = PyObject_CallNoArgs(close);
    else if (PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    Py_XDECREF(close);
    Py_XDECREF(closed);
    if (!raised)
        return PyErr_Occurred() ? -1 : 0;
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(result);
    PyErr_SetRaisedException(raised);
    return -1;
}

static int run_application(struct wsgi_call *call, PyObject *environ)
{
    PyObject *args[] = {environ, call->start_response};
    PyObject *result = PyObject_Vectorcall(call->base.worker->application, args, 2, NULL);
    if (!result)
        return -1;
    int sent = send_body(call, result);
    if (sent == 0)
        sent = finish_response(call);
    if (sent < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_SystemError, "a response failed without an exception");
    if (close_result(call->base.worker->state, result) < 0)
        sent = -1;
    Py_DECREF(result);
    return sent;
}

int application_call(struct wsgi_call *call, PyObject *environ)
{
    if (timeout_enter(&call->base) < 0)
        return -1;
    int sent = run_application(call, environ);
    timeout_leave(&call->base);
    return sent;
}
