#ifndef SERVE_ENGINE_HOST_H
#define SERVE_ENGINE_HOST_H

#include "serve/engine/engine.h"

/*
 * The thread host: the life of an application thread. Called attached, returns
 * attached, when the engine has stopped. The main thread also looks after signals.
 */
void host_run(struct engine *engine, bool main_thread);

/* This thread turns to a request: from here on the stand-by looks after the engine. */
void host_leave_engine(struct engine *engine);

/* Runs the application for a ready request, and puts its connection back. After the former. */
void host_run_one(struct engine *engine, struct request *request);

/* Calls ops->events() for the requests whose events are due now. Attached. */
void host_give_events(struct engine *engine);

#endif
