#ifndef EXT_ASGI_AWAITABLE_H
#define EXT_ASGI_AWAITABLE_H

#include "ext/core/state.h"

#include "base/list.h"

/*
 * receive() and send() return a coroutine in C (collections.abc.Coroutine). It completes at
 * once, without a turn of the event loop, when its poll function has a result. Else the task that
 * awaits it waits for a Future of its own, until awaitable_wake(), and it polls again. If the task
 * has done without a turn for some milliseconds, there is one first.
 */

/* The futures of the event loop: its create_future(), and names of what they have. Borrowed. */
struct awaitable_futures {
    PyObject *create;
    PyObject *blocking, *done, *set_result;
};

/* The awaitables that wait for the same events. It outlives them: their owner keeps it. */
struct awaitable_queue {
    struct list waiting;
    const struct awaitable_futures *futures;
    uint64_t turn_ms; /* of the event loop, the last that one of them has seen; 0: none yet */
};

/* A new reference to the result; NULL with an exception; NULL without one: not yet, and the
 * event that wakes the queue has been asked for. */
typedef PyObject *(*awaitable_poll)(PyObject *owner);

static inline void awaitable_queue_init(struct awaitable_queue *queue,
                                        const struct awaitable_futures *futures)
{
    list_init(&queue->waiting);
    queue->futures = futures;
    queue->turn_ms = 0;
}

/* A new one that holds `owner`; NULL with an exception. */
PyObject *awaitable_new(struct core_state *state, PyObject *owner, struct awaitable_queue *queue,
                        awaitable_poll poll);

/* One that has completed with None, for as many uses as there are: NULL with an exception. */
PyObject *awaitable_new_done(struct core_state *state);

/* All that wait are polled again, in the next turn of the loop. The loop's thread, attached. */
void awaitable_wake(struct awaitable_queue *queue);

extern PyType_Spec awaitable_spec;

#endif
