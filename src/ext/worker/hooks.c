#include "ext/worker/hooks.h"

#include "ext/worker/access.h"
#include "ext/worker/describe.h"

int hooks_before(struct call *call)
{
    struct worker *worker = call->worker;
    call->begun = PyObject_CallMethod(worker->bridge, "before", "O", call->described);
    worker_check_process(worker, call->request);
    return call->begun ? 0 : -1;
}

static void run_post_request(struct call *call, PyObject *environ, PyObject *response)
{
    struct worker *worker = call->worker;
    PyObject *done = response
                         ? PyObject_CallMethod(worker->bridge, "after", "OOOO", call->described,
                                               environ ? environ : Py_None, response, call->begun)
                         : NULL;
    if (!done)
        PyErr_WriteUnraisable(worker->bridge);
    Py_XDECREF(done);
}

void hooks_report(struct call *call, PyObject *environ, PyObject *status, PyObject *headers)
{
    if (call->reported)
        return;
    call->reported = true;
    access_write(call, environ);
    if (!call->begun)
        return;
    PyObject *response = describe_response(call, status, headers);
    run_post_request(call, environ, response);
    Py_XDECREF(response);
}
