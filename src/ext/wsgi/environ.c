#include "ext/wsgi/environ.h"

#include "ext/worker/proxied_about.h"
#include "ext/worker/tls_about.h"
#include "net/tls/tls.h"
#include "proto/cgi.h"
#include "serve/request/stream.h"

#include <stdio.h>
#include <string.h>

enum { HTTP2_WEIGHT = 16 };

/* All of them steal `value`, which may be NULL with an exception. 0 or -1. */

static int put(PyObject *environ, PyObject *key, PyObject *value)
{
    if (!value)
        return -1;
    int result = PyDict_SetItem(environ, key, value);
    Py_DECREF(value);
    return result;
}

/* A repeated field is a list (RFC 9110 §5.3): joined by a comma, without a space as gunicorn does.
 */
static int join(PyObject *environ, PyObject *key, PyObject *before, PyObject *value)
{
    return put(environ, key, PyUnicode_FromFormat("%U,%U", before, value));
}

static int put_field(PyObject *environ, PyObject *key, PyObject *value)
{
    if (!key || !value) {
        Py_XDECREF(value);
        return -1;
    }
    Py_ssize_t size = PyDict_GET_SIZE(environ);
    PyObject *there = PyDict_SetDefault(environ, key, value);
    int result = there ? 0 : -1;
    if (there && PyDict_GET_SIZE(environ) == size)
        result = join(environ, key, there, value);
    Py_DECREF(value);
    return result;
}

static int put_fields(struct worker *worker, PyObject *environ, const struct request *request)
{
    const struct head *head = &request->head;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        if (field->id == FIELD_DROPPED)
            continue;
        PyObject *value =
            text_value(&worker->texts, request->input + field->value, field->value_len);
        int result;
        if (field->id < FIELD_COUNT) {
            result = put_field(environ, worker->state->header_keys[field->id], value);
        } else {
            PyObject *key =
                text_key(&worker->texts, head_slice(request->input, field->name, field->name_len));
            result = put_field(environ, key, value);
            Py_XDECREF(key);
        }
        if (result < 0)
            return -1;
    }
    return 0;
}

static PyObject *port_text(uint16_t port)
{
    char digits[6];
    int size = 0;
    do
        digits[5 - size++] = (char)('0' + port % 10);
    while (port /= 10);
    return text_new(digits + 6 - size, (size_t)size);
}

static int put_peer(struct worker *worker, PyObject *environ, const struct request *request)
{
    const struct peer *peer = request_peer(request);
    struct core_state *state = worker->state;
    if (peer->family == AF_UNIX && !request_proxied(request))
        return 0;
    if (put(environ, NAME(state, remote_addr), proxied_client(worker, request)) < 0)
        return -1;
    if (peer->family == AF_UNIX)
        return 0;
    return put(environ, NAME(state, remote_port), port_text(peer->port));
}

static const struct head_field *find_field(const struct request *request, enum field_id id)
{
    for (uint32_t i = 0; i < request->head.field_count; i++)
        if (request->head.fields[i].id == id)
            return &request->head.fields[i];
    return NULL;
}

/* A Unix socket has no name to serve: SERVER_NAME and SERVER_PORT are those of the Host field. */
static int put_server_of_host(struct worker *worker, PyObject *environ,
                              const struct request *request)
{
    struct core_state *state = worker->state;
    const struct head_field *host = find_field(request, FIELD_HOST);
    if (!host)
        return 0;
    const char *p = request->input + host->value;
    const char *colon = memchr(p, ':', host->value_len);
    size_t n = colon ? (size_t)(colon - p) : host->value_len;
    struct str port = request->head.https ? STR("443") : STR("80");
    if (colon) {
        const char *end = memchr(colon + 1, ':', host->value_len - n - 1);
        port.p = colon + 1;
        port.n = (size_t)((end ? end : p + host->value_len) - port.p);
    }
    if (put(environ, NAME(state, server_name), text_value(&worker->texts, p, n)) < 0)
        return -1;
    return put(environ, NAME(state, server_port), text_value(&worker->texts, port.p, port.n));
}

/* A variable that a gateway has sent; p is NULL when it has not. */
static struct str variable_of(const struct request *request, enum cgi_name name)
{
    if (!request->cgi)
        return (struct str){NULL, 0};
    return cgi_value(request->cgi, request->input, name);
}

