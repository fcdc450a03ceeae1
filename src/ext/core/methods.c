#include "ext/core/methods.h"

#include <stdbool.h>

static int complain(PyObject *object, const char *name)
{
    if (PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Format(PyExc_RuntimeError,
                     "%.200s has no method %s: gunicorn's Python files and its C core are of "
                     "different versions; install monoceros anew",
                     Py_TYPE(object)->tp_name, name);
    return -1;
}

int methods_bind(PyObject *object, const char *const *names, size_t count, PyObject **methods)
{
    for (size_t i = 0; i < count; i++)
        if (!(methods[i] = PyObject_GetAttrString(object, names[i])))
            return complain(object, names[i]);
    return 0;
}

int methods_visit(PyObject *const *methods, size_t count, visitproc visit, void *arg)
{
    for (size_t i = 0; i < count; i++)
        Py_VISIT(methods[i]);
    return 0;
}

void methods_clear(PyObject **methods, size_t count)
{
    for (size_t i = 0; i < count; i++)
        Py_CLEAR(methods[i]);
}

PyObject *methods_call(PyObject *method, PyObject **args, size_t count)
{
    bool whole = method != NULL;
    if (!method) /* the garbage collector has cleared the table */
        PyErr_SetString(PyExc_SystemError, "this worker has ended");
    for (size_t i = 1; i <= count; i++)
        whole &= args[i] != NULL;
    PyObject *result =
        whole ? PyObject_Vectorcall(method, args + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
              : NULL;
    for (size_t i = 1; i <= count; i++)
        Py_XDECREF(args[i]);
    return result;
}
