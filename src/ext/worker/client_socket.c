#include "ext/worker/client_socket.h"

#include "ext/worker/timeout.h"
#include "ext/worker/tls_about.h"
#include "net/tls/tls.h"
#include "serve/request/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * gunicorn.socket: the client's connection. Its attributes are those of a ClientSocket or, over
 * TLS, of a TlsSocket (gunicorn/http/_client_socket.py, _tls_socket.py), which has this object for
 * its link to the connection. An attribute that only looks leaves the connection with the engine;
 * an application that talks on it (by a WebSocket library, say) gets a real socket.socket, and the
 * connection is closed when the application returns.
 *
 * Python code may run in every call that may make an object, convert an argument or call a method:
 * the application's other threads may end the request meanwhile. So nothing that was read of `call`
 * before such a call is used after it.
 */

struct client_socket {
    PyObject_HEAD struct call *call; /* NULL when the request is over */
    PyObject *real;                  /* a socket.socket, once the application talks on it */
    PyObject *face;                  /* a ClientSocket or TlsSocket, once it was asked for */
    bool answered;                   /* the application has given an answer as usual, too */
};

PyObject *client_socket_new(struct core_state *state, struct call *call)
{
    struct client_socket *self = PyObject_GC_New(struct client_socket, state->socket_type);
    if (!self)
        return NULL;
    self->call = call;
    self->real = self->face = NULL;
    self->answered = false;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

/* Runs a method of the real socket; that the client has gone meanwhile is no error. */
static void end_real(PyObject *real, const char *method, const char *format, int argument)
{
    PyObject *result = PyObject_CallMethod(real, method, format, argument);
    if (!result && !PyErr_ExceptionMatches(PyExc_OSError))
        PyErr_WriteUnraisable(real);
    PyErr_Clear();
    Py_XDECREF(result);
}

/* NULL: the request is over, or it is that of the process that has forked this one. */
static struct request *request_of(const struct client_socket *self)
{
    bool is_ours = self->call && self->call->request && engine_is_ours(self->call->worker->engine);
    return is_ours ? self->call->request : NULL;
}

/* NULL without an exception: there is no TLS, or the request is over. */
static struct tls *tls_of(struct client_socket *self)
{
    struct request *request = request_of(self);
    return request ? request_tls(request) : NULL;
}

static void say_goodbye(struct client_socket *self)
{
    struct tls *tls = tls_of(self);
    if (tls)
        tls_shutdown(tls);
}

/* The engine sends the rest of a usual answer, and says goodbye after that. */
void client_socket_finish(PyObject *op)
{
    struct client_socket *self = (struct client_socket *)op;
    self->answered = self->call->request->response.finished;
    if (!self->answered)
        say_goodbye(self);
}

/*
 * The request is over. The real socket's descriptor is the application's own, which may have closed
 * it; shutting the connection down wakes a thread of the application that still waits on it.
 */
void client_socket_detach(PyObject *op)
{
    struct client_socket *self = (struct client_socket *)op;
    self->call = NULL;
    Py_CLEAR(self->face); /* which has a reference to this object */
    if (!self->real)
        return;
    end_real(self->real, "shutdown", "i", self->answered ? SHUT_RD : SHUT_RDWR);
    end_real(self->real, "close", NULL, 0);
}

bool client_socket_is_real(PyObject *op)
{
    struct client_socket *self = (struct client_socket *)op;
    return self->real || self->face;
}

static int fd_of(struct client_socket *self)
{
    const struct request *request = request_of(self);
    return request ? request_fd(request) : -1;
}

static PyObject *over(void)
{
    PyErr_SetString(PyExc_OSError, "the request that this socket belongs to is over");
    return NULL;
}

/* The connection is that of other requests, too. */
static bool is_shared(struct client_socket *self)
{
    const struct request *request = request_of(self);
    if (!request || !request_is_http2(request))
        return false;
    PyErr_SetString(PyExc_OSError, "a stream of HTTP/2 has no connection of its own");
    return true;
}

/* A descriptor of its own for the connection; -1 with an exception. */
static int duplicate(struct client_socket *self)
{
    int fd = fd_of(self), own;
    if (fd < 0) {
        over();
        return -1;
    }
    own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    return own;
}

/* The socket that take_over() has made is of no use: the request is over, or another thread was
 * quicker. */
static void discard(PyObject *real)
{
    end_real(real, "close", NULL, 0);
    Py_DECREF(real);
}

/*
 * For the access log and the hooks: a client that asked for another protocol gets it by an answer
 * of the application's own, which only the application sees.
 */
static void suppose_upgrade(struct request *request)
{
    if (!request->response.started && request->head.seen & (uint64_t)1 << FIELD_UPGRADE)
        request->response.status = 101;
}

/* The socket is the application's from now on: a new reference. */
static PyObject *take_over(struct client_socket *self)
{
    if (self->real)
        return Py_NewRef(self->real);
    int fd = is_shared(self) ? -1 : duplicate(self);
    if (fd < 0)
        return NULL;
    struct call *call = self->call;
    bool blocks = !request_tls(call->request);
    if (blocks)
        request_share(call->request);
    PyObject *real = METHODS_CALL(call->worker->methods, take_over_socket, PyLong_FromLong(fd),
                                  PyBool_FromLong(blocks));
    if (!real)
        return NULL;
    if (!self->call || self->real) {
        discard(real);
        return self->real ? Py_NewRef(self->real) : over();
    }
    self->real = real;
    call->socket_taken = true;
    suppose_upgrade(call->request);
    timeout_drop(call);
    return Py_NewRef(real);
}

static PyObject *socket_take_over(PyObject *op, PyObject *unused)
{
    (void)unused;
    return take_over((struct client_socket *)op);
}

/*
 * A _socket.socket on a descriptor of its own, to be closed at once: while another one is open, the
 * client does not see that its connection is closed. No Python code runs between the descriptor and
 * the object.
 */
static PyObject *socket_duplicate(PyObject *op, PyObject *unused)
{
    (void)unused;
    PyObject *module = PyImport_ImportModule("_socket");
    PyObject *type = module ? PyObject_GetAttrString(module, "socket") : NULL;
    int fd = type ? duplicate((struct client_socket *)op) : -1;
    PyObject *made = fd < 0 ? NULL : PyObject_CallFunction(type, "iiii", -1, -1, -1, fd);
    if (fd >= 0 && !made)
        close(fd);
    Py_XDECREF(type);
    Py_XDECREF(module);
    return made;
}

/* The object that has the other attributes: a new reference. */
static PyObject *face_of(struct client_socket *self)
{
    if (self->face)
        return Py_NewRef(self->face);
    if (fd_of(self) < 0) /* threads may close a socket that was taken over once more */
        return self->real ? Py_NewRef(self->real) : over();
    bool tls = tls_of(self);
    PyObject *made = METHODS_CALL(self->call->worker->methods, client_socket, Py_NewRef(self),
                                  PyBool_FromLong(tls));
    if (made && !self->face && self->call) /* neither over, nor was another thread quicker */
        self->face = Py_NewRef(made);
    return made;
}

/* ---- TLS ---- */

static PyObject *socket_tls_look(PyObject *op, PyObject *what)
{
    struct tls *tls = tls_of((struct client_socket *)op);
    return tls ? tls_about(tls, what) : over();
}

/* True: to be tried again when there is something to read. */
static PyObject *socket_tls_read(PyObject *op, PyObject *size)
{
    Py_ssize_t wanted = PyNumber_AsSsize_t(size, PyExc_OverflowError);
    PyObject *data = wanted < 0 ? NULL : PyBytes_FromStringAndSize(NULL, wanted);
    if (!data) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        return NULL;
    }
    struct tls *tls = tls_of((struct client_socket *)op);
    if (!tls) {
        Py_DECREF(data);
        return over();
    }
    ssize_t n = tls_recv(tls, PyBytes_AS_STRING(data), (size_t)wanted);
    if (n >= 0) {
        _PyBytes_Resize(&data, n);
        return data;
    }
    Py_DECREF(data);
    return errno == EAGAIN ? Py_NewRef(Py_True) : PyErr_SetFromErrno(PyExc_OSError);
}

