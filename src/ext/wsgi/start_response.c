#include "ext/wsgi/start_response.h"

#include "serve/request/response.h"

#include <errno.h>

/* The bytes of a WSGI string; false with a TypeError or ValueError that names the culprit. */
static bool latin1(PyObject *text, const char *what, PyObject *name, struct str *out)
{
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "%s %.100R: %.100R is not a string", what, name, text);
        return false;
    }
    if (compat_unicode_ready(text) < 0)
        return false;
    if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "%s %.100R: characters outside Latin-1", what, name);
        return false;
    }
    out->p = (const char *)PyUnicode_1BYTE_DATA(text);
    out->n = (size_t)PyUnicode_GET_LENGTH(text);
    return true;
}

static int raise_http_error(struct wsgi_call *call, const char *class, PyObject *culprit)
{
    Py_XDECREF(METHODS_CALL(call->base.worker->methods, raise_error, PyUnicode_FromString(class),
                            Py_NewRef(culprit)));
    return -1;
}

int start_response_raise(struct wsgi_call *call, int error, PyObject *culprit)
{
    switch (error) {
    case RESPONSE_BAD_STATUS:
        PyErr_Format(PyExc_ValueError, "Invalid status %R", culprit);
        return -1;
    case RESPONSE_BAD_NAME:
        return raise_http_error(call, "InvalidResponseHeaderName", culprit);
    case RESPONSE_BAD_VALUE:
        return raise_http_error(call, "InvalidResponseHeader", culprit);
    case RESPONSE_NO_MEMORY:
        PyErr_NoMemory();
        return -1;
    default:
        if (!PyErr_Occurred()) { /* the wait for the client may have been broken off by one */
            errno = EPIPE;
            PyErr_SetFromErrno(PyExc_OSError);
        }
        return -1;
    }
}

static int set_status(struct wsgi_call *call, PyObject *status)
{
    struct str text;
    if (!latin1(status, "status", status, &text))
        return -1;
    enum response_error error = response_start(call->base.request, text.p, text.n);
    if (error == RESPONSE_BAD_VALUE)
        error = RESPONSE_BAD_STATUS;
    return error == RESPONSE_OK ? 0 : start_response_raise(call, error, status);
}

static int add_pair(struct wsgi_call *call, PyObject *name, PyObject *value)
{
    struct str n, v;
    if (!latin1(name, "response header", name, &n) ||
        !latin1(value, "value of response header", name, &v))
        return -1;
    enum response_error error = response_field(call->base.request, n, v);
    if (error == RESPONSE_BAD_LENGTH) {
        PyErr_Format(PyExc_ValueError, "Content-Length %.100R is no number of bytes", value);
        return -1;
    }
    return error == RESPONSE_OK ? 0 : start_response_raise(call, error, name);
}

static bool is_pair(PyObject *header)
{
    return PyTuple_CheckExact(header) && PyTuple_GET_SIZE(header) == 2;
}

/* Replaces an item that is no tuple of two. */
static int make_pair(PyObject *items, Py_ssize_t i)
{
    PyObject *header = PyList_GET_ITEM(items, i);
    PyObject *pair = PyUnicode_Check(header) ? NULL : PySequence_Tuple(header);
    if (pair && is_pair(pair))
        return PyList_SetItem(items, i, pair);
    if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Format(PyExc_TypeError, "response header %.100R is not a (name, value) tuple",
                     header);
    Py_XDECREF(pair);
    return -1;
}

/*
 * The headers as a list of pairs, a new reference. The application's code that this needs runs
 * here: while it does, another of its threads may end the request.
 */
static PyObject *header_pairs(PyObject *headers)
{
    Py_ssize_t i = 0;
    if (PyList_CheckExact(headers)) {
        while (i < PyList_GET_SIZE(headers) && is_pair(PyList_GET_ITEM(headers, i)))
            i++;
        if (i == PyList_GET_SIZE(headers))
            return Py_NewRef(headers);
    }
    PyObject *items = PySequence_List(headers);
    if (!items && PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Format(PyExc_TypeError, "response headers %.100R are not a list", headers);
    for (i = 0; items && i < PyList_GET_SIZE(items); i++)
        if (!is_pair(PyList_GET_ITEM(items, i)) && make_pair(items, i) < 0)
            Py_CLEAR(items);
    return items;
}

static int add_headers(struct wsgi_call *call, PyObject *pairs)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(pairs); i++) {
        /* The list may be the application's: an error shows an item by its repr(). */
        PyObject *pair = Py_NewRef(PyList_GET_ITEM(pairs, i));
        int added = add_pair(call, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
        Py_DECREF(pair);
        if (added < 0)
            return -1;
    }
    return 0;
}

