#ifndef NET_TIMER_H
#define NET_TIMER_H

#include "base/list.h"

#include <stdint.h>

/*
 * Deadlines of many connections, most of which are moved or cancelled before they expire.
 * A wheel of slots; moving a deadline *later* is a store (the entry is looked at again when its old
 * slot comes by), so that each request of a keep-alive connection may have one.
 */

enum {
    TIMER_SLOTS = 512,
    TIMER_SLOT_MS = 64, /* how late a deadline may be seen */
};

struct timer {
    struct list link;
    uint64_t deadline; /* ms of clock_ms(); 0: none */
    uint64_t slot_at;  /* the absolute slot that the entry is linked into */
};

struct timers {
    struct list slots[TIMER_SLOTS];
    uint64_t used[TIMER_SLOTS / 64]; /* a bit a slot that may have entries */
    uint64_t current;                /* absolute slot that was looked at last */
};

void timers_init(struct timers *timers, uint64_t now_ms);
void timer_init(struct timer *timer);
void timer_set(struct timers *timers, struct timer *timer, uint64_t deadline_ms);
void timer_cancel(struct timer *timer); /* a store; the entry stays linked */
void timer_unlink(struct timer *timer); /* before its memory goes */

/* Milliseconds until something may expire, -1 for never. */
int timers_wait(const struct timers *timers, uint64_t now_ms);

/* Calls expired() for each deadline that is past; it may set, cancel or unlink any timer. */
void timers_run(struct timers *timers, uint64_t now_ms,
                void (*expired)(struct timer *timer, void *context), void *context);

#endif
