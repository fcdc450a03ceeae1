#include "ext/asgi/scope.h"

#include "ext/asgi/scope_gateway.h"
#include "ext/asgi/trailers.h"
#include "ext/worker/proxied_about.h"
#include "proto/websocket/handshake.h"
#include "serve/conn/proxied.h"
#include "serve/engine/engine.h"
#include "serve/request/stream.h"

#include <string.h>

/* Steals `value`, which may be NULL with an exception. 0 or -1. */
static int put(PyObject *scope, PyObject *key, PyObject *value)
{
    if (!value)
        return -1;
    int result = PyDict_SetItem(scope, key, value);
    Py_DECREF(value);
    return result;
}

static bool is_plain(struct str path)
{
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] == '%' || (unsigned char)path.p[i] >= 0x80)
            return false;
    return true;
}

/* Percent-decoded, then UTF-8; other bytes become U+FFFD. */
static PyObject *decoded_path(struct worker *worker, struct str path)
{
    if (is_plain(path))
        return text_value(&worker->texts, path.p, path.n);
    char *out = PyMem_Malloc(path.n);
    if (!out)
        return PyErr_NoMemory();
    size_t size = text_unquote(path.p, path.n, out);
    PyObject *text = PyUnicode_DecodeUTF8(out, (Py_ssize_t)size, "replace");
    PyMem_Free(out);
    return text;
}

static int put_method(struct worker *worker, PyObject *scope, const struct request *request)
{
    struct str method = request_method(request);
    if (str_eq(method, STR("GET")))
        return 0;
    return put(scope, ASGI_NAME(asgi_of(worker), method),
               text_value(&worker->texts, method.p, method.n));
}

/* As ASGI has it: "2", where SERVER_PROTOCOL is HTTP/2.0. The template has 1.1. */
static int put_version(struct asgi *asgi, PyObject *scope, const struct head *head)
{
    PyObject *version = ASGI_NAME(asgi, two);
    if (head->major == 1 && head->minor == 0)
        version = ASGI_NAME(asgi, one_zero);
    else if (head->major < 2)
        return 0;
    return PyDict_SetItem(scope, ASGI_NAME(asgi, http_version), version);
}

/* "/" for an absolute target without a path (RFC 9110 §4.2.3), the whole target of CONNECT. */
static struct str path_of(const struct request *request)
{
    const struct head *head = &request->head;
    if (!head->websocket && str_eq(request_method(request), STR("CONNECT")))
        return head_slice(request->input, head->target, head->target_len);
    struct str path = head_slice(request->input, head->path, head->path_len);
    return path.n > 0 ? path : STR("/");
}

static int put_line(struct worker *worker, PyObject *scope, const struct request *request)
{
    struct asgi *asgi = asgi_of(worker);
    const struct head *head = &request->head;
    struct str path = path_of(request);
    struct str query = head_slice(request->input, head->query, head->query_len);
    if (put_version(asgi, scope, head) < 0 ||
        put(scope, ASGI_NAME(asgi, path), decoded_path(worker, path)) < 0 ||
        put(scope, ASGI_NAME(asgi, raw_path), pairs_bytes(&asgi->pairs, path)) < 0)
        return -1;
    if (query.n == 0)
        return 0;
    return put(scope, ASGI_NAME(asgi, query_string), pairs_bytes(&asgi->pairs, query));
}

static PyObject *new_client(struct worker *worker, const struct request *request)
{
    const struct peer *peer = request_peer(request);
    PyObject *address = proxied_client(worker, request);
    if (!address)
        return NULL;
    if (peer->family == AF_UNIX)
        return Py_BuildValue("(NO)", address, Py_None);
    return Py_BuildValue("(Ni)", address, (int)peer->port);
}

static int put_client(struct worker *worker, PyObject *scope, const struct request *request)
{
    struct asgi *asgi = asgi_of(worker);
    const struct peer *peer = request_peer(request);
    if (peer->family == AF_UNIX && !request_proxied(request))
        return 0;
    if (peer->family == AF_UNIX)
        return put(scope, ASGI_NAME(asgi, client), new_client(worker, request));
    if (!asgi->client || memcmp(&asgi->peer, peer, sizeof(*peer)) != 0) {
        PyObject *client = new_client(worker, request);
        if (!client)
            return -1;
        asgi->peer = *peer;
        Py_XSETREF(asgi->client, client);
    }
    return PyDict_SetItem(scope, ASGI_NAME(asgi, client), asgi->client);
}

