#include "ext/worker/engine_loop.h"

#include "base/clock.h"
#include "ext/core/frame_cache.h"
#include "ext/worker/timeout.h"
#include "proc/children/scoreboard.h"
#include "serve/engine/loop_host.h"

/*
 * An application in a foreign event loop: turn() leads a step of the engine and starts the ready
 * requests, each through the worker's start(), which may run it in a greenlet. Such a request
 * may be left in the midst of its C functions and continued later, so nothing of it is kept in
 * thread-local or static places.
 */

enum { TURN_MS = 10 }; /* of requests that are started before the loop gets its own turn */

static struct engine *loop_engine(PyObject *op)
{
    struct engine *engine = engine_of(op);
    if (engine && !engine->options.loop_host) {
        PyErr_SetString(PyExc_RuntimeError, "this Engine was made without loop=True");
        return NULL;
    }
    return engine;
}

PyObject *engine_fileno(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct engine *engine = loop_engine(op);
    return engine ? PyLong_FromLong(loop_host_fd(engine)) : NULL;
}

PyObject *engine_news_fileno(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct engine *engine = loop_engine(op);
    return engine ? PyLong_FromLong(loop_host_news(engine)) : NULL;
}

PyObject *engine_heard(PyObject *op, PyObject *rests)
{
    struct engine *engine = loop_engine(op);
    if (!engine)
        return NULL;
    loop_host_heard(engine, rests == Py_True);
    Py_RETURN_NONE;
}

/* The function of one request: runs it in the coroutine that calls it. */
static PyObject *run_one(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct worker *worker = worker_of(op);
    struct engine *engine = worker->engine;
    loop_host_run_one(engine);
    if (worker->in_turn)
        Py_RETURN_NONE;
    /* It was continued by the loop, which does not come by turn() before it waits. */
    loop_host_rest(engine);
    if (loop_host_ready(engine) || engine_has_garbage(engine))
        ready_wake(&engine->ready);
    Py_RETURN_NONE;
}

static PyObject *collect(PyObject *op, PyObject *unused)
{
    (void)unused;
    engine_collect(worker_of(op)->engine);
    Py_RETURN_NONE;
}

static PyMethodDef started[] = {
    {"run_one", run_one, METH_NOARGS, NULL},
    {"collect", collect, METH_NOARGS, NULL},
};

int engine_loop_init(PyObject *op)
{
    struct worker *worker = worker_of(op);
    if (loop_host_fd(worker->engine) < 0) {
        PyErr_SetString(PyExc_RuntimeError, "this system has no event loop within another");
        return -1;
    }
    if (worker->wait)
        frame_cache_install();
    worker->run_one = PyCFunction_New(&started[0], op);
    worker->collect = PyCFunction_New(&started[1], op);
    return worker->run_one && worker->collect ? 0 : -1;
}

static int start_one(PyObject *start, PyObject *function)
{
    PyObject *done =
        start == Py_None ? PyObject_CallNoArgs(function) : PyObject_CallOneArg(start, function);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int start_ready(struct worker *worker, PyObject *start)
{
    struct engine *engine = worker->engine;
    int result = 0;
    uint64_t until = clock_ms() + TURN_MS;
    while (result == 0 && loop_host_ready(engine)) {
        result = start_one(start, worker->run_one);
        if (clock_ms() > until) {
            ready_wake(&engine->ready);
            break;
        }
    }
    if (result == 0 && engine_has_garbage(engine))
        result = start_one(start, worker->collect);
    return result;
}

static void give_sign_of_life(struct worker *worker)
{
    if (!worker->slot)
        return;
    if (atomic_load(&worker->engine->metrics->running) > 0)
        slot_beat(worker->slot, (int64_t)clock_ms());
    else if (atomic_load(&worker->blocked) && atomic_exchange(&worker->blocked, false))
        slot_idle(worker->slot);
}

static int look_after_signals(struct worker *worker)
{
    struct engine *engine = worker->engine;
    if (!atomic_exchange(&engine->interrupted, false))
        return 0;
    if (!engine->ops->interrupted(worker))
        engine_drain(engine);
    return PyErr_Occurred() ? -1 : 0;
}

PyObject *engine_turn(PyObject *op, PyObject *start)
{
    struct engine *engine = loop_engine(op);
    struct worker *worker = worker_of(op);
    if (!engine)
        return NULL;
    give_sign_of_life(worker);
    loop_host_step(engine);
    if (look_after_signals(worker) < 0)
        return NULL;
    worker->in_turn = true;
    loop_host_give_events(engine);
    int result = start_ready(worker, start);
    worker->in_turn = false;
    if (result == 0)
        result = timeout_check(worker, NULL);
    loop_host_rest(engine);
    return result < 0
               ? NULL
               : PyBool_FromLong(atomic_load(&engine->draining) || atomic_load(&engine->stopped));
}

PyObject *engine_stopped(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct engine *engine = loop_engine(op);
    return engine ? PyBool_FromLong(atomic_load(&engine->stopped)) : NULL;
}
