#include "ext/worker/hooks.h"

#include "ext/worker/access.h"
#include "ext/worker/describe.h"

int hooks_before(struct call *call)
{
    struct worker *worker = call->worker;
    call->begun = METHODS_CALL(worker->methods, before, Py_NewRef(call->described));
    worker_check_process(worker, call->request);
    return call->begun ? 0 : -1;
}

void hooks_report(struct call *call, PyObject *environ, PyObject *status, PyObject *headers)
{
    if (call->reported)
        return;
    call->reported = true;
    access_write(call, environ);
    if (!call->begun)
        return;
    PyObject *done = METHODS_CALL(call->worker->methods, after, Py_NewRef(call->described),
                                  Py_NewRef(environ ? environ : Py_None),
                                  describe_response(call, status, headers), Py_NewRef(call->begun));
    if (!done)
        PyErr_WriteUnraisable(call->worker->bridge);
    Py_XDECREF(done);
}
