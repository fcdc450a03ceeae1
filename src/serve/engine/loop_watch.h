#ifndef SERVE_ENGINE_LOOP_WATCH_H
#define SERVE_ENGINE_LOOP_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Whether a foreign event loop turns (`loop_block_warning`): the stand-by wakes it now and then,
 * until it answers that no task of the application is left and no request runs. A loop that does
 * not answer for the whole time is blocked by the application.
 */
struct loop_watch {
    uint32_t after_ms; /* 0: it is not watched */
    atomic_uint answers;
    atomic_bool rests; /* the last answer: no task is left */
    /* The stand-by's alone: */
    unsigned answers_before;
    uint64_t asked_ms;
    bool reported; /* that it is blocked now */
};

enum loop_state { LOOP_TURNS, LOOP_TO_ASK, LOOP_BLOCKED };

/* The loop has turned. */
static inline void loop_watch_answer(struct loop_watch *watch, bool rests)
{
    atomic_store_explicit(&watch->rests, rests, memory_order_relaxed);
    atomic_fetch_add_explicit(&watch->answers, 1, memory_order_relaxed);
}

/* LOOP_TO_ASK: it is to be woken now; LOOP_BLOCKED: once for each time that it is. */
enum loop_state loop_watch_look(struct loop_watch *watch, uint64_t now_ms);

/* Until the next look, in ms; -1: never. */
int loop_watch_wait(const struct loop_watch *watch, uint64_t now_ms);

/* The same while no request runs; `rests` holds as long. */
int loop_watch_wait_idle(const struct loop_watch *watch, uint64_t now_ms);

/* It was asked, and has not answered yet. */
bool loop_watch_is_pending(const struct loop_watch *watch);

/* Requests have run: tasks of theirs may be left. */
static inline void loop_watch_renew(struct loop_watch *watch)
{
    atomic_store_explicit(&watch->rests, false, memory_order_relaxed);
}

#endif
