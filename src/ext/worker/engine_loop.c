#include "ext/worker/engine_loop.h"

#include "base/clock.h"
#include "ext/core/frame_cache.h"
#include "proc/children/scoreboard.h"
#include "serve/engine/loop_host.h"

/*
 * An application in a foreign event loop: turn() leads a step of the engine and starts what is
 * ready, each request through the worker's start(), which may run it in a greenlet. Such a request
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

PyObject *engine_heard(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct engine *engine = loop_engine(op);
    if (!engine)
        return NULL;
    loop_host_heard(engine);
    Py_RETURN_NONE;
}

/* The function of one request: runs it in whatever coroutine it is called. */
static PyObject *run_one(PyObject *op, PyObject *unused)
{
    (void)unused;
    struct wsgi *wsgi = engine_wsgi(op);
    struct engine *engine = wsgi->engine;
    loop_host_run_one(engine);
    if (wsgi->in_turn)
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
    engine_collect(engine_wsgi(op)->engine);
    Py_RETURN_NONE;
}

static PyMethodDef started[] = {
    {"run_one", run_one, METH_NOARGS, NULL},
    {"collect", collect, METH_NOARGS, NULL},
};

int engine_loop_init(PyObject *op)
{
    struct wsgi *wsgi = engine_wsgi(op);
    if (loop_host_fd(wsgi->engine) < 0) {
        PyErr_SetString(PyExc_RuntimeError, "this system has no event loop within another");
        return -1;
    }
    if (wsgi->wait)
        frame_cache_install();
    wsgi->run_one = PyCFunction_New(&started[0], op);
    wsgi->collect = PyCFunction_New(&started[1], op);
    return wsgi->run_one && wsgi->collect ? 0 : -1;
}

static int start_one(PyObject *start, PyObject *function)
{
    PyObject *done = PyObject_CallOneArg(start, function);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int start_ready(struct wsgi *wsgi, PyObject *start)
{
    struct engine *engine = wsgi->engine;
    int result = 0;
    uint64_t until = clock_ms() + TURN_MS;
    while (result == 0 && loop_host_ready(engine)) {
        result = start_one(start, wsgi->run_one);
        if (clock_ms() > until) {
            ready_wake(&engine->ready);
            break;
        }
    }
    if (result == 0 && engine_has_garbage(engine))
        result = start_one(start, wsgi->collect);
    return result;
}

static void give_sign_of_life(struct wsgi *wsgi)
{
    if (wsgi->slot && atomic_load(&wsgi->engine->metrics->running) > 0)
        slot_beat(wsgi->slot, (int64_t)clock_ms());
}

static int look_after_signals(struct wsgi *wsgi)
{
    struct engine *engine = wsgi->engine;
    if (!atomic_exchange(&engine->interrupted, false))
        return 0;
    if (!engine->ops->interrupted(wsgi))
        engine_drain(engine);
    return PyErr_Occurred() ? -1 : 0;
}

PyObject *engine_turn(PyObject *op, PyObject *start)
{
    struct engine *engine = loop_engine(op);
    struct wsgi *wsgi = engine_wsgi(op);
    if (!engine)
        return NULL;
    give_sign_of_life(wsgi);
    loop_host_step(engine);
    if (look_after_signals(wsgi) < 0)
        return NULL;
    wsgi->in_turn = true;
    loop_host_give_events(engine);
    int result = start_ready(wsgi, start);
    wsgi->in_turn = false;
    if (result == 0)
        result = deadline_check(wsgi, NULL);
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
