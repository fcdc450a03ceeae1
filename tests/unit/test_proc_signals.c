#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proc/loop/signals.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

static const int caught[] = {SIGUSR1, SIGUSR2, SIGTTIN, SIGTERM};

static int setup(void **state)
{
    (void)state;
    if (signals_open() < 0)
        return -1;
    signals_install(caught, 4);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    signals_close();
    return 0;
}

static void signals_come_in_order_and_once(void **state)
{
    struct pollfd fd = {.fd = signals_fd(), .events = POLLIN};

    (void)state;
    assert_int_equal(poll(&fd, 1, 0), 0);
    raise(SIGUSR2);
    raise(SIGUSR1);
    raise(SIGUSR2);
    assert_int_equal(poll(&fd, 1, 0), 1);
    assert_int_equal(signals_next(), SIGUSR2);
    assert_int_equal(signals_next(), SIGUSR1);
    assert_int_equal(signals_next(), SIGUSR2);
    assert_int_equal(signals_next(), 0);
    assert_int_equal(poll(&fd, 1, 0), 0);
}

static void a_thousand_are_a_thousand(void **state)
{
    int count = 0;

    (void)state;
    for (int i = 0; i < 1000; i++)
        raise(SIGTTIN);
    while (signals_next() == SIGTTIN)
        count++;
    assert_int_equal(count, 1000);
}

/* More than the pipe takes: the rest is known by kind, not by number. */
static void an_overflow_loses_no_kind(void **state)
{
    int ttin = 0, usr1 = 0, signo;

    (void)state;
    for (int i = 0; i < 70000; i++)
        raise(SIGTTIN);
    raise(SIGUSR1);
    while ((signo = signals_next())) {
        ttin += signo == SIGTTIN;
        usr1 += signo == SIGUSR1;
    }
    assert_true(ttin > 60000);
    assert_int_equal(usr1, 1);
}

static int replayed;

static void on_replay(int signo)
{
    replayed |= signo == SIGTERM ? 1 : signo == SIGUSR1 ? 2 : 4;
}

static int child_status(pid_t pid)
{
    int status;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_worker_gets_what_came_before_its_handlers(void **state)
{
    (void)state;
    pid_t pid = fork();

    if (pid == 0) {
        signals_after_fork();
        raise(SIGTERM);
        raise(SIGUSR1);
        raise(SIGTTIN); /* its default would stop the process */
        signal(SIGTERM, on_replay);
        signal(SIGUSR1, on_replay);
        signal(SIGTTIN, SIG_DFL);
        signals_replay();
        if (replayed != 3)
            _exit(replayed);
        replayed = 0;
        signals_replay(); /* once is enough */
        _exit(replayed);
    }
    assert_int_equal(child_status(pid), 0);
    assert_int_equal(signals_next(), 0);
}

static void a_child_of_others_tells_the_master_nothing(void **state)
{
    (void)state;
    pid_t pid = fork();

    if (pid == 0) {
        raise(SIGTERM);
        signal(SIGTERM, on_replay);
        signals_replay();
        _exit(replayed);
    }
    assert_int_equal(child_status(pid), 1);
    assert_int_equal(signals_next(), 0);
}

static void what_is_blocked_comes_later(void **state)
{
    sigset_t before;

    (void)state;
    signals_block(&before);
    raise(SIGUSR1);
    assert_int_equal(signals_next(), 0);
    signals_unblock(&before);
    assert_int_equal(signals_next(), SIGUSR1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(signals_come_in_order_and_once), TEST(a_thousand_are_a_thousand),
        TEST(an_overflow_loses_no_kind),      TEST(a_worker_gets_what_came_before_its_handlers),
        TEST(what_is_blocked_comes_later),    TEST(a_child_of_others_tells_the_master_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
