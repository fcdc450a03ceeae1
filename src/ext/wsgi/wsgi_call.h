#ifndef EXT_WSGI_WSGI_CALL_H
#define EXT_WSGI_WSGI_CALL_H

#include "ext/worker/bound.h"
#include "ext/worker/call.h"
#include "ext/wsgi/wsgi.h"

/* A request that a WSGI application runs; kept for the next one together with its objects. */
struct wsgi_call {
    struct call base;
    PyObject *start_response;
    PyObject *write;
    PyObject *early_hints;
    PyObject *send_trailers; /* NULL until a request by HTTP/2 comes */
    PyObject *input;         /* NULL: the request has no body */
    PyObject *status;        /* the application's, for hooks and the access log */
    PyObject *headers;
    PyObject *given;   /* arguments of handle_request(): addresses and the socket */
    PyObject *environ; /* of a request that is described */
    bool proceeds;     /* handle_request() has called ours, which has not returned */
    bool warned;       /* that the body of this response is dropped */
};

/* The call of a RequestCallable: NULL with a RuntimeError when the request is over. */
static inline struct wsgi_call *wsgi_call_of(PyObject *bound)
{
    return (struct wsgi_call *)bound_call(bound);
}

/* wsgi.input: borrowed. */
static inline PyObject *wsgi_call_body(const struct wsgi_call *call)
{
    return call->input ? call->input : wsgi_of(call->base.worker)->empty_input;
}

#endif
