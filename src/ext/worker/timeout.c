#include "ext/worker/timeout.h"

#include "base/clock.h"
#include "proc/children/scoreboard.h"
#include "serve/engine/deadline.h"
#include "serve/engine/limits.h"
#include "serve/request/stream.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * `request_timeout`: gunicorn.errors.RequestTimeout is raised where the application runs.
 *
 * overdue() informs a thread that has the interpreter: the main thread. It raises at once when the
 * request runs in itself (it was interrupted by SIGURG, so a system call ends, too); in another
 * thread by PyThreadState_SetAsyncExc(); in another greenlet by way of the hub. Nothing is raised
 * but between timeout_enter() and timeout_leave(), when the application is at work: hooks, the
 * access log and the next request are never hit. Both run in the request's own thread with the
 * interpreter held, as does the code that raises. An exception that was raised in a thread and has
 * not arrived there is taken back by timeout_leave().
 */

enum { DEADLINE_SIGNAL = SIGURG, STACKS_SIGNAL = SIGVTALRM, LINE_MAX_SIZE = 512 };

/* environ['gunicorn.deadline'] */

struct deadline_object {
    PyObject_HEAD struct call *call; /* NULL when the request is over */
};

static struct deadline *deadline_of(PyObject *op)
{
    struct call *call = ((struct deadline_object *)op)->call;
    if (!call || !call->request) {
        PyErr_SetString(PyExc_RuntimeError, "the request that this belongs to is over");
        return NULL;
    }
    return &call->request->deadline;
}

static PyObject *get_remaining(PyObject *op, void *unused)
{
    (void)unused;
    const struct deadline *deadline = deadline_of(op);
    if (!deadline)
        return NULL;
    if (deadline->serial == 0)
        return PyFloat_FromDouble((double)INFINITY);
    return PyFloat_FromDouble((double)deadline->at_ms / 1e3 - (double)clock_ns() / 1e9);
}

static PyObject *extend(PyObject *op, PyObject *argument)
{
    double seconds = PyFloat_AsDouble(argument);
    if (seconds == -1 && PyErr_Occurred())
        return NULL;
    if (isnan(seconds) || seconds < 0) {
        PyErr_Format(PyExc_ValueError, "extend() by %R: a number of seconds from 0 on is needed",
                     argument);
        return NULL;
    }
    struct deadline *deadline =
        deadline_of(op); /* now: the argument's code may have run for long */
    if (!deadline)
        return NULL;
    double ms = seconds < DEADLINE_MAX_S ? seconds * 1000 : DEADLINE_MAX_S * 1000.0;
    struct call *call = ((struct deadline_object *)op)->call;
    deadline_extend(&call->worker->engine->deadlines, deadline, (uint64_t)ms);
    Py_RETURN_NONE;
}

static void deadline_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_Free(op);
    Py_DECREF(type);
}

