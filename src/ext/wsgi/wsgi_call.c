#include "ext/wsgi/wsgi_call.h"

#include "ext/wsgi/input.h"
#include "ext/wsgi/start_response.h"

/* Those that the last request has left are used again. */
static bool make_callables(struct wsgi_call *call)
{
    struct core_state *state = call->base.worker->state;
    if (!call->start_response)
        call->start_response = bound_new(state, start_response_call, &call->base);
    if (!call->write)
        call->write = bound_new(state, write_call, &call->base);
    if (!call->early_hints)
        call->early_hints = bound_new(state, early_hints_call, &call->base);
    return call->start_response && call->write && call->early_hints;
}

int wsgi_call_prepare(struct wsgi_call *call)
{
    struct request *request = call->base.request;
    call->warned = false;
    if (!make_callables(call))
        return -1;
    if (request->head.framing == HEAD_NO_BODY)
        return 0;
    call->input = input_new(call->base.worker->state, request);
    return call->input ? 0 : -1;
}

/* The members that only hooks fill. */
static void forget_described(struct wsgi_call *call)
{
    Py_CLEAR(call->status);
    Py_CLEAR(call->headers);
    Py_CLEAR(call->given);
    Py_CLEAR(call->environ);
}

void wsgi_call_end(struct wsgi_call *call)
{
    struct request *request = call->base.request;
    call_part(&call->base);
    if (call->input)
        input_detach(call->input);
    Py_CLEAR(call->input);
    if (call->base.worker->hooks)
        forget_described(call);
    call_keep_or_cut(&call->start_response, bound_detach);
    call_keep_or_cut(&call->write, bound_detach);
    call_keep_or_cut(&call->early_hints, bound_detach);
    call_end(&call->base, request);
}

void wsgi_call_free(struct call *base)
{
    struct wsgi_call *call = (struct wsgi_call *)base;
    Py_XDECREF(call->start_response);
    Py_XDECREF(call->write);
    Py_XDECREF(call->early_hints);
}

PyObject *wsgi_call_body(const struct wsgi_call *call)
{
    return call->input ? call->input : wsgi_of(call->base.worker)->empty_input;
}
