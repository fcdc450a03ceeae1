#include "ext/worker/access.h"

#include "base/clock.h"
#include "ext/worker/describe.h"
#include "proto/status.h"
#include "serve/access/access_log.h"
#include "serve/access/refused.h"

/*
 * The access log in C, for as long as the logger, its handler and their parts are not replaced: see
 * gunicorn.glogging.Logger.access_fd(). A line about a request has the values of the environ when
 * the application is through with it, for middleware may have put another address or path there.
 */

struct source {
    struct worker *worker;
    PyObject *described; /* borrowed: the request as hooks have left it; NULL: none sees any */
    const struct request *request;
    PyObject *environ;
    PyObject *kept; /* owns the text that was given last, unless the environ does */
    bool utf8;      /* that text is UTF-8: middleware may have decoded a path */
};

/* A Latin-1 view of a value that is held, or one in UTF-8. */
static struct str view_held(struct source *source, PyObject *value)
{
    struct str none = {NULL, 0};
    if (PyUnicode_Check(value) && PyUnicode_KIND(value) == PyUnicode_1BYTE_KIND)
        return (struct str){(const char *)PyUnicode_1BYTE_DATA(value),
                            (size_t)PyUnicode_GET_LENGTH(value)};
    PyObject *text = PyObject_Str(value);
    Py_XSETREF(source->kept,
               text ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL);
    Py_XDECREF(text);
    source->utf8 = true;
    if (!source->kept) { /* the line goes on without it */
        PyErr_WriteUnraisable(value);
        return none;
    }
    return (struct str){PyBytes_AS_STRING(source->kept), (size_t)PyBytes_GET_SIZE(source->kept)};
}

/* Held: its own code may take it out of the environ. A string stays there, for no code runs until
 * it is in the line. */
static struct str view(struct source *source, PyObject *value)
{
    Py_INCREF(value);
    struct str text = view_held(source, value);
    Py_DECREF(value);
    return text;
}

static struct str lookup(struct source *source, PyObject *key)
{
    PyObject *value = PyDict_GetItemWithError(source->environ, key);
    if (!value && PyErr_Occurred()) /* of another key's comparison */
        PyErr_WriteUnraisable(source->environ);
    return value ? view(source, value) : (struct str){NULL, 0};
}

enum { VARIABLE_MAX = 128 }; /* bytes of the longest name in {name}e */

static struct str lookup_name(struct source *source, const char *name, size_t n)
{
    PyObject *key = text_new(name, n);
    struct str found = key ? lookup(source, key) : (struct str){NULL, 0};
    Py_XDECREF(key);
    return found;
}

/* A hook may have named a field in any case of letters. */
static struct str lookup_folded(struct source *source, struct str name)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(source->environ, &at, &key, &value)) {
        if (!PyUnicode_Check(key) || PyUnicode_KIND(key) != PyUnicode_1BYTE_KIND)
            continue;
        struct str text = {(const char *)PyUnicode_1BYTE_DATA(key),
                           (size_t)PyUnicode_GET_LENGTH(key)};
        if (str_ieq(text, name))
            return view(source, value);
    }
    return (struct str){NULL, 0};
}

/* Names come in lower case; those of the environ are in upper case, as a rule. */
static struct str variable(struct source *source, struct str name)
{
    char upper[VARIABLE_MAX];
    if (name.n > sizeof(upper))
        return (struct str){NULL, 0};
    for (size_t i = 0; i < name.n; i++)
        upper[i] = ascii_upper(name.p[i]);
    struct str found = lookup_name(source, upper, name.n);
    return found.p ? found : lookup_folded(source, name);
}

static struct str described_field(struct source *source, struct str name)
{
    PyObject *value = METHODS_CALL(source->worker->methods, field, Py_NewRef(source->described),
                                   PyUnicode_FromStringAndSize(name.p, (Py_ssize_t)name.n));
    bool found = value && PyBytes_Check(value);
    Py_XSETREF(source->kept, value);
    if (!found)
        return (struct str){NULL, 0};
    return (struct str){PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value)};
}

