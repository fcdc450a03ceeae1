#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arbiter_host.h"
#include "base/mem.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* What the system refuses, and after how many calls: it is asked through these. */
enum fault_call { FAULT_FORK, FAULT_PIPE, FAULT_MMAP, FAULT_CALLS };

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

static void a_host_may_change_the_registry_when_told_of_workers(void **state)
{
    (void)state;
    host.moves_children = true;
    run_until_ready(2);
    assert_int_equal(host.arbiter.children.count, 2);
    kill(host.arbiter.children.list[0].pid, SIGKILL);
    run_until_ready(3);
    assert_int_equal(host.arbiter.children.count, 2);
}

static void workers_that_fail_are_waited_for(void **state)
{
    (void)state;
    host.behaviour = FAILS;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    run_until_dead(BACKOFF_FREE + 1);
    assert_int_equal(host.pause_ms, BACKOFF_FIRST_MS);
    uint32_t forked = host.age;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.age, forked);
    host.leave_when_dead++;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.age, forked + 1);
    assert_true(host.pause_ms > BACKOFF_FIRST_MS);
}

static void reap_until_dead(int count)
{
    while (host.died < count) { /* alarm(2) ends it */
        assert_int_equal(arbiter_reap(&host.arbiter), 0);
        usleep(1000);
    }
}

static void the_first_boot_that_fails_is_the_hosts_to_judge(void **state)
{
    (void)state;
    host.behaviour = FAILS;
    run_until_dead(1);
    assert_true(host.first_boot);
    assert_int_equal(host.serving, 0);
}

static void a_boot_that_fails_after_another_is_no_first_one(void **state)
{
    (void)state;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    run_until_ready(1);
    host.behaviour = FAILS;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 2;
    run_until_dead(1);
    assert_false(host.first_boot);
    assert_true(host.quick);
    assert_int_equal(host.serving, 1);
}

static void a_boot_that_fails_while_none_serves_any_more_is_no_first_one(void **state)
{
    (void)state;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    run_until_ready(1);
    host.behaviour = FAILS;
    kill(host.arbiter.children.list[0].pid, SIGKILL);
    run_until_dead(2);
    assert_int_equal(host.last_reason, REASON_BOOT_FAILED);
    assert_false(host.first_boot);
    assert_int_equal(host.serving, 0);
}

static void a_worker_that_serves_unheard_counts(void **state)
{
    (void)state;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    while (atomic_load(&host.arbiter.children.list[0].slot->shared->phase) != SLOT_READY)
        usleep(1000);
    host.behaviour = FAILS;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 2;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    reap_until_dead(1);
    assert_false(host.first_boot);
    assert_int_equal(host.serving, 1);
}

/* HUP amid the first boot: who is not wanted any more neither ends the server nor delays it. */
static void an_older_generation_may_fail_to_boot(void **state)
{
    (void)state;
    host.behaviour = HANGS;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    arbiter_new_generation(&host.arbiter);
    kill(host.arbiter.children.list[0].pid, SIGKILL);
    reap_until_dead(1);
    assert_false(host.first_boot);
    assert_false(host.quick);
    assert_int_equal(host.arbiter.kinds[CHILD_WORKER].backoff.failures, 0);
}

/* The reload did not boot either: the generation before has to prove itself. */
static void a_generation_that_is_restored_unproven_is_the_first_again(void **state)
{
    (void)state;
    arbiter_new_generation(&host.arbiter);
    arbiter_restore_generation(&host.arbiter, 0);
    host.behaviour = FAILS;
    run_until_dead(1);
    assert_true(host.first_boot);
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

static void forks_that_fail_are_tried_ever_more_rarely(void **state)
{
    int64_t expected = BACKOFF_FIRST_MS;

    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(arbiter_fork_failed(&host.arbiter, CHILD_WORKER), expected);
        expected = expected * 2 < BACKOFF_LAST_MS ? expected * 2 : BACKOFF_LAST_MS;
    }
}

