#include "serve/dispatch/handover.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <errno.h>

/* Reasons not to accept. */

static bool start_listening(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->listener_count; i++) {
        if (loop_add(engine->loop, &engine->listeners[i].io, LOOP_LISTEN) == 0)
            continue;
        if (engine_is_lost(errno) || errno == EPERM)
            engine_lose(engine, "epoll_ctl", errno);
        while (i-- > 0)
            loop_remove(engine->loop, &engine->listeners[i].io);
        return false;
    }
    return true;
}

static void stop_listening(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->listener_count; i++)
        loop_remove(engine->loop, &engine->listeners[i].io);
}

bool engine_has_rivals(const struct engine *engine)
{
    const struct exchange *exchange = engine->options.exchange;

    return engine->options.shared || (!engine->options.own_listeners && exchange &&
                                      exchange_has_others(exchange, engine->options.number));
}

static void follow_pauses(struct engine *engine)
{
    unsigned against = engine->paused;
    if (!engine_has_rivals(engine) && !atomic_load(&engine->given_up))
        against &= ~(unsigned)PAUSE_BUSY;
    if (engine->listening && against) {
        stop_listening(engine);
        engine->listening = false;
    } else if (!engine->listening && !against) {
        engine->listening = start_listening(engine);
        if (!engine->listening) {
            engine->paused |= PAUSE_ERROR;
            timer_set(&engine->timers, &engine->resume, engine->now_ms + ACCEPT_PAUSE_MS);
        }
    }
    handover_accept(engine, !(engine->paused & ~(unsigned)PAUSE_DRAIN));
}

void engine_pass_turn(struct engine *engine, struct listener *listener)
{
    if (!engine->listening || !atomic_load(&listener->tls) || !engine_has_rivals(engine))
        return;
    loop_remove(engine->loop, &listener->io);
    if (loop_add(engine->loop, &listener->io, LOOP_LISTEN) < 0)
        engine_pause_for(engine, PAUSE_ERROR, ACCEPT_PAUSE_MS);
}

void engine_pause(struct engine *engine, unsigned reason)
{
    assert_leader(engine);
    engine->paused |= reason;
    follow_pauses(engine);
}

void engine_pause_for(struct engine *engine, unsigned reason, uint32_t ms)
{
    engine_pause(engine, reason);
    timer_set(&engine->timers, &engine->resume, engine->now_ms + ms);
}

void engine_resume(struct engine *engine, unsigned reason)
{
    assert_leader(engine);
    engine->paused &= ~reason;
    follow_pauses(engine);
}
