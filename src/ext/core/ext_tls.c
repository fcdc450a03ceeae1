#include "ext/core/ext_tls.h"

#include "base/clock.h"
#include "base/mem.h"
#include "net/tls/tls.h"

#include <dlfcn.h>
#include <string.h>

#define LOOK_PAUSE_NS ((uint64_t)10 * 1000 * 1000 * 1000)

enum { VERIFY_PEER = 1, VERIFY_REQUIRED = 2 };      /* bits of SSL_CTX_get_verify_mode() */
enum { CERTIFICATES_MAX = 100, CIPHERS_MAX = 200 }; /* that are shown of a connection */

struct ext_tls {
    void *handle;
    PyTypeObject *context_type; /* _ssl._SSLContext */
    uint64_t (*get_options)(const struct ssl_ctx_st *);
    int (*get_verify_mode)(const struct ssl_ctx_st *);
};

/* What CPython 3.10 to 3.14 begin an SSLContext with. */
struct python_context {
    PyObject_HEAD struct ssl_ctx_st *ctx;
};

static void *unavailable(struct core_state *state, const char *why)
{
    PyErr_SetString(state->tls_unavailable, why);
    return NULL;
}

/* ---- the library ---- */

/* The extension module's file: what it depends on is searched with it. NULL: it is built in. */
static void *open_ssl_module(PyObject *module)
{
    PyObject *path = PyObject_GetAttrString(module, "__file__");
    const char *text = path ? PyUnicode_AsUTF8(path) : NULL;
    void *handle = text ? dlopen(text, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    Py_XDECREF(path);
    PyErr_Clear();
    return handle;
}

static void *find(const struct ext_tls *tls, const char *name)
{
    void *found = tls->handle ? dlsym(tls->handle, name) : NULL;
    return found ? found : dlsym(RTLD_DEFAULT, name);
}

static int find_functions(struct core_state *state, struct ext_tls *tls)
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

void ext_tls_free(struct ext_tls *tls)
{
    if (!tls)
        return;
    if (tls->handle)
        dlclose(tls->handle); /* Python keeps the library that the functions are from */
    Py_XDECREF(tls->context_type);
    PyMem_Free(tls);
}

/* Opened at the first use: without TLS nothing of OpenSSL is loaded. */
static struct ext_tls *ext_tls_open(struct core_state *state)
{
    if (state->tls)
        return state->tls;
    PyObject *module = PyImport_ImportModule("_ssl");
    if (!module) {
        PyErr_Clear();
        return unavailable(state, "it was built without the module ssl");
    }
    struct ext_tls *tls = PyMem_Calloc(1, sizeof(*tls));
    if (!tls) {
        Py_DECREF(module);
        return (struct ext_tls *)PyErr_NoMemory();
    }
    tls->handle = open_ssl_module(module);
    tls->context_type = (PyTypeObject *)PyObject_GetAttrString(module, "_SSLContext");
    Py_DECREF(module);
    if (!tls->context_type || find_functions(state, tls) < 0) {
        ext_tls_free(tls);
        return NULL;
    }
    state->tls = tls;
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
static uint64_t verify_mode_of(const struct ext_tls *tls, const struct ssl_ctx_st *ctx)
{
    int mode = tls->get_verify_mode(ctx);
    return !(mode & VERIFY_PEER) ? 0 : mode & VERIFY_REQUIRED ? 2 : 1;
}

/* Whether the pointer is what we take it for: it answers as the object does. */
static int agrees(const struct ext_tls *tls, PyObject *context, const struct ssl_ctx_st *ctx)
{
    uint64_t options = 0, verify_mode = 0;
    if (attribute(context, "options", &options) < 0 ||
        attribute(context, "verify_mode", &verify_mode) < 0)
        return -1;
    return tls->get_options(ctx) == options && verify_mode_of(tls, ctx) == verify_mode;
}

/* The SSL_CTX of an ssl.SSLContext: borrowed. NULL with an exception. */
static struct ssl_ctx_st *ctx_of(struct core_state *state, PyObject *context)
{
    struct ext_tls *tls = ext_tls_open(state);
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
    if (!ctx_of(core_state_of(module), context))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *tls_ticket_keys_size_of(PyObject *module, PyObject *context)
{
    struct core_state *state = core_state_of(module);
    struct ssl_ctx_st *ctx = ctx_of(state, context);
    return ctx ? PyLong_FromSize_t(tls_ticket_keys_size(ctx)) : NULL;
}

static PyObject *tls_set_keys(PyObject *module, PyObject *args)
{
    struct core_state *state = core_state_of(module);
    PyObject *context;
    Py_buffer keys;
    if (!PyArg_ParseTuple(args, "Oy*:tls_set_ticket_keys", &context, &keys))
        return NULL;
    struct ssl_ctx_st *ctx = ctx_of(state, context);
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

int ext_tls_init(PyObject *module)
{
    struct core_state *state = core_state_of(module);
    state->tls_unavailable =
        PyErr_NewException("gunicorn._core.TLSUnavailable", PyExc_RuntimeError, NULL);
    if (!state->tls_unavailable ||
        PyModule_AddObjectRef(module, "TLSUnavailable", state->tls_unavailable) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}

/* ---- the server's name, by sni_callback ---- */

/* A thread that Python does not know is the stand-by, which has to keep its hands off Python. */
static bool can_ask(void *app)
{
    (void)app;
    return PyGILState_GetThisThreadState() != NULL;
}

/* 0, an alert, or -1 with an exception. */
static int choose(struct wsgi *wsgi, struct tls *tls, const char *name)
{
    PyObject *chosen, *answer = PyObject_CallMethod(wsgi->handler, "server_name", "y", name);
    int alert = 0;
    if (!answer || !PyArg_ParseTuple(answer, "Oi", &chosen, &alert)) {
        Py_XDECREF(answer);
        return -1;
    }
    if (alert == 0 && chosen != Py_None) {
        struct ssl_ctx_st *ctx = ctx_of(wsgi->state, chosen);
        if (!ctx)
            alert = -1;
        else if (tls_set_context(tls, ctx) < 0)
            alert = PyErr_NoMemory() ? 0 : -1;
    }
    Py_DECREF(answer);
    return alert;
}

static int ask(void *app, struct tls *tls, const char *name)
{
    enum { INTERNAL_ERROR = 80 }; /* RFC 8446 §6.2 */
    struct wsgi *wsgi = app;
    PyGILState_STATE before = PyGILState_Ensure();
    int alert = choose(wsgi, tls, name);
    if (alert < 0) {
        PyErr_WriteUnraisable(wsgi->handler);
        alert = INTERNAL_ERROR;
    }
    PyGILState_Release(before);
    return alert;
}

/* Bytes, or NULL with an exception. Returns their number. */
static unsigned copy_key(PyObject *found, unsigned char *key, unsigned size)
{
    Py_ssize_t n = found ? PyBytes_Size(found) : -1;
    if (n > (Py_ssize_t)size)
        PyErr_Format(PyExc_ValueError, "a shared key of %zd bytes, at most %u fit", n, size);
    if (PyErr_Occurred())
        return 0;
    memcpy(key, PyBytes_AS_STRING(found), (size_t)n);
    return (unsigned)n;
}

static unsigned find_key(void *app, const char *identity, unsigned char *key, unsigned size)
{
    struct wsgi *wsgi = app;
    PyGILState_STATE before = PyGILState_Ensure();
    PyObject *found = PyObject_CallMethod(wsgi->handler, "shared_key", "y", identity);
    unsigned n = copy_key(found, key, size);
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(wsgi->handler);
    Py_XDECREF(found);
    PyGILState_Release(before);
    return n;
}

/* By whether there is an sni_callback, and a callback for shared keys. */
static const struct tls_names names[2][2] = {
    {{NULL, NULL, NULL}, {can_ask, NULL, find_key}},
    {{can_ask, ask, NULL}, {can_ask, ask, find_key}},
};

/* NULL: none of them, or an exception. */
static const struct tls_names *names_of(struct wsgi *wsgi, PyObject *context)
{
    PyObject *by_name = PyObject_GetAttrString(context, "sni_callback");
    PyObject *by_key =
        by_name ? PyObject_CallMethod(wsgi->handler, "has_shared_keys", "O", context) : NULL;
    const struct tls_names *found = by_key ? &names[by_name != Py_None][by_key == Py_True] : NULL;
    Py_XDECREF(by_name);
    Py_XDECREF(by_key);
    return found && found->can_ask ? found : NULL;
}

/* ---- the engine ---- */

/* New connections of all listeners use this ssl.SSLContext. 0, or -1 with an exception. */
static int use_context(struct wsgi *wsgi, PyObject *context)
{
    struct core_state *state = wsgi->state;
    struct ssl_ctx_st *ctx = ctx_of(state, context);
    struct tls_context_options options = {
        .names = ctx ? names_of(wsgi, context) : NULL,
        .app = wsgi,
        .ref = context,
        .ktls = true,
    };
    if (PyErr_Occurred())
        return -1;
    struct tls_context *made = tls_context_create(ctx, &options);
    if (!made) {
        PyErr_NoMemory();
        return -1;
    }
    Py_INCREF(context); /* until the engine releases it */
    wsgi->tls_verifies = verify_mode_of(state->tls, ctx) != 0;
    for (uint32_t i = 0; i < wsgi->engine->listener_count; i++) {
        tls_context_use(made);
        engine_set_tls(wsgi->engine, i, made);
    }
    if (tls_context_drop(made)) { /* there was no listener */
        tls_context_destroy(made);
        Py_DECREF(context);
    }
    return 0;
}

int ext_tls_start(struct wsgi *wsgi)
{
    PyObject *context = PyObject_GetAttrString(wsgi->handler, "tls_context");
    if (!context)
        return -1;
    wsgi->tls = context != Py_None;
    wsgi->tls_looked_ns = clock_ns();
    int result = wsgi->tls ? use_context(wsgi, context) : 0;
    Py_DECREF(context);
    return result;
}

void ext_tls_look(struct wsgi *wsgi, uint64_t now_ns)
{
    if (now_ns < wsgi->tls_looked_ns + LOOK_PAUSE_NS)
        return;
    wsgi->tls_looked_ns = now_ns;
    PyObject *context = PyObject_CallMethod(wsgi->handler, "renew_certificate", NULL);
    if (!context || (context != Py_None && use_context(wsgi, context) < 0))
        PyErr_WriteUnraisable(wsgi->handler);
    Py_XDECREF(context);
}

/* ---- what is said of a connection ---- */

typedef int find_certificate(struct tls *tls, unsigned index, char **der, size_t *size);

/* One as DER: a new reference. NULL without an exception: there is none. */
static PyObject *certificate_at(struct tls *tls, find_certificate *by, unsigned index)
{
    char *der;
    size_t size;
    int found = by(tls, index, &der, &size);
    if (found < 0)
        return PyErr_NoMemory();
    if (!found)
        return NULL;
    PyObject *bytes = PyBytes_FromStringAndSize(der, (Py_ssize_t)size);
    mem_free(der);
    return bytes;
}

/* The client's certificate as DER: a new reference; None without one. */
static PyObject *certificate(struct tls *tls)
{
    PyObject *bytes = certificate_at(tls, tls_peer_certificate, 0);
    return bytes || PyErr_Occurred() ? bytes : Py_NewRef(Py_None);
}

/* Steals the item. 0, or -1 with an exception. */
static int append(PyObject *list, PyObject *item)
{
    int result = item ? PyList_Append(list, item) : -1;
    Py_XDECREF(item);
    return result;
}

/*
 * All of them are made while nobody else runs: a list is known to the garbage collector, which may
 * run Python code when it is made, and after that the connection may be gone.
 */
struct certificates {
    unsigned count;
    PyObject *list[CERTIFICATES_MAX];
};

static bool find_certificates(struct tls *tls, find_certificate *by, struct certificates *all)
{
    PyObject *one;
    all->count = 0;
    while (all->count < CERTIFICATES_MAX && (one = certificate_at(tls, by, all->count)))
        all->list[all->count++] = one;
    return !PyErr_Occurred();
}

static PyObject *chain(struct tls *tls, find_certificate *by)
{
    struct certificates all;
    PyObject *list = find_certificates(tls, by, &all) ? PyList_New(0) : NULL;
    for (unsigned i = 0; i < all.count; i++)
        if (!list)
            Py_DECREF(all.list[i]);
        else if (append(list, all.list[i]) < 0)
            Py_CLEAR(list);
    return list;
}

static PyObject *sent_chain(struct tls *tls)
{
    return chain(tls, tls_peer_certificate);
}

static PyObject *verified_chain(struct tls *tls)
{
    return chain(tls, tls_verified_certificate);
}

static PyObject *text_or_none(const char *text, size_t size)
{
    if (!text)
        Py_RETURN_NONE;
    return PyUnicode_DecodeASCII(text, (Py_ssize_t)size, "backslashreplace");
}

static PyObject *version(struct tls *tls)
{
    return PyUnicode_FromString(tls_version(tls));
}

static PyObject *reused(struct tls *tls)
{
    return PyBool_FromLong(tls_resumed(tls));
}

static PyObject *cipher_tuple(struct tls_cipher cipher)
{
    return Py_BuildValue("(zzi)", cipher.name, cipher.version, cipher.bits);
}

static PyObject *cipher(struct tls *tls)
{
    return cipher_tuple(tls_cipher(tls));
}

static PyObject *shared_ciphers(struct tls *tls)
{
    struct tls_cipher all[CIPHERS_MAX];
    unsigned count = 0;
    while (count < CIPHERS_MAX && tls_shared_cipher(tls, count, &all[count]))
        count++;
    PyObject *list = PyList_New(0);
    for (unsigned i = 0; list && i < count; i++)
        if (append(list, cipher_tuple(all[i])) < 0)
            Py_CLEAR(list);
    return list;
}

static PyObject *protocol(struct tls *tls)
{
    size_t size = 0;
    const char *name = tls_protocol(tls, &size);
    return text_or_none(name, size);
}

static PyObject *server_name(struct tls *tls)
{
    const char *name = tls_server_name(tls);
    return text_or_none(name, name ? strlen(name) : 0);
}

static PyObject *pending(struct tls *tls)
{
    return PyLong_FromLong(tls_pending(tls));
}

static PyObject *binding(struct tls *tls)
{
    char bytes[TLS_BINDING_MAX];
    size_t size = tls_binding(tls, bytes);
    return size > 0 ? PyBytes_FromStringAndSize(bytes, (Py_ssize_t)size) : Py_NewRef(Py_None);
}

static PyObject *session(struct tls *tls)
{
    struct tls_session of = tls_session(tls);
    return Py_BuildValue("(y#llkO)", of.id, (Py_ssize_t)of.id_size, of.time, of.timeout,
                         of.lifetime_hint, of.has_ticket ? Py_True : Py_False);
}

static const struct {
    const char *name;
    PyObject *(*look)(struct tls *tls);
} looks[] = {
    {"certificate", certificate},
    {"sent_chain", sent_chain},
    {"verified_chain", verified_chain},
    {"version", version},
    {"reused", reused},
    {"cipher", cipher},
    {"shared_ciphers", shared_ciphers},
    {"alpn", protocol},
    {"server_name", server_name},
    {"pending", pending},
    {"binding", binding},
    {"session", session},
};

PyObject *ext_tls_about(struct tls *tls, PyObject *what)
{
    const char *name = PyUnicode_AsUTF8(what);
    if (!name)
        return NULL;
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
        if (strcmp(name, looks[i].name) == 0)
            return looks[i].look(tls);
    PyErr_SetObject(PyExc_KeyError, what);
    return NULL;
}

/* `text` is a constant of OpenSSL, or lives as long as the connection. */
static int put_text(struct wsgi *wsgi, PyObject *environ, PyObject *key, const char *text)
{
    PyObject *value = text_value(&wsgi->texts, text, strlen(text));
    int result = value ? PyDict_SetItem(environ, key, value) : -1;
    Py_XDECREF(value);
    return result;
}

/* What mod_ssl says of a client that was asked for a certificate. */
static int put_client(struct wsgi *wsgi, PyObject *environ, struct tls *tls)
{
    PyObject *der = certificate(tls);
    PyObject *variables =
        der ? PyObject_CallMethod(wsgi->handler, "client_variables", "O", der) : NULL;
    int result = variables ? PyDict_Update(environ, variables) : -1;
    Py_XDECREF(variables);
    Py_XDECREF(der);
    return result;
}

int ext_tls_environ(struct wsgi *wsgi, PyObject *environ, struct tls *tls)
{
    struct core_state *state = wsgi->state;
    const char *server = tls_server_name(tls);
    if (put_text(wsgi, environ, NAME(state, ssl_protocol), tls_version(tls)) < 0 ||
        put_text(wsgi, environ, NAME(state, ssl_cipher), tls_cipher(tls).name) < 0)
        return -1;
    if (tls_resumed(tls) &&
        PyDict_SetItem(environ, NAME(state, ssl_session_resumed), NAME(state, resumed)) < 0)
        return -1;
    if (server && put_text(wsgi, environ, NAME(state, ssl_tls_sni), server) < 0)
        return -1;
    return wsgi->tls_verifies ? put_client(wsgi, environ, tls) : 0;
}