static int slots_taken(void)
{
    int count = 0;

    for (size_t i = 0; i < SCOREBOARD_SLOTS; i++)
        count += host.arbiter.board.slots[i].taken;
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

    host.arbiter.kinds[CHILD_WORKER].backoff.until = 0;
    fault[FAULT_FORK].error = EAGAIN;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.fork_error, EAGAIN);
    assert_int_equal(slots_taken(), 0);
    assert_int_equal(host.arbiter.children.count, 0);

    host.arbiter.kinds[CHILD_WORKER].backoff.until = 0;
    while (scoreboard_take(&host.arbiter.board, -1))
        ;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.fork_error, ENOSPC);
    for (size_t i = 0; i < SCOREBOARD_SLOTS; i++)
        scoreboard_release(&host.arbiter.board, &host.arbiter.board.slots[i]);

    host.arbiter.kinds[CHILD_WORKER].backoff.until = 0;
    run_until_ready(2);
    assert_int_equal(slots_taken(), 2);
}

static void a_master_without_memory_waits_again(void **state)
{
    static const int passing[] = {EINTR, ENOMEM, EAGAIN};

    (void)state;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    for (int i = 0; i < 3; i++) {
        host.leave_when_ready = i + 1;
        assert_int_equal(arbiter_manage(&host.arbiter), 0);
        host.wait_error = passing[i];
        assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
        kill(host.arbiter.children.list[0].pid, SIGKILL);
        host.leave_when_dead = i + 1;
        assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    }
    host.wait_error = EBADF;
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
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    host.arbiter.timeout_ms = 200;
    run_until_dead(1);
    assert_int_equal(host.timed_out, 1);
    assert_true(WIFSIGNALED(host.last_status));
    assert_int_equal(WTERMSIG(host.last_status), SIGKILL);
}

/* The master was stopped before it could hear of the request. */
static void a_silence_that_is_seen_late_is_spared_once(void **state)
{
    (void)state;
    host.behaviour = WORKS_FOREVER;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    host.arbiter.timeout_ms = 200;
    run_until_ready(1);
    while (atomic_load(&host.arbiter.children.list[0].slot->shared->busy_since) == 0)
        usleep(1000);
    turn_by_turn();
    host.arbiter.tick_ms = 1;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.timed_out, 0);
    host.arbiter.host = &plain_host;
    run_until_dead(1);
    assert_int_equal(host.timed_out, 1);
}

/* A worker that was busy when it was to be looked at is idle now. That the look is late is the
 * master's choice. */
static void a_look_that_is_late_spares_nobody(void **state)
{
    (void)state;
    host.arbiter.timeout_ms = 20000;
    run_until_ready(2);
    struct child *idle = &host.arbiter.children.list[0], *other = &host.arbiter.children.list[1];
    idle->watching = true;
    idle->look_at = (int64_t)(clock_ns() / 1000000) - 2 * ARBITER_LATE_MS;
    assert_int_equal(arbiter_murder(&host.arbiter), 0);
    assert_false(idle->watching); /* it was looked at */
    assert_int_equal(other->spared_to, 0);
}

static void wait_for_answer(const struct child *child)
{
    while (child->asked_at > 0 &&
           atomic_load(&child->slot->shared->busy_since) == child->asked_sign)
        usleep(1000);
}

static void threads_that_answer_are_left_alone(void **state)
{
    (void)state;
    host.behaviour = ANSWERS;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    host.arbiter.timeout_ms = 100;
    run_until_ready(1);
    const struct child *child = &host.arbiter.children.list[0];
    while (atomic_load(&child->slot->shared->busy_since) == 0)
        usleep(1000);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(arbiter_murder(&host.arbiter), 0);
        wait_for_answer(child);
        usleep(60000);
        turn_by_turn();
        host.arbiter.tick_ms = 1;
        assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
        wait_for_answer(child);
    }
    assert_int_equal(host.timed_out, 0);
    assert_true(child->asked_at > 0);
}

