#ifndef EXT_PROC_H
#define EXT_PROC_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "proc/children/scoreboard.h"
#include "proc/dump/dump.h"

/* Adds what Python needs of src/proc to the module: ArbiterCore, Slot, functions. 0 or -1. */
int ext_proc_init(PyObject *module);

/* The slot behind a Slot object; NULL (no exception) for anything else, such as None. Borrowed: it
 * lives as long as the object. */
struct slot *ext_slot_from(PyObject *object);

/* A new Slot object, or NULL with an exception. `owner` is kept alive by it, and with it the slot
 * and the dump. */
PyObject *ext_slot_new(PyTypeObject *type, PyObject *owner, struct slot *slot,
                       const struct dump *dump);

extern PyType_Spec ext_slot_spec;
extern PyType_Spec ext_arbiter_spec;

#endif
