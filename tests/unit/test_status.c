/* The status port and what it tells, without Python and without a worker but where one is needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proc/loop/arbiter.h"
#include "proc/port/report.h"
#include "proc/port/status.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct arbiter a;
static struct status status;
static int refused; /* errno of what the log was told last */
static unsigned refusals;
static int listener;

static void cannot_answer(void *ctx, int error)
{
    (void)ctx;
    refused = error;
    refusals++;
}

static const struct arbiter_host host = {.cannot_answer = cannot_answer};
static char answer[65536];

static int setup(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    (void)state;
    if (arbiter_open(&a, &host, NULL) < 0)
        return -1;
    status_open(&status, &a);
    refused = refusals = 0;
    a.kinds[CHILD_WORKER].goal.target = 2;
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    port_listen(&status.port, listener);
    snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "gunicorn-test-status-%d",
             (int)getpid());
    bind(listener, (struct sockaddr *)&name, sizeof(name));
    return listen(listener, 64);
}

static int teardown(void **state)
{
    (void)state;
    mem_fail_never();
    close(listener);
    status_close(&status);
    arbiter_close(&a);
    return 0;
}

static struct slot *add_worker(pid_t pid, enum child_phase phase)
{
    struct slot *slot = scoreboard_take(&a.board, a.wake_pipe[1]);
    struct child *child = children_add(&a.children, CHILD_WORKER, pid, 7, 0, slot, 1000);

    if (phase != CHILD_BOOTING)
        child_move(child, CHILD_READY, 1000);
    if (phase != CHILD_BOOTING && phase != CHILD_READY)
        child_move(child, phase, 1000);
    return slot;
}

static int client(void)
{
    struct sockaddr_un name;
    socklen_t size = sizeof(name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    getsockname(listener, (struct sockaddr *)&name, &size);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, size), 0);
    return fd;
}

enum { PIPES = 2 }; /* of signals, and of workers */

static nfds_t polled;

static int plain_poll(void *ctx, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    (void)ctx;
    polled = count;
    return poll(fds, count, timeout_ms);
}

