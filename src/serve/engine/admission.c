#include "serve/engine/admission.h"

#include "serve/dispatch/handover.h"
#include "serve/engine/limits.h"

/* Requests that are with the threads, waiting or running. Those that were answered since the last
 * step are not. */
static uint32_t in_flight(struct engine *engine)
{
    uint32_t count = engine->in_flight;
    const struct request *answered = atomic_load(&engine->answered);
    for (; answered && count > 0; answered = answered->next)
        count--;
    return count;
}

/*
 * A foreign loop starts all ready requests when it gets to them. Those that wait were left after
 * its last step, or found by the stand-by while the loop is blocked.
 */
static uint32_t loop_waiting(struct engine *engine)
{
    uint32_t waiting = atomic_load_explicit(&engine->metrics->queued, memory_order_relaxed);
    if (atomic_load_explicit(&engine->standby_leads, memory_order_relaxed))
        waiting += engine->batch_count;
    return waiting;
}

static bool queue_is_full(struct engine *engine, uint32_t count)
{
    const struct engine_options *options = &engine->options;
    uint32_t most = options->max_queue;
    uint32_t held = options->threads + atomic_load(&engine->dormant);
    uint32_t waiting = count > held ? count - held : 0;
    if (options->loop_host)
        waiting = loop_waiting(engine);
    /* Each idle worker will take one. */
    return most > 0 && waiting >= most && waiting >= most + handover_takers(engine);
}

bool admission_refuses(struct engine *engine, enum metrics_refusal *reason)
{
    assert_leader(engine);
    uint32_t count = in_flight(engine), most = engine->options.limit_concurrency;
    if (most > 0 && count >= most + engine->websockets)
        *reason = REFUSED_CONCURRENCY;
    else if (queue_is_full(engine, count))
        *reason = REFUSED_QUEUE_FULL;
    else
        return false;
    return true;
}

void admission_tell(struct engine *engine, enum metrics_refusal reason)
{
    if (engine_may_log(&engine->overload_logged_ms))
        engine_note(engine, NOTE_WARNING, "Requests are refused with 503 (%s)",
                    metrics_refusal_name(reason));
}
