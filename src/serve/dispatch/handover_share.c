#include "serve/dispatch/handover.h"

/* Evening out the load of the workers. */

/* How many of those that wait are better off elsewhere. */
static uint32_t surplus(const struct engine *engine, uint32_t waiting, uint32_t idle)
{
    uint32_t least = exchange_least_load(engine->options.exchange, engine->options.number);
    if (idle > 0) /* each of them, and we, shall have the same */
        return (uint32_t)(((uint64_t)waiting * idle + idle) / (idle + 1));
    return least < waiting / 2 ? (waiting - least) / 2 : 0;
}

void handover_even_out(struct engine *engine, struct handover_watch *watch)
{
    const struct exchange *exchange = engine->options.exchange;
    if (!exchange)
        return;
    uint32_t taken, waiting = ready_depth(&engine->ready, &taken);
    bool waited = watch->waiting > taken - watch->taken;
    watch->waiting = waiting;
    watch->taken = taken;
    handover_tell(engine, waiting);
    if (waiting == 0)
        return;
    uint32_t idle = exchange_idle(exchange, engine->options.number, watch->pulses);
    uint32_t most = waited ? surplus(engine, waiting, idle) : 0;
    /* While a message still waits, no other is added. */
    if (most == 0 || ready_has_waiter(&engine->ready) || !exchange_is_empty(exchange) ||
        !engine_lead(engine))
        return;
    handover_give(engine, waiting - most);
    engine_yield(engine);
    /* It could not lead meanwhile; a foreign loop may have come for no other reason than news. */
    if (engine->options.loop_host || ready_has_waiter(&engine->ready))
        ready_wake(&engine->ready);
}
