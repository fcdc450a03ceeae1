#ifndef PROC_LOOP_POLLABLE_H
#define PROC_LOOP_POLLABLE_H

#include "base/list.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The descriptors and deadlines of the master's loop: one list. Each user embeds a struct pollable
 * in its own struct, sets `fd`, `events` and `deadline` whenever they change, and is called
 * when there is something to do.
 *
 * All functions are the loop's thread's. A callback may add, change and remove any pollable, and
 * may run the loop again: a shutdown that a client asks for does.
 */
struct pollable {
    struct list link;
    int fd;           /* -1: it waits for its deadline alone */
    short events;     /* of poll(2) */
    int64_t deadline; /* ms of CLOCK_MONOTONIC; INT64_MAX: none */
    /*
     * The descriptor is ready for `revents`, or it is 0: the deadline is over, or pollable_wake()
     * was called. `now` is in ms. NULL: the loop is only woken. Returns 0, or a negative value to
     * leave the loop.
     */
    int (*on_ready)(struct pollable *self, short revents, int64_t now);
    nfds_t at;   /* its place in the array that is polled now */
    short found; /* the result of poll(2) */
    bool is_due; /* to be called in this round */
};

struct pollables {
    struct list list;
    struct pollfd *fds; /* owned; the array for poll(2) */
    nfds_t capacity;
};

/* poll(2), around which the host releases its lock. Returns as poll does, errno kept. */
typedef int (*pollable_wait)(void *ctx, struct pollfd *fds, nfds_t count, int timeout_ms);

void pollables_init(struct pollables *pollables);

/* Frees the list's own memory, not the pollables in it. */
void pollables_free(struct pollables *pollables);

/* A pollable in no list, without descriptor and deadline. */
void pollable_init(struct pollable *self, int (*on_ready)(struct pollable *, short, int64_t));
void pollables_add(struct pollables *pollables, struct pollable *self);

/* Harmless when it is in no list. */
void pollable_remove(struct pollable *self);

/* It is called in this round, or in the next one if this one is over. */
void pollable_wake(struct pollable *self);

/* The soonest deadline; INT64_MAX for none. */
int64_t pollables_deadline(const struct pollables *pollables);

/* Waits for any of them, at most timeout_ms (-1: no limit). Returns as poll(2) does: -1 with errno,
 * also ENOMEM. */
int pollables_poll(struct pollables *pollables, pollable_wait wait, void *ctx, int timeout_ms);

/* Calls those that are ready or due, each once. Returns 0, or a callback's negative value; the rest
 * is called the next time then. */
int pollables_dispatch(struct pollables *pollables, int64_t now);

#endif
