#ifndef EXT_MASTER_PROCESS_H
#define EXT_MASTER_PROCESS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Adds functions about processes, and DUMP_SIGNAL, to the module. 0, or -1 with an exception. */
int process_add_to(PyObject *module);

#endif