static void turn(int64_t now)
{
    polled = 0;
    /* A worker is to answer. */
    pollables_poll(&a.pollables, plain_poll, NULL, status.dump.active ? 1 : 0);
    assert_int_equal(pollables_dispatch(&a.pollables, now), 0);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What the client receives until the end; the master turns meanwhile. */
static const char *receive(int fd)
{
    size_t size = 0;

    for (int turns = 0; turns < 10000; turns++) {
        turn(2000);
        ssize_t n = recv(fd, answer + size, sizeof(answer) - size - 1, MSG_DONTWAIT);
        if (n == 0)
            break;
        size += n > 0 ? (size_t)n : 0;
    }
    answer[size] = '\0';
    close(fd);
    turn(2000);
    return answer;
}

static const char *ask(const char *text)
{
    int fd = client();

    say(fd, text);
    return receive(fd);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static unsigned clients(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < PORT_CLIENTS; i++)
        count += status.port.clients[i] != NULL;
    return count;
}

static void it_lives(void **state)
{
    (void)state;
    ask("GET /live HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(begins(answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\nlive\n"));
    ask("HEAD /live?why HTTP/1.0\r\n\r\n");
    assert_true(begins(answer, "HTTP/1.1 200 OK\r\n"));
    assert_null(strstr(answer, "live\n"));
    assert_int_equal(clients(), 0);
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *request, *answer;
    } cases[] = {
        {"GET /other HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 "},
        {"GET /workers/0/stack HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 "},
        {"GET /workers/x/stack HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 "},
        {"GET /workers/0/stacks HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 "},
        {"GET /dump HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 "},
        {"POST /live HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 405 "},
        {"GET /live\r\n\r\n", "HTTP/1.1 400 "},
        {"\x16\x03\x01 what\r\n\r\n", "HTTP/1.1 400 "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(begins(ask(cases[i].request), cases[i].answer));
    assert_non_null(strstr(ask("PUT / HTTP/1.1\r\nHost: a\r\n\r\n"), "\r\nAllow: GET, HEAD\r\n"));
}

static void a_head_has_a_limit(void **state)
{
    char head[STATUS_HEAD + 100];

    (void)state;
    memset(head, 'a', sizeof(head) - 1);
    head[sizeof(head) - 1] = '\0';
    memcpy(head, "GET /", 5);
    assert_true(begins(ask(head), "HTTP/1.1 4"));
}

static void in_pieces(void **state)
{
    int fd = client();

    (void)state;
    for (const char *p = "GET /live HTTP/1.1\r\nHost: a\r\n\r\n"; *p; p++) {
        assert_int_equal(send(fd, p, 1, 0), 1);
        turn(2000);
    }
    assert_true(begins(receive(fd), "HTTP/1.1 200 "));
}

static int listener_is_ready(int64_t now)
{
    return status.port.listener.on_ready(&status.port.listener, POLLIN, now);
}

/* It is not tried without end meanwhile. */
static void without_a_descriptor_a_client_waits(void **state)
{
    struct rlimit old, few;
    int fd = client();

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = (struct rlimit){0, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(listener_is_ready(2000), 0);
        assert_int_equal(status.port.listener.fd, -1);
        assert_int_equal(pollables_deadline(&a.pollables), 2000 + PORT_PAUSE_MS);
    }
    assert_int_equal(refused, EMFILE);
    assert_int_equal(refusals, 1);
    assert_int_equal(listener_is_ready(2000 + PORT_LOG_MS), 0);
    assert_int_equal(refusals, 2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    turn(2000 + PORT_LOG_MS + PORT_PAUSE_MS);
    assert_int_equal(status.port.listener.fd, listener);
    say(fd, "GET /live HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(begins(receive(fd), "HTTP/1.1 200 "));
    assert_int_equal(pollables_deadline(&a.pollables), INT64_MAX);
}

static void who_says_nothing_is_closed(void **state)
{
    int fd = client();

    (void)state;
    turn(2000);
    turn(2000);
    assert_int_equal(clients(), 1);
    assert_int_equal(pollables_deadline(&a.pollables), 2000 + STATUS_MS);
    turn(2000 + STATUS_MS);
    assert_int_equal(clients(), 0);
    assert_int_equal(pollables_deadline(&a.pollables), INT64_MAX);
    close(fd);
}

static void the_oldest_makes_room(void **state)
{
    int fds[PORT_CLIENTS + 5];

    (void)state;
    for (int i = 0; i < PORT_CLIENTS + 5; i++) {
        fds[i] = client();
        turn(2000 + i);
    }
    assert_int_equal(clients(), PORT_CLIENTS);
    say(fds[PORT_CLIENTS + 4], "GET /live HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(begins(receive(fds[PORT_CLIENTS + 4]), "HTTP/1.1 200 "));
    assert_int_equal(recv(fds[0], answer, 1, MSG_DONTWAIT), 0);
    for (int i = 0; i < PORT_CLIENTS + 4; i++)
        close(fds[i]);
}

static void nothing_is_polled_without_need(void **state)
{
    (void)state;
    turn(2000);
    assert_int_equal(polled, PIPES + 1);
    port_pause(&status.port, true);
    turn(2000);
    assert_int_equal(polled, PIPES);
}

static void ready_when_a_worker_is(void **state)
{
    (void)state;
    static const char request[] = "GET /ready HTTP/1.1\r\nHost: a\r\n\r\n";

    assert_true(begins(ask(request), "HTTP/1.1 503 "));
    struct slot *slot = add_worker(1, CHILD_BOOTING);
    assert_non_null(strstr(ask(request), "no worker is ready: 1 of 2 boot\n"));
    child_move(children_find(&a.children, 1), CHILD_READY, 2000);
    assert_true(begins(ask(request), "HTTP/1.1 200 "));
    metrics_set(&slot->metrics->queued, 5);
    assert_true(begins(ask(request), "HTTP/1.1 200 "));
    a.max_queue = 5;
    assert_non_null(strstr(ask(request), "saturated"));
    add_worker(2, CHILD_READY);
    assert_true(begins(ask(request), "HTTP/1.1 200 "));
    a.leaving = true;
    assert_non_null(strstr(ask(request), "draining"));
    a.leaving = false;
    a.draining = true;
    assert_true(begins(ask(request), "HTTP/1.1 503 "));
}

static void workers_are_told(void **state)
{
    (void)state;
    struct slot *slot = add_worker(1, CHILD_RETIRING);

    running_begin(slot->running, 1500, STR("GET"), STR("/a\"b\xe4\n"));
    ask("GET /workers HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(answer, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(answer, "\"pid\": 1, \"number\": 7, \"age\": 1.000, "
                                   "\"phase\": \"retiring\""));
    assert_non_null(strstr(answer, "\"path\": \"/a\\\"b\\u00e4\\u000a\", \"seconds\": 0.500"));
}

static void figures_are_told(void **state)
{
    (void)state;
    struct slot *slot = add_worker(1, CHILD_READY);

    metrics_add(&slot->metrics->responses[2], 41);
    metrics_add(&slot->metrics->closed[CLOSE_KEEPALIVE], 3);
    metrics_observe(&slot->metrics->duration, 3000000);
    ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(
        strstr(answer, "\r\nContent-Type: application/openmetrics-text; version=1.0.0"));
    assert_non_null(strstr(answer, "\ngunicorn_responses_total{class=\"2xx\"} 41\n"));
    assert_non_null(
        strstr(answer, "\ngunicorn_connections_closed_total{reason=\"keepalive\"} 3\n"));
    assert_non_null(strstr(answer, "\ngunicorn_request_duration_seconds_bucket{le=\"0.0025\"} 0\n"
                                   "gunicorn_request_duration_seconds_bucket{le=\"0.005\"} 1\n"));
    assert_non_null(strstr(answer, "\ngunicorn_request_duration_seconds_sum 0.003000\n"));
    assert_non_null(strstr(answer, "\ngunicorn_worker_age_seconds{slot=\"0\"} 1\n"));
    assert_string_equal(answer + strlen(answer) - 6, "# EOF\n");
}

static void many_workers_fit(void **state)
{
    struct writer out;

    (void)state;
    for (int i = 1; i <= SCOREBOARD_SLOTS; i++)
        add_worker(0x7fff0000 + i, CHILD_READY);
    writer_init(&out, PORT_ANSWER);
    report_metrics(&a, &out, 2000);
    report_workers(&a, &out, 2000);
    assert_int_equal(out.error, 0);
    assert_true(out.size > 100000);
    writer_free(&out);
}

static void without_memory_a_client_is_lost_and_no_more(void **state)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    bool answered = false;

    (void)state;
    turn(2000); /* the loop has its memory */
    for (long n = 0; n < 200 && !answered; n++) {
        int fd = client();

        say(fd, request);
        refused = 0;
        mem_fail_after(n);
        receive(fd);
        mem_fail_never();
        answered = begins(answer, "HTTP/1.1 200 ");
        assert_true(answered || refused == ENOMEM);
        assert_true(answered || answer[0] == '\0' || begins(answer, "HTTP/1.1 5"));
    }
    assert_true(answered);
}

static void a_second_master_takes_over(void **state)
{
    (void)state;
    int pipe = status_await_successor(&status);

    assert_true(pipe >= 0);
    turn(2000);
    assert_false(status.port.paused);
    assert_int_equal(write(pipe, "1", 1), 1);
    turn(2000);
    assert_true(status.port.paused);
    status_resume(&status);
    assert_false(status.port.paused);
    close(pipe);
    pipe = status_await_successor(&status);
    close(pipe); /* it has died */
    turn(2000);
    assert_false(status.port.paused);
}

/* ---- stacks ---- */

static int dump_file;

static void write_stack(int signo)
{
    (void)signo;
    (void)!write(dump_file, "the stack\n", 10);
}

static int go_on[2]; /* a pipe: what is written into it lets the worker write the rest */

static void write_stack_slowly(int signo)
{
    char byte;

    (void)signo;
    (void)!write(dump_file, "the stack\n", 10);
    (void)!read(go_on[0], &byte, 1);
    (void)!write(dump_file, "the rest\n", 9);
}

/* A process that answers to the signal, or (NULL) does not. */
static pid_t fork_worker(void (*answers)(int))
{
    struct slot *slot = add_worker(0, CHILD_READY);
    int ready[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dump_file = status.dump.file;
        signal(dump_signal(), answers ? answers : write_stack);
        if (dump_accept(&status.dump, slot) < 0)
            _exit(1);
        if (!answers)
            signal(dump_signal(), SIG_IGN);
        (void)!write(ready[1], "r", 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    a.children.list[a.children.count - 1].pid = pid;
    return pid;
}

static void end_worker(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* The same, and the master knows. */
static void bury_worker(pid_t pid)
{
    end_worker(pid);
    arbiter_forget(&a, pid);
}

static void a_worker_writes_its_stack(void **state)
{
    (void)state;
    pid_t pid = fork_worker(write_stack);

    for (int i = 0; i < 3; i++) {
        ask("GET /workers/0/stack HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_true(begins(answer, "HTTP/1.1 200 "));
        char *stack = strstr(answer, "the stack\n");
        assert_non_null(stack);
        assert_null(strstr(stack + 1, "the stack\n"));
    }
    assert_false(status.dump.active);
    end_worker(pid);
}

/* A client that has asked for the worker's stacks, when the worker has been told. */
static int ask_for_stacks(void)
{
    int fd = client();

    say(fd, "GET /workers/0/stack HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 3; i++)
        turn(2000);
    return fd;
}

static void one_that_does_not_is_not_waited_for(void **state)
{
    (void)state;
    pid_t pid = fork_worker(NULL);
    int fd = ask_for_stacks();

    assert_true(status.dump.active);
    assert_int_equal(dump_deadline(&status.dump), 2000 + DUMP_THREAD_MS);
    assert_non_null(strstr(ask("GET /workers/0/stack HTTP/1.1\r\nHost: a\r\n\r\n"), "try again"));
    turn(2000 + DUMP_THREAD_MS);
    assert_non_null(strstr(receive(fd), "it gave no answer"));
    end_worker(pid);
}

static void nobody_waits_for_the_stacks(void **state)
{
    (void)state;
    pid_t pid = fork_worker(NULL);
    int fd = ask_for_stacks();

    turn(2000 + DUMP_TOTAL_MS + STATUS_MS);
    close(fd);
    turn(2000);
    turn(2000);
    assert_int_equal(clients(), 0);
    assert_false(status.dump.active);
    end_worker(pid);
}

/* Until the worker has written the first half. */
static int ask_a_slow_one(void)
{
    int fd = ask_for_stacks();
    struct stat stat = {0};

    for (int i = 0; i < 10000 && stat.st_size == 0; i++) {
        turn(2000);
        assert_int_equal(fstat(status.dump.file, &stat), 0);
    }
    assert_int_equal(stat.st_size, 10);
    return fd;
}

static void who_has_begun_is_waited_for(void **state)
{
    (void)state;
    assert_int_equal(pipe(go_on), 0);
    pid_t pid = fork_worker(write_stack_slowly);
    int fd = ask_a_slow_one();

    turn(2000 + DUMP_THREAD_MS);
    assert_true(status.dump.active);
    assert_int_equal(dump_deadline(&status.dump), 2000 + 2 * DUMP_THREAD_MS);
    assert_int_equal(write(go_on[1], "g", 1), 1);
    receive(fd);
    assert_non_null(strstr(answer, "the stack\nthe rest\n"));
    assert_null(strstr(answer, "no answer"));
    end_worker(pid);
    close(go_on[0]);
    close(go_on[1]);
}

/* What it still writes is not taken for what somebody else is asked for. */
static void who_writes_when_it_is_over_keeps_the_file(void **state)
{
    (void)state;
    assert_int_equal(pipe(go_on), 0);
    pid_t pid = fork_worker(write_stack_slowly);
    int fd = ask_a_slow_one();

    turn(2000 + DUMP_TOTAL_MS + 1);
    assert_false(status.dump.active);
    assert_non_null(strstr(receive(fd), "the stack\n…\n"));
    assert_non_null(strstr(ask("GET /workers/0/stack HTTP/1.1\r\nHost: a\r\n\r\n"), "try again"));
    assert_int_equal(write(go_on[1], "gg", 2), 2);
    for (int i = 0; i < 10000 && atomic_load(&status.dump.shared->writing); i++)
        poll(NULL, 0, 1);
    receive(ask_for_stacks());
    assert_non_null(strstr(answer, "the stack\nthe rest\n"));
    end_worker(pid);
    close(go_on[0]);
    close(go_on[1]);
}

static void who_died_amid_it_does_not_keep_it(void **state)
{
    (void)state;
    assert_int_equal(pipe(go_on), 0);
    pid_t pid = fork_worker(write_stack_slowly);
    int fd = ask_a_slow_one();

    turn(2000 + DUMP_TOTAL_MS + 1);
    assert_int_equal(status.dump.late, pid);
    receive(fd);
    bury_worker(pid);
    assert_int_equal(dump_begin(&status.dump, &a.board, &a.children, &pid, 1, 2000), 0);
    assert_int_equal(status.dump.late, 0);
    dump_end(&status.dump);
    close(go_on[0]);
    close(go_on[1]);
}

enum { ANOTHER = 4711 };

static void ask_another(int signo)
{
    (void)signo;
    atomic_store(&status.dump.shared->wanted, ANOTHER);
}

/* The master had given up on it: whom it asks now has still to answer. */
static void who_answers_late_answers_for_nobody_else(void **state)
{
    struct slot *slot = add_worker(getpid(), CHILD_READY);

    (void)state;
    signal(dump_signal(), ask_another);
    assert_int_equal(dump_accept(&status.dump, slot), 0);
    atomic_store(&status.dump.shared->wanted, running_thread());
    raise(dump_signal());
    signal(dump_signal(), SIG_DFL);
    assert_int_equal(atomic_load(&status.dump.shared->wanted), ANOTHER);
}

static void a_worker_without_a_handler_is_not_signalled(void **state)
{
    (void)state;
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    add_worker(pid, CHILD_BOOTING);
    ask("GET /workers/0/stack HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(answer, "It cannot tell its stacks"));
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    end_worker(pid);
}

/* More than any dump, and what steers a terminal. */
static void write_nonsense(int signo)
{
    (void)signo;
    (void)!write(dump_file, "\x1b[2Jthe stack\r\n\xff", 17);
    (void)!ftruncate(dump_file, (off_t)1 << 40);
}

static void nonsense_in_the_file_is_cut_and_escaped(void **state)
{
    (void)state;
    pid_t pid = fork_worker(write_nonsense);
    struct slot *slot = a.children.list[0].slot;

    running_begin(slot->running, 1500, STR("G\nT"), STR("/"));
    ask("GET /workers/0/stack HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(begins(answer, "HTTP/1.1 200 "));
    assert_non_null(strstr(answer, "\\x1b[2Jthe stack\\x0d\n\\xff\\x00"));
    assert_non_null(strstr(answer, "G\\x0aT"));
    assert_false(status.dump.active);
    end_worker(pid);
}

/* A counter that is not 0 though nobody writes costs one dump its time, and the next ones nothing.
 */
static void nonsense_in_the_counters_passes(void **state)
{
    (void)state;
    pid_t pid = fork_worker(write_stack);

    atomic_store(&status.dump.shared->writing, 4711);
    assert_non_null(strstr(ask("GET /workers/0/stack HTTP/1.1\r\nHost: a\r\n\r\n"), "the stack"));
    end_worker(pid);
}

static void who_is_about_to_end_may_be_asked(void **state)
{
    (void)state;
    struct slot *slot = add_worker(0, CHILD_READY);
    int result;
    pid_t pid = fork();

    if (pid == 0) {
        dump_file = status.dump.file;
        signal(dump_signal(), write_stack);
        dump_accept(&status.dump, slot);
        dump_close(&status.dump);
        raise(dump_signal());
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &result, 0), pid);
    assert_int_equal(result, 0);
}

/* Its number may be another process' by then. */
static void who_is_dead_is_not_signalled(void **state)
{
    (void)state;
    pid_t pid = fork_worker(NULL), other = fork_worker(write_stack);
    pid_t both[] = {pid, other};

    assert_int_equal(dump_begin(&status.dump, &a.board, &a.children, both, 2, 2000), 0);
    assert_false(dump_step(&status.dump, 2000));
    arbiter_forget(&a, pid);
    status.dump.thread_count = 2; /* there would be another thread to ask */
    status.dump.threads[1] = pid;
    dump_step(&status.dump, 2000 + DUMP_THREAD_MS);
    assert_true(status.dump.at > 0); /* it went on to the next worker */
    dump_end(&status.dump);
    end_worker(pid);
    end_worker(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_lives),
        TEST(what_is_wrong_is_said),
        TEST(a_head_has_a_limit),
        TEST(in_pieces),
        TEST(without_a_descriptor_a_client_waits),
        TEST(who_says_nothing_is_closed),
        TEST(the_oldest_makes_room),
        TEST(nothing_is_polled_without_need),
        TEST(ready_when_a_worker_is),
        TEST(workers_are_told),
        TEST(figures_are_told),
        TEST(many_workers_fit),
        TEST(without_memory_a_client_is_lost_and_no_more),
        TEST(a_second_master_takes_over),
        TEST(a_worker_writes_its_stack),
        TEST(one_that_does_not_is_not_waited_for),
        TEST(nobody_waits_for_the_stacks),
        TEST(who_has_begun_is_waited_for),
        TEST(who_writes_when_it_is_over_keeps_the_file),
        TEST(who_died_amid_it_does_not_keep_it),
        TEST(who_answers_late_answers_for_nobody_else),
        TEST(a_worker_without_a_handler_is_not_signalled),
        TEST(nonsense_in_the_file_is_cut_and_escaped),
        TEST(nonsense_in_the_counters_passes),
        TEST(who_is_dead_is_not_signalled),
        TEST(who_is_about_to_end_may_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
