#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proc/arbiter.h"
#include "proc/memory.h"
#include "proc/signals.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A host without Python: workers that boot, or not, and then wait for a signal. */
enum behaviour { BOOTS, HANGS, FAILS, WORKS_FOREVER, ANSWERS, GROWS };

/* What the system refuses, and after how many calls: it is asked through these. */
enum fault_call { FAULT_FORK, FAULT_PIPE, FAULT_MMAP, FAULT_WAIT, FAULT_CALLS };

static struct {
    int error; /* 0: none */
    int after; /* so many succeed */
} fault[FAULT_CALLS];

static bool must_fail(enum fault_call call)
{
    if (fault[call].error == 0 || fault[call].after-- > 0)
        return false;
    errno = fault[call].error;
    fault[call].error = 0;
    return true;
}

pid_t fork(void)
{
    pid_t (*real)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
    return must_fail(FAULT_FORK) ? -1 : real();
}

int pipe(int fds[2])
{
    int (*real)(int *) = (int (*)(int *))dlsym(RTLD_NEXT, "pipe");
    return must_fail(FAULT_PIPE) ? -1 : real(fds);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    bool board = (flags & MAP_SHARED) && size >= SCOREBOARD_SLOTS * sizeof(struct slot);

    if (board && must_fail(FAULT_MMAP))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

#define GROWTH (64 << 20) /* bytes */
#define LEAVE (-7)        /* what a callback returns to leave the loop */

static struct host {
    struct arbiter arbiter;
    enum behaviour behaviour;
    uint32_t age;
    int due[REASON_COUNT], too_big, born_big;
    enum reason last_reason;
    int64_t last_peak;
    int ready, died, timed_out, slow_boot, overdue, hurried, strangers;
    int leave_when_ready, leave_when_dead;
    int64_t pause_ms;
    int last_status;
    bool fork_fails;
    int fork_error;
} host;

static int wait_for(void *ctx, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    (void)ctx;
    assert_true(timeout_ms >= 0 && timeout_ms <= 20000); /* or the test would hang */
    if (must_fail(FAULT_WAIT))
        return -1;
    return poll(fds, count, timeout_ms);
}

static int nothing(void *ctx)
{
    (void)ctx;
    return 0;
}

static int on_signal(void *ctx, int signo)
{
    (void)ctx;
    if (signo == SIGCHLD)
        return arbiter_reap(&host.arbiter);
    return signo == SIGTERM ? LEAVE : 0;
}

static int reap(void *ctx)
{
    (void)ctx;
    return arbiter_reap(&host.arbiter);
}

static int murder(void *ctx)
{
    (void)ctx;
    return arbiter_murder(&host.arbiter);
}

static int manage(void *ctx)
{
    (void)ctx;
    return arbiter_manage(&host.arbiter);
}

static void bracket(void *ctx)
{
    (void)ctx;
}

static void bracket_pid(void *ctx, pid_t pid)
{
    (void)ctx, (void)pid;
}

static struct slot *own_slot;

static void answer(int signo)
{
    struct timespec now;

    (void)signo;
    clock_gettime(CLOCK_MONOTONIC, &now);
    slot_answer(own_slot, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* One request, which takes memory and no end. */
static void grow(struct slot *slot)
{
    volatile char *memory = malloc(GROWTH);

    slot_beat(slot, 1);
    for (size_t i = 0; i < GROWTH; i += 4096)
        memory[i] = 1;
}

static void be_worker(struct slot *slot)
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
        slot->threads = 1;
        signal(SLOT_ASK_SIGNAL, answer);
        slot_thread_begin(slot, 1);
    }
    if (host.behaviour == GROWS)
        grow(slot);
    for (;;)
        pause();
}

static int spawn(void *ctx, unsigned count)
{
    static const struct arbiter_fork_hooks hooks = {bracket, bracket_pid};
    struct slot *slot;

    (void)ctx;
    for (; count > 0; count--) {
        if (host.fork_fails) {
            host.pause_ms = arbiter_fork_failed(&host.arbiter);
            return 0;
        }
        pid_t pid = arbiter_fork(&host.arbiter, ++host.age, &hooks, &slot);
        if (pid == 0)
            be_worker(slot);
        if (pid < 0) {
            host.fork_error = errno;
            host.pause_ms = arbiter_fork_failed(&host.arbiter);
            return 0;
        }
    }
    return 0;
}

static int kill_worker(void *ctx, pid_t pid, int signo)
{
    (void)ctx;
    assert_int_equal(arbiter_kill(&host.arbiter, pid, signo), 0);
    return 0;
}

static int died(void *ctx, const struct arbiter_death *death)
{
    (void)ctx;
    host.died++;
    host.last_status = death->status;
    host.last_reason = death->reason;
    host.last_peak = death->peak;
    host.pause_ms = death->pause_ms;
    return host.leave_when_dead == host.died ? LEAVE : 0;
}

static int stranger_died(void *ctx, pid_t pid, int status)
{
    (void)ctx, (void)pid, (void)status;
    host.strangers++;
    return 0;
}

static int ready(void *ctx, const struct child *child)
{
    (void)ctx, (void)child;
    return ++host.ready == host.leave_when_ready ? LEAVE : 0;
}

static int timed_out(void *ctx, const struct child *child, int64_t silent_ms)
{
    (void)ctx;
    host.timed_out++;
    host.arbiter.goal.target = 0; /* a successor would be silent as well */
    assert_true(silent_ms >= host.arbiter.timeout_ms);
    return arbiter_kill(&host.arbiter, child->pid, SIGABRT);
}

static int slow_boot(void *ctx, const struct child *child, int64_t booting_ms)
{
    (void)ctx, (void)child, (void)booting_ms;
    host.slow_boot++;
    return 0;
}

static int overdue(void *ctx, const struct child *child)
{
    (void)ctx;
    host.overdue++;
    return arbiter_kill(&host.arbiter, child->pid, SIGKILL);
}

static int due(void *ctx, const struct child *child)
{
    (void)ctx;
    host.due[child->due]++;
    return 0;
}

static int too_big(void *ctx, const struct child *child)
{
    (void)ctx;
    host.too_big++;
    host.arbiter.goal.target = 0; /* a successor would grow as well */
    return arbiter_kill(&host.arbiter, child->pid, SIGKILL);
}

static int born_big(void *ctx, const struct child *child)
{
    (void)ctx, (void)child;
    host.born_big++;
    return 0;
}

static int hurry(void *ctx)
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
    .kill = kill_worker,
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

static int setup(void **state)
{
    static const int signos[] = {SIGCHLD, SIGTERM, SIGINT};

    (void)state;
    host = (struct host){0};
    memset(fault, 0, sizeof(fault));
    if (arbiter_open(&host.arbiter, &plain_host, NULL) < 0)
        return -1;
    signals_install(signos, 3);
    host.arbiter.graceful_ms = 5000;
    host.arbiter.tick_ms = 10000;
    host.arbiter.goal.target = 2;
    alarm(60);
    return 0;
}

static int teardown(void **state)
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

static void run_until_ready(int count)
{
    host.leave_when_ready = count;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
}

static void workers_boot_and_are_replaced(void **state)
{
    (void)state;
    run_until_ready(2);
    assert_int_equal(host.arbiter.children.count, 2);
    kill(host.arbiter.children.list[0].pid, SIGKILL);
    run_until_ready(3);
    assert_int_equal(host.died, 1);
    assert_int_equal(host.pause_ms, 0);
    assert_int_equal(host.arbiter.children.count, 2);
}

static void workers_that_fail_are_waited_for(void **state)
{
    (void)state;
    host.behaviour = FAILS;
    host.arbiter.goal.target = 1;
    host.leave_when_dead = BACKOFF_FREE + 1;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.pause_ms, BACKOFF_FIRST_MS);
    uint32_t forked = host.age;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.age, forked);
    host.leave_when_dead++;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.age, forked + 1);
    assert_true(host.pause_ms > BACKOFF_FIRST_MS);
}

