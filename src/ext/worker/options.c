#include "ext/worker/options.h"

#include "ext/core/settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int read_limits(PyObject *cfg, struct http1_limits *limits)
{
    if (setting_number(cfg, "limit_request_line", &limits->request_line) < 0 ||
        setting_number(cfg, "limit_request_fields", &limits->fields) < 0 ||
        setting_number(cfg, "limit_request_field_size", &limits->field_size) < 0 ||
        setting_flag(cfg, "permit_obsolete_folding", &limits->permit_obsolete_folding) < 0 ||
        setting_flag(cfg, "permit_unconventional_http_method",
                     &limits->permit_unconventional_method) < 0 ||
        setting_flag(cfg, "permit_unconventional_http_version",
                     &limits->permit_unconventional_version) < 0 ||
        setting_flag(cfg, "strip_header_spaces", &limits->strip_header_spaces) < 0)
        return -1;
    return setting_flag(cfg, "casefold_http_method", &limits->casefold_method);
}

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
static int read_tmp_dir(struct options *self, PyObject *cfg)
{
    PyObject *dir = PyObject_GetAttrString(cfg, "tmp_upload_dir");
    const char *path = NULL;
    if (dir)
        path = dir == Py_None ? getenv("TMPDIR") : PyUnicode_AsUTF8(dir);
    if (dir && !PyErr_Occurred()) {
        self->tmp_dir = strdup(path && *path ? path : "/tmp");
        if (!self->tmp_dir)
            PyErr_NoMemory();
    }
    Py_XDECREF(dir);
    return self->tmp_dir ? 0 : -1;
}

static int read_options(struct options *self, PyObject *cfg)
{
    struct engine_options *options = &self->engine;
    uint32_t keepalive, workers;
    bool reuse_port;
    *options = (struct engine_options){.standby = true};
    if (read_limits(cfg, &options->limits) < 0 || read_forwarding(self, cfg) < 0 ||
        read_tmp_dir(self, cfg) < 0 || setting_number(cfg, "keepalive", &keepalive) < 0 ||
        setting_number(cfg, "workers", &workers) < 0 ||
        setting_flag(cfg, "reuse_port", &reuse_port) < 0 ||
        setting_number(cfg, "worker_connections", &options->worker_connections) < 0 ||
        setting_flag(cfg, "sendfile", &options->sendfile) < 0)
        return -1;
    options->keepalive_ms = keepalive > UINT32_MAX / 1000 ? UINT32_MAX : keepalive * 1000;
    options->shared = workers > 1 && !reuse_port;
    options->forwarded = &self->forwarded;
    options->trust = &self->trust;
    options->tmp_dir = self->tmp_dir;
    return 0;
}

static int read_patience(struct engine_options *options, PyObject *cfg)
{
    if (setting_ms(cfg, "header_timeout", &options->header_timeout_ms) < 0 ||
        setting_ms(cfg, "send_timeout", &options->send_timeout_ms) < 0 ||
        setting_ms(cfg, "request_timeout", &options->request_timeout_ms) < 0 ||
        setting_ms(cfg, "request_timeout_grace", &options->request_grace_ms) < 0 ||
        setting_ms(cfg, "graceful_timeout", &options->graceful_ms) < 0 ||
        setting_number(cfg, "body_min_rate", &options->body_min_rate) < 0 ||
        setting_size(cfg, "limit_request_body", &options->body_max) < 0 ||
        setting_size(cfg, "stream_request_body", &options->stream_body) < 0)
        return -1;
    if (setting_size(cfg, "stream_window", &options->stream_window) < 0 ||
        setting_size(cfg, "client_memory", &options->client_memory) < 0 ||
        setting_size(cfg, "client_disk", &options->client_disk) < 0)
        return -1;
    if (setting_number(cfg, "max_queue", &options->max_queue) < 0 ||
        setting_ms(cfg, "max_queue_time", &options->max_queue_ms) < 0 ||
        setting_number(cfg, "limit_concurrency", &options->limit_concurrency) < 0 ||
        setting_flag(cfg, "check_client", &options->check_client) < 0)
        return -1;
    return 0;
}

int options_read(struct options *self, PyObject *cfg)
{
    if (read_options(self, cfg) < 0)
        return -1;
    return read_patience(&self->engine, cfg);
}

void options_free(struct options *self)
{
    forwarded_free(&self->forwarded);
    trust_free(&self->trust);
    free(self->tmp_dir);
}
