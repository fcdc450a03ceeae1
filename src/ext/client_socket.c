#include "ext/wsgi.h"

#include "ext/ext_tls.h"
#include "net/tls.h"
#include "serve/conn.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

/*
 * gunicorn.socket: the client's connection. What only looks at it is answered here; whoever wants
 * to talk on it (a WebSocket library, say) gets a real, blocking socket.socket, and the connection
 * is the application's from then on: it is closed when the application returns.
 *
 * Over TLS, all but the simplest questions go to a TlsSocket (gunicorn/http/_tls_socket.py), which
 * has this object for its link to the connection.
 */

struct client_socket {
    PyObject_HEAD struct call *call; /* NULL when the request is over */
    PyObject *real;                  /* a socket.socket, once it was asked for */
    PyObject *over_tls;              /* a TlsSocket, once it was asked for */
};

PyObject *socket_new(struct core_state *state, struct call *call)
{
    struct client_socket *self = PyObject_GC_New(struct client_socket, state->socket_type);
    if (!self)
        return NULL;
    self->call = call;
    self->real = self->over_tls = NULL;
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
static struct conn *conn_of(const struct client_socket *self)
{
    bool is_ours = self->call && self->call->request && engine_is_ours(self->call->wsgi->engine);
    return is_ours ? self->call->request->conn : NULL;
}

/* NULL without an exception: there is no TLS, or the request is over. */
static struct tls *tls_of(struct client_socket *self)
{
    struct conn *conn = conn_of(self);
    return conn ? conn->tls : NULL;
}

void socket_goodbye(PyObject *op)
{
    struct tls *tls = tls_of((struct client_socket *)op);
    if (tls)
        tls_shutdown(tls);
}

/*
 * The request is over. The real socket's descriptor is the application's own, which may have closed
 * it; shutting the connection down wakes a thread of the application that still waits on it.
 */
void socket_detach(PyObject *op)
{
    struct client_socket *self = (struct client_socket *)op;
    self->call = NULL;
    if (!self->real)
        return;
    end_real(self->real, "shutdown", "i", SHUT_RDWR);
    end_real(self->real, "close", NULL, 0);
}

bool socket_is_real(PyObject *op)
{
    struct client_socket *self = (struct client_socket *)op;
    return self->real || self->over_tls;
}

static int fd_of(struct client_socket *self)
{
    const struct conn *conn = conn_of(self);
    return conn ? conn->io.fd : -1;
}

static PyObject *over(void)
{
    PyErr_SetString(PyExc_OSError, "the request that this socket belongs to is over");
    return NULL;
}

/* The socket is the application's from now on: a new reference. */
static PyObject *take_over(struct client_socket *self, const char *by)
{
    if (self->real)
        return Py_NewRef(self->real);
    if (fd_of(self) < 0)
        return over();
    self->real = PyObject_CallMethod(self->call->wsgi->handler, by, "i", fd_of(self));
    if (!self->real)
        return NULL;
    self->call->socket_taken = true;
    deadline_drop(self->call);
    return Py_NewRef(self->real);
}

/* ---- TLS ---- */

static PyObject *tls_socket(struct client_socket *self)
{
    if (!self->over_tls)
        self->over_tls = PyObject_CallMethod(self->call->wsgi->handler, "tls_socket", "O", self);
    return Py_XNewRef(self->over_tls);
}

static PyObject *socket_tls_look(PyObject *op, PyObject *what)
{
    struct tls *tls = tls_of((struct client_socket *)op);
    return tls ? ext_tls_about(tls, what) : over();
}

static PyObject *socket_take_over(PyObject *op, PyObject *unused)
{
    (void)unused;
    return take_over((struct client_socket *)op, "share_socket");
}

/* True: to be tried again when there is something to read. */
static PyObject *socket_tls_read(PyObject *op, PyObject *size)
{
    struct tls *tls = tls_of((struct client_socket *)op);
    if (!tls)
        return over();
    Py_ssize_t wanted = PyNumber_AsSsize_t(size, PyExc_OverflowError);
    PyObject *data = wanted < 0 ? NULL : PyBytes_FromStringAndSize(NULL, wanted);
    if (!data) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        return NULL;
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
    struct tls *tls = tls_of((struct client_socket *)op);
    Py_buffer data;
    if (!tls)
        return over();
    if (PyObject_GetBuffer(object, &data, PyBUF_SIMPLE) < 0)
        return NULL;
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
    return seconds < INT_MAX / 1000 ? (int)(seconds * 1000) + 1 : INT_MAX;
}

/* tls_wait(write, seconds): whether it is ready. Others run meanwhile. */
static PyObject *socket_tls_wait(PyObject *op, PyObject *args)
{
    struct client_socket *self = (struct client_socket *)op;
    struct tls *tls = tls_of(self);
    int write;
    double seconds;
    if (!PyArg_ParseTuple(args, "pd:tls_wait", &write, &seconds))
        return NULL;
    if (!tls)
        return over();
    struct call *call = self->call;
    struct request *request = call->request;
    short events = write ? tls_send_waits(tls) : tls_recv_waits(tls);
    request->blocked++; /* so that it does not end before we are back */
    int ready = wsgi_ops.wait(call->wsgi, request->conn->io.fd, events, wait_ms(seconds));
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
    socket_goodbye(op);
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

/* getpeername(), getsockname(), family, type, proto: without taking the connection over. */
static PyObject *look(PyObject *op, const char *what)
{
    struct client_socket *self = (struct client_socket *)op;
    if (fd_of(self) < 0)
        return over();
    return PyObject_CallMethod(self->call->wsgi->handler, "look_at_socket", "is", fd_of(self),
                               what);
}

static PyObject *socket_getpeername(PyObject *op, PyObject *unused)
{
    (void)unused;
    return look(op, "getpeername");
}

static PyObject *socket_getsockname(PyObject *op, PyObject *unused)
{
    (void)unused;
    return look(op, "getsockname");
}

static PyObject *get_looked_up(PyObject *op, void *what)
{
    return look(op, what);
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

/* Who copies or pickles an environ looks for such names, and does not mean to talk on the socket.
 */
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
    struct client_socket *self = (struct client_socket *)op;
    PyObject *other = tls_of(self) ? tls_socket(self) : take_over(self, "take_over_socket");
    value = other ? PyObject_GetAttr(other, name) : NULL;
    Py_XDECREF(other);
    return value;
}

static int socket_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((struct client_socket *)op)->real);
    Py_VISIT(((struct client_socket *)op)->over_tls);
    return 0;
}

