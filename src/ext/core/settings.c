#include "ext/core/settings.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Ten years, as for ever: a time to which it is added stays one. */
#define LONGEST_MS (10.0 * 365 * 86400 * 1000)

static void *field_of(const struct setting *setting, void *target)
{
    return (char *)target + setting->offset;
}

static void store(const struct setting *setting, void *field, uint64_t number)
{
    if (setting->size == sizeof(uint64_t))
        *(uint64_t *)field = number;
    else
        *(uint32_t *)field = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

static uint64_t load(const struct setting *setting, const void *field)
{
    return setting->size == sizeof(uint64_t) ? *(const uint64_t *)field : *(const uint32_t *)field;
}

static int set_number(const struct setting *setting, void *field, PyObject *value)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (number == -1 && PyErr_Occurred())
        return -1;
    store(setting, field, overflow > 0 ? INT64_MAX : number > 0 ? (uint64_t)number : 0);
    return 0;
}

static int set_ms(const struct setting *setting, void *field, PyObject *value)
{
    double longest = setting->size == sizeof(uint64_t) ? LONGEST_MS : INT32_MAX;
    double ms = PyFloat_AsDouble(value) * 1000;
    if (PyErr_Occurred())
        return -1;
    store(setting, field, ms >= longest ? (uint64_t)longest : ms > 0 ? (uint64_t)ceil(ms) : 0);
    return 0;
}

static int set_flag(const struct setting *setting, void *field, PyObject *value)
{
    (void)setting;
    int truth = PyObject_IsTrue(value);
    if (truth < 0)
        return -1;
    *(bool *)field = truth;
    return 0;
}

static int set_text(const struct setting *setting, void *field, PyObject *value)
{
    (void)setting;
    const char *text = value == Py_None ? NULL : PyUnicode_AsUTF8(value);
    if (!text && value != Py_None)
        return -1;
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy) {
        PyErr_NoMemory();
        return -1;
    }
    free(*(char **)field);
    *(char **)field = copy;
    return 0;
}

int setting_set(const struct setting *setting, void *target, PyObject *value)
{
    static int (*const setters[])(const struct setting *, void *, PyObject *) = {
        [SETTING_NUMBER] = set_number,
        [SETTING_MS] = set_ms,
        [SETTING_FLAG] = set_flag,
        [SETTING_TEXT] = set_text,
    };
    return setters[setting->kind](setting, field_of(setting, target), value);
}

PyObject *setting_get(const struct setting *setting, const void *target)
{
    const void *field = (const char *)target + setting->offset;
    switch (setting->kind) {
    case SETTING_MS:
        return PyFloat_FromDouble((double)load(setting, field) / 1000.0);
    case SETTING_FLAG:
        return PyBool_FromLong(*(const bool *)field);
    case SETTING_TEXT:
        return Py_BuildValue("z", *(char *const *)field);
    default:
        return PyLong_FromUnsignedLongLong(load(setting, field));
    }
}

int settings_read(const struct setting *table, void *target, PyObject *object)
{
    for (; table->name; table++) {
        PyObject *value = PyObject_GetAttrString(object, table->name);
        int result = value ? setting_set(table, target, value) : -1;
        Py_XDECREF(value);
        if (result < 0)
            return -1;
    }
    return 0;
}

void settings_free(const struct setting *table, void *target)
{
    for (; table->name; table++)
        if (table->kind == SETTING_TEXT)
            free(*(char **)field_of(table, target));
}