static void a_fork_that_fails_is_waited_for(void **state)
{
    (void)state;
    host.fork_fails = true;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.pause_ms, BACKOFF_FIRST_MS);
    host.fork_fails = false;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.age, 0);
    run_until_ready(2);
}

static int slots_taken(void)
{
    int count = 0;

    for (size_t i = 0; i < SCOREBOARD_SLOTS; i++)
        count += atomic_load(&host.arbiter.board.slots[i].phase) != SLOT_FREE;
    return count;
}

static void what_a_fork_needs_may_be_missing(void **state)
{
    (void)state;
    mem_fail_after(0); /* for the registry */
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    mem_fail_never();
    assert_int_equal(host.fork_error, ENOMEM);
    assert_int_equal(slots_taken(), 0);

    host.arbiter.backoff.until = 0;
    fault[FAULT_FORK].error = EAGAIN;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.fork_error, EAGAIN);
    assert_int_equal(slots_taken(), 0);
    assert_int_equal(host.arbiter.children.count, 0);

    host.arbiter.backoff.until = 0;
    for (size_t i = 0; i < SCOREBOARD_SLOTS; i++)
        atomic_store(&host.arbiter.board.slots[i].phase, SLOT_READY);
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.fork_error, ENOSPC);
    for (size_t i = 0; i < SCOREBOARD_SLOTS; i++)
        atomic_store(&host.arbiter.board.slots[i].phase, SLOT_FREE);

    host.arbiter.backoff.until = 0;
    run_until_ready(2);
    assert_int_equal(slots_taken(), 2);
}

