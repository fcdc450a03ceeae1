#include "ext/asgi/kind.h"

#include "base/clock.h"
#include "ext/asgi/channel.h"
#include "ext/asgi/run.h"
#include "ext/worker/ops.h"
#include "proc/children/scoreboard.h"

#include <signal.h>

/* `timeout` counts from the time when the loop was asked, until it turns again. By the
 * stand-by, beside the loop's thread: see give_sign_of_life(). */
static void count_timeout(struct worker *worker)
{
    const struct loop_watch *watch = &worker->engine->loop_watch;
    if (!worker->slot || atomic_load(&worker->engine->metrics->running) > 0)
        return;
    atomic_store(&worker->blocked, true);
    slot_beat(worker->slot, (int64_t)(clock_ms() - watch->after_ms));
    if (!loop_watch_is_pending(watch))
        slot_idle(worker->slot);
}

/* The handler in Python reports the task; a thread of the engine may not. */
static void report_blocked_loop(void *app)
{
    count_timeout(app);
    pthread_kill(asgi_of(app)->thread, SIGURG);
}

static const struct app_ops asgi_ops = {
    .run = run_request,
    .events = run_events,
    .loop_blocked = report_blocked_loop,
    WORKER_OPS,
};

/* A worker begins and ends */

static const char *const asgi_methods[] = {ASGI_METHODS(METHOD_TEXT)};

static int make_names(struct asgi *asgi)
{
    static const char *const texts[ASGI_NAME_COUNT] = {
#define ASGI_NAME_TEXT(identifier, text) text,
        ASGI_NAMES(ASGI_NAME_TEXT)
#undef ASGI_NAME_TEXT
    };
    for (int i = 0; i < ASGI_NAME_COUNT; i++)
        if (!(asgi->names[i] = PyUnicode_InternFromString(texts[i])))
            return -1;
    return 0;
}

static void make_futures(struct asgi *asgi)
{
    asgi->futures.create = asgi->methods[METHOD_create_future];
    asgi->futures.blocking = ASGI_NAME(asgi, blocking);
    asgi->futures.done = ASGI_NAME(asgi, done);
    asgi->futures.set_result = ASGI_NAME(asgi, set_result);
}

/* Templates of messages. */
static int make_messages(struct asgi *asgi)
{
    asgi->empty = PyBytes_FromStringAndSize(NULL, 0);
    if (!asgi->empty)
        return -1;
    asgi->request_message = Py_BuildValue("{sssOsO}", "type", "http.request", "body", asgi->empty,
                                          "more_body", Py_False);
    asgi->disconnect_message = Py_BuildValue("{ss}", "type", "http.disconnect");
    asgi->receive_message = Py_BuildValue("{ss}", "type", "websocket.receive");
    return asgi->request_message && asgi->disconnect_message && asgi->receive_message ? 0 : -1;
}

static bool is_on(PyObject *half, const char *name)
{
    PyObject *value = PyObject_GetAttrString(half, name);
    bool on = value == Py_True;
    Py_XDECREF(value);
    return on;
}

/* The Python half: worker.half(), its methods and attributes. */
static int open_half(struct worker *worker, struct asgi *asgi)
{
    asgi->half = PyObject_CallMethod(worker->object, "half", NULL);
    if (!asgi->half || methods_bind(asgi->half, asgi_methods, ASGI_METHOD_COUNT, asgi->methods) < 0)
        return -1;
    asgi->loop = PyObject_GetAttrString(asgi->half, "loop");
    asgi->tasks = PyObject_GetAttrString(asgi->half, "tasks");
    asgi->context = PyObject_GetAttrString(asgi->half, "context");
    asgi->trailers_extension = PyObject_GetAttrString(asgi->half, "trailers_extension");
    asgi->takes_forwarded = is_on(asgi->half, "takes_forwarded");
    asgi->task_type = PyObject_GetAttrString(asgi->half, "task_type");
    if (asgi->task_type == Py_None)
        Py_CLEAR(asgi->task_type);
    asgi->task_keywords = PyObject_GetAttrString(asgi->half, "task_keywords");
    return PyErr_Occurred() ? -1 : 0;
}