static PyMethodDef deadline_methods[] = {
    {"extend", extend, METH_O,
     "extend(seconds, /)\n--\n\nGive the request so much more time. After RequestTimeout was "
     "raised,\nonly until its worker is given up."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef deadline_getset[] = {
    {"remaining", get_remaining, NULL,
     "Seconds until RequestTimeout is raised; below 0 afterwards, infinite when the application\n"
     "has taken the client's socket over.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot deadline_slots[] = {
    {Py_tp_dealloc, deadline_dealloc},
    {Py_tp_methods, deadline_methods},
    {Py_tp_getset, deadline_getset},
    {Py_tp_doc, "How long a request may take: environ['gunicorn.deadline'] with request_timeout."},
    {0, NULL},
};

PyType_Spec timeout_spec = {
    .name = "gunicorn._core.Deadline",
    .basicsize = sizeof(struct deadline_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = deadline_slots,
};

void timeout_detach(PyObject *object)
{
    ((struct deadline_object *)object)->call = NULL;
}

/* A request begins, goes into the application, and comes back */

int timeout_attach(struct call *call)
{
    struct worker *worker = call->worker;
    call->raised = false;
    call->thread = PyThread_get_thread_ident();
    if (!call->deadline) {
        struct deadline_object *object =
            PyObject_New(struct deadline_object, worker->state->deadline_type);
        if (!object)
            return -1;
        object->call = call;
        call->deadline = (PyObject *)object;
    }
    if (!worker->current)
        return 0;
    call->coroutine = PyObject_CallNoArgs(worker->current);
    return call->coroutine ? 0 : -1;
}

int timeout_enter(struct call *call)
{
    if (!call->deadline)
        return 0;
    if (call->request->deadline.reported) { /* a hook took all the time */
        call->raised = true;
        PyErr_SetNone(call->worker->timeout_error);
        return -1;
    }
    call->inside = true;
    return 0;
}

void timeout_leave(struct call *call)
{
    if (!call->inside)
        return;
    call->inside = false;
    if (call->raised && call->worker->threaded)
        PyThreadState_SetAsyncExc(call->thread, NULL);
}

void timeout_drop(struct call *call)
{
    if (call->deadline)
        deadline_end(&call->worker->engine->deadlines, &call->request->deadline);
}

/* Raising */

enum place { NOWHERE, HERE, ELSEWHERE };

/* Does the request run in the thread, and the greenlet, that looks? */
static enum place place_of(struct call *call)
{
    struct worker *worker = call->worker;
    if (worker->threaded)
        return ELSEWHERE;
    if (!call->coroutine)
        return HERE;
    PyObject *runs = METHODS_CALL(worker->methods, runs_now, Py_NewRef(worker->current),
                                  Py_NewRef(call->coroutine));
    int truth = runs ? PyObject_IsTrue(runs) : -1;
    if (truth < 0)
        PyErr_WriteUnraisable(worker->bridge);
    Py_XDECREF(runs);
    return truth > 0 ? HERE : ELSEWHERE;
}

static PyObject *stack_of(struct call *call, enum place place, PyObject *frame)
{
    PyObject **methods = call->worker->methods, *stack;
    if (place == HERE)
        stack = METHODS_CALL(methods, stack_of_frame, Py_NewRef(frame ? frame : Py_None));
    else if (call->coroutine)
        stack = METHODS_CALL(methods, stack_of_greenlet, Py_NewRef(call->coroutine));
    else
        stack = METHODS_CALL(methods, stack_of_thread, PyLong_FromUnsignedLong(call->thread));
    if (stack)
        return stack;
    PyErr_WriteUnraisable(call->worker->bridge);
    return PyList_New(0);
}

/* A thread that waits for its client waits in our C code: the client is taken away. */
static void raise_in_thread(struct call *call)
{
    const struct request *request = call->request;
    call->raised = true;
    PyThreadState_SetAsyncExc(call->thread, call->worker->timeout_error);
    if (request->blocked > 0)
        request_interrupt(call->request, request->response.sent_head);
}

static void raise_in_greenlet(struct call *call, uint64_t serial)
{
    PyObject *asked = METHODS_CALL(call->worker->methods, interrupt, Py_NewRef(call->coroutine),
                                   PyLong_FromUnsignedLongLong(serial));
    if (!asked)
        PyErr_WriteUnraisable(call->worker->object);
    Py_XDECREF(asked);
}

static PyObject *text_of(struct str text)
{
    return PyUnicode_DecodeLatin1(text.p, (Py_ssize_t)text.n, NULL);
}

/* Of a request that runs: method and path, its age, whether the application is at work. */
struct about {
    PyObject *method, *target;
    double age;
    bool inside, later;
};

/* Makes no object that the garbage collector knows of, so that no Python code runs. */
static struct about look_at(const struct call *call, enum place place)
{
    const struct request *request = call->request;
    return (struct about){
        .method = text_of(request_method(request)),
        .target = text_of(request_target(request)),
        .age = (double)(clock_ns() - request->begun_ns) / 1e9,
        .inside = call->inside,
        .later = call->coroutine && place != HERE,
    };
}

/* The same with its stack, for Python: steals all. */
static PyObject *describe(const struct about *about, PyObject *stack)
{
    return Py_BuildValue("NNdNOO", about->method, about->target, about->age, stack,
                         about->inside ? Py_True : Py_False, about->later ? Py_True : Py_False);
}

static void log_overdue(struct worker *worker, const struct about *about, PyObject *stack,
                        bool stuck)
{
    PyObject *described = describe(about, stack);
    PyObject *done = stuck ? METHODS_CALL(worker->methods, stuck, described)
                           : METHODS_CALL(worker->methods, overdue, described);
    if (!done)
        PyErr_WriteUnraisable(worker->bridge);
    Py_XDECREF(done);
}

/* Reports one request: HERE when the caller has to raise the exception. */
static enum place tell(struct worker *worker, struct request *request, PyObject *frame)
{
    struct deadlines *deadlines = &worker->engine->deadlines;
    struct call *call = request->call;
    uint64_t serial = request->deadline.serial;
    bool first = !request->deadline.reported;
    if (!call) { /* it has just begun, or is as good as over */
        deadline_reported(deadlines, serial);
        return NOWHERE;
    }
    enum place place = place_of(call);
    PyObject *stack = stack_of(call, place, frame);
    /* Others have run meanwhile: is it still the same request? */
    if (!stack || !deadline_reported(deadlines, serial)) {
        Py_XDECREF(stack);
        return NOWHERE;
    }
    /* From here until the exception is raised none of them does. */
    bool stuck = request->deadline.stuck;
    bool raises = first && call->inside;
    struct about about = look_at(call, place);
    if (raises && place == ELSEWHERE && worker->threaded)
        raise_in_thread(call);
    else if (raises && place == ELSEWHERE)
        raise_in_greenlet(call, serial);
    else if (raises)
        call->raised = true;
    if (first)
        metrics_add_shared(&worker->engine->metrics->request_timeouts, 1);
    log_overdue(worker, &about, stack, stuck);
    return raises ? place : NOWHERE;
}

int timeout_check(struct worker *worker, PyObject *frame)
{
    struct deadline *deadline;
    bool here = false;
    if (!worker->timeout_error || worker->engine->ops->events) /* REQUEST_DEADLINE says it */
        return 0;
    if (worker->telling) /* the signal came again meanwhile */
        return 0;
    worker->telling = true;
    while ((deadline = deadlines_next(&worker->engine->deadlines)))
        here |= tell(worker, list_entry(deadline, struct request, deadline), frame) == HERE;
    worker->telling = false;
    if (!here)
        return 0;
    PyErr_SetNone(worker->timeout_error);
    return -1;
}

void timeout_report_at_end(struct call *call)
{
    struct worker *worker = call->worker;
    if (call->deadline && deadline_is_unheard(&worker->engine->deadlines, &call->request->deadline))
        tell(worker, call->request, NULL);
}

bool timeout_may_raise(struct worker *worker, uint64_t serial)
{
    struct deadline *deadline = deadlines_find(&worker->engine->deadlines, serial);
    struct call *call = deadline ? list_entry(deadline, struct request, deadline)->call : NULL;
    if (!call || !call->inside)
        return false;
    call->raised = true;
    return true;
}

/* The stand-by calls, in its own thread, without the interpreter */

void timeout_overdue(void *app)
{
    struct worker *worker = app;
    if (worker->threaded || worker->current) /* the main thread waits, or may */
        (void)!write(worker->wake_fd, "", 1);
    if (!worker->threaded)
        pthread_kill(worker->main_thread, DEADLINE_SIGNAL);
}

/* The interpreter is held by C code: logs as much as is possible without it. */
static void log_unheard(struct worker *worker)
{
    char line[LINE_MAX_SIZE], when[32];
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S %z", &tm);
    int n = snprintf(line, sizeof(line),
                     "[%s] [%d] [ERROR] A request is over request_timeout and "
                     "request_timeout_grace, and C code does not let go of the interpreter. This "
                     "worker is replaced. What runs:\n",
                     when, (int)getpid());
    (void)!write(worker->stacks_fd, line, (size_t)n);
    pthread_kill(worker->main_thread, STACKS_SIGNAL);
}

void timeout_give_up(void *app, bool unheard)
{
    struct worker *worker = app;
    if (unheard && worker->stacks_fd >= 0)
        log_unheard(worker);
    if (worker->slot)
        slot_retire(worker->slot, REASON_REQUEST_TIMEOUT);
    else
        engine_drain(worker->engine);
}

int timeout_init(struct worker *worker, PyObject *overdue)
{
    worker->stacks_fd = -1;
    if (worker->engine->deadlines.timeout_ms == 0)
        return 0;
    bool by_signal = !worker->threaded && !worker->engine->ops->events;
    PyObject *watched =
        METHODS_CALL(worker->methods, watch_deadlines, Py_NewRef(by_signal ? overdue : Py_None),
                     PyLong_FromLong(DEADLINE_SIGNAL), PyLong_FromLong(STACKS_SIGNAL));
    if (!watched)
        return -1;
    PyObject *error, *current;
    int parsed =
        PyArg_ParseTuple(watched, "OOii", &error, &current, &worker->wake_fd, &worker->stacks_fd);
    if (parsed) {
        worker->timeout_error = Py_NewRef(error);
        worker->current = current == Py_None ? NULL : Py_NewRef(current);
        worker->main_thread = pthread_self();
    }
    Py_DECREF(watched);
    return parsed ? 0 : -1;
}