/*
 * SCRIPT_NAME comes from a gateway, which has divided the path itself, or from a trusted peer's
 * header, else from the process's environment (in the template); the path has to begin with those.
 * 1: it does not.
 */
static int put_path(struct worker *worker, PyObject *environ, const struct request *request)
{
    struct core_state *state = worker->state;
    const struct head *head = &request->head;
    struct str decoded = variable_of(request, CGI_PATH_INFO);
    const char *path = decoded.p ? decoded.p : request->input + head->path;
    size_t size = decoded.p ? decoded.n : head->path_len;
    if (head->script_name) {
        const struct head_field *field = &head->fields[head->script_name - 1];
        if (put(environ, NAME(state, script_name),
                text_value(&worker->texts, request->input + field->value, field->value_len)) < 0)
            return -1;
    }
    PyObject *script = NULL;
    if ((head->script_name || wsgi_of(worker)->has_script_name) &&
        !variable_of(request, CGI_SCRIPT_NAME).p)
        script = PyDict_GetItemWithError(environ, NAME(state, script_name));
    if (script && PyUnicode_GET_LENGTH(script) > 0) {
        size_t n = (size_t)PyUnicode_GET_LENGTH(script);
        if (PyUnicode_KIND(script) != PyUnicode_1BYTE_KIND || n > size ||
            memcmp(path, PyUnicode_1BYTE_DATA(script), n) != 0)
            return 1;
        path += n;
        size -= n;
    }
    return put(environ, NAME(state, path_info),
               decoded.p ? text_value(&worker->texts, path, size)
                         : text_unquoted(&worker->texts, path, size));
}

/* Those that the head has are in the environ, and objects of ours are no text of a gateway's. */
static bool is_for_environ(struct str name, enum cgi_name id)
{
    static const bool is_in_head[CGI_COUNT + 1] = {
        [CGI_PATH_INFO] = true,
        [CGI_QUERY_STRING] = true,
        [CGI_REQUEST_METHOD] = true,
        [CGI_SERVER_PROTOCOL] = true,
    };
    return !is_in_head[id] && !(name.n >= 5 && memcmp(name.p, "wsgi.", 5) == 0) &&
           !(name.n >= 9 && memcmp(name.p, "gunicorn.", 9) == 0);
}

/* What hooks may have changed in a request is theirs to say. */
static bool is_left(enum cgi_name id)
{
    return id != CGI_SCRIPT_NAME && id != CGI_REMOTE_ADDR && id != CGI_REMOTE_PORT;
}

static int put_variable(struct worker *worker, PyObject *environ, struct str name, struct str value)
{
    PyObject *key = text_new(name.p, name.n);
    int result = key ? put(environ, key, text_value(&worker->texts, value.p, value.n)) : -1;
    Py_XDECREF(key);
    return result;
}

/* The variables of a gateway, as it has sent them. */
static int put_variables(struct worker *worker, PyObject *environ, const struct request *request,
                         bool changed)
{
    const struct cgi *cgi = request->cgi;
    for (uint32_t i = 0; i < cgi->count; i++) {
        const struct cgi_variable *variable = &cgi->variables[i];
        struct str name = head_slice(request->input, variable->name, variable->name_len);
        struct str value = head_slice(request->input, variable->value, variable->value_len);
        if (is_for_environ(name, variable->id) && (!changed || is_left(variable->id)) &&
            put_variable(worker, environ, name, value) < 0)
            return -1;
    }
    return 0;
}

static int put_request_line(struct worker *worker, PyObject *environ, const struct request *request)
{
    struct core_state *state = worker->state;
    const struct head *head = &request->head;
    struct str method = request_method(request);
    if (!str_eq(method, STR("GET")) && put(environ, NAME(state, request_method),
                                           text_value(&worker->texts, method.p, method.n)) < 0)
        return -1;
    if (head->query_len > 0 &&
        put(environ, NAME(state, query_string),
            text_value(&worker->texts, request->input + head->query, head->query_len)) < 0)
        return -1;
    if ((head->major != 1 || head->minor != 1) &&
        put(environ, NAME(state, server_protocol),
            PyUnicode_FromFormat("HTTP/%d.%d", (int)head->major, (int)head->minor)) < 0)
        return -1;
    struct str target = request_target(request);
    return put(environ, NAME(state, raw_uri), text_value(&worker->texts, target.p, target.n));
}