static struct str source_text(void *context, enum access_text what, struct str name)
{
    struct source *source = context;
    const struct core_state *state = source->worker->state;
    source->utf8 = false;
    switch (what) {
    case ACCESS_REMOTE:
        return lookup(source, NAME(state, remote_addr));
    case ACCESS_AUTHORIZATION:
        return lookup(source, state->header_keys[FIELD_AUTHORIZATION]);
    case ACCESS_METHOD:
        return lookup(source, NAME(state, request_method));
    case ACCESS_TARGET:
        return lookup(source, NAME(state, raw_uri));
    case ACCESS_PROTOCOL:
        return lookup(source, NAME(state, server_protocol));
    case ACCESS_PATH:
        return lookup(source, NAME(state, path_info));
    case ACCESS_QUERY:
        return lookup(source, NAME(state, query_string));
    case ACCESS_HOST:
        return lookup(source, state->header_keys[FIELD_HOST]);
    case ACCESS_REFERER:
        return lookup(source, state->header_keys[FIELD_REFERER]);
    case ACCESS_AGENT:
        return lookup(source, state->header_keys[FIELD_USER_AGENT]);
    case ACCESS_FIELD_IN:
        return source->described ? described_field(source, name)
                                 : access_field_in(source->request, name);
    case ACCESS_FIELD_OUT:
        return access_field_out(source->request, name);
    case ACCESS_VARIABLE:
        return variable(source, name);
    }
    return (struct str){NULL, 0};
}

void access_write(struct call *call, PyObject *environ)
{
    struct access_log *log = call->worker->engine->access_log;
    const struct request *request = call->request;
    if (!log)
        return;
    if (!environ) {
        access_log_refused(log, request);
        return;
    }
    struct source source = {
        .worker = call->worker,
        .described = call->worker->shown ? call->described : NULL,
        .request = request,
        .environ = environ,
    };
    struct access_entry entry = {
        .status = request->response.status,
        .sent = request->response.body_sent,
        .duration_ns = clock_ns() - request->begun_ns,
        .waited_ns = request->begun_ns - request->ready_ns,
        .text = source_text,
        .context = &source,
        .utf8 = &source.utf8,
    };
    access_log_add(log, &entry);
    Py_XDECREF(source.kept);
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(environ);
}

void access_answered(struct call *call)
{
    struct access_log *log = call->worker->engine->access_log;
    if (log)
        access_log_answered(log, call->request, clock_ns() - call->request->begun_ns);
}

static PyObject *text_of(const struct refused *refused, uint32_t at, uint32_t n)
{
    return n > 0 ? text_new(refused->input + at, n) : PyUnicode_FromString("-");
}

/* Also called on the way out, with the exception that run() is to raise. */
void access_refused(void *app, const struct refused *refused)
{
    struct worker *worker = app;
    const struct head *head = &refused->head;
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *done = METHODS_CALL(
        worker->methods, refused, PyLong_FromUnsignedLong(refused->listener),
        PyLong_FromLong(refused->status), PyUnicode_FromString(status_reason(refused->status)),
        PyLong_FromUnsignedLongLong(refused->sent), text_address(&worker->texts, &refused->peer),
        PyLong_FromLong(refused->peer.port), text_of(refused, head->method, head->method_len),
        text_of(refused, head->target, head->target_len),
        text_of(refused, head->path, head->path_len),
        text_new(refused->input + head->query, head->query_len),
        Py_BuildValue("(ii)", (int)head->major, (int)head->minor),
        describe_fields(worker, refused->input, head), PyBool_FromLong(head->https),
        PyLong_FromUnsignedLong(refused->number));
    if (!done)
        PyErr_WriteUnraisable(worker->bridge);
    Py_XDECREF(done);
    PyErr_SetRaisedException(raised);
}

/* The handler's (descriptor, format), or none. 1: there is one, 0: Python writes, -1: exception. */
static int target(struct worker *worker, int *fd, PyObject **format)
{
    PyObject *pair = METHODS_CALL(worker->methods, access_target);
    if (!pair)
        return -1;
    int found = pair == Py_None ? 0 : PyArg_ParseTuple(pair, "iU", fd, format) ? 1 : -1;
    if (found > 0)
        Py_INCREF(*format);
    Py_DECREF(pair);
    return found;
}

int access_open(struct worker *worker, struct access_log **log)
{
    int fd;
    PyObject *text;
    int found = target(worker, &fd, &text);
    if (found <= 0)
        return found;
    Py_ssize_t n;
    const char *p = PyUnicode_AsUTF8AndSize(text, &n);
    struct access_format *format = p ? access_format_compile((struct str){p, (size_t)n}) : NULL;
    *log = format ? access_log_create(format, fd) : NULL;
    if (!*log)
        access_format_free(format);
    Py_DECREF(text);
    if (!p)
        return -1;
    return *log ? PyObject_SetAttrString(worker->bridge, "access_in_c", Py_True) : 0;
}

void access_reopen(struct worker *worker)
{
    int fd;
    PyObject *text;
    if (!worker->engine->access_log)
        return;
    int found = target(worker, &fd, &text);
    if (found > 0) {
        Py_DECREF(text);
        if (access_log_reopen(worker->engine->access_log, fd) < 0)
            PyErr_SetFromErrno(PyExc_OSError);
    }
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(worker->bridge);
}
