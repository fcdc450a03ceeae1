#ifndef SERVE_ENGINE_DEADLINE_H
#define SERVE_ENGINE_DEADLINE_H

#include "base/list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * How long the application may take for a request (`request_timeout`). The requests that run are in
 * a list. The stand-by looks at it when the first of them may be late, and informs the
 * application, which ends the request in its own way:
 *
 *            at_ms         deadline_reported()           at_ms + grace_ms
 *   runs ----------> due ------------------> reported --------------> stuck
 *                      \______________________________________________^
 *
 * A worker with a stuck request is given up: see engine_give_up().
 */

struct deadline {
    struct list link; /* of the requests that run */
    uint64_t serial;  /* of the run; 0: it is in no list */
    uint64_t at_ms;
    bool due;
    bool reported;       /* the application knows that it is due */
    bool stuck;          /* it went on all through the grace */
    bool stuck_reported; /* the application knows that, too */
};

struct deadlines {
    uint32_t timeout_ms; /* 0: no request has a deadline, and nothing else here is used */
    uint32_t grace_ms;
    pthread_mutex_t lock;
    struct list running;
    uint64_t serials;
    _Atomic uint64_t look_at; /* when one of them may have to be looked at; 0: not yet known */
};

/* The result of deadlines_look(). */
enum {
    DEADLINES_TELL = 1,    /* the application is to be informed of a request */
    DEADLINES_STUCK = 2,   /* a request is stuck from now on */
    DEADLINES_UNHEARD = 4, /* and the application was not even informed that it was due */
};

void deadlines_init(struct deadlines *deadlines, uint32_t timeout_ms, uint32_t grace_ms);
void deadlines_destroy(struct deadlines *deadlines);

/* A request runs from now_ms on. */
void deadline_begin(struct deadlines *deadlines, struct deadline *deadline, uint64_t now_ms);
void deadline_remove(struct deadlines *deadlines, struct deadline *deadline);

/* It has ended, or has no deadline from here on. */
static inline void deadline_end(struct deadlines *deadlines, struct deadline *deadline)
{
    if (deadline->serial != 0)
        deadline_remove(deadlines, deadline);
}

/* It has more time; once the application is informed, only until it counts as stuck. */
void deadline_extend(struct deadlines *deadlines, struct deadline *deadline, uint64_t ms);

/* Until a thread has to look, in ms; -1: never. */
int deadlines_wait(const struct deadlines *deadlines, uint64_t now_ms);

/* Whether it is time for deadlines_look(). */
static inline bool deadlines_may_be_due(const struct deadlines *deadlines, uint64_t now_ms)
{
    uint64_t at = atomic_load_explicit(&deadlines->look_at, memory_order_relaxed);
    return at != 0 && at <= now_ms;
}

/* Looks at all of them; the result. */
unsigned deadlines_look(struct deadlines *deadlines, uint64_t now_ms);

/* The first of which the application is to be informed, or NULL. Stays while its request runs. */
struct deadline *deadlines_next(struct deadlines *deadlines);

/* Calls function() for each of which the application is to be informed; none ends meanwhile. */
void deadlines_each_due(struct deadlines *deadlines,
                        void (*function)(struct deadline *deadline, void *context), void *context);

/* That run, or NULL when it has ended. */
struct deadline *deadlines_find(struct deadlines *deadlines, uint64_t serial);

/* Whether a run that ends now is due, and the application was not informed. */
bool deadline_is_unheard(struct deadlines *deadlines, const struct deadline *deadline);

/* The application is informed of that run now; false when it has ended or has got more time. */
bool deadline_reported(struct deadlines *deadlines, uint64_t serial);

#endif