/* A worker that never says that it is ready. */
static void boot_in_vain(int64_t timeout_ms, int64_t boot_ms, bool told)
{
    host.behaviour = HANGS;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    host.arbiter.timeout_ms = timeout_ms;
    host.arbiter.boot_ms = boot_ms;
    run_until_dead(1);
    assert_int_equal(host.slow_boot, told);
    assert_int_equal(host.last_reason, REASON_BOOT_TIMEOUT);
}

static void a_boot_that_hangs_is_told_and_ended(void **state)
{
    (void)state;
    boot_in_vain(50, 0, true);
    assert_int_equal(host.timed_out, 1);
    assert_int_equal(WTERMSIG(host.last_status), SIGABRT);
}

static void boot_timeout_counts_without_timeout(void **state)
{
    (void)state;
    boot_in_vain(0, 50, false);
    assert_int_equal(host.timed_out, 1);
}

static void a_boot_may_take_longer_than_ten_time_outs(void **state)
{
    (void)state;
    boot_in_vain(1, 200, true);
}

static void deaths_are_counted_by_reason(void **state)
{
    (void)state;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 3;
    run_until_ready(3);
    host.leave_when_ready = 0;
    kill(host.arbiter.children.list[0].pid, SIGUSR2);
    host.leave_when_dead = 1;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.last_reason, REASON_SIGNAL);
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    run_until_dead(2);
    assert_int_equal(host.last_reason, REASON_SCALE);
    for (size_t i = 0; i < host.arbiter.children.count; i++)
        assert_int_equal(arbiter_kill(&host.arbiter, host.arbiter.children.list[i].pid, SIGQUIT),
                         0);
    host.arbiter.kinds[CHILD_WORKER].goal.target = 0;
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
    host.arbiter.kinds[CHILD_WORKER].graceful_ms = 1;
    run_until_ready(2);
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    run_until_dead(1);
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
    assert_false(host.arbiter.kinds[CHILD_WORKER].goal.proven);
    arbiter_restore_generation(&host.arbiter, 0);
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.arbiter.children.count, 2);
    assert_int_equal(host.age, 3);
    arbiter_new_generation(&host.arbiter);
    assert_int_equal(host.arbiter.kinds[CHILD_WORKER].goal.generation, 2); /* no number twice */
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

/* ---- children of another kind ---- */

static struct arbiter_kind *dirty(void)
{
    return &host.arbiter.kinds[CHILD_DIRTY];
}

static const struct child *dirty_child(void)
{
    for (size_t i = 0; i < host.arbiter.children.count; i++)
        if (host.arbiter.children.list[i].kind == CHILD_DIRTY)
            return &host.arbiter.children.list[i];
    return NULL;
}

static void another_kind_has_no_slot_and_boots_by_its_word(void **state)
{
    (void)state;
    dirty()->goal.target = 1;
    run_until_ready(2); /* the workers */
    assert_int_equal(host.arbiter.children.count, 3);
    assert_int_equal(slots_taken(), 2);
    assert_int_equal(host.arbiter.forks, 2);
    assert_int_equal(dirty_child()->phase, CHILD_BOOTING);
    assert_false(dirty()->goal.proven);
    host.leave_when_ready = 0;
    assert_int_equal(arbiter_ready(&host.arbiter, dirty_child()->pid), 0);
    assert_int_equal(dirty_child()->phase, CHILD_READY);
    assert_true(dirty()->goal.proven);
    assert_int_equal(host.ready, 3);
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.arbiter.children.count, 3);
}

static void another_kind_is_restarted_with_pauses_of_its_own(void **state)
{
    (void)state;
    run_until_ready(2);
    host.leave_when_ready = 0;
    host.behaviour = FAILS;
    dirty()->goal.target = 1;
    run_until_dead(BACKOFF_FREE + 1);
    assert_int_equal(host.last_kind, CHILD_DIRTY);
    assert_int_equal(host.pause_ms, BACKOFF_FIRST_MS);
    assert_int_equal(host.serving, 0);                            /* of its kind */
    assert_int_equal(host.arbiter.deaths[REASON_BOOT_FAILED], 0); /* of workers */
    assert_int_equal(host.arbiter.kinds[CHILD_WORKER].backoff.failures, 0);
    assert_null(dirty_child());
    host.behaviour = BOOTS;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_null(dirty_child()); /* the pause is not over */
    dirty()->backoff.until = 0;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_non_null(dirty_child());
}

