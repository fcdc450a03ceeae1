#include "net/loop.h"

#include "base/forked.h"
#include "base/mem.h"
#include "net/wake_pipe.h"

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

/*
 * The backend of macOS and the BSDs. The kernel remembers edges (EV_CLEAR). It reports reading and
 * writing apart; the events of a wait are put together, for a callback may free its io.
 */
struct kqueue_loop {
    struct loop base;
    int queue;
    struct wake_pipe wake;
    struct kevent events[LOOP_BATCH];
    struct ready {
        struct io *io;
        unsigned events;
    } ready[LOOP_BATCH]; /* io->slot is its place while a wait puts them together */
};

enum { ALARM_IDENT = 1 };

#ifdef EV_OOBAND /* Apple's */
#define MAY_BE_URGENT(flags) ((flags) & EV_OOBAND)
#else /* not reported: any read may end before urgent data */
#define MAY_BE_URGENT(flags) true
#endif

static int change(struct kqueue_loop *loop, int ident, short filter, unsigned flags, void *io)
{
    struct kevent event;
    EV_SET(&event, (uintptr_t)ident, filter, (unsigned short)flags, 0, 0, io);
    return kevent(loop->queue, &event, 1, NULL, 0, NULL);
}

static void kqueue_destroy(struct loop *base)
{
    struct kqueue_loop *loop = (struct kqueue_loop *)base;
    forked_forget(loop->queue);
    if (loop->queue >= 0)
        close(loop->queue);
    wake_pipe_close(&loop->wake);
    mem_free(loop);
}

static struct loop *kqueue_create(void)
{
    struct kqueue_loop *loop = mem_alloc(sizeof(*loop));
    if (!loop)
        return NULL;
    loop->base = (struct loop){.ops = &loop_kqueue_ops};
    if (wake_pipe_open(&loop->wake) < 0) {
        mem_free(loop);
        return NULL;
    }
    loop->queue = kqueue();
    if (loop->queue < 0 || change(loop, loop->wake.read, EVFILT_READ, EV_ADD, NULL) < 0) {
        int saved = errno;
        kqueue_destroy(&loop->base);
        errno = saved;
        return NULL;
    }
    forked_close(loop->queue);
    return &loop->base;
}

static int watch(struct kqueue_loop *loop, struct io *io, unsigned interest)
{
    if (interest & LOOP_LISTEN)
        return change(loop, io->fd, EVFILT_READ, EV_ADD, io);
    if ((interest & LOOP_READ) && change(loop, io->fd, EVFILT_READ, EV_ADD | EV_CLEAR, io) < 0)
        return -1;
    return interest & LOOP_WRITE ? change(loop, io->fd, EVFILT_WRITE, EV_ADD | EV_CLEAR, io) : 0;
}

static int kqueue_remove(struct loop *base, struct io *io)
{
    struct kqueue_loop *loop = (struct kqueue_loop *)base;
    int result = 0;
    if (io->interest & (LOOP_READ | LOOP_LISTEN))
        result = change(loop, io->fd, EVFILT_READ, EV_DELETE, NULL);
    if ((io->interest & LOOP_WRITE) && change(loop, io->fd, EVFILT_WRITE, EV_DELETE, NULL) < 0)
        result = -1;
    return result;
}

static int kqueue_add(struct loop *base, struct io *io, unsigned interest)
{
    io->interest = interest;
    io->slot = 0;
    if (watch((struct kqueue_loop *)base, io, interest) == 0)
        return 0;
    int saved = errno;
    kqueue_remove(base, io);
    errno = saved;
    return -1;
}

/* An event that is added anew is reported if it holds. */
static void kqueue_again(struct loop *base, struct io *io, unsigned interest)
{
    (void)interest;
    kqueue_remove(base, io);
    watch((struct kqueue_loop *)base, io, io->interest);
}

static unsigned events_of(const struct kevent *event)
{
    unsigned out = event->filter == EVFILT_WRITE ? LOOP_WRITE : LOOP_READ;
    if (event->flags & (EV_EOF | EV_ERROR))
        out = LOOP_READ | LOOP_WRITE | LOOP_GONE;
    const struct io *io = event->udata;
    bool reads = (out & LOOP_READ) && !(io->interest & LOOP_LISTEN);
    return reads && MAY_BE_URGENT(event->flags) ? out | LOOP_URGENT : out;
}

/* Returns how many of `ready` there are now. */
static int put_together(struct kqueue_loop *loop, const struct kevent *event, int count)
{
    struct io *io = event->udata;
    if (io->slot < count && loop->ready[io->slot].io == io) {
        loop->ready[io->slot].events |= events_of(event);
        return count;
    }
    io->slot = count;
    loop->ready[count] = (struct ready){io, events_of(event)};
    return count + 1;
}

static int own_event(struct kqueue_loop *loop, const struct kevent *event, void *context)
{
    if (event->filter != EVFILT_TIMER)
        wake_pipe_drain(&loop->wake);
    else if (loop->base.rang)
        loop->base.rang(context);
    return 1;
}

static int kqueue_wait(struct loop *base, int timeout_ms, void *context)
{
    struct kqueue_loop *loop = (struct kqueue_loop *)base;
    struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    int found =
        kevent(loop->queue, NULL, 0, loop->events, LOOP_BATCH, timeout_ms < 0 ? NULL : &timeout);
    if (found > 0 && base->woken)
        base->woken(context);
    int count = 0, own = 0;
    for (int i = 0; i < found; i++)
        if (loop->events[i].udata)
            count = put_together(loop, &loop->events[i], count);
        else
            own += own_event(loop, &loop->events[i], context);
    for (int i = 0; i < count; i++)
        loop->ready[i].io->on_event(loop->ready[i].io, loop->ready[i].events, context);
    return found < 0 ? -1 : count + own;
}

static int kqueue_wake(struct loop *base)
{
    return wake_pipe_write(&((struct kqueue_loop *)base)->wake);
}

static int kqueue_fd(struct loop *base)
{
    return ((struct kqueue_loop *)base)->queue;
}

/* 0 ms is not the same on all systems. */
static int kqueue_alarm(struct loop *base, uint32_t ms)
{
    struct kqueue_loop *loop = (struct kqueue_loop *)base;
    struct kevent event;
    EV_SET(&event, ALARM_IDENT, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, ms ? ms : 1, NULL);
    return kevent(loop->queue, &event, 1, NULL, 0, NULL);
}

const struct loop_ops loop_kqueue_ops = {
    .name = "kqueue",
    .create = kqueue_create,
    .destroy = kqueue_destroy,
    .add = kqueue_add,
    .remove = kqueue_remove,
    .arm = NULL, /* the kernel remembers edges */
    .again = kqueue_again,
    .wait = kqueue_wait,
    .wake = kqueue_wake,
    .fd = kqueue_fd,
    .alarm = kqueue_alarm,
};
