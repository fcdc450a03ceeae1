#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Readiness of descriptors. One file a backend: loop_epoll.c, loop_kqueue.c,
 * loop_poll.c.
 *
 * Contract, the same for each backend: an event says that a descriptor *became* ready, once.
 * The callback reads or writes until EAGAIN (or until it gets less than it asked for, unless the
 * event has LOOP_URGENT), then calls loop_arm(), which costs nothing where the kernel remembers
 * edges. Listeners are the exception: with LOOP_LISTEN their event is repeated as long as a client
 * waits.
 */

enum {
    LOOP_READ = 1,
    LOOP_WRITE = 2,
    LOOP_GONE = 4,    /* the peer has closed or reset; given with LOOP_READ */
    LOOP_LISTEN = 8,  /* interest only: a listening socket, shared with other processes */
    LOOP_URGENT = 16, /* TCP's urgent data, or possibly, before which a read ends; given with
                         LOOP_READ, where edges are remembered */
};

enum { LOOP_BATCH = 64 }; /* events a wait, at most: their requests are all held at a time */

struct io {
    int fd;
    int slot; /* private to the backend */
    unsigned interest;
    void (*on_event)(struct io *io, unsigned events, void *context);
};

struct loop;

struct loop_ops {
    const char *name;
    struct loop *(*create)(void);
    void (*destroy)(struct loop *loop);
    int (*add)(struct loop *loop, struct io *io, unsigned interest);
    int (*remove)(struct loop *loop, struct io *io);
    void (*arm)(struct loop *loop, struct io *io, unsigned interest);
    void (*again)(struct loop *loop, struct io *io, unsigned interest);
    int (*wait)(struct loop *loop, int timeout_ms, void *context);
    int (*wake)(struct loop *loop);
    int (*fd)(struct loop *loop);
    int (*alarm)(struct loop *loop, uint32_t ms);
};

struct loop {
    const struct loop_ops *ops;
    /* NULL: not called. */
    void (*woken)(void *context); /* before the events of a wait are reported */
    void (*rang)(void *context);  /* the alarm; there is none from now on */
};

extern const struct loop_ops loop_epoll_ops;
extern const struct loop_ops loop_kqueue_ops;
extern const struct loop_ops loop_poll_ops;

/* The best backend of this system, or the one that is named ("epoll", "kqueue", "poll"). NULL:
 * errno says why. */
struct loop *loop_create(const char *name);

static inline void loop_destroy(struct loop *loop)
{
    loop->ops->destroy(loop);
}

/*
 * Watches io->fd for all events that it will ever be armed for; a readiness that exists already is
 * reported. Thread-safe. 0 or -1 with errno.
 */
static inline int loop_add(struct loop *loop, struct io *io, unsigned interest)
{
    return loop->ops->add(loop, io, interest);
}

/* No event of io is given after this, except from a wait that is dispatching already. -1 with errno
 * when io->fd is no longer the descriptor that was added: then events may come for as long as a
 * copy of it is open.
 */
static inline int loop_remove(struct loop *loop, struct io *io)
{
    return loop->ops->remove(loop, io);
}

/* Asks again for events that were reported already. Thread-safe. */
static inline void loop_arm(struct loop *loop, struct io *io, unsigned interest)
{
    if (loop->ops->arm)
        loop->ops->arm(loop, io, interest);
}

/* Whether bytes that are left in a socket raise no event until more come. */
static inline bool loop_remembers_edges(const struct loop *loop)
{
    return !loop->ops->arm;
}

/*
 * For a caller that has stopped early: the present readiness of io is reported again, edge or not.
 * Thread-safe.
 */
static inline void loop_again(struct loop *loop, struct io *io, unsigned interest)
{
    loop->ops->again(loop, io, interest);
}

/*
 * Waits at most timeout_ms (-1: for ever) and calls on_event for each descriptor that became ready.
 * Returns the number of events, or -1 with errno: EINTR, or others when other code has closed a
 * descriptor of the loop.
 */
static inline int loop_wait(struct loop *loop, int timeout_ms, void *context)
{
    return loop->ops->wait(loop, timeout_ms, context);
}

/* Ends a wait that is under way, or the next one. Thread-safe and async-signal-safe, errno stays.
 * 0, or an error number. */
static inline int loop_wake(struct loop *loop)
{
    return loop->ops->wake(loop);
}

/* A descriptor that polls readable when the loop has events, or -1 where the backend has none. */
static inline int loop_fd(struct loop *loop)
{
    return loop->ops->fd(loop);
}

/*
 * For a caller that waits for loop_fd() to become readable: in ms at the latest it does so, in
 * place of an alarm set before. 0 or -1 with errno; needs a loop that has a loop_fd().
 */
static inline int loop_alarm(struct loop *loop, uint32_t ms)
{
    return loop->ops->alarm(loop, ms);
}

#endif
