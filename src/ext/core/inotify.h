#ifndef EXT_CORE_INOTIFY_H
#define EXT_CORE_INOTIFY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Adds inotify_open() and inotify_watch() to the module, where the system has them. 0 or -1. */
int inotify_add_to(PyObject *module);

#endif