/* Once the head is sent, the status cannot change: the exception goes on. */
static int reraise(PyObject *exc_info)
{
    PyObject *type, *value, *traceback;
    if (!PyArg_ParseTuple(exc_info, "OOO;exc_info must be (type, value, traceback)", &type, &value,
                          &traceback))
        return -1;
    if (!PyExceptionInstance_Check(value)) {
        PyErr_Format(PyExc_TypeError, "exc_info %R is not (type, value, traceback)", exc_info);
        return -1;
    }
    if (PyException_SetTraceback(value, traceback) == 0)
        PyErr_SetRaisedException(Py_NewRef(value));
    return -1;
}

static int may_start(struct wsgi_call *call, PyObject *exc_info, int again)
{
    const struct response *response = &call->base.request->response;
    if (again) {
        if (!response->sent_head)
            return 0;
        if (PyTuple_Check(exc_info))
            return reraise(exc_info);
        PyErr_Format(PyExc_TypeError, "exc_info %R is not a tuple", exc_info);
        return -1;
    }
    if (!response->started)
        return 0;
    PyErr_SetString(PyExc_AssertionError, "Response headers already set!");
    return -1;
}

static int parse_arguments(PyObject *const *args, Py_ssize_t count, PyObject *kwnames,
                           PyObject *out[3])
{
    static const char *const names[] = {"status", "headers", "exc_info"};
    Py_ssize_t keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < count && i < 3; i++)
        out[i] = args[i];
    for (Py_ssize_t i = 0; i < keywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        int at = 0;
        while (at < 3 && PyUnicode_CompareWithASCIIString(name, names[at]) != 0)
            at++;
        if (at == 3 && PyUnicode_CompareWithASCIIString(name, "response_headers") == 0)
            at = 1;
        if (at == 3 || out[at]) {
            PyErr_Format(PyExc_TypeError, "start_response() got an unexpected argument %R", name);
            return -1;
        }
        out[at] = args[count + i];
    }
    if (count <= 3 && out[0] && out[1])
        return 0;
    PyErr_Format(PyExc_TypeError,
                 "start_response() takes status, headers and exc_info, got %zd arguments",
                 count + keywords);
    return -1;
}

/* The old objects go last: that may run Python code, and the request may be over then. */
static void remember(struct wsgi_call *call, PyObject *status, PyObject *headers)
{
    PyObject *before[] = {call->status, call->headers};
    call->status = Py_NewRef(status);
    call->headers = Py_NewRef(headers);
    Py_XDECREF(before[0]);
    Py_XDECREF(before[1]);
}

static PyObject *start(PyObject *self, PyObject *given[3], PyObject *pairs, int again)
{
    struct wsgi_call *call = wsgi_call_of(self);
    if (!call || may_start(call, given[2], again) < 0)
        return NULL;
    if (set_status(call, given[0]) < 0 || add_headers(call, pairs) < 0) {
        if ((call = wsgi_call_of(self))) /* else ended while the exception was made */
            call->base.request->response.started = false;
        return NULL;
    }
    PyObject *write = Py_NewRef(call->write);
    if (call->base.worker->hooks)
        remember(call, given[0], given[1]);
    return write;
}

PyObject *start_response_call(PyObject *self, PyObject *const *args, size_t nargsf,
                              PyObject *kwnames)
{
    PyObject *given[3] = {NULL};
    if (!bound_call(self) || parse_arguments(args, PyVectorcall_NARGS(nargsf), kwnames, given) < 0)
        return NULL;
    int again = given[2] ? PyObject_IsTrue(given[2]) : 0;
    PyObject *pairs = again < 0 ? NULL : header_pairs(given[1]);
    PyObject *write = pairs ? start(self, given, pairs, again) : NULL;
    Py_XDECREF(pairs);
    return write;
}

