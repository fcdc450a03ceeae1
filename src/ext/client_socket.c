#include "ext/wsgi.h"

#include "serve/conn.h"

#include <sys/socket.h>

/*
 * gunicorn.socket: the client's connection. What only looks at it is answered here; whoever wants
 * to talk on it (a WebSocket library, say) gets a real, blocking socket.socket, and the connection
 * is the application's from then on: it is closed when the application returns.
 */

struct client_socket {
    PyObject_HEAD struct call *call; /* NULL when the request is over */
    PyObject *real;                  /* a socket.socket, once it was asked for */
};

PyObject *socket_new(struct core_state *state, struct call *call)
{
    struct client_socket *self = PyObject_GC_New(struct client_socket, state->socket_type);
    if (!self)
        return NULL;
    self->call = call;
    self->real = NULL;
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
    return ((struct client_socket *)op)->real != NULL;
}

static int fd_of(struct client_socket *self)
{
    return self->call && self->call->request ? self->call->request->conn->io.fd : -1;
}

static PyObject *real_socket(struct client_socket *self)
{
    if (self->real)
        return Py_NewRef(self->real);
    if (fd_of(self) < 0) {
        PyErr_SetString(PyExc_OSError, "the request that this socket belongs to is over");
        return NULL;
    }
    self->real =
        PyObject_CallMethod(self->call->wsgi->handler, "take_over_socket", "i", fd_of(self));
    if (!self->real)
        return NULL;
    self->call->socket_taken = true;
    return Py_NewRef(self->real);
}

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
    if (fd_of(self) < 0) {
        PyErr_SetString(PyExc_OSError, "the request that this socket belongs to is over");
        return NULL;
    }
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

/* isinstance(environ['gunicorn.socket'], socket.socket) holds, as in gunicorn. */
static PyObject *get_class(PyObject *op, void *unused)
{
    (void)unused;
    (void)op;
    PyObject *module = PyImport_ImportModule("socket");
    PyObject *class = module ? PyObject_GetAttrString(module, "socket") : NULL;
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
    PyObject *real = real_socket((struct client_socket *)op);
    if (!real)
        return NULL;
    value = PyObject_GetAttr(real, name);
    Py_DECREF(real);
    return value;
}

static int socket_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((struct client_socket *)op)->real);
    return 0;
}

static int socket_clear(PyObject *op)
{
    Py_CLEAR(((struct client_socket *)op)->real);
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
