#include "ext/core/state.h"

#include "ext/asgi/awaitable.h"
#include "ext/core/ext_proc.h"
#include "ext/core/inotify.h"
#include "ext/core/parser.h"
#include "ext/core/ssl_context.h"
#include "ext/master/ext_exchange.h"
#include "ext/worker/bound.h"
#include "ext/worker/client_socket.h"
#include "ext/worker/engine_type.h"
#include "ext/worker/timeout.h"
#include "ext/wsgi/file_wrapper.h"
#include "ext/wsgi/input.h"
#include "ext/wsgi/kind.h"

/* The kinds of applications: a line each. */
static const struct app_kind *const kinds[] = {&wsgi_kind, NULL};

static int core_exec(PyObject *module)
{
    struct core_state *state = core_state_of(module);
    state->kinds = kinds;
    if (core_names_init(state) < 0 || core_add_type(module, &bound_spec, &state->bound_type) < 0 ||
        core_add_type(module, &input_spec, &state->input_type) < 0 ||
        core_add_type(module, &client_socket_spec, &state->socket_type) < 0 ||
        core_add_type(module, &timeout_spec, &state->deadline_type) < 0 ||
        core_add_type(module, &file_wrapper_spec, &state->file_wrapper_type) < 0 ||
        core_add_type(module, &awaitable_spec, &state->awaitable_type) < 0 ||
        core_add_type(module, &engine_spec, &state->engine_type) < 0)
        return -1;
    if (ext_proc_init(module) < 0 || ssl_context_add_to(module) < 0 ||
        ext_exchange_init(module) < 0 || parser_add_to(module) < 0)
        return -1;
    return inotify_add_to(module);
}

static int core_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct core_state *state = core_state_of(module);
    Py_VISIT(state->engine_type);
    Py_VISIT(state->bound_type);
    Py_VISIT(state->input_type);
    Py_VISIT(state->socket_type);
    Py_VISIT(state->deadline_type);
    Py_VISIT(state->file_wrapper_type);
    Py_VISIT(state->awaitable_type);
    Py_VISIT(state->tls_unavailable);
    return 0;
}

static int core_clear(PyObject *module)
{
    struct core_state *state = core_state_of(module);
    Py_CLEAR(state->engine_type);
    Py_CLEAR(state->bound_type);
    Py_CLEAR(state->input_type);
    Py_CLEAR(state->socket_type);
    Py_CLEAR(state->deadline_type);
    Py_CLEAR(state->file_wrapper_type);
    Py_CLEAR(state->awaitable_type);
    Py_CLEAR(state->tls_unavailable);
    for (int i = 0; i < NAME_COUNT; i++)
        Py_CLEAR(state->names[i]);
    for (int i = 0; i < FIELD_COUNT; i++) {
        Py_CLEAR(state->header_keys[i]);
        Py_CLEAR(state->field_names[i]);
    }
    return 0;
}

static void core_free(void *module)
{
    core_clear((PyObject *)module);
    ssl_context_free(core_state_of((PyObject *)module)->ssl);
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
    {0, NULL},
};

struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gunicorn._core",
    .m_doc = "The engine, the WSGI bridge and the arbiter's core, in C.",
    .m_size = sizeof(struct core_state),
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