static void a_reload_replaces_another_kind_when_its_successor_is_ready(void **state)
{
    (void)state;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 0;
    dirty()->goal.target = 1;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    pid_t old = dirty_child()->pid;
    assert_int_equal(arbiter_ready(&host.arbiter, old), 0);
    arbiter_new_generation(&host.arbiter);
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(host.arbiter.children.count, 2);
    assert_int_equal(children_find(&host.arbiter.children, old)->phase, CHILD_READY);
    assert_int_equal(arbiter_ready(&host.arbiter, host.arbiter.children.list[1].pid), 0);
    run_until_dead(1);
    assert_int_equal(host.last_reason, REASON_RELOAD);
    assert_null(children_find(&host.arbiter.children, old));
}

static void another_kind_has_its_own_time_to_stop(void **state)
{
    (void)state;
    host.behaviour = WORKS_FOREVER;
    dirty()->goal.target = 1;
    dirty()->graceful_ms = 1;
    run_until_ready(2);
    host.leave_when_ready = 0;
    assert_int_equal(arbiter_ready(&host.arbiter, dirty_child()->pid), 0);
    dirty()->goal.target = 0;
    run_until_dead(1);
    assert_int_equal(host.overdue, 1);
    assert_int_equal(host.last_kind, CHILD_DIRTY);
    assert_int_equal(host.arbiter.children.count, 2);
}

static struct signs {
    int64_t given; /* what the host reads */
    int64_t step;  /* it grows so much with each look */
    int looks;
    bool leaves; /* after a few */
} signs;

static int64_t read_sign(void *ctx, const struct child *child)
{
    (void)ctx;
    assert_int_equal(child->kind, CHILD_DIRTY);
    signs.looks++;
    return signs.given += signs.step;
}

static int leave_after_looks(void *ctx)
{
    (void)ctx;
    return signs.leaves && signs.looks >= 4 ? LEAVE : 0;
}

static int abort_silent(void *ctx, const struct child *child, int64_t silent_ms)
{
    (void)ctx;
    assert_true(silent_ms >= host.arbiter.timeout_ms / 2);
    host.timed_out++;
    dirty()->goal.target = 0; /* a successor would be silent as well */
    return arbiter_kill(&host.arbiter, child->pid, SIGABRT);
}

static void give_signs(int64_t first, int64_t step)
{
    static struct arbiter_host sign_host;

    sign_host = plain_host;
    sign_host.sign = read_sign;
    sign_host.between = leave_after_looks;
    sign_host.timed_out = abort_silent;
    signs = (struct signs){.given = first, .step = step};
    host.arbiter.host = &sign_host;
    host.arbiter.timeout_ms = 100;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 0;
    dirty()->goal.target = 1;
}

static void another_kind_that_gives_no_sign_is_aborted(void **state)
{
    (void)state;
    give_signs(1, 0);
    run_until_dead(1);
    assert_int_equal(host.timed_out, 1);
    assert_int_equal(host.last_reason, REASON_TIMEOUT);
    assert_int_equal(WTERMSIG(host.last_status), SIGABRT);
}

static void another_kind_that_gives_signs_is_left_alone(void **state)
{
    (void)state;
    give_signs(1, 1);
    signs.leaves = true;
    assert_int_equal(arbiter_manage(&host.arbiter), 0);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.timed_out, 0);
    assert_non_null(dirty_child());
}

static void the_first_sign_may_take_as_long_as_a_boot(void **state)
{
    int64_t begin = (int64_t)(clock_ns() / 1000000);

    (void)state;
    give_signs(0, 0);
    host.arbiter.boot_ms = 400;
    run_until_dead(1);
    assert_int_equal(host.timed_out, 1);
    assert_true((int64_t)(clock_ns() / 1000000) >= begin + 400);
}