static void a_master_without_memory_waits_again(void **state)
{
    static const int passing[] = {EINTR, ENOMEM, EAGAIN};

    (void)state;
    host.arbiter.goal.target = 1;
    for (int i = 0; i < 3; i++) {
        host.leave_when_ready = i + 1;
        assert_int_equal(arbiter_manage(&host.arbiter), 0);
        fault[FAULT_WAIT].error = passing[i];
        assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
        kill(host.arbiter.children.list[0].pid, SIGKILL);
        host.leave_when_dead = i + 1;
        assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    }
    fault[FAULT_WAIT].error = EBADF;
    assert_int_equal(arbiter_run(&host.arbiter), -1);
    assert_int_equal(errno, EBADF);
}

static int count_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void a_master_that_cannot_begin_leaves_nothing(void **state)
{
    struct arbiter other;
    int before = count_descriptors();

    (void)state;
    for (int after = 0; after < 2; after++) { /* the signals' pipe is there already */
        fault[FAULT_PIPE].error = EMFILE;
        fault[FAULT_PIPE].after = after;
        assert_int_equal(arbiter_open(&other, &plain_host, NULL), -1);
        assert_int_equal(errno, EMFILE);
    }
    fault[FAULT_MMAP].error = ENOMEM;
    assert_int_equal(arbiter_open(&other, &plain_host, NULL), -1);
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(count_descriptors(), before);
}

static void silence_ends_in_abrt_and_kill(void **state)
{
    (void)state;
    host.behaviour = WORKS_FOREVER; /* since the machine was started */
    host.arbiter.goal.target = 1;
    host.arbiter.timeout_ms = 200;
    host.leave_when_dead = 1;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.timed_out, 1);
    assert_true(WIFSIGNALED(host.last_status));
    assert_int_equal(WTERMSIG(host.last_status), SIGKILL);
}

static int leave_after(void *ctx)
{
    (void)ctx;
    return LEAVE;
}

static void threads_that_answer_are_left_alone(void **state)
{
    struct arbiter_host short_host = plain_host;

    (void)state;
    host.behaviour = ANSWERS;
    host.arbiter.goal.target = 1;
    host.arbiter.timeout_ms = 100;
    run_until_ready(1);
    usleep(50000); /* it has begun its request */
    for (int i = 0; i < 8; i++) {
        assert_int_equal(arbiter_murder(&host.arbiter), 0);
        usleep(60000);
        short_host.manage = leave_after;
        host.arbiter.host = &short_host;
        host.arbiter.tick_ms = 1;
        assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    }
    assert_int_equal(host.timed_out, 0);
    assert_true(host.arbiter.children.list[0].asked_at > 0);
}

static void a_boot_that_hangs_is_told_and_ended(void **state)
{
    (void)state;
    host.behaviour = HANGS;
    host.arbiter.goal.target = 1;
    host.arbiter.timeout_ms = 50;
    host.leave_when_dead = 1;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.slow_boot, 1);
    assert_int_equal(host.timed_out, 1);
    assert_int_equal(WTERMSIG(host.last_status), SIGABRT);
}

static void boot_timeout_counts_without_timeout(void **state)
{
    (void)state;
    host.behaviour = HANGS;
    host.arbiter.goal.target = 1;
    host.arbiter.boot_ms = 50;
    host.leave_when_dead = 1;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.slow_boot, 0);
    assert_int_equal(host.timed_out, 1);
    assert_int_equal(host.last_reason, REASON_BOOT_TIMEOUT);
}

