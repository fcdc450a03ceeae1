#ifndef SERVE_REQUEST_STORE_H
#define SERVE_REQUEST_STORE_H

#include "serve/engine/engine.h"
#include "serve/request/request.h"

#include <sys/uio.h>

/* Parts of an answer that wait for their client. By the thread that runs the request. */

/* Bytes that the application holds, and of which a part may be queued without a copy. */
struct held {
    void *ref; /* NULL: copied */
    size_t size;
};

enum { STORE_AHEAD = -2 }; /* not for want of room */

/*
 * With the lock of request->out: one part into the queue. 1: stored, with the ref; 0: stored; else
 * it has to wait. To memory as long as there is some, then to a file; without a file to memory
 * beyond that bound, for the budget has one of its own.
 */
int store_part(struct request *request, const struct iovec *part, struct held held);

/*
 * A client that takes a stream as fast as it is made is waited for, as nothing is gained by a
 * queue: what the application makes is still in the processor's cache when it is sent, and its
 * memory is used again. Whether this client is one shows in a moment, once until it has caught up.
 */
bool store_may_be_fast(const struct request *request);

/* The application answers later: its threads are not to wait for a client. */
static inline bool store_never_waits(const struct request *request)
{
    return request->engine->ops->events;
}

#endif
