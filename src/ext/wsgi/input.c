#include "ext/wsgi/input.h"

#include "ext/worker/worker.h"
#include "serve/request/request.h"

#include <string.h>

/*
 * wsgi.input: buffered bytes are given without a system call, the bytes of a body that streams are
 * read from the socket when the application asks.
 */

enum { AHEAD_SIZE = 8 * 1024, STREAM_STEP = 64 * 1024 };

struct input {
    PyObject_HEAD struct request *request; /* NULL: no body, or the request is over */
    char *ahead; /* read but not yet given, for readline() on bytes that are not in memory */
    size_t ahead_at, ahead_size;
    bool busy; /* a thread reads, detached */
};

PyObject *input_new(struct core_state *state, struct request *request)
{
    struct input *self = PyObject_New(struct input, state->input_type);
    if (self) {
        self->request = request;
        self->ahead = NULL;
        self->ahead_at = self->ahead_size = 0;
        self->busy = false;
    }
    return (PyObject *)self;
}

void input_detach(PyObject *input)
{
    ((struct input *)input)->request = NULL;
}

static void input_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyMem_Free(((struct input *)op)->ahead);
    PyObject_Free(op);
    Py_DECREF(type);
}

/* Reading a file, or waiting for the client, which body_read() does by the application's table. */
static ssize_t read_while_others_run(struct input *self, struct request *request, char *out,
                                     size_t n)
{
    ssize_t got;
    self->busy = true;
    request->blocked++;
    if (body_blocks(request)) {
        got = body_read(request, out, n);
    } else {
        Py_BEGIN_ALLOW_THREADS
        got = body_read(request, out, n);
        Py_END_ALLOW_THREADS
    }
    request->blocked--;
    self->busy = false;
    return got;
}

static void raise_failure(const struct request *request)
{
    const struct worker *worker = request->engine->app;
    if (request->body.too_large)
        Py_XDECREF(METHODS_CALL(worker->methods, raise_body_limit));
    else
        PyErr_SetString(PyExc_ConnectionAbortedError,
                        "the request body was cut short or is malformed");
}

/* Up to n bytes, at least one; 0 at the end; -1 with an exception. */
static ssize_t fetch(struct input *self, char *out, size_t n)
{
    struct request *request = self->request;
    ssize_t got;
    if (!request || n == 0)
        return 0;
    if (body_blocks(request) && !engine_is_ours(request->engine)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the rest of this request's body can be read by the worker alone, not by a "
                        "process that it has forked");
        return -1;
    }
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "another thread reads this request's body");
        return -1;
    }
    if (body_blocks(request) || request->body.spool.file >= 0) {
        got = read_while_others_run(self, request, out, n);
    } else {
        got = body_read(request, out, n);
    }
    if (got < 0 && !PyErr_Occurred()) /* the wait may have been broken off by one */
        raise_failure(request);
    return got;
}

static size_t take_ahead(struct input *self, char *out, size_t n)
{
    size_t there = self->ahead_size - self->ahead_at;
    if (n > there)
        n = there;
    if (n > 0)
        memcpy(out, self->ahead + self->ahead_at, n);
    self->ahead_at += n;
    return n;
}

/* How much a call that wants `limit` bytes will get, as far as that is known. */
static size_t expected(const struct input *self, size_t limit)
{
    const char *at;
    size_t ahead = self->ahead_size - self->ahead_at;
    if (!self->request)
        return ahead < limit ? ahead : limit;
    const struct body *body = &self->request->body;
    uint64_t more = body_buffered(self->request, &at);
    if (!body->complete)
        more = body->framing == HEAD_LENGTH ? body->wanted - body->taken : more + STREAM_STEP;
    if (more > SIZE_MAX - ahead)
        more = SIZE_MAX - ahead;
    size_t total = ahead + (size_t)more;
    return total < limit ? total : limit;
}

