#ifndef EXT_PROC_H
#define EXT_PROC_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "proc/loop/arbiter.h"

/* Adds what Python needs of src/proc to the module: ArbiterCore, Slot, functions. 0 or -1. */
int ext_proc_init(PyObject *module);

/* The slot behind a Slot object; NULL (no exception) for anything else, such as None. Borrowed: it
 * lives as long as the object. */
struct slot *ext_slot_from(PyObject *object);

/* A new Slot object, or NULL with an exception. `owner` is kept alive by it. */
PyObject *ext_slot_new(PyTypeObject *type, PyObject *owner, struct slot *slot);

extern PyType_Spec ext_slot_spec;
extern PyType_Spec ext_arbiter_spec;

/* The core that a slot's owner is. Borrowed. */
struct arbiter;
struct arbiter *ext_arbiter_of(PyObject *core);

#endif
