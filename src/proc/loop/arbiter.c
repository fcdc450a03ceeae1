#include "proc/loop/arbiter.h"

#include "base/forked.h"
#include "proc/loop/fork.h"
#include "proc/loop/moment.h"
#include "proc/loop/pipe.h"
#include "proc/loop/scaler.h"
#include "proc/loop/sign.h"
#include "proc/loop/signals.h"
#include "proc/loop/watch.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

static int hear_pipe(struct pollable *self, short revents, int64_t now);

static void open_pollables(struct arbiter *a)
{
    pollable_init(&a->signals, NULL);
    a->signals.fd = signals_fd();
    a->signals.events = POLLIN;
    pollables_add(&a->pollables, &a->signals);
    pollable_init(&a->wake, hear_pipe);
    a->wake.fd = a->wake_pipe[0];
    a->wake.events = POLLIN;
    pollables_add(&a->pollables, &a->wake);
    scaler_open(a);
}

int arbiter_open(struct arbiter *a, const struct arbiter_host *host, void *ctx)
{
    *a = (struct arbiter){.wake_pipe = {-1, -1}, .life_pipe = {-1, -1}, .host = host, .ctx = ctx};
    for (int kind = 0; kind < CHILD_KINDS; kind++)
        a->kinds[kind].goal.kind = kind;
    children_init(&a->children);
    pollables_init(&a->pollables);
    if (forked_watch() < 0 || signals_open() < 0)
        return -1;
    a->born = forked_count;
    oom_open(&a->oom, "");
    if (pipe_open(a->wake_pipe, false) < 0 || pipe_open(a->life_pipe, true) < 0 ||
        scoreboard_open(&a->board) < 0) {
        int saved = errno;
        arbiter_close(a);
        errno = saved;
        return -1;
    }
    forked_replace(a->wake_pipe[0]);
    forked_replace(a->life_pipe[1]); /* its end shows the workers that the master is dead */
    open_pollables(a);
    return 0;
}

bool arbiter_is_stray(const struct arbiter *a)
{
    return !a->is_child && forked_count != a->born;
}

void arbiter_close(struct arbiter *a)
{
    signals_close();
    forked_forget(a->wake_pipe[0]);
    forked_forget(a->life_pipe[1]);
    pipe_close(a->wake_pipe);
    pipe_close(a->life_pipe);
    scoreboard_close(&a->board);
    children_free(&a->children);
    pollables_free(&a->pollables);
}

static int64_t next_deadline(const struct arbiter *a, int64_t now)
{
    int64_t at = watch_deadline(a);

    for (int kind = 0; kind < CHILD_KINDS; kind++)
        if (a->kinds[kind].backoff.until > now)
            at = moment_sooner(at, a->kinds[kind].backoff.until);
    if (a->tick_ms > 0 && now + a->tick_ms < at)
        at = now + a->tick_ms;
    if (a->watchdog_ms > 0 && now + a->watchdog_ms < at)
        at = now + a->watchdog_ms;
    return at;
}