static void a_boot_may_take_longer_than_ten_time_outs(void **state)
{
    (void)state;
    host.behaviour = HANGS;
    host.arbiter.goal.target = 1;
    host.arbiter.timeout_ms = 1;
    host.arbiter.boot_ms = 200;
    host.leave_when_dead = 1;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.slow_boot, 1);
    assert_int_equal(host.last_reason, REASON_BOOT_TIMEOUT);
}

static void a_lifetime_ends_and_the_successor_comes_first(void **state)
{
    (void)state;
    host.arbiter.goal.max_unavailable = 1;
    run_until_ready(2);
    for (int i = 0; i < 2; i++)
        arbiter_expire(&host.arbiter, host.arbiter.children.list[i].pid, 20);
    host.leave_when_ready = 0;
    host.leave_when_dead = 2;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.due[REASON_MAX_LIFETIME], 2);
    assert_int_equal(host.last_reason, REASON_MAX_LIFETIME);
    assert_int_equal(host.arbiter.deaths[REASON_MAX_LIFETIME], 2);
    assert_int_equal(host.arbiter.children.count, 2);
    assert_int_equal(host.ready, 4);
    arbiter_expire(&host.arbiter, 1, 20); /* nobody's */
}

static bool system_tells_memory(void)
{
    return memory_of(getpid()) > 0;
}

static void a_worker_that_grows_is_replaced(void **state)
{
    (void)state;
    if (!system_tells_memory())
        skip();
    host.behaviour = GROWS;
    host.arbiter.goal.target = 1;
    host.arbiter.max_rss = GROWTH / 2;
    host.leave_when_dead = 1;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_true(host.due[REASON_MAX_RSS] >= 1);
    assert_int_equal(host.last_reason, REASON_MAX_RSS);
    assert_true(host.last_peak >= GROWTH);
}

static void a_worker_that_grows_beyond_the_hard_limit_is_not_waited_for(void **state)
{
    (void)state;
    if (!system_tells_memory())
        skip();
    host.behaviour = GROWS;
    host.arbiter.goal.target = 1;
    host.arbiter.max_rss_hard = GROWTH / 2;
    host.leave_when_dead = 1;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.too_big, 1);
    assert_int_equal(host.last_reason, REASON_MAX_RSS_HARD);
    assert_int_equal(host.ready, 1);
}

static void a_worker_that_is_born_too_big_is_left_alone(void **state)
{
    struct arbiter_host short_host = plain_host;

    (void)state;
    if (!system_tells_memory())
        skip();
    host.behaviour = GROWS;
    host.arbiter.goal.target = 1;
    host.arbiter.max_rss = host.arbiter.max_rss_hard = 1;
    run_until_ready(1);
    assert_int_equal(host.born_big, 1);
    short_host.manage = leave_after;
    host.arbiter.host = &short_host;
    host.arbiter.children.list[0].look_at = 1;
    host.arbiter.children.list[0].watching = true;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.too_big + host.due[REASON_MAX_RSS], 0);
    assert_true(host.arbiter.children.list[0].look_at > 1);
}

static void an_idle_worker_is_not_looked_at(void **state)
{
    struct arbiter_host short_host = plain_host;

    (void)state;
    host.arbiter.goal.target = 1;
    host.arbiter.max_rss = INT64_MAX;
    run_until_ready(1);
    short_host.manage = leave_after;
    host.arbiter.host = &short_host;
    host.arbiter.tick_ms = 10;
    struct child *child = &host.arbiter.children.list[0];
    for (int i = 0; i < 1000 && (child->watching || atomic_load(&child->slot->watched)); i++) {
        child->look_at = 1;
        assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    }
    assert_false(child->watching);
    assert_int_equal(atomic_load(&child->slot->watched), 0);
}

static void deaths_are_counted_by_reason(void **state)
{
    (void)state;
    host.arbiter.goal.target = 3;
    run_until_ready(3);
    host.leave_when_ready = 0;
    kill(host.arbiter.children.list[0].pid, SIGUSR2);
    host.leave_when_dead = 1;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.last_reason, REASON_SIGNAL);
    host.arbiter.goal.target = 1;
    host.leave_when_dead = 2;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.last_reason, REASON_SCALE);
    for (size_t i = 0; i < host.arbiter.children.count; i++)
        assert_int_equal(arbiter_kill(&host.arbiter, host.arbiter.children.list[i].pid, SIGQUIT),
                         0);
    host.arbiter.goal.target = 0;
    host.leave_when_dead = 3;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.last_reason, REASON_STOP);
    assert_int_equal(host.arbiter.deaths[REASON_SIGNAL], 1);
    assert_int_equal(host.arbiter.deaths[REASON_SCALE], 1);
    assert_int_equal(host.arbiter.deaths[REASON_STOP], 1);
    for (enum reason i = REASON_NONE; i < REASON_COUNT; i++)
        assert_true(strlen(reason_name(i)) > 0);
}

