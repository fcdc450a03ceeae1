#include "ext/core/ssl_context.h"

#include "ext/core/ssl_library.h"
#include "net/tls/tls.h"

/* Bits of OpenSSL: SSL_VERIFY_PEER, SSL_VERIFY_FAIL_IF_NO_PEER_CERT. */
enum { VERIFY_PEER = 1, VERIFY_REQUIRED = 2 };

/* Whether this CPython is one of those for which struct python_context has been tried. */
enum { LAYOUT_IS_KNOWN = PY_VERSION_HEX < 0x030F0000 };

/* The beginning of an SSLContext. */
struct python_context {
    PyObject_HEAD struct ssl_ctx_st *ctx;
};

static const char made_name[] = "gunicorn._core.tls_made"; /* of a capsule */

/* Opened at the first use: without TLS nothing of OpenSSL is loaded. NULL with an exception. */
static struct ssl_library *library_of(struct core_state *state)
{
    if (!state->ssl)
        state->ssl = ssl_library_open(state->tls_unavailable, LAYOUT_IS_KNOWN);
    return state->ssl;
}

/* ---- a context of Python's ---- */

static int attribute(PyObject *object, const char *name, uint64_t *out)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    if (value)
        *out = PyLong_AsUnsignedLongLongMask(value);
    Py_XDECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}

/* ssl.CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED */
static uint64_t verify_mode_of(const struct ssl_ctx_st *ctx)
{
    int mode = tls_verify_mode(ctx);
    return !(mode & VERIFY_PEER) ? 0 : mode & VERIFY_REQUIRED ? 2 : 1;
}

/* Whether the pointer is the SSL_CTX: it answers as the object does. */
static int agrees(PyObject *context, const struct ssl_ctx_st *ctx)
{
    uint64_t options = 0, verify_mode = 0;
    if (attribute(context, "options", &options) < 0 ||
        attribute(context, "verify_mode", &verify_mode) < 0)
        return -1;
    return tls_options(ctx) == options && verify_mode_of(ctx) == verify_mode;
}

static struct ssl_ctx_st *inside(struct core_state *state, PyObject *context)
{
    struct ssl_ctx_st *ctx = ((struct python_context *)context)->ctx;
    bool fits = state->ssl->context_type->tp_basicsize >= (Py_ssize_t)sizeof(struct python_context);
    int agreed = fits && ctx ? agrees(context, ctx) : 0;
    if (agreed > 0)
        return ctx;
    if (agreed == 0)
        PyErr_SetString(state->tls_unavailable, "its ssl.SSLContext is not laid out as expected");
    return NULL;
}

/* ---- a context of our own ---- */

/* The one that stands for Python's: gunicorn/_tls_recipe.py keeps it. */
static struct ssl_ctx_st *made_for(PyObject *context)
{
    PyObject *module = PyImport_ImportModule("gunicorn._tls_recipe");
    PyObject *capsule = module ? PyObject_CallMethod(module, "made_for", "O", context) : NULL;
    struct tls_made *made = capsule ? PyCapsule_GetPointer(capsule, made_name) : NULL;
    Py_XDECREF(module);
    Py_XDECREF(capsule);
    return made ? tls_made_context(made) : NULL;
}

struct ssl_ctx_st *ssl_context_of(struct core_state *state, PyObject *context)
{
    struct ssl_library *library = library_of(state);
    if (!library)
        return NULL;
    if (!PyObject_TypeCheck(context, library->context_type)) {
        PyErr_Format(PyExc_TypeError, "%R is no ssl.SSLContext", context);
        return NULL;
    }
    return library->shared ? inside(state, context) : made_for(context);
}

bool ssl_context_verifies(const struct ssl_ctx_st *ctx)
{
    return verify_mode_of(ctx) != 0;
}

/* ---- making one ---- */

static void unmake(PyObject *capsule)
{
    tls_unmake(PyCapsule_GetPointer(capsule, made_name));
}

static PyObject *make(struct core_state *state, const struct tls_recipe *recipe)
{
    char error[256];
    struct tls_made *made = tls_make(recipe, error, sizeof(error));
    if (!made) {
        PyErr_SetString(state->tls_unavailable, error);
        return NULL;
    }
    PyObject *capsule = PyCapsule_New(made, made_name, unmake);
    if (!capsule)
        tls_unmake(made);
    return capsule;
}

