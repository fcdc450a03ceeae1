#include "ext/asgi/pairs.h"

#include "ext/worker/text.h"

int pairs_init(struct pairs *pairs)
{
    for (int i = 0; i < FIELD_COUNT; i++) {
        struct str name = field_name((enum field_id)i);
        pairs->names[i] = PyBytes_FromStringAndSize(name.p, (Py_ssize_t)name.n);
        if (!pairs->names[i])
            return -1;
    }
    return 0;
}

int pairs_visit(struct pairs *pairs, visitproc visit, void *arg)
{
    for (int i = 0; i < PAIR_CACHE_SIZE; i++)
        Py_VISIT(pairs->kept[i]);
    return 0; /* bytes lead nowhere */
}

void pairs_clear(struct pairs *pairs)
{
    for (int i = 0; i < FIELD_COUNT; i++)
        Py_CLEAR(pairs->names[i]);
    for (int i = 0; i < PAIR_CACHE_SIZE; i++)
        Py_CLEAR(pairs->kept[i]);
    for (int i = 0; i < BYTES_CACHE_SIZE; i++)
        Py_CLEAR(pairs->bytes[i]);
}

static bool is(PyObject *bytes, struct str text)
{
    return (size_t)PyBytes_GET_SIZE(bytes) == text.n &&
           memcmp(PyBytes_AS_STRING(bytes), text.p, text.n) == 0;
}

PyObject *pairs_bytes(struct pairs *pairs, struct str value)
{
    if (value.n > PAIR_CACHE_MAX)
        return PyBytes_FromStringAndSize(value.p, (Py_ssize_t)value.n);
    PyObject **place = &pairs->bytes[text_hash(value.p, value.n) & (BYTES_CACHE_SIZE - 1)];
    if (*place && is(*place, value))
        return Py_NewRef(*place);
    PyObject *bytes = PyBytes_FromStringAndSize(value.p, (Py_ssize_t)value.n);
    if (bytes)
        Py_XSETREF(*place, Py_NewRef(bytes));
    return bytes;
}

static PyObject *lower_case(struct str name)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)name.n);
    for (size_t i = 0; bytes && i < name.n; i++)
        PyBytes_AS_STRING(bytes)[i] = ascii_lower(name.p[i]);
    return bytes;
}

/* Whether the pair has that name. */
static bool has_name(const struct pairs *pairs, PyObject *pair, enum field_id id, struct str name)
{
    PyObject *bytes = PyTuple_GET_ITEM(pair, 0);
    if (id < FIELD_COUNT)
        return bytes == pairs->names[id];
    return str_ieq((struct str){PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)}, name);
}

static PyObject *new_pair(struct pairs *pairs, enum field_id id, struct str name, struct str value)
{
    PyObject *pair = PyTuple_New(2);
    PyObject *first = id < FIELD_COUNT ? Py_NewRef(pairs->names[id]) : lower_case(name);
    PyObject *second = PyBytes_FromStringAndSize(value.p, (Py_ssize_t)value.n);
    if (!pair || !first || !second) {
        Py_XDECREF(pair);
        Py_XDECREF(first);
        Py_XDECREF(second);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, first);
    PyTuple_SET_ITEM(pair, 1, second);
    return pair;
}

PyObject *pairs_field(struct pairs *pairs, enum field_id id, struct str name, struct str value)
{
    if (value.n > PAIR_CACHE_MAX || name.n > PAIR_CACHE_MAX)
        return new_pair(pairs, id, name, value);
    uint64_t hash = text_hash(value.p, value.n) + (id < FIELD_COUNT ? (uint64_t)id : name.n) * 31;
    PyObject **place = &pairs->kept[hash & (PAIR_CACHE_SIZE - 1)];
    if (*place && is(PyTuple_GET_ITEM(*place, 1), value) && has_name(pairs, *place, id, name))
        return Py_NewRef(*place);
    PyObject *pair = new_pair(pairs, id, name, value);
    if (pair)
        Py_XSETREF(*place, Py_NewRef(pair));
    return pair;
}
