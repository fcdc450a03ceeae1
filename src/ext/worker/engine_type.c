#include "ext/wsgi/wsgi.h"

#include "base/mem.h"
#include "ext/core/ext_proc.h"
#include "ext/core/ext_tls.h"
#include "ext/master/ext_exchange.h"
#include "ext/worker/engine_loop.h"
#include "serve/engine/host.h"
#include "serve/engine/limits.h"
#include "serve/engine/rehearsal.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BEAT_SHARE = 4 }; /* a foreign loop beats so often in each `timeout`, or once a second */

/* gunicorn._core.Engine: what a worker's run() makes of its configuration, and runs. */

struct engine_object {
    PyObject_HEAD struct wsgi wsgi;
    struct forwarded forwarded;
    struct trust trust;
    PyObject *exchange;   /* worker.exchange */
    PyObject *slot;       /* worker.slot: maps the memory that the engine writes to its end */
    PyObject *own_fields; /* bytes: the lines of each answer's head that the user may change */
    char *tmp_dir;
    int wake_fd; /* the worker's pipe that signal handlers write to */
};

struct wsgi *engine_wsgi(PyObject *op)
{
    return &((struct engine_object *)op)->wsgi;
}

static PyObject *setting(PyObject *cfg, const char *name)
{
    return PyObject_GetAttrString(cfg, name);
}

static int get_number(PyObject *cfg, const char *name, uint32_t *out)
{
    PyObject *value = setting(cfg, name);
    unsigned long number = value ? PyLong_AsUnsignedLong(value) : 0;
    Py_XDECREF(value);
    if (PyErr_Occurred())
        return -1;
    *out = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
    return 0;
}

/* A time of the settings: 0 is never, and what is less than a millisecond is one. */
static int get_ms(PyObject *cfg, const char *name, uint32_t *out)
{
    PyObject *value = setting(cfg, name);
    double seconds = value ? PyFloat_AsDouble(value) : 0;
    Py_XDECREF(value);
    if (PyErr_Occurred())
        return -1;
    *out = seconds >= INT32_MAX / 1000 ? INT32_MAX : (uint32_t)ceil(seconds * 1000);
    return 0;
}

static int get_flag(PyObject *cfg, const char *name, bool *out)
{
    PyObject *value = setting(cfg, name);
    int truth = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    if (truth < 0)
        return -1;
    *out = truth;
    return 0;
}

static int read_limits(PyObject *cfg, struct http1_limits *limits)
{
    if (get_number(cfg, "limit_request_line", &limits->request_line) < 0 ||
        get_number(cfg, "limit_request_fields", &limits->fields) < 0 ||
        get_number(cfg, "limit_request_field_size", &limits->field_size) < 0 ||
        get_flag(cfg, "permit_obsolete_folding", &limits->permit_obsolete_folding) < 0 ||
        get_flag(cfg, "permit_unconventional_http_method", &limits->permit_unconventional_method) <
            0 ||
        get_flag(cfg, "permit_unconventional_http_version",
                 &limits->permit_unconventional_version) < 0 ||
        get_flag(cfg, "strip_header_spaces", &limits->strip_header_spaces) < 0)
        return -1;
    return get_flag(cfg, "casefold_http_method", &limits->casefold_method);
}

static int text_of(PyObject *object, struct str *out)
{
    Py_ssize_t n;
    out->p = PyUnicode_AsUTF8AndSize(object, &n);
    out->n = (size_t)n;
    return out->p ? 0 : -1;
}

/* Calls add() for each string of a sequence. */
static int each_text(PyObject *sequence, int (*add)(struct engine_object *self, struct str text),
                     struct engine_object *self)
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

static int add_trusted(struct engine_object *self, struct str text)
{
    if (trust_add(&self->trust, text) == TRUST_OK)
        return 0;
    PyErr_Format(PyExc_ValueError, "forwarded_allow_ips: %.100s is no address or network", text.p);
    return -1;
}

