#ifndef EXT_WORKER_ACCESS_H
#define EXT_WORKER_ACCESS_H

#include "ext/worker/call.h"

struct access_log;

/* *log is set when C writes the access log. 0, or -1 with an exception. */
int access_open(struct worker *worker, struct access_log **log);

/* Follows the logger to the file that it has opened anew. */
void access_reopen(struct worker *worker);

/* Adds the line about a request to engine->access_log, if there is one; without an environ the
 * application has not seen the request. */
void access_write(struct call *call, PyObject *environ);

/* The same for an application that is given no environ: all is as the client has sent it. */
void access_answered(struct call *call);

/* For struct app_ops: where Python writes the log, about a request that the engine answered by
 * itself. */
void access_refused(void *app, const struct refused *refused);

#endif
