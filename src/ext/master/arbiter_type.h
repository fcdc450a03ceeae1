#ifndef EXT_MASTER_ARBITER_TYPE_H
#define EXT_MASTER_ARBITER_TYPE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* gunicorn._core.ArbiterCore */
extern PyType_Spec arbiter_type_spec;

#endif