/* gunicorn's names. Weights are those of RFC 7540 §5.3.5, as clients are asked to send none. */
static int put_http2(struct worker *worker, PyObject *environ, struct wsgi_call *call)
{
    struct core_state *state = worker->state;
    if (!request_is_http2(call->base.request))
        return 0;
    if (PyDict_SetItem(environ, NAME(state, http_version), NAME(state, http2_version)) < 0 ||
        PyDict_SetItem(environ, NAME(state, http2_send_trailers), call->send_trailers) < 0 ||
        put(environ, NAME(state, http2_weight), PyLong_FromLong(HTTP2_WEIGHT)) < 0)
        return -1;
    return put(environ, NAME(state, http2_depends_on), PyLong_FromLong(0));
}

static int put_objects(struct worker *worker, PyObject *environ, struct wsgi_call *call)
{
    struct core_state *state = worker->state;
    if (PyDict_SetItem(environ, NAME(state, gunicorn_socket), call->base.socket) < 0 ||
        PyDict_SetItem(environ, NAME(state, wsgi_early_hints), call->early_hints) < 0)
        return -1;
    if (call->base.deadline &&
        PyDict_SetItem(environ, NAME(state, gunicorn_deadline), call->base.deadline) < 0)
        return -1;
    if (put_http2(worker, environ, call) < 0)
        return -1;
    if (!call->input)
        return 0;
    return PyDict_SetItem(environ, NAME(state, wsgi_input), call->input);
}

/* The template has that of the listeners; a trusted peer may say otherwise. */
static int put_scheme(struct worker *worker, PyObject *environ, const struct request *request)
{
    struct core_state *state = worker->state;
    if (request->head.https == worker->tls)
        return 0;
    return PyDict_SetItem(environ, NAME(state, wsgi_url_scheme),
                          request->head.https ? NAME(state, https) : NAME(state, http));
}

static bool is_chunked(const struct request *request)
{
    return (request->head.seen & field_bit(FIELD_TRANSFER_ENCODING)) != 0;
}

/* With another coding before "chunked" the application is left to see that the body has it. Where
 * there are no chunks, no byte means that there is no body. */
static bool hides_framing(const struct request *request)
{
    return request->head.framing == HEAD_UNTIL_END && request->body.complete &&
           !request->head.coded && (is_chunked(request) || request->body.stored > 0);
}

/* A body that is here whole has a length (RFC 3875 §4.1.2), and its chunks are gone. */
static int put_body_size(struct worker *worker, PyObject *environ, const struct request *request)
{
    struct core_state *state = worker->state;
    if (!hides_framing(request))
        return 0;
    if (is_chunked(request) &&
        PyDict_DelItem(environ, state->header_keys[FIELD_TRANSFER_ENCODING]) < 0)
        return -1;
    return put(environ, state->header_keys[FIELD_CONTENT_LENGTH],
               PyUnicode_FromFormat("%llu", (unsigned long long)request->body.stored));
}

/* `text` is a constant of OpenSSL, or lives as long as the connection. */
static int put_text(struct worker *worker, PyObject *environ, PyObject *key, const char *text)
{
    PyObject *value = text_value(&worker->texts, text, strlen(text));
    int result = value ? PyDict_SetItem(environ, key, value) : -1;
    Py_XDECREF(value);
    return result;
}

/* The variables of mod_ssl for a client that was asked for a certificate. */
static int put_client(struct worker *worker, PyObject *environ, struct tls *tls)
{
    PyObject *der = tls_about_certificate(tls);
    PyObject *variables =
        der ? METHODS_CALL(worker->methods, client_variables, Py_NewRef(der)) : NULL;
    int result = variables ? PyDict_Update(environ, variables) : -1;
    Py_XDECREF(variables);
    Py_XDECREF(der);
    return result;
}