/* False: to be tried again, with the same bytes, when there is room. */
static PyObject *socket_tls_write(PyObject *op, PyObject *object)
{
    Py_buffer data;
    if (PyObject_GetBuffer(object, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    struct tls *tls = tls_of((struct client_socket *)op);
    if (!tls) {
        PyBuffer_Release(&data);
        return over();
    }
    struct iovec part = {.iov_base = data.buf, .iov_len = (size_t)data.len};
    ssize_t n = tls_send(tls, &part, 1, false);
    int error = errno;
    Py_ssize_t size = data.len;
    PyBuffer_Release(&data);
    if (n >= 0)
        return PyLong_FromSsize_t(n < size ? n : size);
    errno = error;
    return error == EAGAIN ? Py_NewRef(Py_False) : PyErr_SetFromErrno(PyExc_OSError);
}

/* Never shorter than asked for. */
static int wait_ms(double seconds)
{
    if (!(seconds > 0)) /* no number is less than any */
        return 0;
    return seconds < INT_MAX / 1000 ? (int)(seconds * 1000) + 1 : INT_MAX;
}

/* tls_wait(write, seconds): whether it is ready. Others run meanwhile. */
static PyObject *socket_tls_wait(PyObject *op, PyObject *args)
{
    struct client_socket *self = (struct client_socket *)op;
    int write;
    double seconds;
    if (!PyArg_ParseTuple(args, "pd:tls_wait", &write, &seconds))
        return NULL;
    struct tls *tls = tls_of(self);
    if (!tls)
        return over();
    struct call *call = self->call;
    struct request *request = call->request;
    short events = write ? tls_send_waits(tls) : tls_recv_waits(tls);
    request->blocked++; /* so that it does not end before we are back */
    int ready = worker_wait(call->worker, request_fd(request), events, wait_ms(seconds));
    request->blocked--;
    if (ready < 0 && !PyErr_Occurred())
        PyErr_SetFromErrno(PyExc_OSError);
    if (PyErr_Occurred() || PyErr_CheckSignals() < 0)
        return NULL;
    return PyBool_FromLong(ready > 0);
}

static PyObject *socket_tls_goodbye(PyObject *op, PyObject *unused)
{
    (void)unused;
    say_goodbye((struct client_socket *)op);
    Py_RETURN_NONE;
}

/* ---- looking at it ---- */

static PyObject *socket_fileno(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct client_socket *self = (struct client_socket *)op;
    if (self->real)
        return PyObject_CallMethod(self->real, "fileno", NULL);
    return PyLong_FromLong(fd_of(self));
}

/* isinstance(environ['gunicorn.socket'], socket.socket) holds, as in gunicorn; with TLS it is an
 * ssl.SSLSocket. */
static PyObject *get_class(PyObject *op, void *unused)
{
    (void)unused;
    bool tls = tls_of((struct client_socket *)op);
    PyObject *module = PyImport_ImportModule(tls ? "ssl" : "socket");
    PyObject *class = module ? PyObject_GetAttrString(module, tls ? "SSLSocket" : "socket") : NULL;
    Py_XDECREF(module);
    return class;
}

/* Code that copies or pickles an environ looks for such names, and does not use the socket. */
static bool is_special(PyObject *name)
{
    return PyUnicode_Check(name) && PyUnicode_GET_LENGTH(name) > 4 &&
           PyUnicode_READ_CHAR(name, 0) == '_' && PyUnicode_READ_CHAR(name, 1) == '_';
}

static PyObject *socket_getattro(PyObject *op, PyObject *name)
{
    PyObject *value = PyObject_GenericGetAttr(op, name);
    if (value || !PyErr_ExceptionMatches(PyExc_AttributeError) || is_special(name))
        return value;
    PyErr_Clear();
    PyObject *face = face_of((struct client_socket *)op);
    value = face ? PyObject_GetAttr(face, name) : NULL;
    Py_XDECREF(face);
    return value;
}

/* `with` looks for its methods in the type. */
static PyObject *socket_enter(PyObject *op, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(op);
}

static PyObject *socket_exit(PyObject *op, PyObject *unused)
{
    (void)unused;
    return PyObject_CallMethod(op, "close", NULL);
}

static int socket_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((struct client_socket *)op)->real);
    Py_VISIT(((struct client_socket *)op)->face);
    return 0;
}

