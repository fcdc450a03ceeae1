#include "net/loop.h"

#include "base/forked.h"
#include "base/list.h"
#include "base/mem.h"

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct epoll_loop {
    struct loop base;
    int epoll_fd;
    int wake_fd;
    struct io alarm; /* a timerfd, once there is an alarm; else fd is -1 */
    struct epoll_event events[LOOP_BATCH];
};

static void close_own(int fd)
{
    forked_forget(fd);
    if (fd >= 0)
        close(fd);
}

static void epoll_destroy(struct loop *base)
{
    struct epoll_loop *loop = (struct epoll_loop *)base;
    close_own(loop->alarm.fd);
    close_own(loop->wake_fd);
    close_own(loop->epoll_fd);
    mem_free(loop);
}

static struct loop *epoll_loop_create(void)
{
    struct epoll_loop *loop = mem_alloc(sizeof(*loop));
    if (!loop)
        return NULL;
    loop->base = (struct loop){.ops = &loop_epoll_ops};
    loop->alarm.fd = -1;
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event wake = {.events = EPOLLIN, .data.ptr = NULL};
    if (loop->wake_fd < 0 || loop->epoll_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &wake) < 0) {
        epoll_destroy(&loop->base);
        return NULL;
    }
    forked_close(loop->wake_fd);
    forked_close(loop->epoll_fd);
    return &loop->base;
}

static int control(struct loop *base, int operation, struct io *io)
{
    struct epoll_loop *loop = (struct epoll_loop *)base;
    struct epoll_event event = {.data.ptr = io};
    if (io->interest & LOOP_LISTEN)
        event.events = EPOLLIN | EPOLLEXCLUSIVE;
    else
        event.events = EPOLLRDHUP | EPOLLET;
    if (io->interest & LOOP_READ)
        event.events |= EPOLLIN | EPOLLPRI;
    if (io->interest & LOOP_WRITE)
        event.events |= EPOLLOUT;
    return epoll_ctl(loop->epoll_fd, operation, io->fd, &event);
}

static int epoll_add(struct loop *base, struct io *io, unsigned interest)
{
    io->interest = interest;
    return control(base, EPOLL_CTL_ADD, io);
}

/* The kernel tells an edge anew when the interest is said anew. */
static void epoll_again(struct loop *base, struct io *io, unsigned interest)
{
    (void)interest;
    control(base, EPOLL_CTL_MOD, io);
}

static int epoll_remove(struct loop *base, struct io *io)
{
    struct epoll_loop *loop = (struct epoll_loop *)base;
    struct epoll_event unused = {0};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, &unused);
}

static unsigned events_of(uint32_t events)
{
    unsigned out = 0;
    if (events & EPOLLIN)
        out |= LOOP_READ;
    if (events & EPOLLOUT)
        out |= LOOP_WRITE;
    if (events & EPOLLPRI)
        out |= LOOP_READ | LOOP_URGENT;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        out |= LOOP_READ | LOOP_WRITE | LOOP_GONE;
    return out;
}

static int epoll_loop_wait(struct loop *base, int timeout_ms, void *context)
{
    struct epoll_loop *loop = (struct epoll_loop *)base;
    int count = epoll_wait(loop->epoll_fd, loop->events, LOOP_BATCH, timeout_ms);
    if (count > 0 && base->woken)
        base->woken(context);
    for (int i = 0; i < count; i++) {
        struct io *io = loop->events[i].data.ptr;
        if (io) {
            io->on_event(io, events_of(loop->events[i].events), context);
        } else {
            uint64_t drained;
            (void)!read(loop->wake_fd, &drained, sizeof(drained));
        }
    }
    return count;
}

static int epoll_wake(struct loop *base)
{
    struct epoll_loop *loop = (struct epoll_loop *)base;
    uint64_t one = 1;
    int saved = errno;
    int error = write(loop->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN ? errno : 0;
    errno = saved;
    return error;
}

static int epoll_fd_of(struct loop *base)
{
    return ((struct epoll_loop *)base)->epoll_fd;
}

static void alarm_rang(struct io *io, unsigned events, void *context)
{
    (void)events;
    struct epoll_loop *loop = list_entry(io, struct epoll_loop, alarm);
    if (loop->base.rang)
        loop->base.rang(context);
}

static int open_alarm(struct epoll_loop *loop)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0)
        return -1;
    loop->alarm = (struct io){.fd = fd, .on_event = alarm_rang};
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &loop->alarm};
    forked_close(fd);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    close_own(fd);
    loop->alarm.fd = -1;
    return -1;
}

static int epoll_alarm(struct loop *base, uint32_t ms)
{
    struct epoll_loop *loop = (struct epoll_loop *)base;
    /* All zero would switch the alarm off. */
    struct itimerspec at = {
        .it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L + 1},
    };
    if (loop->alarm.fd < 0 && open_alarm(loop) < 0)
        return -1;
    return timerfd_settime(loop->alarm.fd, 0, &at, NULL);
}

const struct loop_ops loop_epoll_ops = {
    .name = "epoll",
    .create = epoll_loop_create,
    .destroy = epoll_destroy,
    .add = epoll_add,
    .remove = epoll_remove,
    .arm = NULL, /* the kernel remembers edges */
    .again = epoll_again,
    .wait = epoll_loop_wait,
    .wake = epoll_wake,
    .fd = epoll_fd_of,
    .alarm = epoll_alarm,
};
