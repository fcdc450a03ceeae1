#include "ext/worker/call.h"

#include "ext/worker/client_socket.h"
#include "ext/worker/timeout.h"
#include "ext/worker/worker_tls.h"
#include "proc/children/scoreboard.h"
#include "serve/request/refusal.h"
#include "serve/request/response.h"
#include "serve/request/stream.h"

#include <sys/socket.h>

enum { OTHERS_PAUSE_MS = 1 }; /* until it is looked again whether other threads are through */

/* Fills the request's place in the table of those that run; without its query, which may hold
 * secrets. */
static void begin_slot(struct call *call, const struct request *request)
{
    struct slot *slot = call->worker->slot;
    int64_t now_ms = (int64_t)(request->begun_ns / 1000000);
    if (!slot)
        return;
    if (call->worker->threaded)
        slot_thread_begin(slot, now_ms);
    else
        slot_request_begin(slot, now_ms);
    call->place =
        running_begin(slot->running, now_ms, request_method(request),
                      head_slice(request->input, request->head.path, request->head.path_len));
}

/* Beside a foreign loop others may still run; the loop gives signs of life then. */
static void end_slot(struct worker *worker, int place)
{
    if (!worker->slot)
        return;
    running_end(worker->slot->running, place);
    if (worker->threaded)
        slot_thread_end(worker->slot);
    else if (atomic_load(&worker->engine->metrics->running) <= 1)
        slot_request_end(worker->slot);
}

static void retire(struct worker *worker)
{
    worker->retiring = true;
    PyObject *done = METHODS_CALL(worker->methods, retire);
    if (!done)
        PyErr_WriteUnraisable(worker->bridge);
    else if (done == Py_True)
        engine_drain(worker->engine);
    Py_XDECREF(done);
}

static void count_towards_max(struct worker *worker)
{
    unsigned long long served =
        atomic_fetch_add_explicit(&worker->served, 1, memory_order_relaxed) + 1;
    if (served >= worker->max_requests && !worker->retiring)
        retire(worker);
}

static struct call *take(struct worker *worker)
{
    struct call *call = worker->calls;
    if (call) {
        worker->calls = call->next;
        return call;
    }
    call = PyMem_Calloc(1, worker->kind->call_size);
    if (!call)
        return (struct call *)PyErr_NoMemory();
    call->worker = worker;
    return call;
}

static void refuse(struct worker *worker, struct request *request)
{
    PyErr_WriteUnraisable(worker->application);
    refusal_send(request, 500, "");
}

void call_refuse(struct call *call)
{
    refuse(call->worker, call->request);
}

struct call *call_begin(struct worker *worker, struct request *request)
{
    struct call *call = take(worker);
    if (!call) {
        refuse(worker, request);
        return NULL;
    }
    call->request = request;
    call->socket_taken = call->reported = false;
    request->call = call;
    begin_slot(call, request);
    worker->running++;
    if (!call->socket)
        call->socket = client_socket_new(worker->state, call);
    if (call->socket && (!worker->timeout_error || timeout_attach(call) == 0))
        return call;
    call_refuse(call);
    call_part(call);
    call_end(call, request);
    return NULL;
}

/* A thread of the application that still reads or writes would find the next request's memory. */
static void await_others(struct worker *worker, struct request *request)
{
    while (request->blocked > 0) {
        if (worker_wait(worker, -1, 0, OTHERS_PAUSE_MS) < 0)
            PyErr_WriteUnraisable(worker->object);
        if (request->blocked > 0) {
            request_interrupt(request, true);
            response_abort(request);
        }
    }
}

static void give_connection_away(struct call *call)
{
    request_because(call->request, CLOSE_TAKEN);
    response_abort(call->request);
}

void call_part(struct call *call)
{
    struct request *request = call->request;
    worker_check_process(call->worker, request);
    if (call->socket_taken)
        give_connection_away(call);
    timeout_report_at_end(call);
    if (call->socket_taken)
        client_socket_finish(call->socket);
    await_others(call->worker, request);
    request->call = NULL; /* no Python code runs between here and the caller's next line */
    call->request = NULL;
}

void call_keep_or_cut(PyObject **object, void (*cut)(PyObject *))
{
    if (*object && Py_REFCNT(*object) > 1) {
        cut(*object);
        Py_CLEAR(*object);
    }
}

static void release_socket(struct call *call)
{
    if (call->socket && client_socket_is_real(call->socket)) {
        client_socket_detach(call->socket);
        Py_CLEAR(call->socket);
    }
    call_keep_or_cut(&call->socket, client_socket_detach);
}

void call_end(struct call *call, struct request *request)
{
    struct worker *worker = call->worker;
    int place = call->place;
    if (worker->hooks) {
        Py_CLEAR(call->described);
        Py_CLEAR(call->begun);
    }
    release_socket(call);
    call_keep_or_cut(&call->deadline, timeout_detach);
    Py_CLEAR(call->coroutine);
    call->next = worker->calls;
    worker->calls = call;
    if (worker->tls)
        worker_tls_look(worker, request->begun_ns);
    worker->running--;
    end_slot(worker, place);
    if (worker->max_requests > 0 && !request_listener(request)->inner)
        count_towards_max(worker);
}

/* The Bridge's verdict on an exception: the status and the text to answer. */
static PyObject *ask_python(struct call *call, PyObject *exception)
{
    const struct request *request = call->request;
    struct str method = request_method(request), target = request_target(request);
    bool open = call->described && !request->response.sent_head && !call->socket_taken;
    return METHODS_CALL(call->worker->methods, failed, Py_NewRef(exception),
                        text_new(method.p, method.n), text_new(target.p, target.n),
                        PyBool_FromLong(request->response.broken),
                        PyBool_FromLong(call->socket_taken),
                        Py_NewRef(open ? call->described : Py_None), Py_NewRef(call->socket));
}

void call_fail(struct call *call)
{
    struct request *request = call->request;
    worker_check_process(call->worker, request);
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *answer = ask_python(call, raised);
    int status = 500;
    const char *text = "";
    if (!answer || !PyArg_ParseTuple(answer, "is", &status, &text))
        PyErr_WriteUnraisable(call->worker->bridge);
    if (call->raised && status == 500)
        status = 504;
    if (!request->response.sent_head && status > 0 && !call->socket_taken)
        refusal_send(request, status, text);
    response_abort(request);
    Py_XDECREF(answer);
    Py_XDECREF(raised);
}

int call_visit_all(struct worker *worker, visitproc visit, void *arg)
{
    for (struct call *call = worker->calls; call; call = call->next) {
        Py_VISIT(call->socket);
        Py_VISIT(call->deadline);
        int result = worker->kind->visit_call(call, visit, arg);
        if (result != 0)
            return result;
    }
    return 0;
}

static void free_call(struct worker *worker, struct call *call)
{
    worker->kind->free_call(call);
    Py_XDECREF(call->socket);
    Py_XDECREF(call->deadline);
    PyMem_Free(call);
}

void call_free_all(struct worker *worker)
{
    while (worker->calls) {
        struct call *call = worker->calls;
        worker->calls = call->next;
        free_call(worker, call);
    }
}