static void who_does_not_stop_is_overdue(void **state)
{
    (void)state;
    host.behaviour = WORKS_FOREVER;
    host.arbiter.graceful_ms = 1;
    run_until_ready(2);
    host.arbiter.goal.target = 1;
    host.leave_when_dead = 1;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.overdue, 1);
}

static void a_new_generation_replaces_the_old(void **state)
{
    (void)state;
    run_until_ready(2);
    pid_t old = host.arbiter.children.list[0].pid;
    arbiter_new_generation(&host.arbiter);
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.arbiter.children.count, 3);
    host.leave_when_dead = 2;
    host.leave_when_ready = 0;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_null(children_find(&host.arbiter.children, old));
    assert_int_equal(host.arbiter.children.count, 2);
}

static void an_old_generation_can_be_restored(void **state)
{
    (void)state;
    run_until_ready(2);
    arbiter_new_generation(&host.arbiter);
    host.behaviour = FAILS;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    host.leave_when_dead = 1;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_false(host.arbiter.goal.proven);
    arbiter_restore_generation(&host.arbiter, 0);
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.arbiter.children.count, 2);
    assert_int_equal(host.age, 3);
    arbiter_new_generation(&host.arbiter);
    assert_int_equal(host.arbiter.goal.generation, 2); /* no number twice */
}

static void draining_waits_for_everyone(void **state)
{
    (void)state;
    run_until_ready(2);
    for (size_t i = 0; i < 2; i++)
        arbiter_kill(&host.arbiter, host.arbiter.children.list[i].pid, SIGTERM);
    assert_int_equal(arbiter_drain(&host.arbiter, 5000, false), 0);
    assert_int_equal(host.died, 2);
    assert_int_equal(host.hurried, 0);
}

static void draining_has_a_limit_and_can_be_hurried(void **state)
{
    (void)state;
    host.behaviour = WORKS_FOREVER;
    run_until_ready(2);
    assert_int_equal(arbiter_drain(&host.arbiter, 50, false), 0);
    assert_int_equal(host.died, 0);
    raise(SIGINT);
    assert_int_equal(arbiter_drain(&host.arbiter, 10000, false), 0);
    assert_int_equal(host.hurried, 1);
    assert_int_equal(host.died, 2);
}

static void strangers_are_reaped(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    for (int i = 0; i < 500 && host.strangers == 0; i++) {
        assert_int_equal(arbiter_reap(&host.arbiter), 0);
        usleep(10000);
    }
    assert_int_equal(host.strangers, 1);
}

static void killing_the_dead_is_an_error(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    assert_int_equal(arbiter_kill(&host.arbiter, pid, SIGTERM), -1);
    assert_int_equal(errno, ESRCH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(workers_boot_and_are_replaced),
        TEST(workers_that_fail_are_waited_for),
        TEST(a_fork_that_fails_is_waited_for),
        TEST(what_a_fork_needs_may_be_missing),
        TEST(a_master_without_memory_waits_again),
        TEST(a_master_that_cannot_begin_leaves_nothing),
        TEST(silence_ends_in_abrt_and_kill),
        TEST(threads_that_answer_are_left_alone),
        TEST(a_boot_that_hangs_is_told_and_ended),
        TEST(who_does_not_stop_is_overdue),
        TEST(boot_timeout_counts_without_timeout),
        TEST(a_boot_may_take_longer_than_ten_time_outs),
        TEST(a_lifetime_ends_and_the_successor_comes_first),
        TEST(a_worker_that_grows_is_replaced),
        TEST(a_worker_that_grows_beyond_the_hard_limit_is_not_waited_for),
        TEST(a_worker_that_is_born_too_big_is_left_alone),
        TEST(an_idle_worker_is_not_looked_at),
        TEST(deaths_are_counted_by_reason),
        TEST(a_new_generation_replaces_the_old),
        TEST(an_old_generation_can_be_restored),
        TEST(draining_waits_for_everyone),
        TEST(draining_has_a_limit_and_can_be_hurried),
        TEST(strangers_are_reaped),
        TEST(killing_the_dead_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