/* A new list; NULL with an exception. */
static PyObject *new_templates(struct worker *worker, bool websocket)
{
    Py_ssize_t count = (Py_ssize_t)worker->engine->listener_count;
    PyObject *templates = METHODS_CALL(asgi_of(worker)->methods, scopes,
                                       PyBool_FromLong(worker->tls), PyBool_FromLong(websocket));
    if (!templates || (PyList_Check(templates) && PyList_GET_SIZE(templates) > count))
        return templates;
    Py_DECREF(templates);
    PyErr_SetString(PyExc_SystemError, "a template for each listener, and one more, was expected");
    return NULL;
}

static int make_templates(struct worker *worker, struct asgi *asgi)
{
    asgi->templates = new_templates(worker, false);
    asgi->websocket_templates = asgi->templates ? new_templates(worker, true) : NULL;
    return asgi->websocket_templates ? 0 : -1;
}

static int asgi_open(struct worker *worker)
{
    struct asgi *asgi = worker->app = PyMem_Calloc(1, sizeof(*asgi));
    if (!asgi) {
        PyErr_NoMemory();
        return -1;
    }
    asgi->thread = pthread_self();
    list_init(&asgi->channels);
    if (make_names(asgi) < 0 || make_messages(asgi) < 0 || pairs_init(&asgi->pairs) < 0 ||
        open_half(worker, asgi) < 0 || make_templates(worker, asgi) < 0)
        return -1;
    make_futures(asgi);
    asgi->done = awaitable_new_done(worker->state);
    return asgi->done ? 0 : -1;
}

static int asgi_visit(struct worker *worker, visitproc visit, void *arg)
{
    struct asgi *asgi = asgi_of(worker);
    if (!asgi)
        return 0;
    Py_VISIT(asgi->half);
    Py_VISIT(asgi->templates);
    Py_VISIT(asgi->websocket_templates);
    Py_VISIT(asgi->context);
    Py_VISIT(asgi->trailers_extension);
    Py_VISIT(asgi->task_type);
    Py_VISIT(asgi->task_keywords);
    Py_VISIT(asgi->loop);
    Py_VISIT(asgi->tasks);
    Py_VISIT(asgi->done);
    Py_VISIT(asgi->request_message);
    Py_VISIT(asgi->disconnect_message);
    Py_VISIT(asgi->receive_message);
    Py_VISIT(asgi->client);
    int result = pairs_visit(&asgi->pairs, visit, arg);
    return result ? result : methods_visit(asgi->methods, ASGI_METHOD_COUNT, visit, arg);
}

static void asgi_clear(struct worker *worker)
{
    struct asgi *asgi = asgi_of(worker);
    if (!asgi)
        return;
    channel_cut_all(asgi);
    Py_CLEAR(asgi->half);
    Py_CLEAR(asgi->templates);
    Py_CLEAR(asgi->websocket_templates);
    Py_CLEAR(asgi->context);
    Py_CLEAR(asgi->trailers_extension);
    Py_CLEAR(asgi->task_type);
    Py_CLEAR(asgi->task_keywords);
    Py_CLEAR(asgi->loop);
    Py_CLEAR(asgi->tasks);
    Py_CLEAR(asgi->done);
    Py_CLEAR(asgi->empty);
    Py_CLEAR(asgi->request_message);
    Py_CLEAR(asgi->disconnect_message);
    Py_CLEAR(asgi->receive_message);
    Py_CLEAR(asgi->client);
    pairs_clear(&asgi->pairs);
    for (int i = 0; i < ASGI_NAME_COUNT; i++)
        Py_CLEAR(asgi->names[i]);
    methods_clear(asgi->methods, ASGI_METHOD_COUNT);
}

static void asgi_close(struct worker *worker)
{
    PyMem_Free(worker->app);
    worker->app = NULL;
}

/* A call keeps nothing of its own for the next request. */

static int asgi_visit_call(struct call *call, visitproc visit, void *arg)
{
    (void)call;
    (void)visit;
    (void)arg;
    return 0;
}

static void asgi_free_call(struct call *call)
{
    (void)call;
}

const struct app_kind asgi_kind = {
    .name = "asgi",
    .ops = &asgi_ops,
    .at_head = true,
    .call_size = sizeof(struct asgi_call),
    .open = asgi_open,
    .visit = asgi_visit,
    .clear = asgi_clear,
    .close = asgi_close,
    .visit_call = asgi_visit_call,
    .free_call = asgi_free_call,
};
