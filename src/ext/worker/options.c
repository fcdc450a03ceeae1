#include "ext/worker/options.h"

#include "ext/core/settings.h"
#include "proto/proxy.h"
#include "serve/conn/http1.h"
#include "serve/conn/http2.h"
#include "serve/conn/protocol.h"

#include <stdlib.h>
#include <string.h>

enum { BEATS_PER_TIMEOUT = 4, BEAT_MS = 1000 }; /* of a foreign loop */

#define OPTION(kind, name, field) SETTING(struct options, kind, name, field)

/* All that the engine needs as it is. */
static const struct setting table[] = {
    OPTION(NUMBER, "limit_request_line", engine.limits.request_line),
    OPTION(NUMBER, "limit_request_fields", engine.limits.fields),
    OPTION(NUMBER, "limit_request_field_size", engine.limits.field_size),
    OPTION(FLAG, "permit_obsolete_folding", engine.limits.permit_obsolete_folding),
    OPTION(FLAG, "permit_unconventional_http_method", engine.limits.permit_unconventional_method),
    OPTION(FLAG, "permit_unconventional_http_version", engine.limits.permit_unconventional_version),
    OPTION(FLAG, "strip_header_spaces", engine.limits.strip_header_spaces),
    OPTION(FLAG, "casefold_http_method", engine.limits.casefold_method),
    OPTION(MS, "keepalive", engine.keepalive_ms),
    OPTION(MS, "header_timeout", engine.header_timeout_ms),
    OPTION(MS, "send_timeout", engine.send_timeout_ms),
    OPTION(MS, "request_timeout", engine.request_timeout_ms),
    OPTION(MS, "request_timeout_grace", engine.request_grace_ms),
    OPTION(MS, "loop_block_warning", engine.loop_block_ms),
    OPTION(MS, "graceful_timeout", engine.graceful_ms),
    OPTION(NUMBER, "body_min_rate", engine.body_min_rate),
    OPTION(NUMBER, "limit_request_body", engine.body_max),
    OPTION(NUMBER, "stream_request_body", engine.stream_body),
    OPTION(NUMBER, "stream_window", engine.stream_window),
    OPTION(NUMBER, "client_memory", engine.client_memory),
    OPTION(NUMBER, "client_disk", engine.client_disk),
    OPTION(NUMBER, "worker_connections", engine.worker_connections),
    OPTION(NUMBER, "max_queue", engine.max_queue),
    OPTION(MS, "max_queue_time", engine.max_queue_ms),
    OPTION(NUMBER, "limit_concurrency", engine.limit_concurrency),
    OPTION(NUMBER, "websocket_max_message_size", engine.websocket_message_max),
    OPTION(MS, "websocket_ping_interval", engine.websocket_ping_interval_ms),
    OPTION(MS, "websocket_ping_timeout", engine.websocket_ping_timeout_ms),
    OPTION(NUMBER, "http2_max_concurrent_streams", engine.http2.streams),
    OPTION(NUMBER, "http2_initial_window_size", engine.http2.window),
    OPTION(NUMBER, "http2_max_frame_size", engine.http2.frame_size),
    OPTION(NUMBER, "http2_max_header_list_size", engine.http2.header_list_size),
    OPTION(FLAG, "proxy_protocol_required", engine.proxy_required),
    OPTION(FLAG, "check_client", engine.check_client),
    OPTION(FLAG, "sendfile", engine.sendfile),
    OPTION(MS, "timeout", timeout_ms),
    OPTION(NUMBER, "workers", workers),
    OPTION(NUMBER, "workers_max", workers_max),
    OPTION(FLAG, "reuse_port", reuse_port),
    OPTION(TEXT, "tmp_upload_dir", tmp_upload_dir),
    SETTINGS_END,
};

static int text_of(PyObject *object, struct str *out)
{
    Py_ssize_t n;
    out->p = PyUnicode_AsUTF8AndSize(object, &n);
    out->n = (size_t)n;
    return out->p ? 0 : -1;
}