static void draining_waits_for_every_kind(void **state)
{
    (void)state;
    dirty()->goal.target = 1;
    run_until_ready(2);
    for (size_t i = 0; i < 3; i++)
        arbiter_kill(&host.arbiter, host.arbiter.children.list[i].pid, SIGTERM);
    assert_int_equal(arbiter_drain(&host.arbiter, 5000, false), 0);
    assert_int_equal(host.died, 3);
}

static int waits, deaf_waits;

static int count_waits(void *ctx, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    (void)ctx;
    waits++;
    deaf_waits += count == 1; /* the signals' pipe alone */
    return poll(fds, count, timeout_ms);
}

/* A worker writes without end: the master is woken so often, and then not for a while. */
static void a_flood_of_the_wake_pipe_is_bounded(void **state)
{
    struct arbiter_host counting = plain_host;
    char bytes[4096] = {0};

    (void)state;
    run_until_ready(2);
    counting.wait = count_waits;
    counting.manage = leave_after;
    host.arbiter.host = &counting;
    int64_t end = (int64_t)(clock_ns() / 1000000) + 2 * ARBITER_WAKES_MS;
    while ((int64_t)(clock_ns() / 1000000) < end && !deaf_waits) {
        while (write(host.arbiter.wake_pipe[1], bytes, sizeof(bytes)) > 0)
            ;
        assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    }
    assert_int_equal(deaf_waits, 1);
    assert_true(waits > ARBITER_WAKES / 2);
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(deaf_waits, 1); /* it listens again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(workers_boot_and_are_replaced),
        TEST(a_host_may_change_the_registry_when_told_of_workers),
        TEST(workers_that_fail_are_waited_for),
        TEST(the_first_boot_that_fails_is_the_hosts_to_judge),
        TEST(a_boot_that_fails_after_another_is_no_first_one),
        TEST(a_boot_that_fails_while_none_serves_any_more_is_no_first_one),
        TEST(a_worker_that_serves_unheard_counts),
        TEST(an_older_generation_may_fail_to_boot),
        TEST(a_generation_that_is_restored_unproven_is_the_first_again),
        TEST(a_fork_that_fails_is_waited_for),
        TEST(forks_that_fail_are_tried_ever_more_rarely),
        TEST(what_a_fork_needs_may_be_missing),
        TEST(a_master_without_memory_waits_again),
        TEST(a_master_that_cannot_begin_leaves_nothing),
        TEST(silence_ends_in_abrt_and_kill),
        TEST(a_silence_that_is_seen_late_is_spared_once),
        TEST(a_look_that_is_late_spares_nobody),
        TEST(threads_that_answer_are_left_alone),
        TEST(a_boot_that_hangs_is_told_and_ended),
        TEST(who_does_not_stop_is_overdue),
        TEST(boot_timeout_counts_without_timeout),
        TEST(a_boot_may_take_longer_than_ten_time_outs),
        TEST(deaths_are_counted_by_reason),
        TEST(a_new_generation_replaces_the_old),
        TEST(an_old_generation_can_be_restored),
        TEST(draining_waits_for_everyone),
        TEST(draining_has_a_limit_and_can_be_hurried),
        TEST(strangers_are_reaped),
        TEST(killing_the_dead_is_an_error),
        TEST(a_flood_of_the_wake_pipe_is_bounded),
        TEST(another_kind_has_no_slot_and_boots_by_its_word),
        TEST(another_kind_is_restarted_with_pauses_of_its_own),
        TEST(a_reload_replaces_another_kind_when_its_successor_is_ready),
        TEST(another_kind_has_its_own_time_to_stop),
        TEST(another_kind_that_gives_no_sign_is_aborted),
        TEST(another_kind_that_gives_signs_is_left_alone),
        TEST(the_first_sign_may_take_as_long_as_a_boot),
        TEST(draining_waits_for_every_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
