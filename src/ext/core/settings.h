#ifndef EXT_CORE_SETTINGS_H
#define EXT_CORE_SETTINGS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>

/*
 * Settings on their way from Python to C: a row for each says which attribute of an object goes
 * into which field of a struct. A new setting is one row in gunicorn/_settings.py, and one in a
 * table here.
 */

enum setting_kind {
    SETTING_NUMBER, /* unsigned, of 4 or 8 bytes: below 0 is 0, too large is the largest */
    SETTING_MS,     /* of 4 or 8 bytes: milliseconds of a time in seconds. 0 is never, less than
                       one of them is one, and too long is the longest. */
    SETTING_FLAG,   /* bool */
    SETTING_TEXT,   /* char *, owned by the struct: UTF-8, NULL for None */
};

struct setting {
    const char *name;
    enum setting_kind kind;
    size_t offset, size; /* of the field */
};

/* A row for `field` of `type`; a table ends with SETTINGS_END. */
#define SETTING(type, kind, name, field)                                                           \
    {name, SETTING_##kind, offsetof(type, field), sizeof(((type *)0)->field)}
#define SETTINGS_END {NULL, SETTING_NUMBER, 0, 0}

/* Sets one field of *target from a value. 0, or -1 with an exception. */
int setting_set(const struct setting *setting, void *target, PyObject *value);

/* The field's value for Python, a time in seconds: a new reference, or NULL with an exception. */
PyObject *setting_get(const struct setting *setting, const void *target);

/* Sets all fields of a table from the object's attributes. 0, or -1 with an exception. */
int settings_read(const struct setting *table, void *target, PyObject *object);

/* Frees the texts. */
void settings_free(const struct setting *table, void *target);

#endif
