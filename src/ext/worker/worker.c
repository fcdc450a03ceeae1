#include "ext/worker/worker.h"

#include "base/clock.h"
#include "ext/worker/access.h"
#include "serve/request/stream.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

bool worker_is_alive(struct worker *worker)
{
    PyObject *alive = PyObject_GetAttr(worker->object, NAME(worker->state, alive));
    int result = alive ? PyObject_IsTrue(alive) : -1;
    Py_XDECREF(alive);
    if (result < 0)
        PyErr_WriteUnraisable(worker->object);
    return result > 0;
}

Py_ssize_t worker_listener(const struct worker *worker, const struct request *request)
{
    const struct listener *listener = request_listener(request);
    return listener->inner ? 0 : (Py_ssize_t)(listener - worker->engine->listeners);
}

void worker_end_child(struct worker *worker, const struct request *request)
{
    PyObject *raised = PyErr_GetRaisedException();
    struct str method = request ? request_method(request) : STR("");
    struct str target = request ? request_target(request) : STR("");
    Py_XDECREF(METHODS_CALL(worker->methods, end_child, Py_NewRef(raised ? raised : Py_None),
                            text_new(method.p, method.n), text_new(target.p, target.n)));
    _exit(1);
}

/* The interpreter's thread state of this application thread, while it is detached. */
static _Thread_local PyThreadState *detached;

void worker_attach(void *app)
{
    (void)app;
    PyEval_RestoreThread(detached);
}

void worker_detach(void *app)
{
    (void)app;
    detached = PyEval_SaveThread();
}

bool worker_interrupted(void *app)
{
    struct worker *worker = app;
    int raised = PyErr_CheckSignals();
    worker_check_process(worker, NULL);
    if (raised < 0) {
        engine_stop(worker->engine); /* run() raises the handler's exception */
        return true;
    }
    access_reopen(worker);
    return worker_is_alive(worker);
}

/* Also called on the way out, with the exception that run() is to raise. */
void worker_note(void *app, enum note_level level, const char *text)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    struct worker *worker = app;
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *done =
        METHODS_CALL(worker->methods, note, PyUnicode_FromString(names[level]),
                     PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace"));
    if (!done)
        PyErr_WriteUnraisable(worker->log);
    Py_XDECREF(done);
    PyErr_SetRaisedException(raised);
}

static int wait_in_loop(struct worker *worker, int fd, short events, int timeout_ms)
{
    PyObject *ready = PyObject_CallFunction(worker->wait, "iNd", fd,
                                            PyBool_FromLong(events & POLLOUT), timeout_ms / 1e3);
    int result = ready ? PyObject_IsTrue(ready) : -1;
    Py_XDECREF(ready);
    return result;
}

/* A handler of a signal may end the wait by an exception. */
static int wait_in_thread(int fd, short events, int timeout_ms)
{
    uint64_t until = clock_ms() + (uint64_t)timeout_ms, now;
    for (;;) {
        struct pollfd pollfd = {.fd = fd, .events = events};
        int result;
        Py_BEGIN_ALLOW_THREADS
        result = poll(&pollfd, 1, timeout_ms);
        Py_END_ALLOW_THREADS
        if (result >= 0 || errno != EINTR)
            return result;
        if (PyErr_CheckSignals() < 0)
            return -1;
        now = clock_ms();
        timeout_ms = now < until ? (int)(until - now) : 0;
    }
}

int worker_wait(void *app, int fd, short events, int timeout_ms)
{
    struct worker *worker = app;
    if (worker->wait)
        return wait_in_loop(worker, fd, events, timeout_ms);
    return wait_in_thread(fd, events, timeout_ms);
}

/*
 * SIGTERM comes once more: its handler, in the main thread, raises SystemExit in the code that runs
 * there. From now on it also ends a system call that waits.
 */
void worker_cut_off(void *app)
{
    struct sigaction action;
    (void)app;
    if (sigaction(SIGTERM, NULL, &action) == 0) {
        action.sa_flags &= ~SA_RESTART;
        sigaction(SIGTERM, &action, NULL);
    }
    kill(getpid(), SIGTERM);
}

void worker_release(void *app, void *ref)
{
    (void)app;
    Py_DECREF((PyObject *)ref);
}
