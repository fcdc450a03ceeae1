#include "net/timer.h"

#include <stdbool.h>

static uint64_t slot_of(uint64_t ms)
{
    return ms / TIMER_SLOT_MS;
}

void timers_init(struct timers *timers, uint64_t now_ms)
{
    for (int i = 0; i < TIMER_SLOTS; i++)
        list_init(&timers->slots[i]);
    for (int i = 0; i < TIMER_SLOTS / 64; i++)
        timers->used[i] = 0;
    timers->current = slot_of(now_ms);
}

void timer_init(struct timer *timer)
{
    list_init(&timer->link);
    timer->deadline = 0;
    timer->slot_at = 0;
}

/* Links into the slot after the deadline's, at most one turn of the wheel ahead. */
static void link_in(struct timers *timers, struct timer *timer)
{
    uint64_t at = slot_of(timer->deadline) + 1;
    if (at <= timers->current)
        at = timers->current + 1;
    if (at >= timers->current + TIMER_SLOTS)
        at = timers->current + TIMER_SLOTS - 1;
    timer->slot_at = at;
    unsigned slot = (unsigned)(at % TIMER_SLOTS);
    list_push(&timers->slots[slot], &timer->link);
    timers->used[slot / 64] |= (uint64_t)1 << (slot % 64);
}

void timer_set(struct timers *timers, struct timer *timer, uint64_t deadline_ms)
{
    timer->deadline = deadline_ms;
    if (!list_empty(&timer->link)) {
        if (timer->slot_at <= slot_of(deadline_ms) + 1)
            return;
        list_remove(&timer->link);
    }
    link_in(timers, timer);
}

void timer_cancel(struct timer *timer)
{
    timer->deadline = 0;
}

void timer_unlink(struct timer *timer)
{
    list_remove(&timer->link);
    timer->deadline = 0;
}

/* Distance from `current` to the next used slot, 1 .. TIMER_SLOTS-1; 0 when there is none. */
static unsigned next_used(const struct timers *timers)
{
    for (unsigned ahead = 1; ahead < TIMER_SLOTS;) {
        unsigned slot = (unsigned)((timers->current + ahead) % TIMER_SLOTS);
        uint64_t word = timers->used[slot / 64] >> (slot % 64);
        if (word)
            return ahead + (unsigned)__builtin_ctzll(word);
        ahead += 64 - slot % 64;
    }
    return 0;
}

int timers_wait(const struct timers *timers, uint64_t now_ms)
{
    unsigned ahead = next_used(timers);
    if (ahead == 0)
        return -1;
    uint64_t at = (timers->current + ahead) * TIMER_SLOT_MS;
    return at > now_ms ? (int)(at - now_ms) : 0;
}

static void run_slot(struct timers *timers, unsigned slot, uint64_t now_ms,
                     void (*expired)(struct timer *timer, void *context), void *context)
{
    struct list due;
    list_init(&due);
    timers->used[slot / 64] &= ~((uint64_t)1 << (slot % 64));
    while (!list_empty(&timers->slots[slot])) {
        struct list *link = timers->slots[slot].next;
        list_remove(link);
        list_push(&due, link);
    }
    while (!list_empty(&due)) {
        struct timer *timer = list_entry(due.next, struct timer, link);
        list_remove(&timer->link);
        if (timer->deadline == 0)
            continue;
        if (timer->deadline > now_ms) {
            link_in(timers, timer);
            continue;
        }
        timer->deadline = 0;
        expired(timer, context);
    }
}

void timers_run(struct timers *timers, uint64_t now_ms,
                void (*expired)(struct timer *timer, void *context), void *context)
{
    uint64_t now = slot_of(now_ms);
    while (timers->current < now) {
        unsigned ahead = next_used(timers);
        if (ahead == 0 || timers->current + ahead > now) {
            timers->current = now;
            return;
        }
        timers->current += ahead;
        run_slot(timers, (unsigned)(timers->current % TIMER_SLOTS), now_ms, expired, context);
    }
}
