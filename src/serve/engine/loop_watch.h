#ifndef SERVE_ENGINE_LOOP_WATCH_H
#define SERVE_ENGINE_LOOP_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Whether a foreign event loop turns (`loop_block_warning`): while requests run, the stand-by wakes
 * it now and then. A loop that does not answer for the whole time is blocked by the application.
 */
struct loop_watch {
    uint32_t after_ms; /* 0: it is not watched */
    atomic_uint answers;
    /* The stand-by's alone: */
    unsigned answers_before;
    uint64_t asked_ms;
    bool reported; /* that it is blocked now */
};

enum loop_state { LOOP_TURNS, LOOP_TO_ASK, LOOP_BLOCKED };

/* The loop has turned. */
static inline void loop_watch_answer(struct loop_watch *watch)
{
    atomic_fetch_add_explicit(&watch->answers, 1, memory_order_relaxed);
}

/* LOOP_TO_ASK: it is to be woken now; LOOP_BLOCKED: once for each time that it is. */
enum loop_state loop_watch_look(struct loop_watch *watch, uint64_t now_ms);

/* Until the next look, in ms; -1: never. */
int loop_watch_wait(const struct loop_watch *watch, uint64_t now_ms);

/* No request runs: the next look begins anew. */
static inline void loop_watch_rest(struct loop_watch *watch)
{
    watch->asked_ms = 0;
}

#endif
