#ifndef SERVE_ENGINE_LOOP_HOST_H
#define SERVE_ENGINE_LOOP_HOST_H

#include "serve/engine/engine.h"

/*
 * The loop host: one thread that waits in an event loop of its own, not ours. That loop watches two
 * descriptors and calls, when one is readable, loop_host_step(), then loop_host_run_one() as long
 * as loop_host_ready(): in place, or each time in a coroutine that may be left while it waits; and
 * loop_host_give_events().
 *
 *   loop_host_fd():    connections, listeners, signals, deadlines
 *   loop_host_news():  requests that the stand-by has made ready while the loop was blocked, the
 *                      engine's end
 */

int loop_host_fd(const struct engine *engine);
int loop_host_news(const struct engine *engine);

/* Takes note of the news. `rests`: the application has no task in the loop. */
void loop_host_heard(struct engine *engine, bool rests);

/* One step without waiting; when another leads, it is asked to stop that. Attached. */
void loop_host_step(struct engine *engine);

bool loop_host_ready(struct engine *engine);

/* Nothing happens when no request is ready. */
void loop_host_run_one(struct engine *engine);

/* Calls ops->events() for the requests whose events are due now. Attached. */
void loop_host_give_events(struct engine *engine);

/* The loop is about to wait. */
void loop_host_rest(struct engine *engine);

#endif