int start_response_warn_of_body(struct wsgi_call *call)
{
    if (call->warned)
        return 0;
    call->warned = true;
    struct str method = request_method(call->base.request);
    PyObject *done = METHODS_CALL(wsgi_of(call->base.worker)->methods, body_dropped,
                                  text_new(method.p, method.n),
                                  PyLong_FromLong(call->base.request->response.status));
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Bytes go as they are; other objects with a buffer were never allowed (PEP 3333: bytestrings). */
int start_response_write(struct wsgi_call *call, PyObject *item, bool last)
{
    struct response *response = &call->base.request->response;
    bool kept = false;
    worker_check_process(call->base.worker, call->base.request);
    if (!PyBytes_Check(item)) {
        PyErr_Format(PyExc_TypeError,
                     "%.100R (%.100s) is not a byte string: a WSGI body consists of bytes", item,
                     Py_TYPE(item)->tp_name);
        return -1;
    }
    size_t n = (size_t)PyBytes_GET_SIZE(item);
    if (!response->started) {
        if (n == 0)
            return 0;
        PyErr_SetString(PyExc_AssertionError,
                        "the application sends a body before it has called start_response()");
        return -1;
    }
    if (response->finished && n > 0) {
        PyErr_SetString(PyExc_AssertionError, "the response is complete: nothing follows its end");
        return -1;
    }
    Py_INCREF(item);
    enum response_error error =
        response_write(call->base.request, PyBytes_AS_STRING(item), n, item, &kept, last);
    if (!kept)
        Py_DECREF(item);
    if (response->no_body && n > 0 && error == RESPONSE_OK)
        return start_response_warn_of_body(call);
    return error == RESPONSE_OK ? 0 : start_response_raise(call, error, item);
}

PyObject *write_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    struct wsgi_call *call = wsgi_call_of(self);
    if (!call)
        return NULL;
    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames) {
        PyErr_SetString(PyExc_TypeError, "write() takes one argument");
        return NULL;
    }
    call->base.request->response.streamed = true;
    if (start_response_write(call, args[0], false) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* The lines of the fields that the application gives, made in Python: new, or NULL when the request
 * has ended meanwhile. */
static PyObject *lines_of(PyObject *self, struct wsgi_call *call, PyObject *fields)
{
    PyObject *lines =
        METHODS_CALL(wsgi_of(call->base.worker)->methods, early_hints, Py_NewRef(fields));
    if (!lines || !bound_call(self)) {
        Py_XDECREF(lines);
        return NULL;
    }
    if (!PyBytes_Check(lines)) {
        PyErr_Format(PyExc_TypeError, "lines of fields %R are no bytes", lines);
        Py_DECREF(lines);
        return NULL;
    }
    worker_check_process(call->base.worker, call->base.request);
    return lines;
}

static struct str text_of(PyObject *bytes)
{
    return (struct str){PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
}

static PyObject *result_of(struct wsgi_call *call, enum response_error error, PyObject *culprit)
{
    if (error == RESPONSE_OK)
        Py_RETURN_NONE;
    start_response_raise(call, error, culprit);
    return NULL;
}

/* RFC 8297, for HTTP/1.1 clients and before the head. */
PyObject *early_hints_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    struct wsgi_call *call = wsgi_call_of(self);
    if (!call)
        return NULL;
    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames) {
        PyErr_SetString(PyExc_TypeError, "wsgi.early_hints() takes one list of headers");
        return NULL;
    }
    struct request *request = call->base.request;
    const struct head *head = &request->head;
    if (request->response.sent_head || (head->major == 1 && head->minor == 0))
        Py_RETURN_NONE;
    PyObject *lines = lines_of(self, call, args[0]);
    if (!lines)
        return NULL;
    enum response_error error = response_interim(request, 103, text_of(lines));
    Py_DECREF(lines);
    return result_of(call, error, self);
}

/* Fields behind the body, for HTTP/2: the last call counts. */
PyObject *send_trailers_call(PyObject *self, PyObject *const *args, size_t nargsf,
                             PyObject *kwnames)
{
    struct wsgi_call *call = wsgi_call_of(self);
    if (!call)
        return NULL;
    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames) {
        PyErr_SetString(PyExc_TypeError, "gunicorn.http2.send_trailers() takes one list of fields");
        return NULL;
    }
    PyObject *lines = lines_of(self, call, args[0]);
    if (!lines)
        return NULL;
    enum response_error error = response_trailers(call->base.request, text_of(lines));
    Py_DECREF(lines);
    return result_of(call, error, self);
}
