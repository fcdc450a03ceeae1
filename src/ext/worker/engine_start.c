#include "ext/worker/engine_start.h"

#include "base/mem.h"
#include "ext/core/settings.h"
#include "ext/master/exchange_type.h"
#include "ext/master/slot_type.h"
#include "ext/worker/access.h"
#include "ext/worker/engine_loop.h"
#include "ext/worker/timeout.h"
#include "ext/worker/worker_tls.h"

#define FIELD(kind, name, field) SETTING(struct engine_object, kind, name, field)

/* The attributes of the worker and the Bridge that count beside the settings. */
static const struct setting worker_options[] = {
    FIELD(NUMBER, "age", options.engine.number),
    SETTINGS_END,
};

static const struct setting bridge_options[] = {
    FIELD(FLAG, "wants_debug", options.engine.debug),
    FIELD(NUMBER, "max_requests", worker.max_requests),
    SETTINGS_END,
};

/* Whether each request has to be shown to Python, also for an access log that C cannot write. */
static const struct setting bridge_hooks[] = {
    FIELD(FLAG, "wraps_requests", worker.around),
    FIELD(FLAG, "shows_requests", worker.shown),
    FIELD(FLAG, "wants_objects", worker.hooks),
    FIELD(FLAG, "logs_in_python", logs_in_python),
    SETTINGS_END,
};

/* Where requests go that wait while all threads are busy. */
static int read_exchange(struct engine_object *self)
{
    PyObject *object = self->worker.object;
    self->exchange = PyObject_GetAttrString(object, "exchange");
    if (!self->exchange)
        return -1;
    self->options.engine.exchange = exchange_type_from(self->exchange);
    return settings_read(worker_options, self, object);
}

static int read_own_fields(struct engine_object *self)
{
    char *lines;
    Py_ssize_t n;
    self->own_fields = METHODS_CALL(self->worker.methods, server_fields);
    if (!self->own_fields || PyBytes_AsStringAndSize(self->own_fields, &lines, &n) < 0)
        return -1;
    self->options.engine.own_fields = (struct str){lines, (size_t)n};
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

static const char *const bridge_methods[] = {BRIDGE_METHODS(METHOD_TEXT)};

static int open_bridge(struct worker *worker, PyObject *object)
{
    PyObject *module = PyImport_ImportModule("gunicorn.http._bridge");
    worker->bridge = module ? PyObject_CallMethod(module, "Bridge", "O", object) : NULL;
    Py_XDECREF(module);
    return worker->bridge
               ? methods_bind(worker->bridge, bridge_methods, BRIDGE_METHOD_COUNT, worker->methods)
               : -1;
}

static int read_slot(struct engine_object *self)
{
    struct worker *worker = &self->worker;
    self->slot = PyObject_GetAttrString(worker->bridge, "slot");
    if (!self->slot)
        return -1;
    worker->slot = slot_type_from(self->slot);
    return 0;
}

/* The kind of application that the worker's class is for. */
static int choose_kind(struct worker *worker)
{
    PyObject *name = PyObject_GetAttrString(worker->bridge, "application_kind");
    if (!name)
        return -1;
    const struct app_kind *const *kind = worker->state->kinds;
    while (*kind &&
           !(PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, (*kind)->name) == 0))
        kind++;
    worker->kind = *kind;
    if (!worker->kind)
        PyErr_Format(PyExc_ValueError, "application_kind of the worker: %R is none", name);
    Py_DECREF(name);
    return worker->kind ? 0 : -1;
}

static int read_worker(struct engine_object *self, PyObject *object)
{
    struct worker *worker = &self->worker;
    worker->object = Py_NewRef(object);
    if (open_bridge(worker, object) < 0) /* maybe by a signal's handler, whose SystemExit other
                                            calls would clear */
        return -1;
    worker->application = PyObject_GetAttrString(object, "wsgi");
    worker->cfg = PyObject_GetAttrString(object, "cfg");
    worker->log = PyObject_GetAttrString(object, "log");
    if (!worker->application || !worker->cfg || !worker->log)
        return -1;
    return choose_kind(worker) < 0 ? -1 : read_slot(self);
}

static int read_hooks(struct engine_object *self)
{
    struct engine *engine = self->worker.engine;
    if (access_open(&self->worker, &engine->access_log) < 0 ||
        settings_read(bridge_hooks, self, self->worker.bridge) < 0)
        return -1;
    engine->app_logs = self->logs_in_python;
    return 0;
}

static int watch_pipes(struct engine_object *self, PyObject *object)
{
    struct engine *engine = self->worker.engine;
    PyObject *pipe = PyObject_GetAttrString(object, "PIPE");
    PyObject *end = pipe ? PySequence_GetItem(pipe, 0) : NULL;
    PyObject *master = PyObject_GetAttrString(object, "master_pipe");
    long wake_fd = end ? PyLong_AsLong(end) : -1, master_fd = master ? PyLong_AsLong(master) : -1;
    Py_XDECREF(pipe);
    Py_XDECREF(end);
    Py_XDECREF(master);
    if (PyErr_Occurred())
        return -1;
    self->wake_fd = (int)wake_fd;
    if (!self->worker.threaded && engine_watch_signals(engine, (int)wake_fd) < 0)
        return -1;
    return master_fd >= 0 ? engine_watch_master(engine, (int)master_fd) : 0;
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

static int init_timeout(struct engine_object *self)
{
    PyObject *overdue = PyObject_GetAttrString((PyObject *)self, "overdue");
    int result = overdue ? timeout_init(&self->worker, overdue) : -1;
    Py_XDECREF(overdue);
    return result;
}

/* All that the engine's options have beside the settings. */
static int read_options(struct engine_object *self, uint32_t threads, bool loop_host)
{
    struct worker *worker = &self->worker;
    struct engine_options *options = &self->options.engine;
    if (options_read(&self->options, worker->cfg) < 0 || read_own_fields(self) < 0 ||
        read_exchange(self) < 0 || settings_read(bridge_options, self, worker->bridge) < 0)
        return -1;
    options->threads = threads ? threads : 1;
    options->loop_host = loop_host;
    options->at_head = worker->kind->at_head;
    worker->threaded = threads > 0;
    if (worker->slot) {
        atomic_store(&worker->slot->shared->threads, threads);
        options->metrics = worker->slot->metrics;
    }
    return 0;
}

static int create(struct engine_object *self)
{
    struct worker *worker = &self->worker;
    uint32_t count = 0;
    int *fds = listener_fds(worker->object, &count);
    if (!fds)
        return -1;
    worker->engine = engine_create(&self->options.engine, worker->kind->ops, worker, fds, count);
    mem_free(fds);
    if (worker->engine)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

int engine_start(struct engine_object *self, PyObject *object, uint32_t threads, bool loop_host)
{
    struct worker *worker = &self->worker;
    if (read_worker(self, object) < 0 || read_options(self, threads, loop_host) < 0 ||
        create(self) < 0)
        return -1;
    if (worker_tls_start(worker) < 0 || read_hooks(self) < 0 || worker->kind->open(worker) < 0)
        return -1;
    if (loop_host && engine_loop_init((PyObject *)self) < 0)
        return -1;
    if (init_timeout(self) < 0 || mark_signals(object) < 0)
        return -1;
    if (watch_pipes(self, object) == 0)
        return 0;
    if (!PyErr_Occurred())
        PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}
