#ifndef TESTS_UNIT_ARBITER_HOST_H
#define TESTS_UNIT_ARBITER_HOST_H

#include "base/clock.h"
#include "base/mem.h"
#include "proc/loop/arbiter.h"
#include "proc/loop/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A host without Python: workers that boot, or not, and then wait for a signal. */
enum behaviour { BOOTS, HANGS, FAILS, WORKS_FOREVER, ANSWERS, GROWS };

#define GROWTH (64 << 20) /* bytes */
#define LEAVE (-7)        /* what a callback returns to leave the loop */

static struct host {
    struct arbiter arbiter;
    enum behaviour behaviour;
    uint32_t age;
    int due[REASON_COUNT], too_big, born_big;
    enum reason last_reason;
    enum child_kind last_kind;
    int64_t last_peak;
    int ready, died, timed_out, slow_boot, overdue, hurried, strangers;
    int leave_when_ready, leave_when_dead;
    int64_t pause_ms;
    int last_status;
    bool first_boot, quick;
    unsigned serving;
    bool fork_fails;
    bool moves_children; /* in the callback for a worker that is ready */
    int fork_error;
    int wait_error; /* of the next wait; 0: none */
} host;

static inline int wait_for(void *ctx, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    (void)ctx;
    assert_true(timeout_ms >= 0 && timeout_ms <= 20000); /* or the test would hang */
    errno = host.wait_error;
    host.wait_error = 0;
    return errno ? -1 : poll(fds, count, timeout_ms);
}

static inline int nothing(void *ctx)
{
    (void)ctx;
    return 0;
}

static inline int on_signal(void *ctx, int signo)
{
    (void)ctx;
    if (signo == SIGCHLD)
        return arbiter_reap(&host.arbiter);
    return signo == SIGTERM ? LEAVE : 0;
}

static inline int reap(void *ctx)
{
    (void)ctx;
    return arbiter_reap(&host.arbiter);
}

static inline int murder(void *ctx)
{
    (void)ctx;
    return arbiter_murder(&host.arbiter);
}

static inline int manage(void *ctx)
{
    (void)ctx;
    return arbiter_manage(&host.arbiter);
}

static inline void bracket(void *ctx)
{
    (void)ctx;
}

static inline void bracket_pid(void *ctx, pid_t pid)
{
    (void)ctx, (void)pid;
}

static struct slot *own_slot;

static inline void answer(int signo)
{
    (void)signo;
    slot_answer(own_slot, (int64_t)(clock_ns() / 1000000));
}

/* One request, which takes memory and no end. */
static inline void grow(struct slot *slot)
{
    volatile char *memory = malloc(GROWTH);

    slot_beat(slot, 1);
    for (size_t i = 0; i < GROWTH; i += 4096)
        memory[i] = 1;
}

