#include "ext/wsgi.h"

#include "base/clock.h"
#include "serve/access_log.h"
#include "serve/refusal.h"
#include "serve/refused.h"

/*
 * The access log in C, for as long as nobody replaced the logger, its handler or their parts: see
 * gunicorn.glogging.Logger.access_fd(). What a line says of a request is what the environ says when
 * the application is through with it, for middleware may have put another address or path there.
 */

struct source {
    struct wsgi *wsgi;
    const struct request *request;
    PyObject *environ;
    PyObject *kept; /* owns the text that was given last, unless the environ does */
};

/* A Latin-1 view of a value; characters beyond are question marks. */
static struct str view(struct source *source, PyObject *value)
{
    struct str none = {NULL, 0};
    if (PyUnicode_Check(value) && PyUnicode_KIND(value) == PyUnicode_1BYTE_KIND)
        return (struct str){(const char *)PyUnicode_1BYTE_DATA(value),
                            (size_t)PyUnicode_GET_LENGTH(value)};
    PyObject *text = PyObject_Str(value);
    Py_XSETREF(source->kept, text ? PyUnicode_AsEncodedString(text, "latin-1", "replace") : NULL);
    Py_XDECREF(text);
    if (!source->kept) { /* the line goes on without it */
        PyErr_WriteUnraisable(value);
        return none;
    }
    return (struct str){PyBytes_AS_STRING(source->kept), (size_t)PyBytes_GET_SIZE(source->kept)};
}

static struct str lookup(struct source *source, PyObject *key)
{
    PyObject *value = PyDict_GetItemWithError(source->environ, key);
    if (!value && PyErr_Occurred()) /* of another key's comparison */
        PyErr_WriteUnraisable(source->environ);
    if (!value)
        return (struct str){NULL, 0};
    /* Held: its own code may take it out of the environ. A string stays there, for no code runs
     * until it is in the line. */
    Py_INCREF(value);
    struct str text = view(source, value);
    Py_DECREF(value);
    return text;
}

enum { VARIABLE_MAX = 128 }; /* bytes of the longest name in {name}e */

static struct str lookup_name(struct source *source, const char *name, size_t n)
{
    PyObject *key = text_new(name, n);
    struct str found = key ? lookup(source, key) : (struct str){NULL, 0};
    Py_XDECREF(key);
    return found;
}

/* Names come in lower case; those of the environ are in upper case, "wsgi." and the like aside. */
static struct str variable(struct source *source, struct str name)
{
    char upper[VARIABLE_MAX];
    if (name.n > sizeof(upper))
        return (struct str){NULL, 0};
    for (size_t i = 0; i < name.n; i++)
        upper[i] = ascii_upper(name.p[i]);
    struct str found = lookup_name(source, upper, name.n);
    return found.p ? found : lookup_name(source, name.p, name.n);
}

static struct str source_text(void *context, enum access_text what, struct str name)
{
    struct source *source = context;
    const struct core_state *state = source->wsgi->state;
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
        return access_field_in(source->request, name);
    case ACCESS_FIELD_OUT:
        return access_field_out(source->request, name);
    case ACCESS_VARIABLE:
        return variable(source, name);
    }
    return (struct str){NULL, 0};
}

void access_write(struct call *call, PyObject *environ)
{
    struct access_log *log = call->wsgi->engine->access_log;
    const struct request *request = call->request;
    if (!log)
        return;
    if (!environ) {
        access_log_refused(log, request);
        return;
    }
    struct source source = {.wsgi = call->wsgi, .request = request, .environ = environ};
    struct access_entry entry = {
        .status = request->response.status,
        .sent = request->response.body_sent,
        .duration_ns = clock_ns() - request->begun_ns,
        .waited_ns = request->begun_ns - request->ready_ns,
        .text = source_text,
        .context = &source,
    };
    access_log_add(log, &entry);
    Py_XDECREF(source.kept);
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(environ);
}

static PyObject *text_of(const struct refused *refused, uint32_t at, uint32_t n)
{
    return n > 0 ? text_new(refused->input + at, n) : PyUnicode_FromString("-");
}

/* [(name, value)] of the fields that are there. */
static PyObject *fields_of(const struct refused *refused)
{
    const struct http1_head *head = &refused->head;
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < head->field_count; i++) {
        const struct http1_field *field = &head->fields[i];
        if (field->id == FIELD_DROPPED)
            continue;
        PyObject *pair =
            Py_BuildValue("(NN)", text_new(refused->input + field->name, field->name_len),
                          text_new(refused->input + field->value, field->value_len));
        if (!pair || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

/* Also called on the way out, with the exception that run() is to raise. */
void wsgi_refused(void *app, const struct refused *refused)
{
    struct wsgi *wsgi = app;
    const struct http1_head *head = &refused->head;
    PyObject *raised[3];
    PyErr_Fetch(&raised[0], &raised[1], &raised[2]);
    PyObject *done = PyObject_CallMethod(
        wsgi->handler, "refused", "ONNNN(ii)NNiIOisK", wsgi->templates[refused->listener],
        text_of(refused, head->method, head->method_len),
        text_of(refused, head->target, head->target_len),
        text_of(refused, head->path, head->path_len),
        text_new(refused->input + head->query, head->query_len), (int)head->major, (int)head->minor,
        fields_of(refused), text_address(&wsgi->texts, &refused->peer), (int)refused->peer.port,
        (unsigned)refused->number, head->https ? Py_True : Py_False, (int)refused->status,
        status_reason(refused->status), (unsigned long long)refused->sent);
    if (!done)
        PyErr_WriteUnraisable(wsgi->handler);
    Py_XDECREF(done);
    PyErr_Restore(raised[0], raised[1], raised[2]);
}

/* The handler's (descriptor, format), or none. 1: there is one, 0: Python writes, -1: exception. */
static int target(struct wsgi *wsgi, int *fd, PyObject **format)
{
    PyObject *pair = PyObject_CallMethod(wsgi->handler, "access_target", NULL);
    if (!pair)
        return -1;
    int found = pair == Py_None ? 0 : PyArg_ParseTuple(pair, "iU", fd, format) ? 1 : -1;
    if (found > 0)
        Py_INCREF(*format);
    Py_DECREF(pair);
    return found;
}

int access_open(struct wsgi *wsgi, struct access_log **log)
{
    int fd;
    PyObject *text;
    int found = target(wsgi, &fd, &text);
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
    return *log ? PyObject_SetAttrString(wsgi->handler, "access_in_c", Py_True) : 0;
}

void access_reopen(struct wsgi *wsgi)
{
    int fd;
    PyObject *text;
    if (!wsgi->engine->access_log)
        return;
    int found = target(wsgi, &fd, &text);
    if (found > 0) {
        Py_DECREF(text);
        if (access_log_reopen(wsgi->engine->access_log, fd) < 0)
            PyErr_SetFromErrno(PyExc_OSError);
    }
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(wsgi->handler);
}
