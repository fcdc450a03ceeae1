#include "ext/asgi/receive.h"

#include "serve/request/later.h"

enum { MESSAGE_MAX = 64 * 1024 }; /* bytes of the body in one message */

static PyObject *disconnect_message(struct channel *channel)
{
    channel->disconnected = true;
    return PyDict_Copy(asgi_of(channel->worker)->disconnect_message);
}

/* Steals `body`. */
static PyObject *request_message(struct channel *channel, PyObject *body, bool more)
{
    struct asgi *asgi = asgi_of(channel->worker);
    PyObject *message = body ? PyDict_Copy(asgi->request_message) : NULL;
    channel->body_given = !more;
    if (message && (PyDict_SetItem(message, ASGI_NAME(asgi, body), body) < 0 ||
                    (more && PyDict_SetItem(message, ASGI_NAME(asgi, more_body), Py_True) < 0)))
        Py_CLEAR(message);
    Py_XDECREF(body);
    return message;
}

/* Bytes of the body that have come. */
static PyObject *take_bytes(struct request *request, size_t n, bool *failed)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
    size_t done = 0;
    while (bytes && done < n) {
        ssize_t got = body_take(request, PyBytes_AS_STRING(bytes) + done, n - done);
        *failed = got == BODY_FAILED;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    if (bytes && done < n)
        _PyBytes_Resize(&bytes, (Py_ssize_t)done);
    return bytes;
}

static PyObject *some_of_body(struct channel *channel, size_t n)
{
    struct request *request = channel_request(channel);
    bool failed = false;
    PyObject *bytes = take_bytes(request, n < MESSAGE_MAX ? n : MESSAGE_MAX, &failed);
    if (bytes && failed) {
        Py_DECREF(bytes);
        return disconnect_message(channel);
    }
    return request_message(channel, bytes,
                           body_available(request) > 0 || !inflow_is_whole(request));
}

/* NULL without an exception: it has not come yet. */
static PyObject *next_of_body(struct channel *channel)
{
    struct request *request = channel_request(channel);
    char none[1];
    size_t n = body_available(request);
    if (n > 0)
        return some_of_body(channel, n);
    switch (body_take(request, none, sizeof(none))) {
    case BODY_NOT_YET:
        request_ask(request, REQUEST_BODY);
        return NULL;
    case BODY_END:
        return request_message(channel, Py_NewRef(asgi_of(channel->worker)->empty), false);
    default:
        return disconnect_message(channel);
    }
}

/* The awaitable's poll function. */
static PyObject *next_message(PyObject *self)
{
    struct channel *channel = channel_in_use(self);
    if (!channel)
        return NULL;
    if (!channel->call || channel->disconnected)
        return disconnect_message(channel);
    worker_check_process(channel->worker, channel_request(channel));
    if (!channel->body_given)
        return next_of_body(channel);
    return channel->client_left ? disconnect_message(channel) : NULL;
}

PyObject *receive_by(PyObject *self, size_t nargsf, PyObject *kwnames, awaitable_poll poll)
{
    if (PyVectorcall_NARGS(nargsf) != 0 || kwnames) {
        PyErr_SetString(PyExc_TypeError, "receive() takes no arguments");
        return NULL;
    }
    struct channel *channel = channel_of(self);
    if (!channel_is_elsewhere(channel) && !channel_in_use(self))
        return NULL;
    return awaitable_new(channel->worker->state, self, &channel->readers, poll);
}

PyObject *receive_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    (void)args;
    return receive_by(self, nargsf, kwnames, next_message);
}