/* Adds the variables of the connection's TLS. */
static int put_tls(struct worker *worker, PyObject *environ, struct tls *tls)
{
    struct core_state *state = worker->state;
    const char *server = tls_server_name(tls);
    if (put_text(worker, environ, NAME(state, ssl_protocol), tls_version(tls)) < 0 ||
        put_text(worker, environ, NAME(state, ssl_cipher), tls_cipher(tls).name) < 0)
        return -1;
    if (tls_resumed(tls) &&
        PyDict_SetItem(environ, NAME(state, ssl_session_resumed), NAME(state, resumed)) < 0)
        return -1;
    if (server && put_text(worker, environ, NAME(state, ssl_tls_sni), server) < 0)
        return -1;
    return worker->tls_verifies ? put_client(worker, environ, tls) : 0;
}

/* The size of a body that was sent in chunks and is here whole; else None. */
static PyObject *chunked_size(const struct request *request)
{
    if (!hides_framing(request))
        return Py_NewRef(Py_None);
    return PyLong_FromUnsignedLongLong(request->body.stored);
}

/* Where hooks want a connection to end, or an older protocol, they get it; the other way round the
 * client would misread the answer. */
static int apply_changes(struct request *request, PyObject *ends)
{
    int close, old;
    if (!PyArg_ParseTuple(ends, "pp", &close, &old))
        return -1;
    request->must_close |= close;
    if (old && request->head.major == 1)
        request->head.minor = 0;
    return 1;
}

/* Fills the environ from a request that hooks have changed. 0: they have not, -1: exception. */
static int fill_changed(struct wsgi_call *call, PyObject *environ)
{
    struct worker *worker = call->base.worker;
    PyObject *ends = METHODS_CALL(wsgi_of(worker)->methods, fill_changed, Py_NewRef(environ),
                                  Py_NewRef(call->base.described),
                                  Py_NewRef(call->given ? call->given : Py_None),
                                  PyLong_FromSsize_t(worker_listener(worker, call->base.request)),
                                  chunked_size(call->base.request));
    if (!ends)
        return -1;
    int changed = ends == Py_None ? 0 : apply_changes(call->base.request, ends);
    Py_DECREF(ends);
    return changed;
}

/* The part that no hook can change. */
static int fill_for_all(struct worker *worker, PyObject *environ, struct wsgi_call *call)
{
    struct request *request = call->base.request;
    if (put_objects(worker, environ, call) < 0)
        return -1;
    if (request_proxied(request) && proxied_environ(worker, environ, request) < 0)
        return -1;
    return request_tls(request) ? put_tls(worker, environ, request_tls(request)) : 0;
}

/* As the request has come. 1: the path does not begin with SCRIPT_NAME. */
static int fill_received(struct worker *worker, PyObject *environ, struct wsgi_call *call)
{
    struct request *request = call->base.request;
    if (put_request_line(worker, environ, request) < 0 || put_peer(worker, environ, request) < 0 ||
        put_fields(worker, environ, request) < 0 || put_scheme(worker, environ, request) < 0)
        return -1;
    if (call->input && put_body_size(worker, environ, request) < 0)
        return -1;
    if (request_listener(request)->local && put_server_of_host(worker, environ, request) < 0)
        return -1;
    return put_path(worker, environ, request);
}

static int fill(struct worker *worker, PyObject *environ, struct wsgi_call *call)
{
    struct request *request = call->base.request;
    if (fill_for_all(worker, environ, call) < 0)
        return -1;
    int changed = worker->shown ? fill_changed(call, environ) : 0;
    if (changed < 0)
        return -1;
    int result = changed > 0 ? 0 : fill_received(worker, environ, call);
    if (result == 0 && request->cgi)
        return put_variables(worker, environ, request, changed > 0);
    return result;
}

PyObject *environ_build(struct wsgi_call *call)
{
    struct worker *worker = call->base.worker;
    Py_ssize_t listener = request_listener(call->base.request) - worker->engine->listeners;
    PyObject *environ = PyDict_Copy(PyList_GET_ITEM(wsgi_of(worker)->templates, listener));
    if (!environ)
        return NULL;
    int result = fill(worker, environ, call);
    if (result == 0)
        return environ;
    if (result > 0) /* raises ConfigurationProblem */
        Py_XDECREF(
            METHODS_CALL(wsgi_of(worker)->methods, script_name_mismatch, Py_NewRef(environ)));
    Py_DECREF(environ);
    return NULL;
}
