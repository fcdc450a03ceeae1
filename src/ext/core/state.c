#include "ext/core/state.h"

/* "accept-language" -> "HTTP_ACCEPT_LANGUAGE"; the two that CGI names without the prefix (RFC 3875
 * §4.1). */
static PyObject *header_key(enum field_id id)
{
    char text[64] = "HTTP_";
    struct str name = field_name(id);
    if (id == FIELD_CONTENT_TYPE)
        return PyUnicode_InternFromString("CONTENT_TYPE");
    if (id == FIELD_CONTENT_LENGTH)
        return PyUnicode_InternFromString("CONTENT_LENGTH");
    for (size_t i = 0; i < name.n; i++)
        text[5 + i] = name.p[i] == '-' ? '_' : ascii_upper(name.p[i]);
    text[5 + name.n] = '\0';
    return PyUnicode_InternFromString(text);
}

/* "accept-language" -> "ACCEPT-LANGUAGE" */
static PyObject *upper_name(struct str name)
{
    char text[64];
    for (size_t i = 0; i < name.n; i++)
        text[i] = ascii_upper(name.p[i]);
    text[name.n] = '\0';
    return PyUnicode_InternFromString(text);
}

int core_names_init(struct core_state *state)
{
    static const char *const texts[NAME_COUNT] = {
#define NAME_TEXT(identifier, text) text,
        NAME_TABLE(NAME_TEXT)
#undef NAME_TEXT
    };
    for (int i = 0; i < NAME_COUNT; i++)
        if (!(state->names[i] = PyUnicode_InternFromString(texts[i])))
            return -1;
    for (int i = 0; i < FIELD_COUNT; i++)
        if (!(state->header_keys[i] = header_key((enum field_id)i)) ||
            !(state->field_names[i] = upper_name(field_name((enum field_id)i))))
            return -1;
    return 0;
}

int core_names_visit(struct core_state *state, visitproc visit, void *arg)
{
    for (int i = 0; i < NAME_COUNT; i++)
        Py_VISIT(state->names[i]);
    for (int i = 0; i < FIELD_COUNT; i++) {
        Py_VISIT(state->header_keys[i]);
        Py_VISIT(state->field_names[i]);
    }
    return 0;
}

void core_names_clear(struct core_state *state)
{
    for (int i = 0; i < NAME_COUNT; i++)
        Py_CLEAR(state->names[i]);
    for (int i = 0; i < FIELD_COUNT; i++) {
        Py_CLEAR(state->header_keys[i]);
        Py_CLEAR(state->field_names[i]);
    }
}

int core_add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type)
{
    PyTypeObject *made = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    int result = made ? PyModule_AddType(module, made) : -1;
    if (type)
        *type = made;
    else
        Py_XDECREF(made);
    return result;
}
