#ifndef EXT_CORE_SETTINGS_H
#define EXT_CORE_SETTINGS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/* Attributes of Python objects as C numbers: 0, or -1 with an exception. What is too large is the
 * largest number. */
int setting_number(PyObject *object, const char *name, uint32_t *out);
int setting_size(PyObject *object, const char *name, uint64_t *out);
int setting_flag(PyObject *object, const char *name, bool *out);

/* A time in seconds, as milliseconds: 0 is never, and less than one of them is one. */
int setting_ms(PyObject *object, const char *name, uint32_t *out);

#endif
