#ifndef EXT_CORE_COMPAT_H
#define EXT_CORE_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Names that CPython 3.12 has brought, for 3.10 and 3.11. */
#if PY_VERSION_HEX < 0x030C0000

#include <structmember.h>

#define Py_T_OBJECT_EX T_OBJECT_EX
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_READONLY READONLY

static inline PyObject *PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static inline void PyErr_SetRaisedException(PyObject *exception)
{
    if (exception)
        PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception,
                      PyException_GetTraceback(exception));
    else
        PyErr_Clear();
}

/* From 3.12 on, the characters of a string are always there. */
static inline int compat_unicode_ready(PyObject *text)
{
    return PyUnicode_READY(text);
}

#else

static inline int compat_unicode_ready(PyObject *text)
{
    (void)text;
    return 0;
}

#endif

#endif
