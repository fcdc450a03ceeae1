#include "ext/asgi/awaitable.h"

#include "base/clock.h"

enum { TURN_MS = 4 }; /* after which a task lets others run, although it need not wait */

struct awaitable {
    PyObject_HEAD struct list link; /* in the queue, while it has a future */
    struct awaitable_queue *queue;
    PyObject *owner;
    PyObject *future; /* the task waits for it; NULL: it does not wait */
    awaitable_poll poll;
    bool resumed; /* the loop has turned since it was first awaited */
    bool over;
};

PyObject *awaitable_new(struct core_state *state, PyObject *owner, struct awaitable_queue *queue,
                        awaitable_poll poll)
{
    struct awaitable *self = PyObject_GC_New(struct awaitable, state->awaitable_type);
    if (!self)
        return NULL;
    list_init(&self->link);
    self->queue = queue;
    self->owner = Py_XNewRef(owner);
    self->future = NULL;
    self->poll = poll;
    self->resumed = self->over = false;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static PyObject *poll_nothing(PyObject *owner)
{
    (void)owner;
    Py_RETURN_NONE;
}

PyObject *awaitable_new_done(struct core_state *state)
{
    return awaitable_new(state, NULL, NULL, poll_nothing);
}

/* It waits no longer. */
static void stop_waiting(struct awaitable *self)
{
    list_remove(&self->link);
    Py_CLEAR(self->future);
}

/* Completes the future; a task that was cancelled has done so itself. */
static void complete(const struct awaitable_futures *futures, PyObject *future)
{
    PyObject *done = PyObject_CallMethodNoArgs(future, futures->done);
    PyObject *set =
        done == Py_False ? PyObject_CallMethodOneArg(future, futures->set_result, Py_None) : NULL;
    if (!done || (done == Py_False && !set))
        PyErr_WriteUnraisable(future);
    Py_XDECREF(set);
    Py_XDECREF(done);
}

void awaitable_wake(struct awaitable_queue *queue)
{
    while (!list_empty(&queue->waiting)) {
        struct awaitable *self = list_entry(queue->waiting.next, struct awaitable, link);
        PyObject *future = Py_NewRef(self->future);
        stop_waiting(self);
        complete(queue->futures, future);
        Py_DECREF(future);
    }
}

/* A new Future for the task, as its own __await__() would give it: a new reference. */
static PyObject *wait_for_wake(struct awaitable *self)
{
    const struct awaitable_futures *futures = self->queue->futures;
    PyObject *future = PyObject_CallNoArgs(futures->create);
    if (!future || PyObject_SetAttr(future, futures->blocking, Py_True) < 0) {
        Py_XDECREF(future);
        return NULL;
    }
    self->future = Py_NewRef(future);
    list_push(&self->queue->waiting, &self->link);
    return future;
}

/* Whether the loop has to turn first: a task whose client always has more for it would not let any
 * other run. */
static bool gives_way(struct awaitable *self)
{
    struct awaitable_queue *queue = self->queue;
    uint64_t now_ms = clock_ms();
    bool fresh = self->resumed || queue->turn_ms == 0;
    self->resumed = true;
    if (fresh)
        queue->turn_ms = now_ms;
    return !fresh && now_ms - queue->turn_ms >= TURN_MS;
}

static PySendResult fail(struct awaitable *self)
{
    self->over = true;
    return PYGEN_ERROR;
}

static PySendResult awaitable_step(PyObject *op, PyObject *value, PyObject **result)
{
    struct awaitable *self = (struct awaitable *)op;
    (void)value;
    *result = NULL;
    if (self->over) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return PYGEN_ERROR;
    }
    stop_waiting(self);
    if (self->queue && gives_way(self)) {
        *result = Py_NewRef(Py_None); /* as asyncio.sleep(0) does */
        return PYGEN_NEXT;
    }
    *result = self->poll(self->owner);
    if (*result) {
        self->over = self->queue != NULL;
        return PYGEN_RETURN;
    }
    if (PyErr_Occurred())
        return fail(self);
    *result = wait_for_wake(self);
    return *result ? PYGEN_NEXT : fail(self);
}

/* A result of None ends it without an exception, as the interpreter allows for iterators. */
static PyObject *awaitable_next(PyObject *op)
{
    PyObject *result;
    PySendResult sent = awaitable_step(op, Py_None, &result);
    if (sent != PYGEN_RETURN)
        return result;
    if (result != Py_None)
        PyErr_SetObject(PyExc_StopIteration, result);
    Py_DECREF(result);
    return NULL;
}

static PyObject *awaitable_send(PyObject *op, PyObject *value)
{
    (void)value;
    PyObject *next = awaitable_next(op);
    if (!next && !PyErr_Occurred())
        PyErr_SetNone(PyExc_StopIteration);
    return next;
}

/* throw(exception), or with type, value and traceback. */
static PyObject *awaitable_throw(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    struct awaitable *self = (struct awaitable *)op;
    stop_waiting(self);
    self->over = self->queue != NULL;
    if (count < 1 || count > 3) {
        PyErr_Format(PyExc_TypeError, "throw() takes 1 to 3 arguments, got %zd", count);
        return NULL;
    }
    PyObject *value = count > 1 && args[1] != Py_None ? args[1] : NULL;
    if (PyExceptionInstance_Check(args[0]))
        PyErr_SetObject((PyObject *)Py_TYPE(args[0]), args[0]);
    else if (PyExceptionClass_Check(args[0]))
        PyErr_SetObject(args[0], value);
    else
        PyErr_Format(PyExc_TypeError, "throw() of %R, which is no exception", args[0]);
    return NULL;
}

static PyObject *awaitable_close(PyObject *op, PyObject *unused)
{
    struct awaitable *self = (struct awaitable *)op;
    (void)unused;
    stop_waiting(self);
    self->over = self->queue != NULL;
    Py_RETURN_NONE;
}

static int awaitable_traverse(PyObject *op, visitproc visit, void *arg)
{
    struct awaitable *self = (struct awaitable *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->owner);
    Py_VISIT(self->future);
    return 0;
}

static int awaitable_clear(PyObject *op)
{
    struct awaitable *self = (struct awaitable *)op;
    stop_waiting(self);
    self->over = true; /* without its owner it has no queue to wait in */
    Py_CLEAR(self->owner);
    return 0;
}

static void awaitable_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    awaitable_clear(op);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

static PyMethodDef awaitable_methods[] = {
    {"send", awaitable_send, METH_O, "send(value, /)\n--\n\nGo on; StopIteration has the result."},
    {"throw", (PyCFunction)(void (*)(void))awaitable_throw, METH_FASTCALL,
     "throw(exception, /)\n--\n\nEnd it by the exception."},
    {"close", awaitable_close, METH_NOARGS, "close()\n--\n\nEnd it."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot awaitable_slots[] = {
    {Py_tp_dealloc, awaitable_dealloc},
    {Py_tp_traverse, awaitable_traverse},
    {Py_tp_clear, awaitable_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, awaitable_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, awaitable_step},
    {Py_tp_methods, awaitable_methods},
    {Py_tp_doc, "An awaitable of receive() or send()."},
    {0, NULL},
};

PyType_Spec awaitable_spec = {
    .name = "gunicorn._core.Awaitable",
    .basicsize = sizeof(struct awaitable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = awaitable_slots,
};