/* Calls add() for each string of a sequence. */
static int each_text(PyObject *sequence, int (*add)(struct options *self, struct str text),
                     struct options *self)
{
    PyObject *items = sequence ? PySequence_List(sequence) : NULL;
    int result = items ? 0 : -1;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(items); i++) {
        PyObject *text = PyObject_Str(PyList_GET_ITEM(items, i));
        struct str s;
        result = text && text_of(text, &s) == 0 ? add(self, s) : -1;
        Py_XDECREF(text);
    }
    Py_XDECREF(items);
    Py_XDECREF(sequence);
    return result;
}

static int add_trusted(struct options *self, struct str text)
{
    if (trust_add(&self->trust, text) == TRUST_OK)
        return 0;
    PyErr_Format(PyExc_ValueError, "forwarded_allow_ips: %.100s is no address or network", text.p);
    return -1;
}

static int add_proxy(struct options *self, struct str text)
{
    if (trust_add(&self->proxies, text) == TRUST_OK)
        return 0;
    PyErr_Format(PyExc_ValueError, "proxy_allow_ips: %.100s is no address or network", text.p);
    return -1;
}

static int add_gateway(struct options *self, struct str text)
{
    if (trust_add(&self->gateways, text) == TRUST_OK)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s_allow_ips: %.100s is no address or network",
                 self->engine.protocol->name, text.p);
    return -1;
}

static int read_protocol(struct options *self, PyObject *cfg)
{
    static const struct {
        const struct protocol *protocol;
        const char *peers; /* the setting that names those that may speak it */
    } gateways[] = {{&uwsgi_protocol, "uwsgi_allow_ips"}, {&fastcgi_protocol, "fastcgi_allow_ips"}};
    PyObject *name = PyObject_GetAttrString(cfg, "protocol");
    int result = name ? 0 : -1;
    for (size_t i = 0; result == 0 && i < sizeof(gateways) / sizeof(gateways[0]); i++) {
        const struct protocol *protocol = gateways[i].protocol;
        if (PyUnicode_CompareWithASCIIString(name, protocol->name) != 0)
            continue;
        self->engine.protocol = protocol;
        result = each_text(PyObject_GetAttrString(cfg, gateways[i].peers), add_gateway, self);
    }
    Py_XDECREF(name);
    return result;
}

static int note_http2(struct options *self, struct str text)
{
    self->http2 |= str_eq(text, STR("h2"));
    return 0;
}

/* gunicorn has HTTP/2 without TLS only if the listeners have none, and TLS where ALPN chooses it.
 */
static int read_http2(struct options *self, PyObject *cfg)
{
    static const struct protocol *const by_alpn[] = {&http2_protocol, &http1_protocol, NULL};
    PyObject *mode = PyObject_GetAttrString(cfg, "http2_cleartext");
    if (!mode)
        return -1;
    bool both = PyUnicode_CompareWithASCIIString(mode, "both") == 0;
    bool prior = both || PyUnicode_CompareWithASCIIString(mode, "prior-knowledge") == 0;
    bool upgrade = both || PyUnicode_CompareWithASCIIString(mode, "upgrade") == 0;
    Py_DECREF(mode);
    if (each_text(PyObject_GetAttrString(cfg, "http_protocols"), note_http2, self) < 0)
        return -1;
    if (!self->http2 || self->engine.protocol)
        return 0;
    self->engine.alpn = by_alpn;
    self->engine.http2_prior = prior;
    self->engine.http2_upgrade = upgrade;
    if (prior || upgrade)
        self->engine.protocol = &cleartext_protocol;
    return 0;
}

static int read_proxying(struct options *self, PyObject *cfg)
{
    static const struct {
        const char *name;
        unsigned versions;
    } modes[] = {{"v1", PROXY_V1}, {"v2", PROXY_V2}, {"auto", PROXY_V1 | PROXY_V2}};
    PyObject *mode = PyObject_GetAttrString(cfg, "proxy_protocol");
    if (!mode)
        return -1;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (PyUnicode_CompareWithASCIIString(mode, modes[i].name) == 0)
            self->engine.proxy_versions = modes[i].versions;
    Py_DECREF(mode);
    return each_text(PyObject_GetAttrString(cfg, "proxy_allow_ips"), add_proxy, self);
}