static int add_forwarder(struct engine_object *self, struct str text)
{
    if (forwarded_add_name(&self->forwarded, text))
        return 0;
    PyErr_NoMemory();
    return -1;
}

static int read_schemes(struct engine_object *self, PyObject *cfg)
{
    PyObject *headers = setting(cfg, "secure_scheme_headers");
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

static int read_header_map(struct engine_object *self, PyObject *cfg)
{
    PyObject *map = setting(cfg, "header_map");
    if (!map)
        return -1;
    if (PyUnicode_CompareWithASCIIString(map, "refuse") == 0)
        self->forwarded.map = FORWARDED_REFUSE;
    else if (PyUnicode_CompareWithASCIIString(map, "dangerous") == 0)
        self->forwarded.map = FORWARDED_DANGEROUS;
    Py_DECREF(map);
    return 0;
}

static int read_forwarding(struct engine_object *self, PyObject *cfg)
{
    if (read_header_map(self, cfg) < 0 || read_schemes(self, cfg) < 0 ||
        each_text(setting(cfg, "forwarded_allow_ips"), add_trusted, self) < 0)
        return -1;
    return each_text(setting(cfg, "forwarder_headers"), add_forwarder, self);
}

/* Without the setting the environment's, read now: the application may change it while the engine
 * runs. */
static int read_tmp_dir(struct engine_object *self, PyObject *cfg)
{
    PyObject *dir = setting(cfg, "tmp_upload_dir");
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

static int read_options(struct engine_object *self, PyObject *cfg, struct engine_options *options)
{
    uint32_t keepalive, workers;
    bool reuse_port;
    *options = (struct engine_options){.standby = true};
    if (read_limits(cfg, &options->limits) < 0 || read_forwarding(self, cfg) < 0 ||
        read_tmp_dir(self, cfg) < 0 || get_number(cfg, "keepalive", &keepalive) < 0 ||
        get_number(cfg, "workers", &workers) < 0 || get_flag(cfg, "reuse_port", &reuse_port) < 0 ||
        get_number(cfg, "worker_connections", &options->worker_connections) < 0 ||
        get_flag(cfg, "sendfile", &options->sendfile) < 0)
        return -1;
    options->keepalive_ms = keepalive > UINT32_MAX / 1000 ? UINT32_MAX : keepalive * 1000;
    options->shared = workers > 1 && !reuse_port;
    options->forwarded = &self->forwarded;
    options->trust = &self->trust;
    options->tmp_dir = self->tmp_dir;
    return 0;
}

static int get_size(PyObject *cfg, const char *name, uint64_t *out)
{
    PyObject *value = setting(cfg, name);
    *out = value ? PyLong_AsUnsignedLongLong(value) : 0;
    Py_XDECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}

static int read_patience(struct wsgi *wsgi, struct engine_options *options)
{
    if (get_ms(wsgi->cfg, "header_timeout", &options->header_timeout_ms) < 0 ||
        get_ms(wsgi->cfg, "send_timeout", &options->send_timeout_ms) < 0 ||
        get_ms(wsgi->cfg, "request_timeout", &options->request_timeout_ms) < 0 ||
        get_ms(wsgi->cfg, "request_timeout_grace", &options->request_grace_ms) < 0 ||
        get_ms(wsgi->cfg, "graceful_timeout", &options->graceful_ms) < 0 ||
        get_number(wsgi->cfg, "body_min_rate", &options->body_min_rate) < 0 ||
        get_size(wsgi->cfg, "limit_request_body", &options->body_max) < 0 ||
        get_size(wsgi->cfg, "stream_request_body", &options->stream_body) < 0)
        return -1;
    if (get_size(wsgi->cfg, "stream_window", &options->stream_window) < 0 ||
        get_size(wsgi->cfg, "client_memory", &options->client_memory) < 0 ||
        get_size(wsgi->cfg, "client_disk", &options->client_disk) < 0)
        return -1;
    if (get_number(wsgi->cfg, "max_queue", &options->max_queue) < 0 ||
        get_ms(wsgi->cfg, "max_queue_time", &options->max_queue_ms) < 0 ||
        get_number(wsgi->cfg, "limit_concurrency", &options->limit_concurrency) < 0 ||
        get_flag(wsgi->cfg, "check_client", &options->check_client) < 0)
        return -1;
    return get_flag(wsgi->handler, "wants_debug", &options->debug);
}

/* Where requests go that wait while all threads are busy. */
static int read_exchange(struct engine_object *self, PyObject *worker,
                         struct engine_options *options)
{
    self->exchange = PyObject_GetAttrString(worker, "exchange");
    options->exchange = self->exchange ? ext_exchange_from(self->exchange) : NULL;
    return self->exchange ? get_number(worker, "age", &options->number) : -1;
}

static int read_own_fields(struct engine_object *self, struct engine_options *options)
{
    char *lines;
    Py_ssize_t n;
    self->own_fields = PyObject_CallMethod(self->wsgi.handler, "server_fields", NULL);
    if (!self->own_fields || PyBytes_AsStringAndSize(self->own_fields, &lines, &n) < 0)
        return -1;
    options->own_fields = (struct str){lines, (size_t)n};
    return 0;
}

/* The descriptors of worker.sockets, in an array that the caller frees with mem_free(). */
static int *listener_fds(PyObject *worker, uint32_t *count)
{
    PyObject *sockets = PyObject_GetAttrString(worker, "sockets");
    PyObject *list = sockets ? PySequence_List(sockets) : NULL;
    int *fds = list ? mem_alloc(sizeof(int) * ((size_t)PyList_GET_SIZE(list) + 1)) : NULL;
    *count = 0;
    for (Py_ssize_t i = 0; fds && i < PyList_GET_SIZE(list); i++) {
        fds[i] = PyObject_AsFileDescriptor(PyList_GET_ITEM(list, i));
        if (fds[i] < 0) {
            mem_free(fds);
            fds = NULL;
            break;
        }
        (*count)++;
    }
    Py_XDECREF(list);
    Py_XDECREF(sockets);
    if (!fds && !PyErr_Occurred())
        PyErr_NoMemory();
    return fds;
}

/* The part of the environ that is the same for all requests of a listener, made in Python. */
static int make_templates(struct wsgi *wsgi, PyObject *worker, uint32_t count)
{
    PyObject *made =
        PyObject_CallMethod(wsgi->handler, "templates", "OOO", worker,
                            (PyObject *)wsgi->state->file_wrapper_type, wsgi->empty_input);
    wsgi->templates = made ? PyMem_Calloc(count + 1, sizeof(PyObject *)) : NULL;
    if (made && (!PyList_Check(made) || PyList_GET_SIZE(made) != (Py_ssize_t)count))
        PyErr_SetString(PyExc_SystemError, "a template for each listener was expected");
    else if (!wsgi->templates && made)
        PyErr_NoMemory();
    for (uint32_t i = 0; wsgi->templates && !PyErr_Occurred() && i < count; i++)
        wsgi->templates[i] = Py_NewRef(PyList_GET_ITEM(made, i));
    if (wsgi->templates && !PyErr_Occurred() && count > 0) /* of a rehearsal */
        wsgi->templates[count] = Py_NewRef(wsgi->templates[0]);
    if (wsgi->templates && !PyErr_Occurred() && count > 0) {
        PyObject *script =
            PyDict_GetItemWithError(wsgi->templates[0], NAME(wsgi->state, script_name));
        wsgi->environ_script_name = script && PyUnicode_GET_LENGTH(script) > 0;
    }
    Py_XDECREF(made);
    return PyErr_Occurred() ? -1 : 0;
}

static int read_worker(struct engine_object *self, PyObject *worker)
{
    struct wsgi *wsgi = &self->wsgi;
    PyObject *bridge = PyImport_ImportModule("gunicorn.http._bridge");
    wsgi->handler = bridge ? PyObject_CallMethod(bridge, "Bridge", "O", worker) : NULL;
    Py_XDECREF(bridge);
    wsgi->worker = Py_NewRef(worker);
    if (!wsgi->handler) /* maybe by a signal's handler, whose SystemExit other calls would clear */
        return -1;
    wsgi->application = PyObject_GetAttrString(worker, "wsgi");
    wsgi->cfg = PyObject_GetAttrString(worker, "cfg");
    wsgi->log = PyObject_GetAttrString(worker, "log");
    wsgi->empty_input = input_new(wsgi->state, NULL);
    if (!wsgi->application || !wsgi->cfg || !wsgi->log || !wsgi->empty_input)
        return -1;
    self->slot = PyObject_GetAttrString(wsgi->handler, "slot");
    PyObject *max = PyObject_GetAttrString(wsgi->handler, "max_requests");
    int result = self->slot && max ? 0 : -1;
    if (result == 0) {
        wsgi->slot = ext_slot_from(self->slot);
        wsgi->max_requests = PyLong_AsUnsignedLongLong(max);
        if (PyErr_Occurred())
            result = -1;
    }
    Py_XDECREF(max);
    return result;
}

/* Whether each request has to be shown to Python, also for an access log that C cannot write. */
static int read_hooks(struct wsgi *wsgi)
{
    if (access_open(wsgi, &wsgi->engine->access_log) < 0)
        return -1;
    if (get_flag(wsgi->handler, "logs_in_python", &wsgi->engine->app_logs) < 0)
        return -1;
    if (get_flag(wsgi->handler, "wraps_requests", &wsgi->around) < 0 ||
        get_flag(wsgi->handler, "shows_requests", &wsgi->shown) < 0)
        return -1;
    return get_flag(wsgi->handler, "wants_objects", &wsgi->hooks);
}

static int watch_pipes(struct engine_object *self, PyObject *worker)
{
    struct engine *engine = self->wsgi.engine;
    PyObject *pipe = PyObject_GetAttrString(worker, "PIPE");
    PyObject *end = pipe ? PySequence_GetItem(pipe, 0) : NULL;
    PyObject *master = PyObject_GetAttrString(worker, "master_pipe");
    long wake_fd = end ? PyLong_AsLong(end) : -1, master_fd = master ? PyLong_AsLong(master) : -1;
    Py_XDECREF(pipe);
    Py_XDECREF(end);
    Py_XDECREF(master);
    if (PyErr_Occurred())
        return -1;
    self->wake_fd = (int)wake_fd;
    if (!self->wsgi.threaded && engine_watch_signals(engine, (int)wake_fd) < 0)
        return -1;
    return master_fd >= 0 ? engine_watch_master(engine, (int)master_fd) : 0;
}

/* Several signs of life in each `timeout`. */
static int read_beat(PyObject *cfg, uint32_t *ms)
{
    uint32_t timeout;
    if (get_number(cfg, "timeout", &timeout) < 0)
        return -1;
    *ms = timeout > 0 && timeout < BEAT_SHARE ? timeout * 1000 / BEAT_SHARE : 1000;
    return 0;
}

/* A process that the application forks has the default action for the worker's signals. */
static int mark_signals(PyObject *worker)
{
    PyObject *signals = PyObject_GetAttrString(worker, "SIGNALS");
    PyObject *list = signals ? PySequence_List(signals) : NULL;
    for (Py_ssize_t i = 0; list && !PyErr_Occurred() && i < PyList_GET_SIZE(list); i++)
        forked_default((int)PyLong_AsLong(PyList_GET_ITEM(list, i)));
    Py_XDECREF(signals);
    Py_XDECREF(list);
    return PyErr_Occurred() ? -1 : 0;
}

static int init_deadlines(struct engine_object *self)
{
    PyObject *overdue = PyObject_GetAttrString((PyObject *)self, "overdue");
    int result = overdue ? deadline_init(&self->wsgi, overdue) : -1;
    Py_XDECREF(overdue);
    return result;
}

static int start(struct engine_object *self, PyObject *worker, uint32_t threads, bool loop_host)
{
    struct engine_options options;
    uint32_t count = 0;
    if (read_worker(self, worker) < 0 || read_options(self, self->wsgi.cfg, &options) < 0)
        return -1;
    options.threads = threads ? threads : 1;
    options.loop_host = loop_host;
    if (read_patience(&self->wsgi, &options) < 0 || read_own_fields(self, &options) < 0)
        return -1;
    if (read_beat(self->wsgi.cfg, &options.sign_of_life_ms) < 0 ||
        read_exchange(self, worker, &options) < 0)
        return -1;
    self->wsgi.threaded = threads > 0;
    if (self->wsgi.slot) {
        atomic_store(&self->wsgi.slot->shared->threads, threads);
        options.metrics = self->wsgi.slot->metrics;
    }
    int *fds = listener_fds(worker, &count);
    if (!fds)
        return -1;
    self->wsgi.engine = engine_create(&options, &wsgi_ops, &self->wsgi, fds, count);
    mem_free(fds);
    if (!self->wsgi.engine) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (ext_tls_start(&self->wsgi) < 0 || read_hooks(&self->wsgi) < 0 ||
        make_templates(&self->wsgi, worker, count) < 0)
        return -1;
    if (loop_host && engine_loop_init((PyObject *)self) < 0)
        return -1;
    if (init_deadlines(self) < 0 || mark_signals(worker) < 0)
        return -1;
    if (watch_pipes(self, worker) < 0) {
        if (!PyErr_Occurred())
            PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

/*
 * Engine(worker, threads=0, loop=False, wait=None): with threads the main thread looks after
 * signals alone; with loop there is no run(), but what engine_loop.c defines.
 */
static int engine_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"worker", "threads", "loop", "wait", NULL};
    struct engine_object *self = (struct engine_object *)op;
    PyObject *worker, *wait = Py_None;
    unsigned int threads = 0;
    int loop = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|IpO:Engine", names, &worker, &threads, &loop,
                                     &wait))
        return -1;
    if (self->wsgi.worker) {
        PyErr_SetString(PyExc_RuntimeError, "an Engine is made once");
        return -1;
    }
    self->wsgi.module = PyType_GetModule(Py_TYPE(op));
    if (!self->wsgi.module)
        return -1;
    Py_INCREF(self->wsgi.module);
    self->wsgi.state = core_state_of(self->wsgi.module);
    self->wsgi.wait = wait == Py_None ? NULL : Py_NewRef(wait);
    return start(self, worker, threads, loop);
}