/* Fills the bytes object up to its end or the body's. -1 with an exception. */
static ssize_t fill(struct input *self, char *out, size_t n)
{
    size_t done = take_ahead(self, out, n);
    while (done < n) {
        ssize_t got = fetch(self, out + done, n - done);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static PyObject *read_bytes(struct input *self, size_t limit)
{
    size_t size = expected(self, limit), done = 0;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    while (bytes) {
        ssize_t got = fill(self, PyBytes_AS_STRING(bytes) + done, size - done);
        if (got < 0) {
            Py_DECREF(bytes);
            return NULL;
        }
        bool end = (size_t)got < size - done;
        done += (size_t)got;
        if (end || done >= limit || !self->request || self->request->body.complete) {
            /* A complete body may still hold more than was expected when its size was unknown. */
            size_t left = end ? 0 : expected(self, limit - done);
            if (left == 0)
                break;
        }
        size_t more = expected(self, limit - done);
        size = done + (more ? more : 1);
        if (_PyBytes_Resize(&bytes, (Py_ssize_t)size) < 0)
            return NULL;
    }
    if (bytes && done < (size_t)PyBytes_GET_SIZE(bytes))
        _PyBytes_Resize(&bytes, (Py_ssize_t)done);
    return bytes;
}

/* None and negative numbers mean "no limit", as gunicorn has it. -1 with an exception. */
static int parse_size(PyObject *const *args, Py_ssize_t count, size_t *size)
{
    *size = PY_SSIZE_T_MAX;
    if (count > 1) {
        PyErr_Format(PyExc_TypeError, "expected at most 1 argument, got %zd", count);
        return -1;
    }
    if (count == 0 || args[0] == Py_None)
        return 0;
    if (!PyLong_Check(args[0])) {
        PyErr_Format(PyExc_TypeError, "size must be an integral type, not %.100R", args[0]);
        return -1;
    }
    Py_ssize_t n = PyLong_AsSsize_t(args[0]);
    if (n == -1 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return -1;
        PyErr_Clear();
    }
    if (n >= 0)
        *size = (size_t)n;
    return 0;
}

static PyObject *input_read(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    size_t size;
    if (parse_size(args, count, &size) < 0)
        return NULL;
    return read_bytes((struct input *)op, size);
}

/* The bytes that can be looked at now: those read ahead, or the body in memory. */
static size_t window(struct input *self, const char **at)
{
    *at = self->ahead ? self->ahead + self->ahead_at : NULL;
    if (self->ahead_at < self->ahead_size)
        return self->ahead_size - self->ahead_at;
    uint64_t n = self->request ? body_buffered(self->request, at) : 0;
    return *at ? (size_t)n : 0;
}

static int read_ahead(struct input *self)
{
    if (!self->ahead && !(self->ahead = PyMem_Malloc(AHEAD_SIZE))) {
        PyErr_NoMemory();
        return -1;
    }
    ssize_t got = fetch(self, self->ahead, AHEAD_SIZE);
    self->ahead_at = 0;
    self->ahead_size = got > 0 ? (size_t)got : 0;
    return got < 0 ? -1 : 0;
}

/* The rest of a line that begins in the window and does not end there. */
static PyObject *append_window(PyObject *line, struct input *self, size_t n)
{
    PyObject *part = read_bytes(self, n);
    if (!line)
        return part;
    PyBytes_ConcatAndDel(&line, part);
    return line;
}

static PyObject *read_line(struct input *self, size_t limit)
{
    PyObject *line = NULL;
    while (limit > 0) {
        const char *at;
        size_t there = window(self, &at);
        if (there == 0) {
            if (read_ahead(self) < 0) {
                Py_XDECREF(line);
                return NULL;
            }
            if ((there = window(self, &at)) == 0)
                break;
        }
        if (there > limit)
            there = limit;
        const char *end = memchr(at, '\n', there);
        size_t n = end ? (size_t)(end - at) + 1 : there;
        line = append_window(line, self, n);
        if (!line || end)
            return line;
        limit -= n;
    }
    return line ? line : PyBytes_FromStringAndSize(NULL, 0);
}

static PyObject *input_readline(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    size_t size;
    if (parse_size(args, count, &size) < 0)
        return NULL;
    return read_line((struct input *)op, size);
}

/* The hint is ignored, as PEP 3333 allows. */
static PyObject *input_readlines(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    size_t size;
    PyObject *lines = parse_size(args, count, &size) < 0 ? NULL : PyList_New(0);
    while (lines) {
        PyObject *line = read_line((struct input *)op, PY_SSIZE_T_MAX);
        int result = line ? 0 : -1;
        if (line && PyBytes_GET_SIZE(line) == 0) {
            Py_DECREF(line);
            return lines;
        }
        if (line)
            result = PyList_Append(lines, line);
        Py_XDECREF(line);
        if (result < 0)
            Py_CLEAR(lines);
    }
    return NULL;
}

static PyObject *input_next(PyObject *op)
{
    PyObject *line = read_line((struct input *)op, PY_SSIZE_T_MAX);
    if (line && PyBytes_GET_SIZE(line) == 0)
        Py_CLEAR(line);
    return line;
}

static PyMethodDef input_methods[] = {
    {"read", (PyCFunction)(void (*)(void))input_read, METH_FASTCALL,
     "read(size=-1, /)\n--\n\nThe next size bytes, fewer only at the end of the body."},
    {"readline", (PyCFunction)(void (*)(void))input_readline, METH_FASTCALL,
     "readline(size=-1, /)\n--\n\nThe next line with its newline, at most size bytes of it."},
    {"readlines", (PyCFunction)(void (*)(void))input_readlines, METH_FASTCALL,
     "readlines(hint=-1, /)\n--\n\nAll lines that are left; the hint is ignored."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot input_slots[] = {
    {Py_tp_dealloc, input_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, input_next},
    {Py_tp_methods, input_methods},
    {Py_tp_doc, "The body of a request, as a stream (PEP 3333, wsgi.input)."},
    {0, NULL},
};

PyType_Spec input_spec = {
    .name = "gunicorn._core.Input",
    .basicsize = sizeof(struct input),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = input_slots,
};
