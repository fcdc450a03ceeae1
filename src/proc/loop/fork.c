#include "proc/loop/fork.h"

#include "base/forked.h"
#include "proc/loop/moment.h"
#include "proc/loop/signals.h"

#include <errno.h>
#include <unistd.h>

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
    children_add(&a->children, kind, pid, age, a->kinds[kind].goal.generation, *slot, moment_now());
    return pid;
}

void fork_prove(struct arbiter *a, const struct child *child)
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
    child_move(child, CHILD_READY, moment_now());
    fork_prove(a, child);
    return a->host->ready(a->ctx, child);
}

int arbiter_adopt(struct arbiter *a, pid_t pid, uint32_t age)
{
    int64_t now = moment_now();
    struct child *child = children_add(&a->children, CHILD_WORKER, pid, age,
                                       a->kinds[CHILD_WORKER].goal.generation, NULL, now);

    if (!child)
        return -1;
    child_move(child, CHILD_READY, now);
    fork_prove(a, child);
    return 0;
}

void arbiter_expire(struct arbiter *a, pid_t pid, int64_t lifetime_ms)
{
    struct child *child = children_find(&a->children, pid);

    if (child)
        child->expires_at = moment_now() + lifetime_ms;
}

int arbiter_retire(struct arbiter *a, pid_t pid)
{
    struct child *child = children_find(&a->children, pid);

    if (child && child->phase == CHILD_READY) {
        child_retire(child, REASON_DRAIN, moment_now());
        return 0;
    }
    errno = child ? EBUSY : ESRCH;
    return -1;
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
    return backoff_fail(backoff, moment_now());
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
