#include "proc/loop/fork.h"
#include "proc/loop/moment.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#ifdef __APPLE__
enum { MAXRSS_UNIT = 1 };
#else
enum { MAXRSS_UNIT = 1024 }; /* bytes in one of rusage.ru_maxrss */
#endif

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

/* The reason of a death by itself. */
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
    int64_t now = moment_now();

    if (!child)
        return a->host->stranger_died(a->ctx, pid, status);
    if (child_update(child, now))
        fork_prove(a, child);
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
