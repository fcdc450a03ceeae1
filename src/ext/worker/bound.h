#ifndef EXT_WORKER_BOUND_H
#define EXT_WORKER_BOUND_H

#include "ext/worker/call.h"

/* RequestCallable: a callable that belongs to a request, such as start_response. */

/* A new one whose calls go to `function` for as long as the request runs, or NULL with an
 * exception. */
PyObject *bound_new(struct core_state *state, vectorcallfunc function, struct call *call);

/* The call that it belongs to; NULL with a RuntimeError when the request is over. */
struct call *bound_call(PyObject *object);

/* It belongs to none from now on. */
void bound_detach(PyObject *object);

extern PyType_Spec bound_spec;

#endif
