#include "proc/loop/arbiter.h"

#include "base/clock.h"
#include "base/forked.h"
#include "proc/loop/pipe.h"
#include "proc/loop/signals.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __APPLE__
enum { MAXRSS_UNIT = 1 };
#else
enum { MAXRSS_UNIT = 1024 }; /* bytes in one of rusage.ru_maxrss */
#endif

static int64_t now_ms(void)
{
    return (int64_t)(clock_ns() / 1000000);
}

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
    oom_open(&a->oom, "");
    if (pipe_open(a->wake_pipe, false) < 0 || pipe_open(a->life_pipe, true) < 0 ||
        scoreboard_open(&a->board) < 0) {
        int saved = errno;
        arbiter_close(a);
        errno = saved;
        return -1;
    }
    forked_replace(a->wake_pipe[0]);
    forked_replace(a->life_pipe[1]); /* its end is to tell the workers that the master is dead */
    open_pollables(a);
    return 0;
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

/* ---- deadlines ---- */

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When a worker that is busy since then (0: it is idle) has been so for too long. */
static int64_t silence_deadline(const struct arbiter *a, const struct child *child, int64_t busy)
{
    if (busy == 0 || a->timeout_ms == 0)
        return INT64_MAX;
    return later(later(busy, child->asked_at) + a->timeout_ms, child->spared_to);
}

/* When a worker that is told of has been busy for too long, or is to be asked whether it still is.
 */
static int64_t busy_deadline(const struct arbiter *a, const struct child *child)
{
    if (!child->watching || (a->timeout_ms == 0 && !recycle_weighs(&a->limits)))
        return INT64_MAX;
    int64_t busy = child_busy_since(child);
    if (busy == 0)
        return child->look_at;
    int64_t silent = silence_deadline(a, child, busy);
    return recycle_weighs(&a->limits) ? sooner(silent, child->look_at) : silent;
}

/* How long a worker that is watched may be idle before it is seen. */
static int64_t look_ms(const struct arbiter *a)
{
    return recycle_weighs(&a->limits) ? RECYCLE_LOOK_MS : a->timeout_ms;
}

/* How long a worker may take to boot; 0: for ever. */
static int64_t boot_limit(const struct arbiter *a)
{
    return a->boot_ms > 0 ? a->boot_ms : a->timeout_ms * ARBITER_BOOT_FACTOR;
}

/* Whether a boot that takes longer than `timeout` is still to be told of. */
static bool tells_of_slow_boot(const struct arbiter *a, const struct child *child)
{
    return !child->slow_boot_told && a->timeout_ms > 0 && a->timeout_ms < boot_limit(a);
}

static int64_t boot_deadline(const struct arbiter *a, const struct child *child)
{
    int64_t ms = tells_of_slow_boot(a, child) ? a->timeout_ms : boot_limit(a);

    return ms == 0 ? INT64_MAX : later(child->forked_at + ms, child->spared_to);
}

static int64_t stop_deadline(const struct arbiter *a, const struct child *child)
{
    int64_t graceful_ms = a->kinds[child->kind].graceful_ms;

    if (a->draining || graceful_ms == 0)
        return INT64_MAX;
    return later(child->since + graceful_ms + ARBITER_SLACK_MS, child->spared_to);
}

/* When this child has had all of its time; INT64_MAX for never. A look at it that is due before may
 * be late: while the child is busy it is put off. */
static int64_t child_limit(const struct arbiter *a, const struct child *child)
{
    int64_t busy = child->watching && !a->draining ? child_busy_since(child) : 0;

    switch (child->phase) {
    case CHILD_ABORTED:
        return child->since + ARBITER_ABORT_MS;
    case CHILD_BOOTING:
        return boot_deadline(a, child);
    case CHILD_STOPPING:
        return sooner(silence_deadline(a, child, busy), stop_deadline(a, child));
    case CHILD_READY:
    case CHILD_RETIRING:
        return silence_deadline(a, child, busy);
    default:
        return INT64_MAX;
    }
}

