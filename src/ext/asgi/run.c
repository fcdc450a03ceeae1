#include "ext/asgi/run.h"

#include "base/clock.h"
#include "ext/asgi/channel.h"
#include "ext/asgi/receive.h"
#include "ext/asgi/scope.h"
#include "ext/asgi/send.h"
#include "ext/asgi/websocket.h"
#include "ext/core/compat.h"
#include "ext/worker/describe.h"
#include "ext/worker/hooks.h"
#include "serve/conn/websocket.h"
#include "serve/request/later.h"
#include "serve/request/refusal.h"
#include "serve/request/response.h"

/* The end of a task */

/* The body failed before an answer began: the client is to know why. Whether it is so. */
static bool refuse_failed_body(struct request *request)
{
    char text[BODY_LIMIT_TEXT];
    int status = request->response.started ? 0 : body_failure(request, text);
    if (status > 0)
        refusal_send(request, status, text);
    return status > 0;
}

static void give_up(struct channel *channel, int status)
{
    struct request *request = channel_request(channel);
    if (!refuse_failed_body(request) && status > 0 && !request->response.sent_head)
        refusal_send(request, status, "");
    if (!request->response.started)
        request->response.status = 499; /* as nginx has it: nobody was there to be answered */
    response_abort(request);
    channel_finish(channel, CHANNEL_CUT);
}

/* The application has returned without a complete answer. */
static void leave_incomplete(struct channel *channel)
{
    struct request *request = channel_request(channel);
    int status = channel->socket == SOCKET_ASKED ? 403 : 500;
    if (!channel->disconnected && !channel->client_left && !request->response.broken) {
        PyObject *logged =
            METHODS_CALL(asgi_of(channel->worker)->methods, incomplete, Py_NewRef(channel->scope),
                         PyBool_FromLong(request->response.started));
        if (!logged)
            PyErr_WriteUnraisable(asgi_of(channel->worker)->half);
        Py_XDECREF(logged);
    }
    give_up(channel, channel->client_left ? 0 : status);
}

/* How an exception is logged for which there is no answer: a new string. None: call_fail() logs it.
 */
static PyObject *line_of_fault(const struct channel *channel)
{
    if (!channel->call)
        return PyUnicode_FromString("Error after the end of the answer to");
    if (asgi_websocket_is_accepted(channel))
        return PyUnicode_FromString("Error in the WebSocket of");
    Py_RETURN_NONE;
}

/* Whether the exception that is set is a fault to log and answer: asks Python, which logs it if
 * there is no answer any more. */
static bool is_fault(struct channel *channel)
{
    PyObject *raised = PyErr_GetRaisedException();
    bool left = channel->disconnected || channel->client_left || channel->phase == CHANNEL_CUT;
    PyObject *fault =
        METHODS_CALL(asgi_of(channel->worker)->methods, task_failed, Py_NewRef(raised),
                     Py_NewRef(channel->scope), PyBool_FromLong(left),
                     PyBool_FromLong(channel->cancelled != NOT_CANCELLED), line_of_fault(channel));
    if (!fault)
        PyErr_WriteUnraisable(asgi_of(channel->worker)->half);
    bool is = fault == Py_True;
    Py_XDECREF(fault);
    PyErr_SetRaisedException(raised);
    return is;
}

/* With the exception that is set. */
static void fail(struct channel *channel)
{
    bool fault = is_fault(channel);
    if (!channel->call) {
        PyErr_Clear();
    } else if (asgi_websocket_is_accepted(channel)) {
        PyErr_Clear();
        asgi_websocket_leave(channel, WS_CLOSE_INTERNAL);
    } else if (fault) {
        call_fail(&channel->call->base);
        channel_finish(channel, CHANNEL_CUT);
    } else {
        PyErr_Clear();
        give_up(channel, channel->cancelled == CANCELLED_OVERDUE ? 504 : 0);
    }
}

static void forget_task(struct channel *channel)
{
    PyObject *raised = PyErr_GetRaisedException();
    if (PyDict_DelItem(asgi_of(channel->worker)->tasks, channel->task) < 0)
        PyErr_WriteUnraisable(channel->task);
    Py_CLEAR(channel->task);
    PyErr_SetRaisedException(raised);
}

/* The task is done. */
static void end(struct channel *channel, PyObject *task)
{
    worker_check_process(channel->worker, channel->call ? channel_request(channel) : NULL);
    struct asgi *asgi = asgi_of(channel->worker);
    PyObject *result = PyObject_CallMethodNoArgs(task, ASGI_NAME(asgi, result));
    if (channel->task)
        forget_task(channel);
    if (!result)
        fail(channel);
    else if (asgi_websocket_is_accepted(channel))
        asgi_websocket_leave(channel, WS_CLOSE_NORMAL);
    else if (channel->call)
        leave_incomplete(channel);
    Py_CLEAR(channel->scope); /* the application may have put receive() into it */
    Py_XDECREF(result);
}

