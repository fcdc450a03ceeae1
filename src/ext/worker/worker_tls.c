#include "ext/worker/worker_tls.h"

#include "base/clock.h"
#include "ext/core/ssl_context.h"
#include "net/tls/tls.h"

#include <string.h>

#define LOOK_PAUSE_NS ((uint64_t)10 * 1000 * 1000 * 1000)

/* ---- the server's name, by sni_callback ---- */

/* A thread that Python does not know is the stand-by, which has to keep its hands off Python. */
static bool can_ask(void *app)
{
    (void)app;
    return PyGILState_GetThisThreadState() != NULL;
}

/* NULL is None. */
static PyObject *bytes_or_none(const char *text)
{
    return text ? PyBytes_FromString(text) : Py_NewRef(Py_None);
}

/* 0, an alert, or -1 with an exception. `name` is NULL when the client names none. */
static int choose(struct worker *worker, struct tls *tls, const char *name)
{
    PyObject *chosen, *answer = METHODS_CALL(worker->methods, server_name, bytes_or_none(name));
    int alert = 0;
    if (!answer || !PyArg_ParseTuple(answer, "Oi", &chosen, &alert)) {
        Py_XDECREF(answer);
        return -1;
    }
    if (alert == 0 && chosen != Py_None) {
        struct ssl_ctx_st *ctx = ssl_context_of(worker->state, chosen);
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
    struct worker *worker = app;
    PyGILState_STATE before = PyGILState_Ensure();
    int alert = choose(worker, tls, name);
    if (alert < 0) {
        PyErr_WriteUnraisable(worker->bridge);
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
    struct worker *worker = app;
    PyGILState_STATE before = PyGILState_Ensure();
    PyObject *found = METHODS_CALL(worker->methods, shared_key, bytes_or_none(identity));
    unsigned n = copy_key(found, key, size);
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(worker->bridge);
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
static const struct tls_names *names_of(struct worker *worker, PyObject *context)
{
    PyObject *by_name = PyObject_GetAttrString(context, "sni_callback");
    PyObject *by_key =
        by_name ? METHODS_CALL(worker->methods, has_shared_keys, Py_NewRef(context)) : NULL;
    const struct tls_names *found = by_key ? &names[by_name != Py_None][by_key == Py_True] : NULL;
    Py_XDECREF(by_name);
    Py_XDECREF(by_key);
    return found && found->can_ask ? found : NULL;
}

/* ---- the engine ---- */

/* New connections of all listeners use this ssl.SSLContext. 0, or -1 with an exception. */
static int use_context(struct worker *worker, PyObject *context)
{
    struct core_state *state = worker->state;
    struct ssl_ctx_st *ctx = ssl_context_of(state, context);
    struct tls_context_options options = {
        .names = ctx ? names_of(worker, context) : NULL,
        .app = worker,
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
    worker->tls_verifies = ssl_context_verifies(ctx);
    for (uint32_t i = 0; i < worker->engine->listener_count; i++) {
        tls_context_use(made);
        engine_set_tls(worker->engine, i, made);
    }
    if (tls_context_drop(made)) { /* there was no listener */
        tls_context_destroy(made);
        Py_DECREF(context);
    }
    return 0;
}

int worker_tls_start(struct worker *worker)
{
    PyObject *context = PyObject_GetAttrString(worker->bridge, "tls_context");
    if (!context)
        return -1;
    worker->tls = context != Py_None;
    worker->tls_looked_ns = clock_ns();
    int result = worker->tls ? use_context(worker, context) : 0;
    Py_DECREF(context);
    return result;
}

void worker_tls_look(struct worker *worker, uint64_t now_ns)
{
    if (now_ns < worker->tls_looked_ns + LOOK_PAUSE_NS)
        return;
    worker->tls_looked_ns = now_ns;
    PyObject *context = METHODS_CALL(worker->methods, renew_certificate);
    if (!context || (context != Py_None && use_context(worker, context) < 0))
        PyErr_WriteUnraisable(worker->bridge);
    Py_XDECREF(context);
}