/* The moment at which this child needs a look; INT64_MAX for never. */
static int64_t child_deadline(const struct arbiter *a, const struct child *child)
{
    switch (child->phase) {
    case CHILD_STOPPING: {
        int64_t busy = a->draining ? INT64_MAX : busy_deadline(a, child);
        return sooner(busy, stop_deadline(a, child));
    }
    case CHILD_READY:
        if (child->expires_at > 0)
            return sooner(busy_deadline(a, child), child->expires_at);
        return busy_deadline(a, child);
    case CHILD_RETIRING:
        return busy_deadline(a, child);
    default:
        return child_limit(a, child);
    }
}

static int64_t next_deadline(const struct arbiter *a, int64_t now)
{
    int64_t at = INT64_MAX;

    for (size_t i = 0; i < a->children.count; i++)
        at = sooner(at, child_deadline(a, &a->children.list[i]));
    for (int kind = 0; kind < CHILD_KINDS; kind++)
        if (a->kinds[kind].backoff.until > now)
            at = sooner(at, a->kinds[kind].backoff.until);
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

/* What was due is seen so late that the machine or the whole of the process group stood still. */
static bool stood_still(int64_t due, int64_t now)
{
    return now - ARBITER_LATE_MS > due;
}

static int64_t first_limit(const struct arbiter *a)
{
    int64_t at = INT64_MAX;

    for (size_t i = 0; i < a->children.count; i++)
        at = sooner(at, child_limit(a, &a->children.list[i]));
    return at;
}

/* That is nobody's silence. */
static void spare_everyone(struct arbiter *a, int64_t now)
{
    for (size_t i = 0; i < a->children.count; i++) {
        struct child *child = &a->children.list[i];

        child->spared_to = now + (child->phase == CHILD_BOOTING ? boot_limit(a) : a->timeout_ms);
    }
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
    int64_t now = now_ms();

    limit = sooner(limit, pollables_deadline(&a->pollables));
    int timeout = limit == INT64_MAX ? -1 : clamp_timeout(limit - now);
    int n = pollables_poll(&a->pollables, a->host->wait, a->ctx, timeout);

    if (n < 0 && (errno == ENOMEM || errno == EAGAIN))
        pause_ms(ARBITER_PAUSE_MS);
    else if (n < 0 && errno != EINTR)
        return -1;
    if (now <= limit && stood_still(limit, now_ms()))
        spare_everyone(a, now_ms());
    int result = pollables_dispatch(&a->pollables, now_ms());
    return result < 0 ? result : a->host->between(a->ctx);
}

/* ---- forking ---- */

static void become_child(struct arbiter *a)
{
    a->is_child = true;
    signals_after_fork();
    close(a->life_pipe[1]);
    close(a->wake_pipe[0]);
    a->life_pipe[1] = a->wake_pipe[0] = -1;
}

/* fork(2), with the signals blocked until the child has put the master's pipes away. */
static pid_t fork_child(struct arbiter *a, const struct arbiter_fork_hooks *hooks)
{
    sigset_t before;

    hooks->before(a->ctx);
    signals_block(&before);
    forked_expect(true);
    pid_t pid = fork();
    int saved = errno;
    forked_expect(false);
    if (pid == 0)
        become_child(a);
    signals_unblock(&before);
    hooks->after(a->ctx, pid);
    errno = saved;
    return pid;
}

pid_t arbiter_fork(struct arbiter *a, enum child_kind kind, uint32_t age,
                   const struct arbiter_fork_hooks *hooks, struct slot **slot)
{
    bool wants_slot = kind == CHILD_WORKER;

    if (children_reserve(&a->children) < 0)
        return -1; /* unknown it would serve unwatched */
    *slot = wants_slot ? scoreboard_take(&a->board, a->wake_pipe[1]) : NULL;
    if (wants_slot && !*slot) {
        errno = ENOSPC;
        return -1;
    }
    pid_t pid = fork_child(a, hooks);

    if (pid < 0 && *slot) {
        int saved = errno;
        scoreboard_release(&a->board, *slot);
        errno = saved;
    }
    if (pid <= 0)
        return pid;
    a->forks += wants_slot;
    children_add(&a->children, kind, pid, age, a->kinds[kind].goal.generation, *slot, now_ms());
    return pid;
}

/* A child has booted: the first of its generation proves that one. */
static void prove(struct arbiter *a, const struct child *child)
{
    struct arbiter_kind *kind = &a->kinds[child->kind];

    kind->served = true;
    if (child->generation == kind->goal.generation)
        kind->goal.proven = true;
}

int arbiter_ready(struct arbiter *a, pid_t pid)
{
    struct child *child = children_find(&a->children, pid);

    if (!child || child->phase != CHILD_BOOTING)
        return 0;
    child_move(child, CHILD_READY, now_ms());
    prove(a, child);
    return a->host->ready(a->ctx, child);
}

int arbiter_adopt(struct arbiter *a, pid_t pid, uint32_t age)
{
    int64_t now = now_ms();
    struct child *child = children_add(&a->children, CHILD_WORKER, pid, age,
                                       a->kinds[CHILD_WORKER].goal.generation, NULL, now);

    if (!child)
        return -1;
    child_move(child, CHILD_READY, now);
    prove(a, child);
    return 0;
}

void arbiter_expire(struct arbiter *a, pid_t pid, int64_t lifetime_ms)
{
    struct child *child = children_find(&a->children, pid);

    if (child)
        child->expires_at = now_ms() + lifetime_ms;
}

void arbiter_forget(struct arbiter *a, pid_t pid)
{
    struct child *child = children_find(&a->children, pid);

    if (!child)
        return;
    if (child->slot)
        scoreboard_release(&a->board, child->slot);
    children_remove(&a->children, child);
}

int64_t arbiter_fork_failed(struct arbiter *a, enum child_kind kind)
{
    struct backoff *backoff = &a->kinds[kind].backoff;

    if (backoff->failures < BACKOFF_FREE) /* it will fail again at once: no free tries */
        backoff->failures = BACKOFF_FREE;
    return backoff_fail(backoff, now_ms());
}

void arbiter_new_generation(struct arbiter *a)
{
    a->generations++;
    for (int i = 0; i < CHILD_KINDS; i++) {
        a->kinds[i].goal.generation = a->generations;
        a->kinds[i].goal.proven = false;
        backoff_reset(&a->kinds[i].backoff);
    }
}

void arbiter_restore_generation(struct arbiter *a, uint32_t generation)
{
    for (size_t i = 0; i < a->children.count; i++) {
        const struct child *child = &a->children.list[i];

        if (child->generation == generation)
            a->kinds[child->kind].goal.proven |= child->phase != CHILD_BOOTING;
    }
    for (int i = 0; i < CHILD_KINDS; i++)
        a->kinds[i].goal.generation = generation;
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
    /* Who may not be signalled counts as told: it is left alone, and the others have their turn. */
    if (result < 0 && saved != EPERM)
        return -1;
    if (child && phase != CHILD_PHASE_COUNT && child_may_move(child->phase, phase))
        child_move(child, phase, now_ms());
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

static int time_out(struct arbiter *a, struct child *child, enum reason reason, int64_t since,
                    int64_t now)
{
    if (child_serves(child))
        child->reason = reason;
    return a->host->timed_out(a->ctx, child, now - since);
}

/* A worker that is watched and should have shown itself: idle, or silent. */
static int look_at_busy(struct arbiter *a, struct child *child, int64_t now)
{
    int64_t busy = child_busy_since(child);

    if (busy != 0 && silence_deadline(a, child, busy) > now)
        return 0;
    if (busy != 0 && atomic_load(&child->slot->shared->threads) > 0 && child->asked_sign != busy) {
        child->asked_sign = busy;
        child->asked_at = now;
        kill(child->pid, SLOT_ASK_SIGNAL);
        return 0;
    }
    if (busy != 0)
        return time_out(a, child, REASON_TIMEOUT, busy, now);
    child->watching = !slot_unwatch(child->slot);
    child->look_at = now + look_ms(a);
    return 0;
}

static int weigh(struct arbiter *a, struct child *child, int64_t now)
{
    switch (recycle_weigh(&a->limits, child, now)) {
    case RECYCLE_DUE:
        return a->host->due(a->ctx, child);
    case RECYCLE_TOO_BIG:
        return a->host->too_big(a->ctx, child);
    default:
        return 0;
    }
}

/* The same with a look at its memory, if that is due. `child` may be gone afterwards. */
static int look_at_watched(struct arbiter *a, struct child *child, int64_t now)
{
    pid_t pid = child->pid;

    if (!recycle_weighs(&a->limits) || child->look_at > now)
        return look_at_busy(a, child, now);
    child->look_at = now + RECYCLE_LOOK_MS;
    int result = weigh(a, child, now);
    child = children_find(&a->children, pid); /* the host may have forgotten it */
    if (result < 0 || !child || child->phase > CHILD_STOPPING)
        return result;
    return look_at_busy(a, child, now);
}

static int expire(struct arbiter *a, struct child *child, int64_t now)
{
    child_retire(child, REASON_MAX_LIFETIME, now);
    return a->host->due(a->ctx, child);
}

/* What has to be done about one child now; `a->children` may have changed afterwards. */
static int murder_if_due(struct arbiter *a, struct child *child, int64_t now)
{
    if (child_deadline(a, child) > now)
        return 0;
    switch (child->phase) {
    case CHILD_ABORTED:
        return a->host->kill(a->ctx, child, SIGKILL);
    case CHILD_STOPPING:
        if (stop_deadline(a, child) <= now)
            return a->host->overdue(a->ctx, child);
        return look_at_watched(a, child, now);
    case CHILD_BOOTING:
        if (!tells_of_slow_boot(a, child))
            return time_out(a, child, REASON_BOOT_TIMEOUT, child->forked_at, now);
        child->slow_boot_told = true;
        return a->host->slow_boot(a->ctx, child, now - child->forked_at);
    case CHILD_READY:
        if (child->expires_at > 0 && child->expires_at <= now)
            return expire(a, child, now);
        return look_at_watched(a, child, now);
    default:
        return look_at_watched(a, child, now);
    }
}

int arbiter_murder(struct arbiter *a)
{
    int64_t now = now_ms();

    if (stood_still(first_limit(a), now)) /* outside of sleep_until() */
        spare_everyone(a, now);
    for (size_t i = 0; i < a->children.count; i++) {
        pid_t pid = a->children.list[i].pid;
        int result = murder_if_due(a, &a->children.list[i], now);

        if (result < 0)
            return result;
        if (i < a->children.count && a->children.list[i].pid != pid)
            i--; /* a callback took it out of the registry */
    }
    return 0;
}

/* ---- reaping ---- */

static bool is_wanted(const struct arbiter *a, const struct child *child)
{
    return child_serves(child) && child->phase != CHILD_RETIRING &&
           child->generation == a->kinds[child->kind].goal.generation;
}

static void judge_death(struct arbiter *a, struct arbiter_death *death, int64_t now)
{
    const struct child *child = &death->child;
    struct arbiter_kind *kind = &a->kinds[child->kind];
    bool booting = child->phase == CHILD_BOOTING, wanted = is_wanted(a, child);
    bool worked = death->status == 0 && death->requests > 0;

    death->serving = children_serving(&a->children, child->kind);
    death->first_boot = booting && wanted && !kind->served && death->serving == 0;
    death->quick = wanted && !worked && (now - child->forked_at < BACKOFF_QUICK_MS || booting);
    if (death->quick)
        death->pause_ms = backoff_fail(&kind->backoff, now);
    else if (!booting)
        backoff_reset(&kind->backoff);
}

/* What it died of by itself. */
static enum reason cause_of_death(const struct child *child, int status)
{
    if (WIFSIGNALED(status))
        return REASON_SIGNAL;
    if (WEXITSTATUS(status) != 0)
        return child->phase == CHILD_BOOTING ? REASON_BOOT_FAILED : REASON_FAILED;
    return child->due != REASON_NONE ? child->due : REASON_EXITED;
}

static enum reason reason_of(struct arbiter *a, const struct child *child, int status, int64_t now)
{
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

    if (killed && child->phase != CHILD_KILLED && oom_claim(&a->oom, now))
        return REASON_OUT_OF_MEMORY;
    return child_serves(child) ? cause_of_death(child, status) : child->reason;
}

static int bury(struct arbiter *a, pid_t pid, int status, int64_t peak)
{
    struct child *child = children_find(&a->children, pid);
    int64_t now = now_ms();

    if (!child)
        return a->host->stranger_died(a->ctx, pid, status);
    if (child_update(child, now))
        prove(a, child);
    struct arbiter_death death = {.child = *child, .status = status, .peak = peak};
    if (child->slot)
        death.requests = atomic_load(&child->slot->shared->requests);
    death.reason = reason_of(a, child, status, now);
    a->deaths[death.reason] += child->kind == CHILD_WORKER;
    children_remove(&a->children, child);
    judge_death(a, &death, now);
    int result = a->host->died(a->ctx, &death);
    if (death.child.slot && !a->is_child) /* the host may have forked */
        scoreboard_release(&a->board, death.child.slot);
    return result;
}

int arbiter_reap(struct arbiter *a)
{
    struct rusage usage;
    int status;
    pid_t pid;

    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        int result = bury(a, pid, status, usage.ru_maxrss * MAXRSS_UNIT);

        if (result < 0)
            return result;
    }
    return 0;
}

/* ---- keeping the number ---- */

static void start_watching(struct arbiter *a, struct child *child, int64_t now)
{
    if (child->watching || !child->slot || !atomic_load(&child->slot->shared->watched))
        return;
    child->watching = true;
    child->look_at = now + look_ms(a);
}

static int greet(struct arbiter *a, struct child *child)
{
    pid_t pid = child->pid;
    int result = 0;

    prove(a, child);
    if (recycle_greet(&a->limits, child))
        result = a->host->born_big(a->ctx, child);
    child = children_find(&a->children, pid); /* the host may have forgotten it */
    return result < 0 || !child ? result : a->host->ready(a->ctx, child);
}

static int hear_children(struct arbiter *a)
{
    int64_t now = now_ms();

    for (size_t i = 0; i < a->children.count; i++) {
        struct child *child = &a->children.list[i];
        pid_t pid = child->pid;
        bool was_booting = child->phase == CHILD_BOOTING;
        bool updated = child_update(child, now);

        if (child->phase != CHILD_BOOTING)
            start_watching(a, child, now);
        int result = updated && was_booting ? greet(a, child) : 0;
        if (result < 0)
            return result;
        if (i < a->children.count && a->children.list[i].pid != pid)
            i--; /* a callback took it out of the registry */
    }
    return 0;
}

static enum reason reason_to_go(const struct child *child, const struct children_goal *goal)
{
    if (child->generation != goal->generation)
        return REASON_RELOAD;
    return child->replacing ? child->due : REASON_SCALE;
}

/* Tells one child to go. False: the host would not have it killed. */
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

    if (missing > 0 && backoff_left(&kind->backoff, now_ms()) == 0)
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
        int result = sleep_until(a, next_deadline(a, now_ms()));

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

/* Returns the signal that wants to stop, 0 for none, or what a callback returned. */
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
    int64_t limit = now_ms() + ms;
    int result = 0;

    a->leaving = true;
    while (result == 0 && now_ms() < limit) {
        result = sleep_until(a, sooner(limit, next_deadline(a, now_ms())));
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
    int64_t limit = now_ms() + limit_ms;
    int result = a->host->reap(a->ctx);

    a->draining = true;
    while (result >= 0 && a->children.count > 0 && now_ms() < limit) {
        result = sleep_until(a, limit);
        if (result >= 0 && drain_signals() && !hurried) {
            hurried = true;
            limit = now_ms() + ARBITER_HURRY_MS;
            result = a->host->hurry(a->ctx);
        }
        if (result >= 0)
            result = a->host->reap(a->ctx);
    }
    a->draining = false;
    return result;
}

int arbiter_linger(struct arbiter *a, int64_t limit_ms, bool (*busy)(void *ctx), void *ctx)
{
    int64_t limit = now_ms() + limit_ms;
    int result = 0;

    while (result >= 0 && busy(ctx) && now_ms() < limit)
        result = sleep_until(a, limit);
    return result;
}
