#ifndef EXT_MASTER_SLOT_TYPE_H
#define EXT_MASTER_SLOT_TYPE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "proc/children/scoreboard.h"
#include "proc/dump/dump.h"

/* gunicorn._core.Slot */

/* The slot behind a Slot object; NULL (no exception) for anything else, such as None. Borrowed: it
 * lives as long as the object. */
struct slot *slot_type_from(PyObject *object);

/* A new Slot object, or NULL with an exception. `owner` is kept alive by it, and with it the slot
 * and the dump. */
PyObject *slot_type_new(PyTypeObject *type, PyObject *owner, struct slot *slot,
                        const struct dump *dump);

extern PyType_Spec slot_type_spec;

#endif
