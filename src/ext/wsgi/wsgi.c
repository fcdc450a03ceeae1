#include "ext/wsgi/wsgi.h"

#include "base/clock.h"
#include "ext/core/ext_tls.h"
#include "proc/children/scoreboard.h"
#include "serve/request/refusal.h"
#include "serve/request/response.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

static PyTypeObject *wrapper_type(const struct call *call)
{
    return call->wsgi->state->file_wrapper_type;
}

/* A sequence of one item is known to be the last one: head, body and end leave together. */
static int send_sequence(struct call *call, PyObject *result)
{
    bool list = PyList_CheckExact(result);
    for (Py_ssize_t i = 0;; i++) {
        Py_ssize_t size = list ? PyList_GET_SIZE(result) : PyTuple_GET_SIZE(result);
        if (i >= size)
            return 0;
        PyObject *item = list ? PyList_GET_ITEM(result, i) : PyTuple_GET_ITEM(result, i);
        Py_INCREF(item);
        int sent = call_write(call, item, i == size - 1);
        Py_DECREF(item);
        if (sent < 0)
            return -1;
    }
}

static int send_iterable(struct call *call, PyObject *result)
{
    PyObject *iterator = PyObject_GetIter(result);
    if (!iterator) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError,
                         "the application returned %.100R (%.100s), which is no iterable of byte "
                         "strings",
                         result, Py_TYPE(result)->tp_name);
        return -1;
    }
    PyObject *item;
    int sent = 0;
    call->request->response.streamed = true;
    while (sent == 0 && (item = PyIter_Next(iterator))) {
        sent = call_write(call, item, false);
        Py_DECREF(item);
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : sent;
}

void wsgi_end_child(struct wsgi *wsgi, const struct call *call)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    struct str method = call ? request_method(call->request) : STR("");
    struct str target = call ? request_target(call->request) : STR("");
    Py_XDECREF(PyObject_CallMethod(wsgi->handler, "end_child", "ONN", value ? value : Py_None,
                                   text_new(method.p, method.n), text_new(target.p, target.n)));
    _exit(1);
}

static int send_body(struct call *call, PyObject *result)
{
    wsgi_check_process(call->wsgi, call);
    if (PyObject_TypeCheck(result, wrapper_type(call))) {
        int sent = file_wrapper_send(call, result);
        if (sent != 0)
            return sent < 0 ? -1 : 0;
    }
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return send_sequence(call, result);
    return send_iterable(call, result);
}

static int finish_response(struct call *call)
{
    wsgi_check_process(call->wsgi, call);
    if (!call->request->response.started) {
        PyErr_SetString(PyExc_AssertionError,
                        "the application returned without calling start_response()");
        return -1;
    }
    enum response_error error = response_finish(call->request);
    return error == RESPONSE_OK ? 0 : raise_response_error(call, error, Py_None);
}

