#include "ext/worker/proxied_about.h"

#include "serve/conn/proxied.h"
#include "serve/request/stream.h"

#include <string.h>

static PyObject *text_at(struct worker *worker, const struct proxied *proxied,
                         enum proxied_text which)
{
    struct str text = proxied_text(proxied, which);
    return text_value(&worker->texts, text.p, text.n);
}

PyObject *proxied_client(struct worker *worker, const struct request *request)
{
    if (request_proxied(request) && request_peer(request)->family == AF_UNIX)
        return text_at(worker, request_proxied(request), PROXIED_CLIENT_PATH);
    return text_address(&worker->texts, request_peer(request));
}

PyObject *proxied_info(struct worker *worker, const struct request *request)
{
    const struct proxied *proxied = request_proxied(request);
    if (!proxied)
        return Py_NewRef(Py_None);
    return Py_BuildValue("{s:s,s:N,s:i,s:N,s:i}", "proxy_protocol", proxied->protocol,
                         "client_addr", proxied_client(worker, request), "client_port",
                         (int)request_peer(request)->port, "proxy_addr",
                         text_at(worker, proxied, PROXIED_SERVER), "proxy_port",
                         (int)proxied->server.port);
}

/* Steals `value`, which may be NULL with an exception. */
static int put(PyObject *environ, PyObject *key, PyObject *value)
{
    int result = value ? PyDict_SetItem(environ, key, value) : -1;
    Py_XDECREF(value);
    return result;
}

static int put_addresses(struct worker *worker, PyObject *environ, const struct proxied *proxied)
{
    struct core_state *state = worker->state;
    struct str protocol = {proxied->protocol, strlen(proxied->protocol)};
    if (put(environ, NAME(state, proxy_protocol),
            text_value(&worker->texts, protocol.p, protocol.n)) < 0 ||
        put(environ, NAME(state, proxy_addr), text_at(worker, proxied, PROXIED_SERVER)) < 0)
        return -1;
    if (proxied->server.family == AF_UNIX)
        return 0;
    return put(environ, NAME(state, proxy_port), text_at(worker, proxied, PROXIED_SERVER_PORT));
}

static int put_texts(struct worker *worker, PyObject *environ, const struct proxied *proxied)
{
    struct core_state *state = worker->state;
    PyObject *const keys[PROXIED_TEXTS] = {
        [PROXIED_AUTHORITY] = NAME(state, proxy_authority),
        [PROXIED_UNIQUE_ID] = NAME(state, proxy_unique_id),
        [PROXIED_TLS_VERSION] = NAME(state, proxy_ssl_protocol),
        [PROXIED_TLS_CIPHER] = NAME(state, proxy_ssl_cipher),
        [PROXIED_TLS_NAME] = NAME(state, proxy_ssl_client_cn),
    };
    for (int i = 0; i < PROXIED_TEXTS; i++)
        if (keys[i] && proxied->lengths[i] > 0 &&
            put(environ, keys[i], text_at(worker, proxied, (enum proxied_text)i)) < 0)
            return -1;
    return 0;
}

/* The words of mod_ssl and nginx. */
static const char *verification(const struct proxied *proxied)
{
    if (!proxied->certificate)
        return "NONE";
    return proxied->verified ? "SUCCESS" : "FAILED";
}

int proxied_environ(struct worker *worker, PyObject *environ, const struct request *request)
{
    const struct proxied *proxied = request_proxied(request);
    if (put_addresses(worker, environ, proxied) < 0 || put_texts(worker, environ, proxied) < 0)
        return -1;
    if (!proxied->tls)
        return 0;
    return put(environ, NAME(worker->state, proxy_ssl_client_verify),
               PyUnicode_FromString(verification(proxied)));
}