static PyObject *done_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    (void)nargsf;
    (void)kwnames;
    if (!channel_in_use(self))
        return NULL;
    end(channel_of(self), args[0]);
    Py_RETURN_NONE;
}

/* Its beginning */

static PyObject *call_application(struct channel *channel)
{
    bool http = channel->socket == SOCKET_NONE;
    PyObject *receive = channel_function_new(channel, http ? receive_call : asgi_websocket_receive);
    PyObject *send =
        receive ? channel_function_new(channel, http ? send_call : asgi_websocket_send) : NULL;
    PyObject *args[] = {channel->scope, receive, send};
    PyObject *coroutine =
        send ? PyObject_Vectorcall(channel->worker->application, args, 3, NULL) : NULL;
    Py_XDECREF(receive);
    Py_XDECREF(send);
    return coroutine;
}

/* Eager where Python has it. */
static PyObject *new_task(struct asgi *asgi, PyObject *coroutine)
{
    if (!asgi->task_type)
        return PyObject_CallOneArg(asgi->methods[METHOD_create_task], coroutine);
    PyObject *args = PyTuple_Pack(1, coroutine);
    PyObject *task = args ? PyObject_Call(asgi->task_type, args, asgi->task_keywords) : NULL;
    Py_XDECREF(args);
    return task;
}

/* In the context of the worker's start, which the task copies: a new reference, or NULL with an
 * exception. */
static PyObject *start_task(struct channel *channel)
{
    struct asgi *asgi = asgi_of(channel->worker);
    if (PyContext_Enter(asgi->context) < 0)
        return NULL;
    PyObject *coroutine = call_application(channel);
    PyObject *task = coroutine ? new_task(asgi, coroutine) : NULL;
    Py_XDECREF(coroutine);
    PyObject *raised = PyErr_GetRaisedException();
    PyContext_Exit(asgi->context);
    PyErr_SetRaisedException(raised);
    return task;
}

static int watch_task(struct channel *channel, PyObject *task)
{
    struct asgi *asgi = asgi_of(channel->worker);
    if (PyDict_SetItem(asgi->tasks, task, channel->scope) < 0)
        return -1;
    PyObject *function = channel_function_new(channel, done_call);
    PyObject *added =
        function ? PyObject_CallMethodOneArg(task, ASGI_NAME(asgi, add_done_callback), function)
                 : NULL;
    Py_XDECREF(function);
    Py_XDECREF(added);
    return added ? 0 : -1;
}

/* A task that is done when it has been made has ended before its first wait. */
static int is_done(struct asgi *asgi, PyObject *task)
{
    PyObject *done = PyObject_CallMethodNoArgs(task, ASGI_NAME(asgi, done));
    int truth = done ? PyObject_IsTrue(done) : -1;
    Py_XDECREF(done);
    return truth;
}

/* With the exception that is set. If a signal has raised it to end the worker, the event loop has
 * not seen it. */
static void fail_to_begin(struct channel *channel)
{
    struct asgi *asgi = asgi_of(channel->worker);
    bool exits = PyErr_ExceptionMatches(PyExc_SystemExit);
    fail(channel);
    PyObject *done = exits ? METHODS_CALL(asgi->methods, exit) : NULL;
    if (exits && !done)
        PyErr_WriteUnraisable(asgi->half);
    Py_XDECREF(done);
}

static void begin(struct channel *channel)
{
    PyObject *task = start_task(channel);
    int done = task ? is_done(asgi_of(channel->worker), task) : -1;
    if (done == 0) {
        channel->task = Py_NewRef(task);
        done = watch_task(channel, task);
    } else if (done > 0) {
        end(channel, task);
    }
    if (done < 0)
        fail_to_begin(channel);
    Py_XDECREF(task);
}

static int show_to_hooks(struct call *call)
{
    call->described = describe_request(call, Py_None);
    return call->described ? hooks_before(call) : -1;
}

/* NULL with an exception. */
static struct channel *open_channel(struct asgi_call *call, bool websocket)
{
    PyObject *scope = scope_build(call->base.worker, call->base.request, websocket);
    call->channel = scope ? channel_new(call, scope) : NULL;
    if (call->channel && websocket)
        call->channel->socket = SOCKET_ASKED;
    return call->channel;
}

