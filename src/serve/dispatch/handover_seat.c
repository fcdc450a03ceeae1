#include "base/forked.h"
#include "serve/dispatch/handover.h"

#include <errno.h>

/* The worker's seat on the exchange, and whether it takes parcels. */

static void parcels_came(struct io *io, unsigned events, void *context)
{
    (void)io;
    (void)events;
    struct engine *engine = context;
    atomic_store_explicit(&engine->parcels, true, memory_order_relaxed);
}

int handover_open(struct engine *engine)
{
    const struct exchange *exchange = engine->options.exchange;
    engine->pulse = &engine->no_pulse;
    if (!exchange)
        return 0;
    engine->exchange = (struct io){.fd = exchange->take, .on_event = parcels_came};
    forked_replace(exchange->take);
    forked_replace(exchange->give);
    engine_mark(engine, exchange->take);
    engine_mark(engine, exchange->give);
    handover_accept(engine, true);
    if (!engine->accepts_parcels)
        return -1;
    /* A foreign loop rests until it is woken to lead. */
    engine->pulse =
        exchange_sit(exchange, engine->options.number, engine->options.loop_host ? 3 : 2);
    return 0;
}

void handover_close(struct engine *engine)
{
    if (engine->pulse) /* else it was never opened */
        handover_leave(engine);
    if (engine->options.exchange) {
        forked_forget(engine->options.exchange->take);
        forked_forget(engine->options.exchange->give);
    }
}

void handover_leave(struct engine *engine)
{
    engine->pulse = &engine->no_pulse;
    if (engine->options.exchange)
        exchange_leave(engine->options.exchange, engine->options.number);
}

void handover_retire(struct engine *engine)
{
    const struct exchange *exchange = engine->options.exchange;
    if (!exchange || engine->options.number > atomic_load(exchange->replaced))
        return;
    engine->replaced = true;
    handover_leave(engine);
    if (engine->accepts_parcels) /* the event came to this worker alone */
        atomic_store_explicit(&engine->parcels, true, memory_order_relaxed);
    handover_accept(engine, false);
}

bool handover_has_heirs(const struct engine *engine)
{
    const struct exchange *exchange = engine->options.exchange;
    return exchange && atomic_load(exchange->ends) == 0;
}

bool handover_is_left(const struct engine *engine)
{
    return engine->replaced && !atomic_load_explicit(&engine->parcels, memory_order_relaxed) &&
           exchange_has_others(engine->options.exchange, engine->options.number);
}

void handover_accept(struct engine *engine, bool accept)
{
    if (!engine->options.exchange || accept == engine->accepts_parcels)
        return;
    if (accept && engine->replaced)
        return;
    if (!accept)
        loop_remove(engine->loop, &engine->exchange);
    else if (loop_add(engine->loop, &engine->exchange, LOOP_LISTEN) < 0)
        return; /* no memory: tried again when the next pause ends */
    engine->accepts_parcels = accept;
}

uint32_t handover_takers(const struct engine *engine)
{
    const struct exchange *exchange = engine->options.exchange;
    if (!exchange || !exchange_is_empty(exchange))
        return 0;
    return exchange_resting(exchange, engine->options.number);
}

void handover_tell(struct engine *engine, uint32_t load)
{
    if (engine->options.exchange)
        exchange_set_load(engine->options.exchange, engine->options.number, load);
}