/* close() is called however the body ended (PEP 3333); an exception of the body goes first. */
static int close_result(PyObject *result)
{
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return 0;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *close = PyObject_GetAttrString(result, "close");
    PyObject *closed = NULL;
    if (close)
        closed = PyObject_CallNoArgs(close);
    else if (PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    Py_XDECREF(close);
    Py_XDECREF(closed);
    if (!type)
        return PyErr_Occurred() ? -1 : 0;
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(result);
    PyErr_Restore(type, value, traceback);
    return -1;
}

/*
 * The exception that is set ends the request: logged, answered by 500 when nothing was sent, by the
 * end of the connection when something was.
 */
static void fail(struct call *call)
{
    struct wsgi *wsgi = call->wsgi;
    struct request *request = call->request;
    PyObject *type, *value, *traceback;
    wsgi_check_process(wsgi, call);
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    struct str method = request_method(request), target = request_target(request);
    bool open = call->described && !request->response.sent_head && !call->socket_taken;
    PyObject *answer = PyObject_CallMethod(
        wsgi->handler, "failed", "ONNOOOO", value, text_new(method.p, method.n),
        text_new(target.p, target.n), request->response.broken ? Py_True : Py_False,
        call->socket_taken ? Py_True : Py_False, open ? call->described : Py_None, call->socket);
    int status = 500;
    const char *text = "";
    if (!answer || !PyArg_ParseTuple(answer, "is", &status, &text))
        PyErr_WriteUnraisable(wsgi->handler);
    if (call->raised && status == 500)
        status = 504;
    if (!request->response.sent_head && status > 0 && !call->socket_taken)
        refusal_send(request, status, text);
    response_abort(request);
    Py_XDECREF(answer);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

static int run_application(struct call *call, PyObject *environ)
{
    PyObject *args[] = {environ, call->start_response};
    PyObject *result = PyObject_Vectorcall(call->wsgi->application, args, 2, NULL);
    if (!result)
        return -1;
    int sent = send_body(call, result);
    if (sent == 0)
        sent = finish_response(call);
    if (sent < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_SystemError, "a response failed without an exception");
    if (close_result(result) < 0)
        sent = -1;
    Py_DECREF(result);
    return sent;
}

static int call_application(struct call *call, PyObject *environ)
{
    if (deadline_enter(call) < 0)
        return -1;
    int sent = run_application(call, environ);
    deadline_leave(call);
    return sent;
}

static bool is_alive(struct wsgi *wsgi)
{
    PyObject *alive = PyObject_GetAttr(wsgi->worker, NAME(wsgi->state, alive));
    int result = alive ? PyObject_IsTrue(alive) : -1;
    Py_XDECREF(alive);
    if (result < 0)
        PyErr_WriteUnraisable(wsgi->worker);
    return result > 0;
}

/* With hooks, an access log or methods of the worker's own, in gunicorn's order. */
static int serve_described(struct call *call)
{
    struct wsgi *wsgi = call->wsgi;
    call->begun = PyObject_CallMethod(wsgi->handler, "before", "O", call->described);
    wsgi_check_process(wsgi, call);
    if (!call->begun)
        return -1;
    call->environ = environ_build(wsgi, call);
    return call->environ ? call_application(call, call->environ) : -1;
}

static void tell_of_answer(struct call *call)
{
    struct wsgi *wsgi = call->wsgi;
    PyObject *environ = call->environ ? call->environ : Py_None;
    PyObject *response = describe_response(call);
    PyObject *done = response ? PyObject_CallMethod(wsgi->handler, "after", "OOOO", call->described,
                                                    environ, response, call->begun)
                              : NULL;
    if (!done)
        PyErr_WriteUnraisable(wsgi->handler);
    Py_XDECREF(done);
    Py_XDECREF(response);
}

/* Once: before the worker's own handle_request() goes on, which may change the request again. */
static void report(struct call *call)
{
    if (call->reported)
        return;
    call->reported = true;
    if (call->wsgi->engine->access_log)
        access_write(call, call->environ);
    if (call->begun)
        tell_of_answer(call);
}

/* handle_request() of a class may pass on other things than it was given. */
static int take_given(struct call *call, PyObject *const *args, Py_ssize_t count)
{
    if (count != 4) {
        PyErr_Format(PyExc_TypeError, "expected a request, two addresses and a socket, got %zd",
                     count);
        return -1;
    }
    PyObject *given = PyTuple_Pack(3, args[1], args[2], args[3]);
    if (!given)
        return -1;
    Py_XSETREF(call->given, given);
    Py_XSETREF(call->described, Py_NewRef(args[0]));
    return 0;
}

/* handle_request() of our worker classes calls it: (request, client, server, socket). */
static PyObject *proceed(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    (void)kwnames;
    struct call *call = bound_call(self);
    if (!call)
        return NULL;
    if (call->proceeds || call->begun) {
        PyErr_SetString(PyExc_RuntimeError, "handle_request() was called for this request before");
        return NULL;
    }
    if (take_given(call, args, PyVectorcall_NARGS(nargsf)) < 0)
        return NULL;
    call->proceeds = true;
    int sent = serve_described(call);
    if (sent == 0)
        report(call);
    call->proceeds = false;
    return sent < 0 ? NULL : Py_NewRef(Py_None);
}

/* The worker's own handle_request() may have caught what the application raised. */
static int check_answered(struct call *call)
{
    const struct response *response = &call->request->response;
    if (response->finished || response->broken || call->socket_taken)
        return 0;
    if (response->sent_head) {
        response_abort(call->request);
        return 0;
    }
    PyErr_SetString(PyExc_AssertionError,
                    "handle_request() of the worker returned without an answer");
    return -1;
}

/* It may have called ours in another thread or greenlet, and not waited for its end. */
static void await_proceeding(struct call *call)
{
    PyObject *raised[3];
    PyErr_Fetch(&raised[0], &raised[1], &raised[2]);
    while (call->proceeds)
        if (wsgi_ops.wait(call->wsgi, -1, 0, OTHERS_PAUSE_MS) < 0)
            PyErr_WriteUnraisable(call->wsgi->worker);
    PyErr_Restore(raised[0], raised[1], raised[2]);
}

static int serve_around(struct call *call)
{
    struct wsgi *wsgi = call->wsgi;
    const struct listener *listener = call->request->conn->listener;
    PyObject *on = bound_new(wsgi->state, proceed, call);
    if (!on)
        return -1;
    PyObject *done = PyObject_CallMethod(
        wsgi->handler, "around", "OOOn", call->described, call->socket, on,
        listener->inner ? (Py_ssize_t)0 : (Py_ssize_t)(listener - wsgi->engine->listeners));
    await_proceeding(call);
    bound_detach(on);
    Py_DECREF(on);
    wsgi_check_process(wsgi, call);
    Py_XDECREF(done);
    return done ? check_answered(call) : -1;
}

static void answer_described(struct call *call)
{
    struct wsgi *wsgi = call->wsgi;
    int sent = -1;
    call->described = describe_request(call);
    if (call->described)
        sent = wsgi->around ? serve_around(call) : serve_described(call);
    if (sent < 0)
        fail(call);
    report(call);
    if (!is_alive(wsgi)) /* a hook may end its worker so */
        engine_drain(wsgi->engine);
}

static void answer(struct call *call)
{
    if (call->wsgi->hooks) {
        answer_described(call);
        return;
    }
    PyObject *environ = environ_build(call->wsgi, call);
    if (!environ || call_application(call, environ) < 0)
        fail(call);
    if (call->wsgi->engine->access_log)
        access_write(call, environ);
    Py_XDECREF(environ);
}

static void retire(struct wsgi *wsgi)
{
    wsgi->retiring = true;
    PyObject *done = PyObject_CallMethod(wsgi->handler, "retire", NULL);
    if (!done)
        PyErr_WriteUnraisable(wsgi->handler);
    else if (done == Py_True)
        engine_drain(wsgi->engine);
    Py_XDECREF(done);
}

/* Returns the request's place in the table of those that run; without its query, which may hold
 * secrets. */
static int begin_slot(struct wsgi *wsgi, const struct request *request)
{
    int64_t now_ms = (int64_t)(request->begun_ns / 1000000);
    if (!wsgi->slot)
        return -1;
    if (wsgi->threaded)
        slot_thread_begin(wsgi->slot, now_ms);
    else
        slot_request_begin(wsgi->slot, now_ms);
    return running_begin(wsgi->slot->running, now_ms, request_method(request),
                         head_slice(request->input, request->head.path, request->head.path_len));
}

/* Beside a foreign loop others may still run; the loop gives signs of life then. */
static void end_slot(struct wsgi *wsgi, int place)
{
    if (!wsgi->slot)
        return;
    running_end(wsgi->slot->running, place);
    if (wsgi->threaded)
        slot_thread_end(wsgi->slot);
    else if (atomic_load(&wsgi->engine->metrics->running) <= 1)
        slot_request_end(wsgi->slot);
}

static void count_towards_max(struct wsgi *wsgi)
{
    unsigned long long served =
        atomic_fetch_add_explicit(&wsgi->served, 1, memory_order_relaxed) + 1;
    if (served >= wsgi->max_requests && !wsgi->retiring)
        retire(wsgi);
}

static enum run_result wsgi_run(void *app, struct request *request)
{
    struct wsgi *wsgi = app;
    int place = begin_slot(wsgi, request);
    wsgi->running++;
    struct call *call = call_begin(wsgi, request);
    if (call) {
        answer(call);
        wsgi_check_process(wsgi, call);
        if (call->socket_taken) {
            conn_because(request->conn, CLOSE_TAKEN);
            response_abort(request);
        }
        deadline_tell_at_end(call);
        call_end(call);
    } else {
        PyErr_WriteUnraisable(wsgi->application);
        refusal_send(request, 500, "");
    }
    if (wsgi->tls)
        ext_tls_look(wsgi, request->begun_ns);
    wsgi->running--;
    end_slot(wsgi, place);
    if (wsgi->max_requests > 0 && !request->conn->listener->inner)
        count_towards_max(wsgi);
    return RUN_DONE;
}

/* The interpreter's thread state of this application thread, while it is detached. */
static _Thread_local PyThreadState *detached;

static void wsgi_attach(void *app)
{
    (void)app;
    PyEval_RestoreThread(detached);
}

static void wsgi_detach(void *app)
{
    (void)app;
    detached = PyEval_SaveThread();
}

static bool wsgi_interrupted(void *app)
{
    struct wsgi *wsgi = app;
    int raised = PyErr_CheckSignals();
    wsgi_check_process(wsgi, NULL);
    if (raised < 0) {
        engine_stop(wsgi->engine); /* run() raises what the handler raised */
        return true;
    }
    access_reopen(wsgi);
    return is_alive(wsgi);
}

/* Also called on the way out, with the exception that run() is to raise. */
static void wsgi_note(void *app, enum note_level level, const char *text)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    struct wsgi *wsgi = app;
    PyObject *raised[3];
    PyErr_Fetch(&raised[0], &raised[1], &raised[2]);
    PyObject *line = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
    PyObject *done = line ? PyObject_CallMethod(wsgi->log, names[level], "sO", "%s", line) : NULL;
    if (!done)
        PyErr_WriteUnraisable(wsgi->log);
    Py_XDECREF(done);
    Py_XDECREF(line);
    PyErr_Restore(raised[0], raised[1], raised[2]);
}

static int wait_in_loop(struct wsgi *wsgi, int fd, short events, int timeout_ms)
{
    PyObject *ready = PyObject_CallFunction(wsgi->wait, "iNd", fd,
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

static int wsgi_wait(void *app, int fd, short events, int timeout_ms)
{
    struct wsgi *wsgi = app;
    if (wsgi->wait)
        return wait_in_loop(wsgi, fd, events, timeout_ms);
    return wait_in_thread(fd, events, timeout_ms);
}

/*
 * SIGTERM comes once more: its handler, in the main thread, raises SystemExit in what runs there.
 * From now on it also ends a system call that waits.
 */
static void wsgi_cut_off(void *app)
{
    struct sigaction action;
    (void)app;
    if (sigaction(SIGTERM, NULL, &action) == 0) {
        action.sa_flags &= ~SA_RESTART;
        sigaction(SIGTERM, &action, NULL);
    }
    kill(getpid(), SIGTERM);
}

static void wsgi_release(void *app, void *ref)
{
    (void)app;
    Py_DECREF((PyObject *)ref);
}

const struct app_ops wsgi_ops = {
    .run = wsgi_run,
    .attach = wsgi_attach,
    .detach = wsgi_detach,
    .interrupted = wsgi_interrupted,
    .note = wsgi_note,
    .refused = wsgi_refused,
    .wait = wsgi_wait,
    .overdue = wsgi_overdue,
    .give_up = wsgi_give_up,
    .cut_off = wsgi_cut_off,
    .release = wsgi_release,
};
