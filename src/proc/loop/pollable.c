#include "proc/loop/pollable.h"

#include "base/mem.h"

#include <errno.h>

enum { FIRST_CAPACITY = 16 };

void pollables_init(struct pollables *p)
{
    *p = (struct pollables){0};
    list_init(&p->list);
}

void pollables_free(struct pollables *p)
{
    mem_free(p->fds);
    p->fds = NULL;
    p->capacity = 0;
}

void pollable_init(struct pollable *self, int (*on_ready)(struct pollable *, short, int64_t))
{
    *self = (struct pollable){.fd = -1, .deadline = INT64_MAX, .on_ready = on_ready};
    list_init(&self->link);
}

void pollables_add(struct pollables *p, struct pollable *self)
{
    list_push(&p->list, &self->link);
}

void pollable_remove(struct pollable *self)
{
    list_remove(&self->link);
}

void pollable_wake(struct pollable *self)
{
    self->is_due = true;
}

static struct pollable *of(struct list *link)
{
    return list_entry(link, struct pollable, link);
}

int64_t pollables_deadline(const struct pollables *p)
{
    int64_t at = INT64_MAX;

    for (struct list *l = p->list.next; l != &p->list; l = l->next) {
        if (of(l)->is_due)
            return 0;
        if (of(l)->deadline < at)
            at = of(l)->deadline;
    }
    return at;
}

/* 0, or -1 with errno ENOMEM. */
static int reserve(struct pollables *p, nfds_t count)
{
    nfds_t capacity = p->capacity ? p->capacity : FIRST_CAPACITY;

    while (capacity < count)
        capacity *= 2;
    if (p->fds && capacity == p->capacity)
        return 0;
    struct pollfd *fds = mem_realloc(p->fds, capacity * sizeof(*fds));

    if (!fds) {
        errno = ENOMEM;
        return -1;
    }
    p->fds = fds;
    p->capacity = capacity;
    return 0;
}

static nfds_t count_descriptors(const struct pollables *p)
{
    nfds_t count = 0;

    for (struct list *l = p->list.next; l != &p->list; l = l->next)
        count += of(l)->fd >= 0;
    return count;
}

/* Fills the array for poll(2). */
static nfds_t fill(struct pollables *p)
{
    nfds_t count = 0;

    for (struct list *l = p->list.next; l != &p->list; l = l->next) {
        struct pollable *self = of(l);

        if (self->fd < 0)
            continue;
        self->at = count;
        p->fds[count++] = (struct pollfd){.fd = self->fd, .events = self->events};
    }
    return count;
}

/* One that was added or changed while poll(2) waited was not polled. */
static void note(struct pollables *p, nfds_t count)
{
    for (struct list *l = p->list.next; l != &p->list; l = l->next) {
        struct pollable *self = of(l);
        bool polled = self->fd >= 0 && self->at < count && p->fds[self->at].fd == self->fd;

        self->found = polled ? p->fds[self->at].revents : 0;
        self->is_due |= self->found != 0;
    }
}

int pollables_poll(struct pollables *p, pollable_wait wait, void *ctx, int timeout_ms)
{
    if (reserve(p, count_descriptors(p)) < 0)
        return -1;
    nfds_t count = fill(p);
    int n = wait(ctx, p->fds, count, timeout_ms);

    if (n > 0)
        note(p, count);
    return n;
}

static struct pollable *next_due(struct pollables *p)
{
    for (struct list *l = p->list.next; l != &p->list; l = l->next)
        if (of(l)->is_due)
            return of(l);
    return NULL;
}

int pollables_dispatch(struct pollables *p, int64_t now)
{
    struct pollable *self;
    int result = 0;

    for (struct list *l = p->list.next; l != &p->list; l = l->next)
        of(l)->is_due |= of(l)->deadline <= now;
    while (result >= 0 && (self = next_due(p))) {
        short found = self->found;

        self->is_due = false;
        self->found = 0;
        if (self->on_ready)
            result = self->on_ready(self, found, now);
    }
    return result < 0 ? result : 0;
}