static int socket_clear(PyObject *op)
{
    Py_CLEAR(((struct client_socket *)op)->real);
    Py_CLEAR(((struct client_socket *)op)->face);
    return 0;
}

static void socket_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    socket_clear(op);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

static PyMethodDef socket_methods[] = {
    {"fileno", socket_fileno, METH_NOARGS, "fileno()\n--\n\nThe descriptor, -1 when it is over."},
    {"__enter__", socket_enter, METH_NOARGS, NULL},
    {"__exit__", socket_exit, METH_VARARGS, NULL},
    {"take_over", socket_take_over, METH_NOARGS, "For ClientSocket, as the next one."},
    {"duplicate", socket_duplicate, METH_NOARGS, NULL},
    {"tls_look", socket_tls_look, METH_O, "For TlsSocket."},
    {"tls_read", socket_tls_read, METH_O, "For TlsSocket."},
    {"tls_write", socket_tls_write, METH_O, "For TlsSocket."},
    {"tls_wait", socket_tls_wait, METH_VARARGS, "For TlsSocket."},
    {"tls_goodbye", socket_tls_goodbye, METH_NOARGS, "For TlsSocket."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef socket_getset[] = {
    {"__class__", get_class, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot socket_slots[] = {
    {Py_tp_dealloc, socket_dealloc},
    {Py_tp_traverse, socket_traverse},
    {Py_tp_clear, socket_clear},
    {Py_tp_getattro, socket_getattro},
    {Py_tp_methods, socket_methods},
    {Py_tp_getset, socket_getset},
    {Py_tp_doc, "The connection of a request (environ['gunicorn.socket'])."},
    {0, NULL},
};

PyType_Spec client_socket_spec = {
    .name = "gunicorn._core.ClientSocket",
    .basicsize = sizeof(struct client_socket),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = socket_slots,
};
