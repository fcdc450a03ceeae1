#include "ext/asgi/message.h"

PyObject *message_type(struct asgi *asgi, PyObject *message)
{
    if (!PyDict_Check(message)) {
        PyErr_Format(PyExc_TypeError, "ASGI message %.100R (%.100s) is not a dict", message,
                     Py_TYPE(message)->tp_name);
        return NULL;
    }
    PyObject *type = PyDict_GetItemWithError(message, ASGI_NAME(asgi, type));
    if (type && PyUnicode_Check(type))
        return Py_NewRef(type);
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_TypeError, "the type of ASGI message %.100R is not a string", message);
    return NULL;
}

/* A new reference; NULL for none, or with an exception. */
static PyObject *member(struct asgi *asgi, PyObject *message, enum asgi_name name)
{
    return Py_XNewRef(PyDict_GetItemWithError(message, asgi->names[name]));
}

static void wrong(struct asgi *asgi, enum asgi_name name, PyObject *value, const char *wanted)
{
    PyErr_Format(PyExc_TypeError, "%U of an ASGI message is %.100R (%.100s), and not %s",
                 asgi->names[name], value, Py_TYPE(value)->tp_name, wanted);
}

long message_number(struct asgi *asgi, PyObject *message, enum asgi_name name, long otherwise)
{
    PyObject *value = member(asgi, message, name);
    if (!value)
        return PyErr_Occurred() ? -1 : otherwise;
    long number = -1;
    if (PyIndex_Check(value))
        number = PyLong_AsLong(value);
    else
        wrong(asgi, name, value, "an integer");
    Py_DECREF(value);
    return number;
}

int message_flag(struct asgi *asgi, PyObject *message, enum asgi_name name)
{
    PyObject *value = member(asgi, message, name);
    if (!value)
        return PyErr_Occurred() ? -1 : 0;
    int flag = PyObject_IsTrue(value);
    Py_DECREF(value);
    return flag;
}

PyObject *message_bytes(struct asgi *asgi, PyObject *message, enum asgi_name name)
{
    PyObject *value = member(asgi, message, name);
    if (!value || PyBytes_CheckExact(value))
        return value;
    PyObject *bytes = NULL;
    if (PyObject_CheckBuffer(value))
        bytes = PyBytes_FromObject(value);
    else
        wrong(asgi, name, value, "bytes");
    Py_DECREF(value);
    return bytes;
}

static bool is_pair(PyObject *header)
{
    return PyTuple_CheckExact(header) && PyTuple_GET_SIZE(header) == 2 &&
           PyBytes_Check(PyTuple_GET_ITEM(header, 0)) && PyBytes_Check(PyTuple_GET_ITEM(header, 1));
}

/* Any other sequence of two: a new tuple, or NULL with an exception. */
static PyObject *new_pair(PyObject *header)
{
    PyObject *pair = PyUnicode_Check(header) ? NULL : PySequence_Tuple(header);
    if (pair && is_pair(pair))
        return pair;
    Py_XDECREF(pair);
    if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Format(PyExc_TypeError,
                     "response header %.100R is not a pair of bytes, [name, value]", header);
    return NULL;
}

static int make_pairs(PyObject *list)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        if (is_pair(PyList_GET_ITEM(list, i)))
            continue;
        PyObject *header = Py_NewRef(PyList_GET_ITEM(list, i));
        PyObject *pair = new_pair(header);
        Py_DECREF(header);
        if (!pair || PyList_SetItem(list, i, pair) < 0)
            return -1;
    }
    return 0;
}

PyObject *message_headers(struct asgi *asgi, PyObject *message)
{
    PyObject *value = member(asgi, message, ASGI_headers);
    if (!value)
        return PyErr_Occurred() ? NULL : PyList_New(0);
    PyObject *list = PySequence_List(value);
    if (!list && PyErr_ExceptionMatches(PyExc_TypeError))
        wrong(asgi, ASGI_headers, value, "an iterable of pairs");
    Py_DECREF(value);
    if (list && make_pairs(list) < 0)
        Py_CLEAR(list);
    return list;
}
