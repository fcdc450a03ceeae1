#include "proc/loop/watch.h"

#include "proc/loop/moment.h"
#include "proc/loop/sign.h"

#include <signal.h>

/* When a worker that is busy since then (0: it is idle) has been so for too long. */
static int64_t silence_deadline(const struct arbiter *a, const struct child *child, int64_t busy)
{
    if (busy == 0 || a->timeout_ms == 0)
        return INT64_MAX;
    return moment_later(moment_later(busy, child->asked_at) + a->timeout_ms, child->spared_to);
}

/* Whether a watched worker is looked at all the time, for its memory or for its load. */
static bool looks_often(const struct arbiter *a)
{
    return recycle_weighs(&a->limits) || scale_is_on(&a->scale);
}

/* When a watched worker has been busy for too long, or is to be asked whether it still is busy. */
static int64_t busy_deadline(const struct arbiter *a, const struct child *child)
{
    if (!child->watching || (a->timeout_ms == 0 && !looks_often(a)))
        return INT64_MAX;
    int64_t busy = child_busy_since(child);
    if (busy == 0)
        return child->look_at;
    int64_t silent = silence_deadline(a, child, busy);
    return looks_often(a) ? moment_sooner(silent, child->look_at) : silent;
}

/* How long a worker that is watched may be idle before it is seen. */
static int64_t look_ms(const struct arbiter *a)
{
    return looks_often(a) ? RECYCLE_LOOK_MS : a->timeout_ms;
}

/* How long a child may take to boot; 0: for ever. */
static int64_t boot_limit(const struct arbiter *a)
{
    return a->boot_ms > 0 ? a->boot_ms : a->timeout_ms * ARBITER_BOOT_FACTOR;
}

/* Whether a boot that takes longer than `timeout` is still to be logged. */
static bool tells_of_slow_boot(const struct arbiter *a, const struct child *child)
{
    return !child->slow_boot_logged && a->timeout_ms > 0 && a->timeout_ms < boot_limit(a);
}

static int64_t boot_deadline(const struct arbiter *a, const struct child *child)
{
    int64_t ms = tells_of_slow_boot(a, child) ? a->timeout_ms : boot_limit(a);

    if (child->kind == CHILD_DIRTY)
        return INT64_MAX; /* it times its own workers */
    return ms == 0 ? INT64_MAX : moment_later(child->forked_at + ms, child->spared_to);
}

static int64_t stop_deadline(const struct arbiter *a, const struct child *child)
{
    int64_t graceful_ms = a->kinds[child->kind].graceful_ms;

    if (a->draining || graceful_ms == 0)
        return INT64_MAX;
    return moment_later(child->since + graceful_ms + ARBITER_SLACK_MS, child->spared_to);
}

/* When this child has had all of its time; INT64_MAX for never. A look at it that is due before may
 * be late: while the child is busy it is put off. */
static int64_t phase_limit(const struct arbiter *a, const struct child *child)
{
    int64_t busy = child->watching && !a->draining ? child_busy_since(child) : 0;

    switch (child->phase) {
    case CHILD_ABORTED:
        return child->since + ARBITER_ABORT_MS;
    case CHILD_BOOTING:
        return boot_deadline(a, child);
    case CHILD_STOPPING:
        return moment_sooner(silence_deadline(a, child, busy), stop_deadline(a, child));
    case CHILD_READY:
    case CHILD_RETIRING:
        return silence_deadline(a, child, busy);
    default:
        return INT64_MAX;
    }
}

static int64_t child_limit(const struct arbiter *a, const struct child *child)
{
    return moment_sooner(phase_limit(a, child), sign_deadline(a, child));
}

static int64_t phase_deadline(const struct arbiter *a, const struct child *child)
{
    switch (child->phase) {
    case CHILD_STOPPING: {
        int64_t busy = a->draining ? INT64_MAX : busy_deadline(a, child);
        return moment_sooner(busy, stop_deadline(a, child));
    }
    case CHILD_READY:
        if (child->expires_at > 0)
            return moment_sooner(busy_deadline(a, child), child->expires_at);
        return busy_deadline(a, child);
    case CHILD_RETIRING:
        return busy_deadline(a, child);
    default:
        return phase_limit(a, child);
    }
}

/* The moment at which this child needs a look; INT64_MAX for never. */
static int64_t child_deadline(const struct arbiter *a, const struct child *child)
{
    return moment_sooner(phase_deadline(a, child), sign_deadline(a, child));
}

