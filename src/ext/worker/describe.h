#ifndef EXT_WORKER_DESCRIBE_H
#define EXT_WORKER_DESCRIBE_H

#include "ext/worker/call.h"

/* Requests and answers as hooks, worker classes and loggers of the user see them: new references,
 * or NULL with an exception. */

/* `body` is the object that reads the request's body. */
PyObject *describe_request(struct call *call, PyObject *body);

/* `status` and `headers` are the application's, or NULL. */
PyObject *describe_response(struct call *call, PyObject *status, PyObject *headers);

/* [(name in upper case, value)] */
PyObject *describe_fields(struct worker *worker, const char *input, const struct head *head);

#endif
