#ifndef EXT_WORKER_HOOKS_H
#define EXT_WORKER_HOOKS_H

#include "ext/worker/call.h"

/* pre_request and post_request, for requests that are described. */

/* Runs pre_request. 0, or -1 with an exception. */
int hooks_before(struct call *call);

/* Once a request: writes the access log and runs post_request. `environ` is NULL if the application
 * was not called; `status` and `headers` are the application's, or NULL. */
void hooks_report(struct call *call, PyObject *environ, PyObject *status, PyObject *headers);

#endif
