#include "net/loop.h"

#include "base/mem.h"
#include "net/wake_pipe.h"

#include <poll.h>
#include <pthread.h>

/*
 * The portable backend. Interest is one-shot: an event that was reported is not asked for again
 * until loop_arm(). The table may change while a wait is under way (loop_add and loop_arm are
 * thread-safe): the wait works on a copy and a change wakes it.
 */
struct poll_loop {
    struct loop base;
    struct wake_pipe wake;
    pthread_mutex_t lock;
    struct io **ios; /* ios[i] belongs to fds[i]; slot 0 is the wake pipe */
    struct pollfd *fds;
    struct pollfd *copy; /* polled by the wait under way */
    struct io **polled;
    int count, capacity, copy_capacity;
    bool waiting; /* a wait looks at a copy that a change makes old */
};

static void poll_destroy(struct loop *base)
{
    struct poll_loop *loop = (struct poll_loop *)base;
    wake_pipe_close(&loop->wake);
    pthread_mutex_destroy(&loop->lock);
    mem_free(loop->ios);
    mem_free(loop->fds);
    mem_free(loop->copy);
    mem_free(loop->polled);
    mem_free(loop);
}

static int grow(struct poll_loop *loop)
{
    int capacity = loop->capacity ? loop->capacity * 2 : 64;
    struct io **ios = mem_realloc(loop->ios, (size_t)capacity * sizeof(*ios));
    if (!ios)
        return -1;
    loop->ios = ios;
    struct pollfd *fds = mem_realloc(loop->fds, (size_t)capacity * sizeof(*fds));
    if (!fds)
        return -1;
    loop->fds = fds;
    loop->capacity = capacity;
    return 0;
}

static struct loop *poll_create(void)
{
    struct poll_loop *loop = mem_alloc(sizeof(*loop));
    if (!loop)
        return NULL;
    *loop = (struct poll_loop){.base.ops = &loop_poll_ops};
    if (grow(loop) < 0 || wake_pipe_open(&loop->wake) < 0) {
        mem_free(loop->ios);
        mem_free(loop->fds);
        mem_free(loop);
        return NULL;
    }
    pthread_mutex_init(&loop->lock, NULL);
    loop->ios[0] = NULL;
    loop->fds[0] = (struct pollfd){.fd = loop->wake.read, .events = POLLIN};
    loop->count = 1;
    return &loop->base;
}

static short poll_events(unsigned interest)
{
    short events = 0;
    if (interest & (LOOP_READ | LOOP_LISTEN))
        events |= POLLIN;
    if (interest & LOOP_WRITE)
        events |= POLLOUT;
    return events;
}

static int poll_wake(struct loop *base)
{
    return wake_pipe_write(&((struct poll_loop *)base)->wake);
}

static int poll_add(struct loop *base, struct io *io, unsigned interest)
{
    struct poll_loop *loop = (struct poll_loop *)base;
    pthread_mutex_lock(&loop->lock);
    int result = loop->count < loop->capacity ? 0 : grow(loop);
    if (result == 0) {
        io->slot = loop->count++;
        io->interest = interest;
        loop->ios[io->slot] = io;
        loop->fds[io->slot] = (struct pollfd){.fd = io->fd, .events = poll_events(interest)};
    }
    bool waiting = loop->waiting;
    pthread_mutex_unlock(&loop->lock);
    if (waiting)
        poll_wake(base);
    return result;
}

static int poll_remove(struct loop *base, struct io *io)
{
    struct poll_loop *loop = (struct poll_loop *)base;
    pthread_mutex_lock(&loop->lock);
    int last = --loop->count;
    loop->ios[io->slot] = loop->ios[last];
    loop->fds[io->slot] = loop->fds[last];
    if (loop->ios[io->slot])
        loop->ios[io->slot]->slot = io->slot;
    pthread_mutex_unlock(&loop->lock);
    return 0;
}

static void poll_arm(struct loop *base, struct io *io, unsigned interest)
{
    struct poll_loop *loop = (struct poll_loop *)base;
    pthread_mutex_lock(&loop->lock);
    loop->fds[io->slot].events |= poll_events(interest);
    loop->fds[io->slot].fd = io->fd;
    bool waiting = loop->waiting;
    pthread_mutex_unlock(&loop->lock);
    if (waiting)
        poll_wake(base);
}

static int copy_table(struct poll_loop *loop)
{
    if (loop->copy_capacity < loop->capacity) {
        struct pollfd *copy = mem_realloc(loop->copy, (size_t)loop->capacity * sizeof(*copy));
        if (!copy)
            return -1;
        loop->copy = copy;
        struct io **polled = mem_realloc(loop->polled, (size_t)loop->capacity * sizeof(*polled));
        if (!polled)
            return -1;
        loop->polled = polled;
        loop->copy_capacity = loop->capacity;
    }
    for (int i = 0; i < loop->count; i++) {
        loop->copy[i] = loop->fds[i];
        loop->polled[i] = loop->ios[i];
    }
    return loop->count;
}

static unsigned events_of(short revents)
{
    unsigned out = 0;
    if (revents & POLLIN)
        out |= LOOP_READ;
    if (revents & POLLOUT)
        out |= LOOP_WRITE;
    if (revents & (POLLHUP | POLLERR | POLLNVAL))
        out |= LOOP_READ | LOOP_WRITE | LOOP_GONE;
    return out;
}

/* poll() reports a hang-up even without interest: only a negative descriptor is silent. */
static void disarm(struct pollfd *fd, short revents)
{
    fd->events &= (short)~revents;
    if (revents & (POLLHUP | POLLERR | POLLNVAL))
        fd->fd = -1;
}

/* A reported event is asked for no more; a callback may add, arm or remove after that. */
static void disarm_reported(struct poll_loop *loop, int count)
{
    for (int i = 1; i < count; i++)
        if (loop->copy[i].revents && !(loop->polled[i]->interest & LOOP_LISTEN))
            disarm(&loop->fds[loop->polled[i]->slot], loop->copy[i].revents);
}

static int poll_loop_wait(struct loop *base, int timeout_ms, void *context)
{
    struct poll_loop *loop = (struct poll_loop *)base;
    pthread_mutex_lock(&loop->lock);
    int count = copy_table(loop);
    loop->waiting = count >= 0;
    pthread_mutex_unlock(&loop->lock);
    if (count < 0)
        return -1;
    int found = poll(loop->copy, (nfds_t)count, timeout_ms);
    pthread_mutex_lock(&loop->lock);
    loop->waiting = false;
    if (found > 0)
        disarm_reported(loop, count);
    pthread_mutex_unlock(&loop->lock);
    if (found <= 0)
        return found;
    if (base->woken)
        base->woken(context);
    if (loop->copy[0].revents)
        wake_pipe_drain(&loop->wake);
    for (int i = 1; i < count; i++)
        if (loop->copy[i].revents)
            loop->polled[i]->on_event(loop->polled[i], events_of(loop->copy[i].revents), context);
    return found;
}

static int poll_fd(struct loop *base)
{
    (void)base;
    return -1;
}

const struct loop_ops loop_poll_ops = {
    .name = "poll",
    .create = poll_create,
    .destroy = poll_destroy,
    .add = poll_add,
    .remove = poll_remove,
    .arm = poll_arm,
    .again = poll_arm, /* poll() repeats an event as long as it holds */
    .wait = poll_loop_wait,
    .wake = poll_wake,
    .fd = poll_fd,
    .alarm = NULL, /* nobody waits for it: there is no loop_fd() */
};
