#include "serve/engine/deadline.h"

#include "serve/engine/limits.h"

#include <limits.h>

void deadlines_init(struct deadlines *deadlines, uint32_t timeout_ms, uint32_t grace_ms)
{
    deadlines->timeout_ms = timeout_ms;
    deadlines->grace_ms = grace_ms;
    pthread_mutex_init(&deadlines->lock, NULL);
    list_init(&deadlines->running);
}

void deadlines_destroy(struct deadlines *deadlines)
{
    pthread_mutex_destroy(&deadlines->lock);
}

void deadline_begin(struct deadlines *deadlines, struct deadline *deadline, uint64_t now_ms)
{
    uint64_t at = now_ms + deadlines->timeout_ms;
    pthread_mutex_lock(&deadlines->lock);
    *deadline = (struct deadline){.serial = ++deadlines->serials, .at_ms = at};
    list_push(&deadlines->running, &deadline->link);
    /* Mostly it is earlier: that of a request that may have ended, which costs one look in vain. */
    uint64_t look_at = atomic_load_explicit(&deadlines->look_at, memory_order_relaxed);
    if (look_at == 0 || at < look_at)
        atomic_store_explicit(&deadlines->look_at, at, memory_order_relaxed);
    pthread_mutex_unlock(&deadlines->lock);
}

void deadline_remove(struct deadlines *deadlines, struct deadline *deadline)
{
    pthread_mutex_lock(&deadlines->lock);
    list_remove(&deadline->link);
    deadline->serial = 0;
    pthread_mutex_unlock(&deadlines->lock);
}

void deadline_extend(struct deadlines *deadlines, struct deadline *deadline, uint64_t ms)
{
    pthread_mutex_lock(&deadlines->lock);
    if (__builtin_add_overflow(deadline->at_ms, ms, &deadline->at_ms))
        deadline->at_ms = UINT64_MAX / 2;
    if (!deadline->reported)
        deadline->due = false; /* if it still is, the next look will say so */
    pthread_mutex_unlock(&deadlines->lock);
}

/* One that begins meanwhile is not due before this has passed. */
int deadlines_wait(const struct deadlines *deadlines, uint64_t now_ms)
{
    if (deadlines->timeout_ms == 0)
        return -1;
    uint64_t at = atomic_load_explicit(&deadlines->look_at, memory_order_relaxed);
    uint64_t wait = deadlines->timeout_ms;
    if (at != 0 && at < now_ms + wait)
        wait = at > now_ms ? at - now_ms : 0;
    return wait < INT_MAX ? (int)wait : INT_MAX;
}

static bool is_to_tell(const struct deadline *deadline)
{
    return (deadline->due && !deadline->reported) || (deadline->stuck && !deadline->stuck_reported);
}

/* Adds to *found; when to look at it again, UINT64_MAX for never. */
static uint64_t look_at_one(const struct deadlines *deadlines, struct deadline *deadline,
                            uint64_t now_ms, unsigned *found)
{
    if (now_ms < deadline->at_ms)
        return deadline->at_ms;
    uint64_t ends = deadline->at_ms + deadlines->grace_ms;
    if (deadline->due && !deadline->stuck && now_ms >= ends) {
        deadline->stuck = true;
        *found |= DEADLINES_STUCK | (deadline->reported ? 0 : DEADLINES_UNHEARD);
    }
    deadline->due = true;
    if (is_to_tell(deadline)) {
        *found |= DEADLINES_TELL;
        return now_ms + DEADLINE_AGAIN_MS;
    }
    return deadline->stuck ? UINT64_MAX : ends;
}

unsigned deadlines_look(struct deadlines *deadlines, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;
    unsigned found = 0;
    pthread_mutex_lock(&deadlines->lock);
    for (struct list *l = deadlines->running.next; l != &deadlines->running; l = l->next) {
        struct deadline *deadline = list_entry(l, struct deadline, link);
        uint64_t at = look_at_one(deadlines, deadline, now_ms, &found);
        next = at < next ? at : next;
    }
    atomic_store_explicit(&deadlines->look_at, next == UINT64_MAX ? 0 : next, memory_order_relaxed);
    pthread_mutex_unlock(&deadlines->lock);
    return found;
}

struct deadline *deadlines_next(struct deadlines *deadlines)
{
    struct deadline *found = NULL;
    pthread_mutex_lock(&deadlines->lock);
    for (struct list *l = deadlines->running.next; !found && l != &deadlines->running; l = l->next)
        if (is_to_tell(list_entry(l, struct deadline, link)))
            found = list_entry(l, struct deadline, link);
    pthread_mutex_unlock(&deadlines->lock);
    return found;
}

void deadlines_each_due(struct deadlines *deadlines,
                        void (*function)(struct deadline *deadline, void *context), void *context)
{
    pthread_mutex_lock(&deadlines->lock);
    for (struct list *l = deadlines->running.next; l != &deadlines->running; l = l->next)
        if (is_to_tell(list_entry(l, struct deadline, link)))
            function(list_entry(l, struct deadline, link), context);
    pthread_mutex_unlock(&deadlines->lock);
}

/* The memory of one that has ended may be freed or another's: it is looked for, not looked at. */
static struct deadline *find_run(struct deadlines *deadlines, uint64_t serial)
{
    for (struct list *l = deadlines->running.next; l != &deadlines->running; l = l->next)
        if (list_entry(l, struct deadline, link)->serial == serial)
            return list_entry(l, struct deadline, link);
    return NULL;
}

struct deadline *deadlines_find(struct deadlines *deadlines, uint64_t serial)
{
    pthread_mutex_lock(&deadlines->lock);
    struct deadline *deadline = find_run(deadlines, serial);
    pthread_mutex_unlock(&deadlines->lock);
    return deadline;
}

bool deadline_is_unheard(struct deadlines *deadlines, const struct deadline *deadline)
{
    if (deadline->serial == 0)
        return false;
    pthread_mutex_lock(&deadlines->lock);
    bool is = deadline->due && !deadline->reported;
    pthread_mutex_unlock(&deadlines->lock);
    return is;
}

bool deadline_reported(struct deadlines *deadlines, uint64_t serial)
{
    pthread_mutex_lock(&deadlines->lock);
    struct deadline *deadline = find_run(deadlines, serial);
    bool is = deadline && is_to_tell(deadline);
    if (is) {
        deadline->reported = true;
        deadline->stuck_reported = deadline->stuck;
    }
    pthread_mutex_unlock(&deadlines->lock);
    return is;
}
