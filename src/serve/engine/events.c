#include "serve/engine/events.h"

#include "serve/engine/engine.h"

#include <assert.h>

/* With the lock. Whether it is the first in the list, so that a thread may have to be woken. */
static bool list_due(struct ready *ready, struct request *request)
{
    struct events *events = &request->events;
    if (!events->open || events->due == 0 || !list_empty(&events->link))
        return false;
    list_push(&ready->due, &events->link);
    return atomic_fetch_add(&ready->due_count, 1) == 0;
}

/* With the lock. */
static void unlist(struct ready *ready, struct events *events)
{
    if (list_empty(&events->link))
        return;
    list_remove(&events->link);
    atomic_fetch_sub(&ready->due_count, 1);
}

void events_want(struct engine *engine, struct request *request, unsigned wanted)
{
    pthread_mutex_lock(&engine->ready.lock);
    request->events.asked |= wanted;
    request->events.used = true;
    pthread_mutex_unlock(&engine->ready.lock);
}

bool events_add(struct engine *engine, struct request *request, unsigned happened)
{
    struct events *events = &request->events;
    pthread_mutex_lock(&engine->ready.lock);
    happened &= events->asked;
    events->asked &= ~happened;
    events->due |= happened;
    bool first = list_due(&engine->ready, request);
    pthread_mutex_unlock(&engine->ready.lock);
    return first;
}

/* The caller of loop_host_step() looks for events after it. */
void events_raise(struct engine *engine, struct request *request, unsigned happened)
{
    assert_leader(engine);
    if (events_add(engine, request, happened) && !engine->events_follow)
        ready_wake(&engine->ready);
}

struct request *events_next(struct engine *engine, unsigned *due)
{
    struct ready *ready = &engine->ready;
    struct request *request = NULL;
    pthread_mutex_lock(&ready->lock);
    if (!list_empty(&ready->due)) {
        request = list_entry(ready->due.next, struct request, events.link);
        unlist(ready, &request->events);
        *due = request->events.due;
        request->events.due = 0;
        request->events.open = false;
        atomic_fetch_sub(&engine->dormant, 1);
    }
    pthread_mutex_unlock(&ready->lock);
    return request;
}

bool events_settle(struct engine *engine, struct request *request)
{
    struct events *events = &request->events;
    pthread_mutex_lock(&engine->ready.lock);
    assert(!events->open);
    bool finished = events->finished;
    if (finished) {
        events_init(events);
    } else {
        events->open = true;
        atomic_fetch_add(&engine->dormant, 1);
        list_due(&engine->ready, request);
    }
    pthread_mutex_unlock(&engine->ready.lock);
    return finished;
}

void events_forget(struct engine *engine, struct request *request)
{
    pthread_mutex_lock(&engine->ready.lock);
    assert(!request->events.open && !request->events.finished);
    events_init(&request->events);
    pthread_mutex_unlock(&engine->ready.lock);
}

bool events_end(struct engine *engine, struct request *request)
{
    struct events *events = &request->events;
    pthread_mutex_lock(&engine->ready.lock);
    assert(!events->finished);
    bool open = events->open;
    unlist(&engine->ready, events);
    events_init(events);
    events->finished = !open;
    if (open)
        atomic_fetch_sub(&engine->dormant, 1);
    pthread_mutex_unlock(&engine->ready.lock);
    return open;
}