static int add_forwarder(struct options *self, struct str text)
{
    if (forwarded_add_name(&self->forwarded, text))
        return 0;
    PyErr_NoMemory();
    return -1;
}

static int read_schemes(struct options *self, PyObject *cfg)
{
    PyObject *headers = PyObject_GetAttrString(cfg, "secure_scheme_headers");
    PyObject *name, *value;
    Py_ssize_t at = 0;
    int result = headers ? 0 : -1;
    if (headers && !PyDict_Check(headers)) {
        PyErr_Format(PyExc_TypeError, "secure_scheme_headers: %R is no dict", headers);
        result = -1;
    }
    while (result == 0 && PyDict_Next(headers, &at, &name, &value)) {
        struct str n, v;
        if (text_of(name, &n) < 0 || text_of(value, &v) < 0)
            result = -1;
        else if (!forwarded_add_scheme(&self->forwarded, n, v))
            result = PyErr_NoMemory() ? 0 : -1;
    }
    Py_XDECREF(headers);
    return result;
}

static int read_header_map(struct options *self, PyObject *cfg)
{
    PyObject *map = PyObject_GetAttrString(cfg, "header_map");
    if (!map)
        return -1;
    if (PyUnicode_CompareWithASCIIString(map, "refuse") == 0)
        self->forwarded.map = FORWARDED_REFUSE;
    else if (PyUnicode_CompareWithASCIIString(map, "dangerous") == 0)
        self->forwarded.map = FORWARDED_DANGEROUS;
    Py_DECREF(map);
    return 0;
}

static int read_forwarding(struct options *self, PyObject *cfg)
{
    if (read_header_map(self, cfg) < 0 || read_schemes(self, cfg) < 0 ||
        each_text(PyObject_GetAttrString(cfg, "forwarded_allow_ips"), add_trusted, self) < 0)
        return -1;
    return each_text(PyObject_GetAttrString(cfg, "forwarder_headers"), add_forwarder, self);
}

/* Without the setting the environment's, read now: the application may change it while the engine
 * runs. */
static int choose_tmp_dir(struct options *self)
{
    const char *path = self->tmp_upload_dir ? self->tmp_upload_dir : getenv("TMPDIR");
    self->tmp_dir = strdup(path && *path ? path : "/tmp");
    self->engine.tmp_dir = self->tmp_dir;
    if (self->tmp_dir)
        return 0;
    PyErr_NoMemory();
    return -1;
}

/* Several signs of life in each `timeout`, else one a second. */
static uint32_t beat_ms(uint32_t timeout_ms)
{
    uint32_t ms = timeout_ms / BEATS_PER_TIMEOUT;
    return ms > 0 && ms < BEAT_MS ? ms : BEAT_MS;
}

int options_read(struct options *self, PyObject *cfg)
{
    self->engine = (struct engine_options){.standby = true};
    if (settings_read(table, self, cfg) < 0 || read_forwarding(self, cfg) < 0 ||
        read_proxying(self, cfg) < 0 || read_protocol(self, cfg) < 0 || read_http2(self, cfg) < 0 ||
        choose_tmp_dir(self) < 0)
        return -1;
    self->engine.shared = (self->workers > 1 || self->workers_max > 1) && !self->reuse_port;
    self->engine.own_listeners = self->reuse_port;
    self->engine.sign_of_life_ms = beat_ms(self->timeout_ms);
    self->engine.forwarded = &self->forwarded;
    self->engine.trust = &self->trust;
    self->engine.proxies = &self->proxies;
    self->engine.gateways = &self->gateways;
    return 0;
}

void options_free(struct options *self)
{
    forwarded_free(&self->forwarded);
    trust_free(&self->trust);
    trust_free(&self->proxies);
    trust_free(&self->gateways);
    free(self->tmp_dir);
    settings_free(table, self);
}
