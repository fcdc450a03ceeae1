#include "serve/engine/loop_watch.h"

enum { ASKS = 2 }; /* in the time after which it counts as blocked */

static enum loop_state ask(struct loop_watch *watch, uint64_t now_ms)
{
    watch->answers_before = atomic_load_explicit(&watch->answers, memory_order_relaxed);
    watch->asked_ms = now_ms;
    watch->reported = false;
    return LOOP_TO_ASK;
}

static bool has_answered(const struct loop_watch *watch)
{
    return atomic_load_explicit(&watch->answers, memory_order_relaxed) != watch->answers_before;
}

enum loop_state loop_watch_look(struct loop_watch *watch, uint64_t now_ms)
{
    if (watch->after_ms == 0)
        return LOOP_TURNS;
    if (watch->asked_ms == 0)
        return ask(watch, now_ms);
    if (has_answered(watch))
        return now_ms - watch->asked_ms < watch->after_ms / ASKS ? LOOP_TURNS : ask(watch, now_ms);
    if (watch->reported || now_ms - watch->asked_ms < watch->after_ms)
        return LOOP_TURNS;
    watch->reported = true;
    return LOOP_BLOCKED;
}

bool loop_watch_is_pending(const struct loop_watch *watch)
{
    return watch->asked_ms > 0 && !has_answered(watch);
}

int loop_watch_wait_idle(const struct loop_watch *watch, uint64_t now_ms)
{
    bool rests = atomic_load_explicit(&watch->rests, memory_order_relaxed);
    return rests && has_answered(watch) ? -1 : loop_watch_wait(watch, now_ms);
}

int loop_watch_wait(const struct loop_watch *watch, uint64_t now_ms)
{
    if (watch->after_ms == 0 || watch->reported)
        return -1;
    uint64_t at = watch->asked_ms + watch->after_ms / (has_answered(watch) ? ASKS : 1);
    return at > now_ms ? (int)(at - now_ms) : 0;
}
