#include "ext/master/exchange_type.h"

struct exchange_object {
    PyObject_HEAD struct exchange exchange;
};

static void exchange_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    exchange_close(&((struct exchange_object *)op)->exchange);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *exchange_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    struct exchange exchange;

    if (!PyArg_ParseTuple(args, ":Exchange") || (kwargs && PyDict_GET_SIZE(kwargs) > 0))
        return NULL;
    if (exchange_open(&exchange) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    struct exchange_object *self = (struct exchange_object *)type->tp_alloc(type, 0);
    if (self)
        self->exchange = exchange;
    else
        exchange_close(&exchange);
    return (PyObject *)self;
}

const struct exchange *exchange_type_from(PyObject *object)
{
    if (Py_TYPE(object)->tp_dealloc != exchange_dealloc)
        return NULL;
    return &((struct exchange_object *)object)->exchange;
}

/* A worker's number; false with an exception. */
static bool read_age(PyObject *object, uint32_t *age)
{
    unsigned long value = PyLong_AsUnsignedLong(object);

    *age = (uint32_t)value;
    return value != (unsigned long)-1 || !PyErr_Occurred();
}

static PyObject *exchange_left(PyObject *op, PyObject *age_object)
{
    uint32_t age;

    if (!read_age(age_object, &age))
        return NULL;
    exchange_leave(&((struct exchange_object *)op)->exchange, age);
    Py_RETURN_NONE;
}

static PyObject *exchange_replace(PyObject *op, PyObject *age_object)
{
    uint32_t age;

    if (!read_age(age_object, &age))
        return NULL;
    atomic_store(((struct exchange_object *)op)->exchange.replaced, age);
    Py_RETURN_NONE;
}

static PyObject *exchange_end(PyObject *op, PyObject *unused)
{
    (void)unused;
    atomic_store(((struct exchange_object *)op)->exchange.ends, 1);
    Py_RETURN_NONE;
}

static PyObject *exchange_set_shared(PyObject *op, PyObject *two)
{
    int are_two = PyObject_IsTrue(two);

    if (are_two < 0)
        return NULL;
    atomic_store(((struct exchange_object *)op)->exchange.two_masters, are_two);
    Py_RETURN_NONE;
}

static PyObject *exchange_get_waiting(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(exchange_waiting(&((struct exchange_object *)op)->exchange));
}

static PyGetSetDef exchange_getset[] = {
    {"waiting", exchange_get_waiting, NULL, "Requests that no worker has taken yet.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef exchange_methods[] = {
    {"left", exchange_left, METH_O,
     "left(age, /)\n--\n\nThe worker of this number is dead: the others count on it no longer."},
    {"replace", exchange_replace, METH_O,
     "replace(age, /)\n--\n\nWorkers up to this number leave what waits to later ones, once they "
     "have to stop."},
    {"end", exchange_end, METH_NOARGS,
     "end()\n--\n\nThe server stops: no worker takes the clients of those that end."},
    {"set_shared", exchange_set_shared, METH_O,
     "set_shared(two, /)\n--\n\nWhether another master has workers for the same clients. Not at "
     "first."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot exchange_slots[] = {
    {Py_tp_doc, "Exchange()\n--\n\nA queue of requests, shared by the processes forked later.\n"
                "Raises OSError."},
    {Py_tp_new, exchange_new},
    {Py_tp_dealloc, exchange_dealloc},
    {Py_tp_methods, exchange_methods},
    {Py_tp_getset, exchange_getset},
    {0, NULL},
};

PyType_Spec exchange_type_spec = {
    .name = "gunicorn._core.Exchange",
    .basicsize = sizeof(struct exchange_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = exchange_slots,
};
