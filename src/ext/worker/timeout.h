#ifndef EXT_WORKER_TIMEOUT_H
#define EXT_WORKER_TIMEOUT_H

#include "ext/worker/call.h"

/* The setting request_timeout: see serve/engine/deadline.h for the time, here for the exception. */

/* `overdue` is the method that a signal calls. 0, or -1 with an exception. */
int timeout_init(struct worker *worker, PyObject *overdue);

/* A request begins: makes call->deadline. 0, or -1 with an exception. */
int timeout_attach(struct call *call);

/* The request is over; `object` is its call->deadline. */
void timeout_detach(PyObject *object);

/* The application goes to work: 0, or -1 with an exception when there is no time left. */
int timeout_enter(struct call *call);
void timeout_leave(struct call *call);

/* The application keeps the client for itself, for as long as it likes. */
void timeout_drop(struct call *call);

/* Raises RequestTimeout where requests are due; 0, or -1 with it where that is here. `frame` is
 * the one that runs, if it was interrupted, else NULL. */
int timeout_check(struct worker *worker, PyObject *frame);

/* The request ends. If it is due, and the main thread could not get the interpreter to say so as
 * the application kept it all the time, that is logged now. */
void timeout_report_at_end(struct call *call);

/* Whether that request still runs and RequestTimeout may be raised in it, as is done now. */
bool timeout_may_raise(struct worker *worker, uint64_t serial);

/* For struct app_ops. */
void timeout_overdue(void *app);
void timeout_give_up(void *app, bool unheard);

extern PyType_Spec timeout_spec;

#endif
