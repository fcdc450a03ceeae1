#include "ext/core/state.h"

#include "ext/asgi/awaitable.h"
#include "ext/asgi/channel.h"
#include "ext/asgi/kind.h"
#include "ext/core/inotify.h"
#include "ext/core/parser.h"
#include "ext/core/ssl_context.h"
#include "ext/core/ssl_library.h"
#include "ext/master/arbiter_type.h"
#include "ext/master/exchange_type.h"
#include "ext/master/process.h"
#include "ext/master/slot_type.h"
#include "ext/worker/bound.h"
#include "ext/worker/client_socket.h"
#include "ext/worker/engine_type.h"
#include "ext/worker/timeout.h"
#include "ext/wsgi/file_wrapper.h"
#include "ext/wsgi/input.h"
#include "ext/wsgi/kind.h"

/* The kinds of applications: a line each. */
static const struct app_kind *const kinds[] = {&wsgi_kind, &asgi_kind, NULL};

/* The engine, its signals and its forks are the process's: there is one of each. */
static int check_interpreter(void)
{
    if (PyInterpreterState_Get() == PyInterpreterState_Main())
        return 0;
    PyErr_SetString(PyExc_ImportError,
                    "gunicorn._core cannot be imported in a sub-interpreter: it belongs to the "
                    "process, and so to the main interpreter");
    return -1;
}

/* `type` is where the module's state keeps it, or NULL. */
static int add_types(PyObject *module, struct core_state *state)
{
    const struct {
        PyType_Spec *spec;
        PyTypeObject **type;
    } all[] = {
        {&engine_spec, &state->engine_type},
        {&bound_spec, &state->bound_type},
        {&client_socket_spec, &state->socket_type},
        {&timeout_spec, &state->deadline_type},
        {&input_spec, &state->input_type},
        {&file_wrapper_spec, &state->file_wrapper_type},
        {&awaitable_spec, &state->awaitable_type},
        {&channel_function_spec, &state->channel_function_type},
        {&arbiter_type_spec, NULL},
        {&slot_type_spec, NULL},
        {&exchange_type_spec, NULL},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (core_add_type(module, all[i].spec, all[i].type) < 0)
            return -1;
    return 0;
}

static int core_exec(PyObject *module)
{
    struct core_state *state = core_state_of(module);
    if (check_interpreter() < 0)
        return -1;
    state->kinds = kinds;
    if (core_names_init(state) < 0 || add_types(module, state) < 0)
        return -1;
    if (process_add_to(module) < 0 || ssl_context_add_to(module) < 0 || parser_add_to(module) < 0)
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
    Py_VISIT(state->channel_function_type);
    Py_VISIT(state->tls_unavailable);
    return core_names_visit(state, visit, arg) || ssl_library_visit(state->ssl, visit, arg);
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
    Py_CLEAR(state->channel_function_type);
    Py_CLEAR(state->tls_unavailable);
    core_names_clear(state);
    ssl_library_free(state->ssl);
    state->ssl = NULL;
    return 0;
}

static void core_free(void *module)
{
    core_clear((PyObject *)module);
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_USED}, /* the engine's calls are serialised by it: "attached" */
#endif
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
