#include "ext/worker/engine_type.h"

#include "ext/worker/access.h"
#include "ext/worker/engine_loop.h"
#include "ext/worker/engine_start.h"
#include "ext/worker/timeout.h"
#include "serve/engine/host.h"
#include "serve/engine/rehearsal.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/*
 * Engine(worker, threads=0, loop=False, wait=None): with threads the main thread looks after
 * signals alone; with loop there is no run(), but the methods of engine_loop.c.
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
    if (self->worker.object) {
        PyErr_SetString(PyExc_RuntimeError, "an Engine is made once");
        return -1;
    }
    self->worker.module = PyType_GetModule(Py_TYPE(op));
    if (!self->worker.module)
        return -1;
    Py_INCREF(self->worker.module);
    self->worker.state = core_state_of(self->worker.module);
    self->worker.wait = wait == Py_None ? NULL : Py_NewRef(wait);
    return engine_start(self, worker, threads, loop);
}

/* Serves in this thread until the worker stops; raises the exception of a signal handler. */
static PyObject *engine_run(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct engine *engine = engine_of(op);
    if (!engine)
        return NULL;
    host_run(engine, !worker_of(op)->threaded);
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
    worker_check_process(worker_of(op), NULL);
    access_reopen(worker_of(op));
    if (timeout_check(worker_of(op), NULL) < 0)
        return NULL;
    return PyBool_FromLong(!atomic_load(&engine->stopped));
}

/* overdue(signal, frame): the handler of SIGURG, in the main thread. */
static PyObject *engine_overdue(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    PyObject *frame = count > 1 && args[1] != Py_None ? args[1] : NULL;
    if (!engine_of(op) || timeout_check(worker_of(op), frame) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* may_raise(serial): the hub asks this before it throws RequestTimeout into a greenlet. */
static PyObject *engine_may_raise(PyObject *op, PyObject *serial)
{
    unsigned long long number = PyLong_AsUnsignedLongLong(serial);
    if (PyErr_Occurred() || !engine_of(op))
        return NULL;
    return PyBool_FromLong(timeout_may_raise(worker_of(op), number));
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
    return engine_of(op) ? PyLong_FromUnsignedLong(worker_of(op)->running) : NULL;
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

static int visit_kind(struct worker *worker, visitproc visit, void *arg)
{
    if (!worker->kind)
        return 0;
    int result = call_visit_all(worker, visit, arg);
    return result ? result : worker->kind->visit(worker, visit, arg);
}

static int engine_traverse(PyObject *op, visitproc visit, void *arg)
{
    struct engine_object *self = (struct engine_object *)op;
    struct worker *worker = &self->worker;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->exchange);
    Py_VISIT(self->slot);
    Py_VISIT(self->own_fields);
    Py_VISIT(worker->module);
    Py_VISIT(worker->object);
    Py_VISIT(worker->application);
    Py_VISIT(worker->cfg);
    Py_VISIT(worker->log);
    Py_VISIT(worker->bridge);
    Py_VISIT(worker->wait);
    Py_VISIT(worker->timeout_error);
    Py_VISIT(worker->current);
    Py_VISIT(worker->run_one);
    Py_VISIT(worker->collect);
    int result = methods_visit(worker->methods, BRIDGE_METHOD_COUNT, visit, arg);
    return result ? result : visit_kind(worker, visit, arg);
}

/* The exchange, the slot and the lines of fields are the engine's, too, and stay to its end. */
static int engine_clear(PyObject *op)
{
    struct worker *worker = worker_of(op);
    Py_CLEAR(worker->object);
    Py_CLEAR(worker->application);
    Py_CLEAR(worker->cfg);
    Py_CLEAR(worker->log);
    Py_CLEAR(worker->bridge);
    Py_CLEAR(worker->wait);
    Py_CLEAR(worker->timeout_error);
    Py_CLEAR(worker->current);
    Py_CLEAR(worker->run_one);
    Py_CLEAR(worker->collect);
    methods_clear(worker->methods, BRIDGE_METHOD_COUNT);
    if (worker->kind)
        worker->kind->clear(worker);
    return 0;
}

static void engine_dealloc(PyObject *op)
{
    struct engine_object *self = (struct engine_object *)op;
    struct worker *worker = &self->worker;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (worker->engine && engine_is_ours(worker->engine))
        engine_destroy(worker->engine);
    call_free_all(worker);
    engine_clear(op);
    if (worker->kind)
        worker->kind->close(worker);
    text_cache_clear(&worker->texts);
    Py_XDECREF(self->exchange);
    Py_XDECREF(self->own_fields);
    Py_XDECREF(self->slot);
    Py_XDECREF(worker->module);
    options_free(&self->options);
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
    {"heard", engine_heard, METH_O,
     "heard(rests, /)\n--\n\nTake note of the news. rests: the application has no task."},
    {"turn", engine_turn, METH_O,
     "turn(start, /)\n--\n\nDo what is due without waiting, and start(function) for each request\n"
     "that is ready; function runs it. start may be None: function() is called at once. True once\n"
     "no connection is taken any more."},
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
