#ifndef EXT_CORE_METHODS_H
#define EXT_CORE_METHODS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>

/*
 * Methods of a Python object that C calls: looked up once, so that a missing one is found when the
 * worker starts and not in the rare case that calls it. A table of names is an X-macro; it gives an
 * enum of indexes and an array of names.
 */
#define METHOD_INDEX(name) METHOD_##name,
#define METHOD_TEXT(name) #name,

/* Fills methods[0 … count) with new references. 0, or -1 with an exception that says which is
 * missing. */
int methods_bind(PyObject *object, const char *const *names, size_t count, PyObject **methods);

int methods_visit(PyObject *const *methods, size_t count, visitproc visit, void *arg);
void methods_clear(PyObject **methods, size_t count);

/*
 * Calls methods[METHOD_name] with arguments that are new references, all stolen; one that is NULL,
 * with an exception, makes the call fail. A new reference, or NULL with an exception.
 */
#define METHODS_CALL(methods, name, ...)                                                           \
    methods_call((methods)[METHOD_##name], (PyObject *[]){NULL, ##__VA_ARGS__},                    \
                 sizeof((PyObject *[]){NULL, ##__VA_ARGS__}) / sizeof(PyObject *) - 1)

/* args[1 … count]; args[0] is room for the object. */
PyObject *methods_call(PyObject *method, PyObject **args, size_t count);

#endif
