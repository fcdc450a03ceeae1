#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

/*
 * A worker that has to stop. It ends when its last connection is closed, and before the master
 * loses patience, which it does after graceful_timeout. A request that is not whole has
 * DRAIN_IDLE_MS, longer while its client keeps pace, but not beyond one part in DRAIN_SHARE of
 * graceful_timeout: the application has to run after that. Running requests, and answers that are
 * sent, have all of it but a margin for the end of the process.
 */

/* After the beginning of the stop; UINT64_MAX: never. */
static uint64_t after(const struct engine *engine, uint32_t ms)
{
    return engine->options.graceful_ms > 0 ? engine->stop_ms + ms : UINT64_MAX;
}

uint64_t drain_ends_at(const struct engine *engine)
{
    uint32_t all = engine->options.graceful_ms, margin = all / STOP_SHARE;
    return after(engine, all - (margin < STOP_MARGIN_MS ? margin : STOP_MARGIN_MS));
}

uint64_t drain_requests_until(const struct engine *engine)
{
    return after(engine, engine->options.graceful_ms / DRAIN_SHARE);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t drain_limit(const struct engine *engine, const struct conn *conn)
{
    switch (conn->activity) {
    case ACTIVITY_RUNNING:
    case ACTIVITY_WEBSOCKET:
        return UINT64_MAX;
    case ACTIVITY_FLUSH:
        return drain_ends_at(engine);
    default:
        return least(engine->now_ms + DRAIN_IDLE_MS, drain_requests_until(engine));
    }
}