/* The commands borrow from the list. 0, or -1 with an exception. */
static int read_commands(PyObject *list, struct tls_command *out)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(list); i++)
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(list, i), "ss", &out[i].name, &out[i].value))
            return -1;
    return 0;
}

static PyObject *make_of(PyObject *module, PyObject *args)
{
    PyObject *list;
    unsigned long long options;
    Py_ssize_t size;
    struct tls_recipe recipe;
    struct core_state *state = core_state_of(module);
    if (!PyArg_ParseTuple(args, "O!Kky#:tls_make", &PyTuple_Type, &list, &options,
                          &recipe.verify_flags, &recipe.protocols, &size) ||
        !library_of(state))
        return NULL;
    struct tls_command *commands = PyMem_New(struct tls_command, PyTuple_GET_SIZE(list));
    if (!commands)
        return PyErr_NoMemory();
    recipe.commands = commands;
    recipe.command_count = (size_t)PyTuple_GET_SIZE(list);
    recipe.options = options;
    recipe.protocols_size = (size_t)size;
    PyObject *made = read_commands(list, commands) < 0 ? NULL : make(state, &recipe);
    PyMem_Free(commands);
    return made;
}

/* ---- functions of the module ---- */

static PyObject *tls_check(PyObject *module, PyObject *context)
{
    if (!ssl_context_of(core_state_of(module), context))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *is_shared(PyObject *module, PyObject *unused)
{
    (void)unused;
    struct ssl_library *library = library_of(core_state_of(module));
    return library ? PyBool_FromLong(library->shared) : NULL;
}

static PyObject *tls_ticket_keys_size_of(PyObject *module, PyObject *context)
{
    struct core_state *state = core_state_of(module);
    struct ssl_ctx_st *ctx = ssl_context_of(state, context);
    return ctx ? PyLong_FromSize_t(tls_ticket_keys_size(ctx)) : NULL;
}

static PyObject *tls_set_keys(PyObject *module, PyObject *args)
{
    struct core_state *state = core_state_of(module);
    PyObject *context;
    Py_buffer keys;
    if (!PyArg_ParseTuple(args, "Oy*:tls_set_ticket_keys", &context, &keys))
        return NULL;
    struct ssl_ctx_st *ctx = ssl_context_of(state, context);
    if (ctx && tls_set_ticket_keys(ctx, keys.buf, (size_t)keys.len) < 0) {
        ctx = NULL;
        PyErr_SetString(PyExc_ValueError, "OpenSSL refuses these keys of session tickets");
    }
    PyBuffer_Release(&keys);
    if (!ctx)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"tls_check", tls_check, METH_O,
     "tls_check(context, /)\n--\n\nRaise TLSUnavailable if the engine cannot use the context."},
    {"tls_is_shared", is_shared, METH_NOARGS,
     "tls_is_shared()\n--\n\nReturn whether the engine uses Python's OpenSSL and its contexts."},
    {"tls_make", make_of, METH_VARARGS,
     "tls_make(commands, options, verify_flags, protocols, /)\n--\n\n"
     "Make a context of the engine's own: commands of SSL_CONF_cmd(3), bits of OpenSSL, ALPN."},
    {"tls_ticket_keys_size", tls_ticket_keys_size_of, METH_O,
     "tls_ticket_keys_size(context, /)\n--\n\nHow many bytes tls_set_ticket_keys() takes."},
    {"tls_set_ticket_keys", tls_set_keys, METH_VARARGS,
     "tls_set_ticket_keys(context, keys, /)\n--\n\nSet the keys of session tickets."},
    {NULL, NULL, 0, NULL},
};

int ssl_context_add_to(PyObject *module)
{
    struct core_state *state = core_state_of(module);
    state->tls_unavailable =
        PyErr_NewException("gunicorn._core.TLSUnavailable", PyExc_RuntimeError, NULL);
    if (!state->tls_unavailable ||
        PyModule_AddObjectRef(module, "TLSUnavailable", state->tls_unavailable) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
