#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/forked.h"
#include "served.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* What a child has of its parent after fork(2). In the child nothing may be asserted: its result is
 * its status. */

static int status_of_child(int (*child)(void))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child());
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static bool is_null(int fd)
{
    struct stat file, null;
    return fstat(fd, &file) == 0 && stat("/dev/null", &null) == 0 && file.st_rdev == null.st_rdev;
}

static int ends[2];

static int has_neither(void)
{
    return !is_open(ends[0]) && is_null(ends[1]) && forked_count == 1 ? 0 : 1;
}

static int has_both(void)
{
    return is_open(ends[0]) && is_open(ends[1]) && !is_null(ends[1]) ? 0 : 1;
}

static int forked_again(void)
{
    ends[0] = dup(1); /* the number is the child's own now */
    return status_of_child(has_both);
}

static void test_descriptors(void **state)
{
    (void)state;
    assert_int_equal(forked_watch(), 0);
    assert_int_equal(forked_watch(), 0);
    assert_int_equal(pipe(ends), 0);
    forked_close(-1);
    forked_close(FORKED_FDS);
    forked_forget(-1);
    forked_close(ends[0]);
    forked_replace(ends[1]);
    assert_false(atomic_load(&forked_has_child));
    assert_int_equal(status_of_child(has_neither), 0);
    assert_true(atomic_load(&forked_has_child));
    assert_true(is_open(ends[0]) && !is_null(ends[1]));
    forked_expect(true);
    assert_int_equal(status_of_child(has_both), 0);
    forked_expect(false);
    forked_forget(ends[1]);
    assert_int_equal(status_of_child(forked_again), 0);
    forked_forget(ends[0]);
    close(ends[0]);
    close(ends[1]);
}

static void on_signal(int signo)
{
    (void)signo;
}

static int dies_of_it(void)
{
    raise(SIGUSR1);
    return 0;
}

static void test_signals(void **state)
{
    (void)state;
    assert_int_equal(forked_watch(), 0);
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    assert_int_equal(status_of_child(dies_of_it), 0);
    forked_default(SIGUSR1);
    assert_int_equal(status_of_child(dies_of_it), 128 + SIGUSR1);
    assert_int_equal(raise(SIGUSR1), 0); /* here it is handled as before */
}

static struct {
    int epoll, client;
} fds;

static int has_no_engine(void)
{
    return !engine_is_ours(served.engine) && !is_open(fds.epoll) && !is_open(fds.client) ? 0 : 1;
}

static void hello(struct request *request)
{
    bool kept;
    if (served.runs == 2) {
        fds.epoll = loop_fd(served.engine->loop);
        fds.client = request->conn->io.fd;
        assert_int_equal(status_of_child(has_no_engine), 0);
    }
    served_put(request, "hello", 5, NULL, &kept);
}

static void ask(void)
{
    assert_non_null(strstr(served_ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "hello"));
}

/* The child took nothing out of what the parent waits in. */
static void test_engine(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    served_open(&options, hello);
    assert_non_null(served_connect(false));
    for (int i = 0; i < 4; i++)
        ask();
    assert_true(engine_is_ours(served.engine));
    served_close();
}

/* A descriptor that the application closes is noticed in the next wait, or when it is looked for.
 */
static void test_lost(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    served_open(&options, hello);
    assert_non_null(served_connect(false));
    ask();
    engine_look_at_marks(served.engine);
    assert_false(atomic_load(&served.engine->lost));
    int epoll = loop_fd(served.engine->loop), kept = dup(epoll);
    assert_int_equal(dup2(1, epoll), epoll); /* another file has its number */
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    engine_yield(served.engine);
    assert_true(atomic_load(&served.engine->lost) && atomic_load(&served.engine->stopped));
    atomic_store(&served.engine->lost, false);
    engine_look_at_marks(served.engine);
    assert_true(atomic_load(&served.engine->lost));
    dup2(kept, epoll);
    close(kept);
    engine_collect(served.engine);
    assert_non_null(
        strstr(served.notes, "closed a descriptor of the server (waiting for events: "));
    served_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_engine),
        cmocka_unit_test(test_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