static enum run_result refuse(struct asgi_call *call)
{
    struct request *request = call->base.request;
    call_refuse(&call->base);
    call_part(&call->base);
    call_end(&call->base, request);
    return RUN_DONE;
}

static enum run_result run_asked(void *app, struct request *request, bool websocket)
{
    struct call *base = call_begin(app, request);
    if (!base)
        return RUN_DONE;
    struct asgi_call *call = (struct asgi_call *)base;
    struct channel *channel = open_channel(call, websocket);
    if (!channel)
        return refuse(call);
    channel->starting = true;
    channel->references++;
    if (base->worker->hooks && show_to_hooks(base) < 0)
        fail(channel);
    else
        begin(channel);
    channel->starting = false;
    bool runs = channel->call != NULL;
    channel_release(channel);
    if (!runs)
        return RUN_DONE;
    if (!request->websocket) /* else it has asked */
        request_ask(request, REQUEST_GONE | REQUEST_DEADLINE);
    return RUN_LATER;
}

enum run_result run_request(void *app, struct request *request)
{
    struct ws_handshake handshake;
    enum ws_handshake_result asked = websocket_asked(request, &handshake);
    if (asked == WS_HANDSHAKE_NONE || asked == WS_HANDSHAKE_OK)
        return run_asked(app, request, asked == WS_HANDSHAKE_OK);
    websocket_refuse(request, asked, &handshake);
    return RUN_DONE;
}

/* Events */

static void start_grace(struct channel *channel);

/* asgi_disconnect_grace_period is over, and the application goes on. */
static PyObject *leave_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    (void)args;
    (void)nargsf;
    (void)kwnames;
    struct channel *channel = channel_of(self);
    Py_CLEAR(channel->timer);
    if (channel->call && channel->receives)
        start_grace(channel);
    else if (channel->call)
        channel_cancel(channel, CANCELLED_CLIENT_LEFT);
    Py_RETURN_NONE;
}

/* As long as the application takes messages of a WebSocket that wait, it begins anew. */
static void start_grace(struct channel *channel)
{
    struct asgi *asgi = asgi_of(channel->worker);
    PyObject *function = channel_function_new(channel, leave_call);
    channel->receives = false;
    channel->timer = METHODS_CALL(asgi->methods, client_left, function);
    if (!channel->timer)
        PyErr_WriteUnraisable(asgi->half);
}

static void notice_leaving(struct channel *channel)
{
    channel->client_left = true;
    awaitable_wake(&channel->readers);
    awaitable_wake(&channel->writers);
    if (!asgi_websocket_ended(channel))
        start_grace(channel);
}

static void log_overdue(struct channel *channel)
{
    struct asgi *asgi = asgi_of(channel->worker);
    const struct request *request = channel_request(channel);
    double age = (double)(clock_ns() - request->begun_ns) / 1e9;
    PyObject *task = Py_NewRef(channel->task), *scope = Py_NewRef(channel->scope);
    PyObject *seconds = PyFloat_FromDouble(age);
    PyObject *logged = request->deadline.stuck
                           ? METHODS_CALL(asgi->methods, task_stuck, task, scope, seconds)
                           : METHODS_CALL(asgi->methods, task_overdue, task, scope, seconds);
    if (!logged)
        PyErr_WriteUnraisable(asgi->half);
    Py_XDECREF(logged);
}

static void end_overdue(struct channel *channel)
{
    struct engine *engine = channel->worker->engine;
    if (!channel->task)
        return;
    if (channel->cancelled != NOT_CANCELLED) {
        if (channel_request(channel)->deadline.stuck)
            log_overdue(channel);
        return;
    }
    if (atomic_load(&engine->out_of_time)) {
        channel_cancel(channel, CANCELLED_AT_STOP);
        return;
    }
    metrics_add_shared(&engine->metrics->request_timeouts, 1);
    log_overdue(channel);
    channel_cancel(channel, CANCELLED_OVERDUE);
    if (channel->call) /* the end of graceful_timeout comes the same way */
        request_ask(channel_request(channel), REQUEST_DEADLINE);
}

void run_events(void *app, struct request *request, unsigned events)
{
    (void)app;
    struct asgi_call *call = (struct asgi_call *)request->call;
    struct channel *channel = call->channel;
    channel->references++;
    if (events & REQUEST_BODY)
        awaitable_wake(&channel->readers);
    if (events & REQUEST_ROOM)
        awaitable_wake(&channel->writers);
    if (events & REQUEST_GONE && channel->call)
        notice_leaving(channel);
    if (events & REQUEST_DEADLINE && channel->call)
        end_overdue(channel);
    channel_release(channel);
}
