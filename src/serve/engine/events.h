#ifndef SERVE_ENGINE_EVENTS_H
#define SERVE_ENGINE_EVENTS_H

#include "base/list.h"

#include <stdbool.h>

struct engine;
struct request;

/*
 * The events of requests that are answered later (RUN_LATER): the engine keeps those that are due
 * in one list, under the lock of the ready queue, and gives them to ops->events() on the threads of
 * the host. The events of one request come one after the other, never while its run() is under way,
 * and never after its engine_finish().
 *
 *   run() ---RUN_LATER---> open <---------------> ops->events() runs
 *                            \_______________________\____> engine_finish()
 */
struct events {
    struct list link;    /* in the engine's list of requests with due events */
    unsigned asked, due; /* REQUEST_*: those that the application waits for, those that came */
    bool used;           /* the application has asked since the request began */
    bool open;           /* run() has returned RUN_LATER, and no ops->events() runs for it */
    bool finished;       /* by engine_finish(), while not open: completed when that has returned */
};

/* All of these may be called by any thread, but for events_raise(). */

static inline void events_init(struct events *events)
{
    *events = (struct events){.asked = 0};
    list_init(&events->link);
}

/* The application waits for these, once each. */
void events_want(struct engine *engine, struct request *request, unsigned wanted);

/* These have happened: the application's are due. Leader only. */
void events_raise(struct engine *engine, struct request *request, unsigned happened);

/* The same, and wakes no thread; whether there was no other in the list. Any thread: see
 * engine_raise(). */
bool events_add(struct engine *engine, struct request *request, unsigned happened);

/* A request with due events, which are in *due and no longer in the list; NULL when there is none.
 * events_settle() follows. */
struct request *events_next(struct engine *engine, unsigned *due);

/* run() has returned RUN_LATER, or ops->events() has returned. Whether the request was finished
 * meanwhile, and the caller has to complete it. */
bool events_settle(struct engine *engine, struct request *request);

/* The application has answered it in run(): nothing that it has asked for is given. */
void events_forget(struct engine *engine, struct request *request);

/* The application has finished with the request. False: the caller of events_settle() completes it.
 */
bool events_end(struct engine *engine, struct request *request);

#endif
