#include "serve/engine/loop_host.h"

#include "serve/dispatch/handover.h"
#include "serve/engine/host.h"

#include <unistd.h>

int loop_host_fd(const struct engine *engine)
{
    return loop_fd(engine->loop);
}

int loop_host_news(const struct engine *engine)
{
    return engine->ready.pipe[0];
}

void loop_host_heard(struct engine *engine, bool rests)
{
    char bytes[64];
    while (read(engine->ready.pipe[0], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
        ;
    loop_watch_answer(&engine->loop_watch, rests);
}

/* The stand-by leads on until it sees that it is not needed any more; then it wakes the loop. */
static void want_to_lead(struct engine *engine)
{
    atomic_store(&engine->lead_wanted, true);
    engine_kick(engine);
}

void loop_host_step(struct engine *engine)
{
    if (!engine_lead(engine)) {
        want_to_lead(engine);
        return;
    }
    /* Said to a stand-by that had just yielded by itself. */
    if (atomic_load(&engine->lead_wanted))
        atomic_store(&engine->lead_wanted, false);
    engine->events_follow = true;
    engine_step(engine, 0);
    engine->events_follow = false;
    engine_yield(engine);
}

bool loop_host_ready(struct engine *engine)
{
    return !ready_empty(&engine->ready) ||
           atomic_load_explicit(&engine->parcels, memory_order_relaxed);
}

void loop_host_run_one(struct engine *engine)
{
    struct request *request = engine_poll(engine);
    if (!request)
        return;
    host_leave_engine(engine);
    host_run_one(engine, request);
}

void loop_host_give_events(struct engine *engine)
{
    if (engine_has_events(engine))
        host_give_events(engine);
}

void loop_host_rest(struct engine *engine)
{
    if (engine_has_events(engine))
        ready_wake(&engine->ready);
    engine_flush_log(engine);
    handover_rest(engine, !loop_host_ready(engine) && !atomic_load(&engine->draining));
    /* Running requests need an alarm for signs of life: yielding sets it. */
    if (atomic_load_explicit(&engine->metrics->running, memory_order_relaxed) > 0 &&
        engine_lead(engine))
        engine_yield(engine);
}
