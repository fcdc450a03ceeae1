#include "ext/core/settings.h"

#include <math.h>

int setting_number(PyObject *object, const char *name, uint32_t *out)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    unsigned long number = value ? PyLong_AsUnsignedLong(value) : 0;
    Py_XDECREF(value);
    if (PyErr_Occurred())
        return -1;
    *out = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
    return 0;
}

/* A time of the settings: 0 is never, and what is less than a millisecond is one. */
int setting_ms(PyObject *object, const char *name, uint32_t *out)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    double seconds = value ? PyFloat_AsDouble(value) : 0;
    Py_XDECREF(value);
    if (PyErr_Occurred())
        return -1;
    *out = seconds >= INT32_MAX / 1000 ? INT32_MAX : (uint32_t)ceil(seconds * 1000);
    return 0;
}

int setting_flag(PyObject *object, const char *name, bool *out)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    int truth = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    if (truth < 0)
        return -1;
    *out = truth;
    return 0;
}

int setting_size(PyObject *object, const char *name, uint64_t *out)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    *out = value ? PyLong_AsUnsignedLongLong(value) : 0;
    Py_XDECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}
