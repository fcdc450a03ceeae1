#ifndef DEMO_ECHO_LATER_H
#define DEMO_ECHO_LATER_H

#include "serve/engine/engine.h"

/*
 * The echo application as one that answers later (`echo --later`): requests run from their head on,
 * a body is sent back as it comes, with back-pressure both ways, and "/timer" is answered by a
 * thread of its own after some milliseconds.
 */

/* Starts the timer's thread. False with errno. */
bool later_open(struct engine *engine);

/* The engine has stopped: no request is finished after this. */
void later_close(void);

enum run_result later_run(void *app, struct request *request);
void later_events(void *app, struct request *request, unsigned events);

#endif