static int clamp_timeout(int64_t ms)
{
    if (ms < 0)
        return 0;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void pause_ms(int ms)
{
    poll(NULL, 0, ms);
}

/* Workers hold its other end, and may write any number of bytes: the rest wakes once more. */
static void empty_pipe(int fd)
{
    char bytes[4096];
    ssize_t ignored = read(fd, bytes, sizeof(bytes));

    (void)ignored;
}

/* It was written to, or it is time to listen to it again. Beyond a number of times it is not looked
 * at until the second is over, so that a worker which writes without end does not keep the master
 * busy. */
static int hear_pipe(struct pollable *self, short revents, int64_t now)
{
    struct arbiter *a = list_entry(self, struct arbiter, wake);
    struct arbiter_wakes *wakes = &a->wakes;

    self->fd = a->wake_pipe[0];
    self->deadline = INT64_MAX;
    if (!revents)
        return 0;
    empty_pipe(self->fd);
    if (a->on_wake)
        pollable_wake(a->on_wake);
    if (now >= wakes->since + ARBITER_WAKES_MS)
        *wakes = (struct arbiter_wakes){.since = now};
    if (++wakes->count >= ARBITER_WAKES) {
        self->fd = -1;
        self->deadline = wakes->since + ARBITER_WAKES_MS;
    }
    return 0;
}

/* Sleeps until there is something to do, or `limit` (ms of CLOCK_MONOTONIC). */
static int sleep_until(struct arbiter *a, int64_t limit)
{
    int64_t now = moment_now();

    limit = moment_sooner(limit, pollables_deadline(&a->pollables));
    int timeout = limit == INT64_MAX ? -1 : clamp_timeout(limit - now);
    int n = pollables_poll(&a->pollables, a->host->wait, a->ctx, timeout);

    if (n < 0 && (errno == ENOMEM || errno == EAGAIN))
        pause_ms(ARBITER_PAUSE_MS);
    else if (n < 0 && errno != EINTR)
        return -1;
    if (now <= limit)
        watch_spare_if_late(a, limit, moment_now());
    int result = pollables_dispatch(&a->pollables, moment_now());
    return result < 0 ? result : a->host->between(a->ctx);
}

/* ---- killing ---- */

static enum child_phase phase_after(int signo)
{
    switch (signo) {
    case SIGTERM:
    case SIGQUIT:
    case SIGINT:
        return CHILD_STOPPING;
    case SIGABRT:
        return CHILD_ABORTED;
    case SIGKILL:
        return CHILD_KILLED;
    default:
        return CHILD_PHASE_COUNT;
    }
}

int arbiter_kill(struct arbiter *a, pid_t pid, int signo)
{
    struct child *child = children_find(&a->children, pid);
    enum child_phase phase = phase_after(signo);

    int result = kill(pid, signo), saved = errno;
    /* A child that may not be signalled counts as signalled, and the others follow. */
    if (result < 0 && saved != EPERM)
        return -1;
    if (child && phase != CHILD_PHASE_COUNT && child_may_move(child->phase, phase))
        child_move(child, phase, moment_now());
    if (child && !child_serves(child) && child->reason == REASON_NONE)
        child->reason = REASON_STOP;
    errno = saved;
    return result;
}

void arbiter_let_go(struct arbiter *a)
{
    forked_forget(a->life_pipe[1]);
    if (a->life_pipe[1] >= 0)
        close(a->life_pipe[1]);
    a->life_pipe[1] = -1;
}

/* ---- keeping the number ---- */

static int greet(struct arbiter *a, struct child *child)
{
    pid_t pid = child->pid;
    int result = 0;

    fork_prove(a, child);
    if (recycle_greet(&a->limits, child))
        result = a->host->born_big(a->ctx, child);
    child = children_find(&a->children, pid); /* the host may have forgotten it */
    return result < 0 || !child ? result : a->host->ready(a->ctx, child);
}

static int hear_children(struct arbiter *a)
{
    int64_t now = moment_now();

    for (size_t i = 0; i < a->children.count; i++) {
        struct child *child = &a->children.list[i];
        pid_t pid = child->pid;
        bool was_booting = child->phase == CHILD_BOOTING;
        bool updated = child_update(child, now);

        if (child->phase != CHILD_BOOTING)
            watch_begin(a, child, now);
        int result = updated && was_booting ? greet(a, child) : 0;
        if (result < 0)
            return result;
        if (i < a->children.count && a->children.list[i].pid != pid)
            i--; /* a callback took it out of the registry */
    }
    scaler_rouse(a, now);
    return 0;
}

static enum reason reason_to_go(const struct child *child, const struct children_goal *goal)
{
    if (child->generation != goal->generation)
        return REASON_RELOAD;
    return child->replacing ? child->due : REASON_SCALE;
}

/* Stops one child. False: the host would not have it killed. */
static bool dismiss(struct arbiter *a, struct child *child, const struct children_goal *goal,
                    int *result)
{
    size_t count = a->children.count;
    enum child_phase phase = child->phase;
    pid_t pid = child->pid;

    child->reason = reason_to_go(child, goal);
    *result = a->host->kill(a->ctx, child, SIGTERM);
    child = children_find(&a->children, pid);
    return !child || child->phase != phase || a->children.count != count;
}

static int manage_kind(struct arbiter *a, struct arbiter_kind *kind)
{
    struct children_goal *goal = &kind->goal;
    struct child *child;

    children_admit(&a->children, goal);
    unsigned missing = children_missing(&a->children, goal);
    int result = 0;

    if (missing > 0 && backoff_left(&kind->backoff, moment_now()) == 0)
        result = a->host->spawn(a->ctx, goal->kind, missing);
    while (result >= 0 && (child = children_surplus(&a->children, goal)))
        if (!dismiss(a, child, goal, &result))
            break;
    return result;
}

int arbiter_manage(struct arbiter *a)
{
    int result = 0;

    for (int i = 0; i < CHILD_KINDS && result >= 0; i++)
        result = manage_kind(a, &a->kinds[i]);
    return result < 0 ? result : 0;
}

/* ---- the loops ---- */

static int dispatch_signals(struct arbiter *a)
{
    int signo, result = 0;

    while (result >= 0 && (signo = signals_next()))
        result = a->host->on_signal(a->ctx, signo);
    return result;
}

int arbiter_run(struct arbiter *a)
{
    for (;;) {
        int result = sleep_until(a, next_deadline(a, moment_now()));

        if (result >= 0)
            result = hear_children(a);
        if (result >= 0)
            result = dispatch_signals(a);
        if (result >= 0)
            result = a->host->murder(a->ctx);
        if (result >= 0)
            result = a->host->manage(a->ctx);
        if (result < 0)
            return result;
    }
}

/* Only a wish to hurry counts while stopping. Returns 1 for it. */
static int drain_signals(void)
{
    int signo, hurry = 0;

    while ((signo = signals_next()))
        hurry |= signo == SIGINT || signo == SIGQUIT;
    return hurry;
}

/* Returns the signal that wants to stop, 0 for none, or the value of a callback. */
static int leave_signals(struct arbiter *a)
{
    int signo, result = 0;

    while (result == 0 && (signo = signals_next())) {
        if (signo == SIGTERM || signo == SIGINT || signo == SIGQUIT)
            return signo;
        if (signo == SIGCHLD || signo == SIGUSR1)
            result = a->host->on_signal(a->ctx, signo);
    }
    return result;
}

int arbiter_leave(struct arbiter *a, int64_t ms)
{
    int64_t limit = moment_now() + ms;
    int result = 0;

    a->leaving = true;
    while (result == 0 && moment_now() < limit) {
        result = sleep_until(a, moment_sooner(limit, next_deadline(a, moment_now())));
        if (result == 0)
            result = hear_children(a);
        if (result == 0)
            result = leave_signals(a);
        if (result == 0)
            result = a->host->murder(a->ctx);
        if (result == 0)
            result = a->host->manage(a->ctx);
    }
    return result;
}

int arbiter_drain(struct arbiter *a, int64_t limit_ms, bool hurried)
{
    int64_t limit = moment_now() + limit_ms;
    int result = a->host->reap(a->ctx);

    a->draining = true;
    sign_hurry(a, moment_now());
    while (result >= 0 && a->children.count > 0 && moment_now() < limit) {
        result = sleep_until(a, moment_sooner(limit, watch_last_deadline(a)));
        if (result >= 0 && drain_signals() && !hurried) {
            hurried = true;
            limit = moment_now() + ARBITER_HURRY_MS;
            result = a->host->hurry(a->ctx);
        }
        if (result >= 0)
            result = a->host->reap(a->ctx);
        if (result >= 0)
            result = watch_last(a);
    }
    a->draining = false;
    return result;
}

int arbiter_linger(struct arbiter *a, int64_t limit_ms, bool (*busy)(void *ctx), void *ctx)
{
    int64_t limit = moment_now() + limit_ms;
    int result = 0;

    while (result >= 0 && busy(ctx) && moment_now() < limit)
        result = sleep_until(a, limit);
    return result;
}