int64_t watch_deadline(const struct arbiter *a)
{
    int64_t at = INT64_MAX;

    for (size_t i = 0; i < a->children.count; i++)
        at = moment_sooner(at, child_deadline(a, &a->children.list[i]));
    return at;
}

/* The deadline is seen so late that the machine or the whole process group stood still. */
static bool stood_still(int64_t due, int64_t now)
{
    return now - ARBITER_LATE_MS > due;
}

static int64_t first_limit(const struct arbiter *a)
{
    int64_t at = INT64_MAX;

    for (size_t i = 0; i < a->children.count; i++)
        at = moment_sooner(at, child_limit(a, &a->children.list[i]));
    return at;
}

/* No child is silent for that. */
static void spare_everyone(struct arbiter *a, int64_t now)
{
    for (size_t i = 0; i < a->children.count; i++) {
        struct child *child = &a->children.list[i];

        child->spared_to = now + (child->phase == CHILD_BOOTING ? boot_limit(a) : a->timeout_ms);
    }
}

void watch_spare_if_late(struct arbiter *a, int64_t due, int64_t now)
{
    if (stood_still(due, now))
        spare_everyone(a, now);
}

void watch_begin(struct arbiter *a, struct child *child, int64_t now)
{
    if (child->watching || !child->slot || !atomic_load(&child->slot->shared->watched))
        return;
    child->watching = true;
    child->look_at = now + look_ms(a);
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

    if (!looks_often(a) || child->look_at > now)
        return look_at_busy(a, child, now);
    child->look_at = now + RECYCLE_LOOK_MS;
    int result = recycle_weighs(&a->limits) ? weigh(a, child, now) : 0;
    child = children_find(&a->children, pid); /* the host may have forgotten it */
    if (result < 0 || !child || child->phase > CHILD_STOPPING)
        return result;
    return look_at_busy(a, child, now);
}

/* It has given no sign yet: a hook of its start may be slow. */
static bool may_still_boot(const struct arbiter *a, const struct child *child, int64_t now)
{
    return child->asked_sign == 0 && !a->draining && now < child->forked_at + boot_limit(a);
}

static int look_for_sign(struct arbiter *a, struct child *child, int64_t now)
{
    int64_t silent_ms;

    if (!sign_is_missing(a, child, now, &silent_ms) || may_still_boot(a, child, now))
        return 0;
    return time_out(a, child, REASON_TIMEOUT, now - silent_ms, now);
}

static int expire(struct arbiter *a, struct child *child, int64_t now)
{
    child_retire(child, REASON_MAX_LIFETIME, now);
    return a->host->due(a->ctx, child);
}

/* Does what one child needs now; `a->children` may have changed afterwards. */
static int murder_if_due(struct arbiter *a, struct child *child, int64_t now)
{
    if (child_deadline(a, child) > now)
        return 0;
    if (sign_deadline(a, child) <= now)
        return look_for_sign(a, child, now);
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
        child->slow_boot_logged = true;
        return a->host->slow_boot(a->ctx, child, now - child->forked_at);
    case CHILD_READY:
        if (child->expires_at > 0 && child->expires_at <= now)
            return expire(a, child, now);
        return look_at_watched(a, child, now);
    default:
        return look_at_watched(a, child, now);
    }
}

/* `dirty_alone`: the dirty arbiters, and no worker. */
static int murder(struct arbiter *a, bool dirty_alone, int64_t now)
{
    for (size_t i = 0; i < a->children.count; i++) {
        pid_t pid = a->children.list[i].pid;

        if (dirty_alone && a->children.list[i].kind != CHILD_DIRTY)
            continue;
        int result = murder_if_due(a, &a->children.list[i], now);

        if (result < 0)
            return result;
        if (i < a->children.count && a->children.list[i].pid != pid)
            i--; /* a callback took it out of the registry */
    }
    return 0;
}

int arbiter_murder(struct arbiter *a)
{
    int64_t now = moment_now();

    watch_spare_if_late(a, first_limit(a), now); /* late outside of the loop's sleep */
    return murder(a, false, now);
}

int64_t watch_last_deadline(const struct arbiter *a)
{
    int64_t at = INT64_MAX;

    for (size_t i = 0; i < a->children.count; i++)
        if (a->children.list[i].kind == CHILD_DIRTY)
            at = moment_sooner(at, child_deadline(a, &a->children.list[i]));
    return at;
}

int watch_last(struct arbiter *a)
{
    return murder(a, true, moment_now());
}
