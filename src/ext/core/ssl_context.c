#include "ext/core/ssl_context.h"

#include "net/tls/tls.h"

#include <dlfcn.h>
#include <string.h>

enum { VERIFY_PEER = 1, VERIFY_REQUIRED = 2 }; /* bits of SSL_CTX_get_verify_mode() */

struct ssl_library {
    void *handle;
    PyTypeObject *context_type; /* _ssl._SSLContext */
    uint64_t (*get_options)(const struct ssl_ctx_st *);
    int (*get_verify_mode)(const struct ssl_ctx_st *);
};

/* The beginning of an SSLContext in CPython 3.10 to 3.14. */
struct python_context {
    PyObject_HEAD struct ssl_ctx_st *ctx;
};

static void *unavailable(struct core_state *state, const char *why)
{
    PyErr_SetString(state->tls_unavailable, why);
    return NULL;
}

/* ---- the library ---- */

/* The extension module's file: its dependencies are searched with it. NULL: it is built in. */
static void *open_ssl_module(PyObject *module)
{
    PyObject *path = PyObject_GetAttrString(module, "__file__");
    const char *text = path ? PyUnicode_AsUTF8(path) : NULL;
    void *handle = text ? dlopen(text, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    Py_XDECREF(path);
    PyErr_Clear();
    return handle;
}

static void *find(const struct ssl_library *tls, const char *name)
{
    void *found = tls->handle ? dlsym(tls->handle, name) : NULL;
    return found ? found : dlsym(RTLD_DEFAULT, name);
}

static int find_functions(struct core_state *state, struct ssl_library *tls)
{
    char error[256];
    if (!tls_load(tls->handle, error, sizeof(error))) {
        unavailable(state, error);
        return -1;
    }
    void *options = find(tls, "SSL_CTX_get_options");
    void *verify_mode = find(tls, "SSL_CTX_get_verify_mode");
    if (!options || !verify_mode) {
        unavailable(state, "its OpenSSL lacks functions to look at a context");
        return -1;
    }
    memcpy(&tls->get_options, &options, sizeof(options));
    memcpy(&tls->get_verify_mode, &verify_mode, sizeof(verify_mode));
    return 0;
}

int ssl_context_visit(struct ssl_library *tls, visitproc visit, void *arg)
{
    if (tls)
        Py_VISIT(tls->context_type);
    return 0;
}

void ssl_context_free(struct ssl_library *tls)
{
    if (!tls)
        return;
    if (tls->handle)
        dlclose(tls->handle); /* Python keeps the library that the functions are from */
    Py_XDECREF(tls->context_type);
    PyMem_Free(tls);
}

/* Opened at the first use: without TLS nothing of OpenSSL is loaded. */
static struct ssl_library *open_library(struct core_state *state)
{
    if (state->ssl)
        return state->ssl;
    PyObject *module = PyImport_ImportModule("_ssl");
    if (!module) {
        PyErr_Clear();
        return unavailable(state, "it was built without the module ssl");
    }
    struct ssl_library *tls = PyMem_Calloc(1, sizeof(*tls));
    if (!tls) {
        Py_DECREF(module);
        return (struct ssl_library *)PyErr_NoMemory();
    }
    tls->handle = open_ssl_module(module);
    tls->context_type = (PyTypeObject *)PyObject_GetAttrString(module, "_SSLContext");
    Py_DECREF(module);
    if (!tls->context_type || find_functions(state, tls) < 0) {
        ssl_context_free(tls);
        return NULL;
    }
    state->ssl = tls;
    return tls;
}

/* ---- contexts ---- */

static int attribute(PyObject *object, const char *name, uint64_t *out)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    if (value)
        *out = PyLong_AsUnsignedLongLongMask(value);
    Py_XDECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}

/* ssl.CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED */
static uint64_t verify_mode_of(const struct ssl_library *tls, const struct ssl_ctx_st *ctx)
{
    int mode = tls->get_verify_mode(ctx);
    return !(mode & VERIFY_PEER) ? 0 : mode & VERIFY_REQUIRED ? 2 : 1;
}

/* Whether the pointer is the SSL_CTX: it answers as the object does. */
static int agrees(const struct ssl_library *tls, PyObject *context, const struct ssl_ctx_st *ctx)
{
    uint64_t options = 0, verify_mode = 0;
    if (attribute(context, "options", &options) < 0 ||
        attribute(context, "verify_mode", &verify_mode) < 0)
        return -1;
    return tls->get_options(ctx) == options && verify_mode_of(tls, ctx) == verify_mode;
}

struct ssl_ctx_st *ssl_context_of(struct core_state *state, PyObject *context)
{
    struct ssl_library *tls = open_library(state);
    if (!tls)
        return NULL;
    if (!PyObject_TypeCheck(context, tls->context_type)) {
        PyErr_Format(PyExc_TypeError, "%R is no ssl.SSLContext", context);
        return NULL;
    }
    struct ssl_ctx_st *ctx = ((struct python_context *)context)->ctx;
    int agreed = tls->context_type->tp_basicsize >= (Py_ssize_t)sizeof(struct python_context) && ctx
                     ? agrees(tls, context, ctx)
                     : 0;
    if (agreed > 0)
        return ctx;
    return agreed < 0 ? NULL : unavailable(state, "its ssl.SSLContext is not laid out as expected");
}

/* ---- functions of the module ---- */

static PyObject *tls_check(PyObject *module, PyObject *context)
{
    if (!ssl_context_of(core_state_of(module), context))
        return NULL;
    Py_RETURN_NONE;
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

bool ssl_context_verifies(const struct core_state *state, const struct ssl_ctx_st *ctx)
{
    return verify_mode_of(state->ssl, ctx) != 0;
}