static inline void be_worker(struct slot *slot)
{
    signal(SIGTERM, host.behaviour == WORKS_FOREVER ? SIG_IGN : SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    signal(SIGABRT, host.behaviour == WORKS_FOREVER ? SIG_IGN : SIG_DFL);
    signals_replay();
    if (host.behaviour == FAILS)
        _exit(3);
    if (host.behaviour != HANGS)
        slot_set_phase(slot, SLOT_READY);
    if (host.behaviour == WORKS_FOREVER)
        slot_beat(slot, 1);
    if (host.behaviour == ANSWERS) {
        own_slot = slot;
        slot->shared->threads = 1;
        signal(SLOT_ASK_SIGNAL, answer);
        slot_thread_begin(slot, 1);
    }
    if (host.behaviour == GROWS)
        grow(slot);
    for (;;)
        pause();
}

/* It tells the master by other means that it has booted: the test does. */
static inline void be_dirty_arbiter(const struct slot *slot)
{
    signal(SIGTERM, host.behaviour == WORKS_FOREVER ? SIG_IGN : SIG_DFL);
    signals_replay();
    if (slot || host.behaviour == FAILS)
        _exit(3);
    for (;;)
        pause();
}

static inline int spawn(void *ctx, enum child_kind kind, unsigned count)
{
    static const struct arbiter_fork_hooks hooks = {bracket, bracket_pid};
    struct slot *slot;

    (void)ctx;
    for (; count > 0; count--) {
        if (host.fork_fails) {
            host.pause_ms = arbiter_fork_failed(&host.arbiter, kind);
            return 0;
        }
        pid_t pid = arbiter_fork(&host.arbiter, kind, ++host.age, &hooks, &slot);
        if (pid == 0 && kind == CHILD_WORKER)
            be_worker(slot);
        if (pid == 0)
            be_dirty_arbiter(slot);
        if (pid < 0) {
            host.fork_error = errno;
            host.pause_ms = arbiter_fork_failed(&host.arbiter, kind);
            return 0;
        }
    }
    return 0;
}

static inline int kill_child(void *ctx, const struct child *child, int signo)
{
    (void)ctx;
    assert_int_equal(arbiter_kill(&host.arbiter, child->pid, signo), 0);
    return 0;
}

static inline int died(void *ctx, const struct arbiter_death *death)
{
    (void)ctx;
    host.died++;
    host.last_kind = death->child.kind;
    host.last_status = death->status;
    host.last_reason = death->reason;
    host.last_peak = death->peak;
    host.pause_ms = death->pause_ms;
    host.first_boot = death->first_boot;
    host.quick = death->quick;
    host.serving = death->serving;
    return host.leave_when_dead == host.died ? LEAVE : 0;
}

static inline int stranger_died(void *ctx, pid_t pid, int status)
{
    (void)ctx, (void)pid, (void)status;
    host.strangers++;
    return 0;
}

/* As when a callback forks: the registry is elsewhere afterwards, and where it was nobody looks. */
static inline void move_children(struct children *children)
{
    static struct child *before;
    size_t size = children->capacity * sizeof(struct child);
    struct child *list = mem_alloc(size);

    memcpy(list, children->list, size);
    mem_free(before);
    before = children->list;
    for (size_t i = 0; i < children->capacity; i++)
        before[i] = (struct child){.phase = CHILD_READY, .slot = (struct slot *)1};
    children->list = list;
}

static inline int ready(void *ctx, const struct child *child)
{
    (void)ctx, (void)child;
    if (host.moves_children)
        move_children(&host.arbiter.children);
    return ++host.ready == host.leave_when_ready ? LEAVE : 0;
}

static inline int timed_out(void *ctx, const struct child *child, int64_t silent_ms)
{
    (void)ctx;
    host.timed_out++;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 0; /* a successor would be silent as well */
    assert_true(silent_ms >= host.arbiter.timeout_ms);
    return arbiter_kill(&host.arbiter, child->pid, SIGABRT);
}

static inline int slow_boot(void *ctx, const struct child *child, int64_t booting_ms)
{
    (void)ctx, (void)child, (void)booting_ms;
    host.slow_boot++;
    return 0;
}

static inline int overdue(void *ctx, const struct child *child)
{
    (void)ctx;
    host.overdue++;
    return arbiter_kill(&host.arbiter, child->pid, SIGKILL);
}

static inline int due(void *ctx, const struct child *child)
{
    (void)ctx;
    host.due[child->due]++;
    return 0;
}

static inline int too_big(void *ctx, const struct child *child)
{
    (void)ctx;
    host.too_big++;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 0; /* a successor would grow as well */
    return arbiter_kill(&host.arbiter, child->pid, SIGKILL);
}

static inline int born_big(void *ctx, const struct child *child)
{
    (void)ctx, (void)child;
    host.born_big++;
    return 0;
}

static inline int hurry(void *ctx)
{
    (void)ctx;
    host.hurried++;
    for (size_t i = 0; i < host.arbiter.children.count; i++)
        kill(host.arbiter.children.list[i].pid, SIGKILL);
    return 0;
}

static const struct arbiter_host plain_host = {
    .wait = wait_for,
    .between = nothing,
    .on_signal = on_signal,
    .reap = reap,
    .murder = murder,
    .manage = manage,
    .spawn = spawn,
    .kill = kill_child,
    .died = died,
    .stranger_died = stranger_died,
    .ready = ready,
    .timed_out = timed_out,
    .slow_boot = slow_boot,
    .overdue = overdue,
    .due = due,
    .too_big = too_big,
    .born_big = born_big,
    .hurry = hurry,
};

static inline int setup(void **state)
{
    static const int signos[] = {SIGCHLD, SIGTERM, SIGINT};

    (void)state;
    host = (struct host){0};
    if (arbiter_open(&host.arbiter, &plain_host, NULL) < 0)
        return -1;
    signals_install(signos, 3);
    host.arbiter.kinds[CHILD_WORKER].graceful_ms = 5000;
    host.arbiter.tick_ms = 10000;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 2;
    alarm(60);
    return 0;
}

static inline int teardown(void **state)
{
    struct children *children = &host.arbiter.children;

    (void)state;
    for (size_t i = 0; i < children->count; i++) {
        kill(children->list[i].pid, SIGKILL);
        waitpid(children->list[i].pid, NULL, 0);
    }
    arbiter_close(&host.arbiter);
    alarm(0);
    return 0;
}

static inline void run_until_ready(int count)
{
    host.leave_when_ready = count;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
}

/* Forks what is missing, then runs until so many have died in all. */
static inline void run_until_dead(int count)
{
    host.leave_when_dead = count;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
}

static inline int leave_after(void *ctx)
{
    (void)ctx;
    return LEAVE;
}

/* From now on arbiter_run() makes one turn. */
static inline void turn_by_turn(void)
{
    static struct arbiter_host short_host;

    short_host = plain_host;
    short_host.manage = leave_after;
    host.arbiter.host = &short_host;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