static int socket_clear(PyObject *op)
{
    Py_CLEAR(((struct client_socket *)op)->real);
    Py_CLEAR(((struct client_socket *)op)->over_tls);
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
    {"getpeername", socket_getpeername, METH_NOARGS, "getpeername()\n--\n\nThe client's address."},
    {"getsockname", socket_getsockname, METH_NOARGS, "getsockname()\n--\n\nThe server's address."},
    {"take_over", socket_take_over, METH_NOARGS, "For TlsSocket."},
    {"tls_look", socket_tls_look, METH_O, "For TlsSocket."},
    {"tls_read", socket_tls_read, METH_O, "For TlsSocket."},
    {"tls_write", socket_tls_write, METH_O, "For TlsSocket."},
    {"tls_wait", socket_tls_wait, METH_VARARGS, "For TlsSocket."},
    {"tls_goodbye", socket_tls_goodbye, METH_NOARGS, "For TlsSocket."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef socket_getset[] = {
    {"__class__", get_class, NULL, NULL, NULL},
    {"family", get_looked_up, NULL, "The address family.", "family"},
    {"type", get_looked_up, NULL, "The socket type.", "type"},
    {"proto", get_looked_up, NULL, "The protocol.", "proto"},
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

PyType_Spec socket_spec = {
    .name = "gunicorn._core.ClientSocket",
    .basicsize = sizeof(struct client_socket),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = socket_slots,
};