struct engine *engine_of(PyObject *op)
{
    struct engine *engine = ((struct engine_object *)op)->wsgi.engine;
    if (!engine)
        PyErr_SetString(PyExc_RuntimeError, "Engine was not initialised");
    if (!engine || engine_is_ours(engine))
        return engine;
    PyErr_SetString(PyExc_RuntimeError, "the engine is that of the process that forked this one");
    return NULL;
}

/* Serves in this thread until the worker stops; raises what a signal handler raised. */
static PyObject *engine_run(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct engine *engine = engine_of(op);
    if (!engine)
        return NULL;
    host_run(engine, !((struct engine_object *)op)->wsgi.threaded);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static void wait_for_signal(struct engine *engine, int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    char bytes[64];
    ssize_t n;
    if (poll(&pollfd, 1, -1) < 0)
        return;
    do
        n = read(fd, bytes, sizeof(bytes));
    while (n > 0);
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        engine_lose(engine, "read", n == 0 ? EBADF : errno);
}

/* Waits for a signal or the engine's end, in the main thread of a threaded worker. */
static PyObject *engine_wait(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct engine *engine = engine_of(op);
    if (!engine)
        return NULL;
    int fd = ((struct engine_object *)op)->wake_fd;
    Py_BEGIN_ALLOW_THREADS
    wait_for_signal(engine, fd);
    Py_END_ALLOW_THREADS
    if (PyErr_CheckSignals() < 0)
        return NULL;
    wsgi_check_process(engine_wsgi(op), NULL);
    access_reopen(&((struct engine_object *)op)->wsgi);
    if (deadline_check(&((struct engine_object *)op)->wsgi, NULL) < 0)
        return NULL;
    return PyBool_FromLong(!atomic_load(&engine->stopped));
}

/* overdue(signal, frame): what SIGURG calls, in the main thread. */
static PyObject *engine_overdue(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    PyObject *frame = count > 1 && args[1] != Py_None ? args[1] : NULL;
    if (!engine_of(op) || deadline_check(&((struct engine_object *)op)->wsgi, frame) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* may_raise(serial): what the hub asks before it throws RequestTimeout into a greenlet. */
static PyObject *engine_may_raise(PyObject *op, PyObject *serial)
{
    unsigned long long number = PyLong_AsUnsignedLongLong(serial);
    if (PyErr_Occurred() || !engine_of(op))
        return NULL;
    return PyBool_FromLong(deadline_may_raise(&((struct engine_object *)op)->wsgi, number));
}

static PyObject *tell(PyObject *op, void (*function)(struct engine *engine))
{
    struct engine *engine = engine_of(op);
    if (!engine)
        return NULL;
    function(engine);
    Py_RETURN_NONE;
}

static PyObject *engine_running(PyObject *op, PyObject *unused)
{
    (void)unused;
    return engine_of(op) ? PyLong_FromUnsignedLong(engine_wsgi(op)->running) : NULL;
}

static PyObject *engine_drain_method(PyObject *op, PyObject *unused)
{
    (void)unused;
    return tell(op, engine_drain);
}

static PyObject *engine_stop_method(PyObject *op, PyObject *unused)
{
    (void)unused;
    return tell(op, engine_stop);
}

static PyObject *engine_out_of_time(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct engine *engine = engine_of(op);
    return engine ? PyBool_FromLong(atomic_load(&engine->out_of_time)) : NULL;
}

/* Also has it logged. For the worker whose loop is over. */
static PyObject *engine_lost_method(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct engine *engine = engine_of(op);
    if (!engine)
        return NULL;
    engine_look_at_marks(engine);
    engine_collect(engine);
    return PyBool_FromLong(atomic_load(&engine->lost));
}

static PyObject *engine_rehearse(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct engine *engine = engine_of(op);
    if (!engine)
        return NULL;
    int fd = rehearsal_connect(engine);
    return fd < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(fd);
}

static PyObject *engine_end_rehearsal(PyObject *op, PyObject *unused)
{
    (void)unused;
    return tell(op, rehearsal_end);
}

static int engine_traverse(PyObject *op, visitproc visit, void *arg)
{
    struct wsgi *wsgi = &((struct engine_object *)op)->wsgi;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(wsgi->module);
    Py_VISIT(wsgi->worker);
    Py_VISIT(wsgi->application);
    Py_VISIT(wsgi->cfg);
    Py_VISIT(wsgi->log);
    Py_VISIT(wsgi->handler);
    Py_VISIT(wsgi->wait);
    Py_VISIT(wsgi->timeout_error);
    Py_VISIT(wsgi->current);
    Py_VISIT(wsgi->run_one);
    Py_VISIT(wsgi->collect);
    return 0;
}

static int engine_clear(PyObject *op)
{
    struct wsgi *wsgi = &((struct engine_object *)op)->wsgi;
    Py_CLEAR(wsgi->worker);
    Py_CLEAR(wsgi->application);
    Py_CLEAR(wsgi->cfg);
    Py_CLEAR(wsgi->log);
    Py_CLEAR(wsgi->handler);
    Py_CLEAR(wsgi->wait);
    Py_CLEAR(wsgi->timeout_error);
    Py_CLEAR(wsgi->current);
    Py_CLEAR(wsgi->run_one);
    Py_CLEAR(wsgi->collect);
    return 0;
}

static void free_calls(struct wsgi *wsgi)
{
    while (wsgi->calls) {
        struct call *call = wsgi->calls;
        wsgi->calls = call->next;
        call_free(call);
    }
}

static void engine_dealloc(PyObject *op)
{
    struct engine_object *self = (struct engine_object *)op;
    struct wsgi *wsgi = &self->wsgi;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (wsgi->engine && engine_is_ours(wsgi->engine)) {
        uint32_t count = wsgi->engine->listener_count;
        engine_destroy(wsgi->engine);
        for (uint32_t i = 0; wsgi->templates && i <= count; i++)
            Py_XDECREF(wsgi->templates[i]);
    }
    PyMem_Free(wsgi->templates);
    free_calls(wsgi);
    text_cache_clear(&wsgi->texts);
    Py_XDECREF(wsgi->empty_input);
    Py_XDECREF(self->exchange);
    Py_XDECREF(self->own_fields);
    Py_XDECREF(self->slot);
    engine_clear(op);
    Py_XDECREF(wsgi->module);
    forwarded_free(&self->forwarded);
    trust_free(&self->trust);
    free(self->tmp_dir);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef engine_methods[] = {
    {"run", engine_run, METH_NOARGS,
     "run()\n--\n\nServe in this thread until the engine has stopped."},
    {"wait", engine_wait, METH_NOARGS,
     "wait()\n--\n\nWait for a signal; False when the engine has stopped."},
    {"overdue", (PyCFunction)(void (*)(void))engine_overdue, METH_FASTCALL,
     "overdue(signal, frame, /)\n--\n\nRaise RequestTimeout in the requests that are due."},
    {"may_raise", engine_may_raise, METH_O,
     "may_raise(serial, /)\n--\n\nWhether RequestTimeout may be raised in a request, as is then "
     "done."},
    {"running", engine_running, METH_NOARGS,
     "running()\n--\n\nHow many requests the application is at."},
    {"drain", engine_drain_method, METH_NOARGS,
     "drain()\n--\n\nTake no new connections; stop when all requests are answered."},
    {"stop", engine_stop_method, METH_NOARGS,
     "stop()\n--\n\nEnd each thread after its present request."},
    {"out_of_time", engine_out_of_time, METH_NOARGS,
     "out_of_time()\n--\n\nWhether graceful_timeout is nearly over: what runs is to be broken "
     "off."},
    {"lost", engine_lost_method, METH_NOARGS,
     "lost()\n--\n\nWhether it cannot go on, as the application has closed a descriptor of it."},
    {"rehearse", engine_rehearse, METH_NOARGS,
     "rehearse()\n--\n\nBefore the engine runs: return the client's end of a connection to it. No\n"
     "other connection is taken until end_rehearsal()."},
    {"end_rehearsal", engine_end_rehearsal, METH_NOARGS,
     "end_rehearsal()\n--\n\nServe the clients. Any thread."},
    {"fileno", engine_fileno, METH_NOARGS,
     "fileno()\n--\n\nWith loop: readable when turn() is to be called."},
    {"news_fileno", engine_news_fileno, METH_NOARGS,
     "news_fileno()\n--\n\nWith loop: readable when heard() is to be called, and then turn()."},
    {"heard", engine_heard, METH_NOARGS, "heard()\n--\n\nTake note of the news."},
    {"turn", engine_turn, METH_O,
     "turn(start, /)\n--\n\nDo what is due without waiting, and start(function) for each request\n"
     "that is ready; function runs it. True once no connection is taken any more."},
    {"stopped", engine_stopped, METH_NOARGS, "stopped()\n--\n\nWhether all is over."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot engine_slots[] = {
    {Py_tp_init, engine_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_traverse, engine_traverse},
    {Py_tp_clear, engine_clear},
    {Py_tp_methods, engine_methods},
    {Py_tp_doc, "Engine(worker, threads=0, loop=False, wait=None)\n--\n\n"
                "The engine of a worker. With loop, it is led from the event loop of the worker."},
    {0, NULL},
};

PyType_Spec engine_spec = {
    .name = "gunicorn._core.Engine",
    .basicsize = sizeof(struct engine_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = engine_slots,
};