/* The template has that of the listeners; a trusted peer may say otherwise. */
static int put_scheme(struct worker *worker, PyObject *scope, const struct request *request,
                      enum asgi_name plain, enum asgi_name secure)
{
    struct asgi *asgi = asgi_of(worker);
    if (request->head.https == worker->tls)
        return 0;
    return PyDict_SetItem(scope, ASGI_NAME(asgi, scheme),
                          asgi->names[request->head.https ? secure : plain]);
}

static Py_ssize_t field_count(const struct head *head)
{
    Py_ssize_t n = 0;
    for (uint32_t i = 0; i < head->field_count; i++)
        n += head->fields[i].id != FIELD_DROPPED;
    return n;
}

static PyObject *fields(struct asgi *asgi, const struct request *request)
{
    const struct head *head = &request->head;
    PyObject *list = PyList_New(field_count(head));
    Py_ssize_t n = 0;
    for (uint32_t i = 0; list && i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        if (field->id == FIELD_DROPPED)
            continue;
        PyObject *pair = pairs_field(&asgi->pairs, field->id,
                                     head_slice(request->input, field->name, field->name_len),
                                     head_slice(request->input, field->value, field->value_len));
        if (pair)
            PyList_SET_ITEM(list, n++, pair);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* Each request has a copy of the dict at `key`: an application may change it. */
static int put_copy(PyObject *scope, PyObject *key)
{
    PyObject *shared = PyDict_GetItemWithError(scope, key);
    if (!shared)
        return PyErr_Occurred() ? -1 : 0;
    return put(scope, key, PyDict_Copy(shared));
}

static int put_copies(struct asgi *asgi, PyObject *scope)
{
    if (put_copy(scope, ASGI_NAME(asgi, asgi)) < 0 ||
        put_copy(scope, ASGI_NAME(asgi, extensions)) < 0)
        return -1;
    return put_copy(scope, ASGI_NAME(asgi, state));
}

static PyObject *subprotocols(const struct request *request)
{
    struct ws_subprotocols walk = {0};
    struct str name;
    PyObject *list = PyList_New(0);
    while (list && ws_subprotocols_next(&request->head, request->input, &walk, &name)) {
        PyObject *text = PyUnicode_FromStringAndSize(name.p, (Py_ssize_t)name.n);
        if (!text || PyList_Append(list, text) < 0)
            Py_CLEAR(list);
        Py_XDECREF(text);
    }
    return list;
}

static int put_http(struct worker *worker, PyObject *scope, const struct request *request)
{
    struct asgi *asgi = asgi_of(worker);
    if (trailers_are_wanted(request) &&
        PyDict_SetItem(scope, ASGI_NAME(asgi, extensions), asgi->trailers_extension) < 0)
        return -1;
    if (put_method(worker, scope, request) < 0)
        return -1;
    return put_scheme(worker, scope, request, ASGI_http, ASGI_https);
}

static int put_websocket(struct worker *worker, PyObject *scope, const struct request *request)
{
    if (put(scope, ASGI_NAME(asgi_of(worker), subprotocols), subprotocols(request)) < 0)
        return -1;
    return put_scheme(worker, scope, request, ASGI_ws, ASGI_wss);
}

/* The client that X-Forwarded-For names, if a peer of forwarded_allow_ips has sent it. */
static int put_forwarded_client(struct worker *worker, PyObject *scope,
                                const struct request *request)
{
    struct asgi *asgi = asgi_of(worker);
    if (!asgi->takes_forwarded || request->cgi ||
        !(request->head.seen & field_bit(FIELD_X_FORWARDED_FOR)) ||
        !proxied_is_from(request->conn, request->engine->options.trust))
        return 0;
    PyObject *result = METHODS_CALL(asgi->methods, put_forwarded_client, Py_NewRef(scope));
    Py_XDECREF(result);
    return result ? 0 : -1;
}

PyObject *scope_build(struct worker *worker, const struct request *request, bool websocket)
{
    struct asgi *asgi = asgi_of(worker);
    PyObject *templates = websocket ? asgi->websocket_templates : asgi->templates;
    Py_ssize_t listener = request_listener(request) - worker->engine->listeners;
    PyObject *scope = PyDict_Copy(PyList_GET_ITEM(templates, listener));
    if (!scope)
        return NULL;
    int (*put_own)(struct worker *, PyObject *, const struct request *) =
        websocket ? put_websocket : put_http;
    if (put_own(worker, scope, request) == 0 && put_line(worker, scope, request) == 0 &&
        put_client(worker, scope, request) == 0 && put_copies(asgi, scope) == 0 &&
        put(scope, ASGI_NAME(asgi, headers), fields(asgi, request)) == 0 &&
        put_forwarded_client(worker, scope, request) == 0 &&
        (!request->cgi || scope_gateway(asgi, scope, request) == 0))
        return scope;
    Py_DECREF(scope);
    return NULL;
}
