/* The control socket: messages whole, in pieces, several at once, too long. The host repeats what
 * it is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proc/port/control.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct arbiter arbiter;
static struct status status;
static struct control control;
static int listener, failed;
static int child[2];        /* a pipe: the output of a child */
static const char *outcome; /* of the last one: "whole", "broken" or NULL */

static int command(void *ctx, struct str request, struct writer *answer, struct arbiter_rest *rest)
{
    (void)ctx;
    if (str_eq(request, STR("stack"))) {
        rest->stack_of = getpid();
        writer_text(answer, "{{");
        return 0;
    }
    if (str_eq(request, STR("child"))) {
        assert_int_equal(pipe(child), 0);
        rest->fd = child[0];
        return 0;
    }
    writer_add(answer, request.p, request.n);
    return str_eq(request, STR("leave")) ? -7 : 0;
}

static void cannot_answer(void *ctx, int error)
{
    (void)ctx;
    failed = error;
}

static int collected(void *ctx, struct str output, bool complete, struct writer *answer)
{
    (void)ctx;
    outcome = complete ? "whole" : "broken";
    writer_format(answer, "%s: ", outcome);
    writer_add(answer, output.p, output.n < 8 ? output.n : 8);
    return str_eq(output, STR("leave")) ? -7 : 0;
}

static const struct arbiter_host host = {
    .command = command, .collected = collected, .cannot_answer = cannot_answer};

static int begin(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    (void)state;
    arbiter = (struct arbiter){.host = &host};
    failed = 0;
    outcome = NULL;
    pollables_init(&arbiter.pollables);
    status = (struct status){.arbiter = &arbiter, .dump = {.file = -1}};
    control_open(&control, &status);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)); /* a name of the kernel's */
    listen(listener, 32);
    control_listen(&control, listener, true);
    return 0;
}

static int end(void **state)
{
    (void)state;
    control_close(&control);
    pollables_free(&arbiter.pollables);
    return close(listener);
}

static int connect_client(void)
{
    struct sockaddr_un name;
    socklen_t size = sizeof(name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &size), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, size), 0);
    return fd;
}

static int wait_for(void *ctx, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    (void)ctx;
    return poll(fds, count, timeout_ms);
}

/* Rounds of the loop until nothing happens. Returns what a callback returned. */
static int run(int64_t now)
{
    int result = 0;

    while (result == 0 && pollables_poll(&arbiter.pollables, wait_for, NULL, 0) > 0)
        result = pollables_dispatch(&arbiter.pollables, now);
    return result;
}

static void send_message(int fd, const char *text)
{
    size_t n = strlen(text);
    char head[CONTROL_LENGTH] = {0, 0, (char)(n >> 8), (char)n};

    assert_int_equal(send(fd, head, sizeof(head), 0), sizeof(head));
    assert_int_equal(send(fd, text, n, 0), n);
}

static void expect(int fd, const char *text)
{
    size_t n = strlen(text);
    char bytes[256];

    assert_int_equal(recv(fd, bytes, CONTROL_LENGTH + n, MSG_DONTWAIT), CONTROL_LENGTH + n);
    const char head[CONTROL_LENGTH] = {0, 0, (char)(n >> 8), (char)n};
    assert_memory_equal(bytes, head, sizeof(head));
    assert_memory_equal(bytes + CONTROL_LENGTH, text, n);
}

static bool is_closed(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void test_a_session(void **state)
{
    int fd = connect_client();

    (void)state;
    send_message(fd, "one");
    run(0);
    expect(fd, "one");
    send_message(fd, "");
    send_message(fd, "two");
    run(0);
    expect(fd, "");
    expect(fd, "two");
    close(fd);
}

static void test_byte_by_byte(void **state)
{
    static const char bytes[] = {0, 0, 0, 3, 'o', 'n', 'e', 0, 0, 0, 3, 't', 'w', 'o'};
    int fd = connect_client();

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        assert_int_equal(send(fd, bytes + i, 1, 0), 1);
        run(0);
    }
    expect(fd, "one");
    expect(fd, "two");
    close(fd);
}

static void test_the_longest_and_one_too_long(void **state)
{
    static char text[CONTROL_REQUEST + 2], answer[sizeof(text) + CONTROL_LENGTH];
    int fd = connect_client();

    (void)state;
    memset(text, 'a', CONTROL_REQUEST);
    send_message(fd, text);
    run(0);
    assert_int_equal(recv(fd, answer, sizeof(answer), MSG_DONTWAIT),
                     CONTROL_LENGTH + CONTROL_REQUEST);
    text[CONTROL_REQUEST] = 'a';
    send_message(fd, text);
    run(0);
    expect(fd, "{\"id\": 0, \"status\": \"error\", "
               "\"error\": \"the request is longer than 8192 bytes\"}");
    assert_true(is_closed(fd));
    close(fd);
}

static void test_garbage_of_any_length(void **state)
{
    int fd = connect_client();

    (void)state;
    assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18); /* "GET " is a length */
    run(0);
    expect(fd, "{\"id\": 0, \"status\": \"error\", "
               "\"error\": \"the request is longer than 8192 bytes\"}");
    assert_true(is_closed(fd));
    close(fd);
}

static void test_a_client_that_stalls_is_dropped(void **state)
{
    int fd = connect_client();

    (void)state;
    assert_int_equal(send(fd, "\0\0", 2, 0), 2);
    run(0);
    assert_int_equal(pollables_deadline(&arbiter.pollables), CONTROL_MS);
    assert_false(is_closed(fd));
    pollables_poll(&arbiter.pollables, wait_for, NULL, 0);
    pollables_dispatch(&arbiter.pollables, CONTROL_MS);
    assert_true(is_closed(fd));
    close(fd);
}

static void test_stacks_where_there_are_none(void **state)
{
    int fd = connect_client();

    (void)state;
    send_message(fd, "stack");
    run(0);
    expect(fd, "{{\"success\": false, \"error\": \"this system has no such dumps\"}}");
    close(fd);
}

/* A client whose answer is the output of a child. */
static int begin_child(void)
{
    int fd = connect_client();

    send_message(fd, "child");
    send_message(fd, "next");
    run(0);
    assert_null(outcome);
    return fd;
}

static void write_output(const char *text)
{
    assert_int_equal(write(child[1], text, strlen(text)), strlen(text));
    run(0);
}

static void test_the_output_of_a_child(void **state)
{
    int fd = begin_child();

    (void)state;
    write_output("one");
    write_output("two");
    assert_null(outcome);
    close(child[1]);
    run(0);
    expect(fd, "whole: onetwo");
    expect(fd, "next");
    close(fd);
}

static void test_a_child_that_does_not_end(void **state)
{
    int fd = begin_child();

    (void)state;
    write_output("one");
    assert_int_equal(pollables_deadline(&arbiter.pollables), CONTROL_OUTPUT_MS);
    pollables_poll(&arbiter.pollables, wait_for, NULL, 0);
    pollables_dispatch(&arbiter.pollables, CONTROL_OUTPUT_MS);
    expect(fd, "broken: one");
    expect(fd, "next");
    assert_int_equal(write(child[1], "x", 1), -1); /* nobody reads it */
    close(child[1]);
    close(fd);
}

static void test_a_child_that_writes_too_much(void **state)
{
    static char text[4096 + 1];
    int fd = begin_child();

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    for (int i = 0; i < CONTROL_OUTPUT / 4096; i++)
        write_output(text);
    assert_null(outcome);
    write_output("b");
    expect(fd, "broken: aaaaaaaa");
    close(child[1]);
    close(fd);
}

static void test_a_client_that_leaves_amid_the_output(void **state)
{
    int fd = begin_child();

    (void)state;
    close(fd);
    run(0);
    pollables_dispatch(&arbiter.pollables, 0);
    assert_string_equal(outcome, "broken");
    assert_int_equal(control.output.fd, -1);
    close(child[1]);
}

static void test_the_host_leaves_the_loop_by_an_output(void **state)
{
    int fd = begin_child();

    (void)state;
    write_output("leave");
    close(child[1]);
    assert_int_equal(run(0), -7);
    assert_int_equal(control.output.fd, -1);
    close(fd);
}

static void test_the_host_leaves_the_loop(void **state)
{
    int fd = connect_client();

    (void)state;
    send_message(fd, "leave");
    assert_int_equal(run(0), -7);
    close(fd);
}

static void test_without_memory(void **state)
{
    int fd = connect_client();

    (void)state;
    run(0);
    send_message(fd, "one");
    mem_fail_after(0);
    run(0);
    mem_fail_never();
    assert_int_equal(failed, ENOMEM);
    assert_true(is_closed(fd));
    close(fd);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_session, begin, end),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, begin, end),
        cmocka_unit_test_setup_teardown(test_the_longest_and_one_too_long, begin, end),
        cmocka_unit_test_setup_teardown(test_garbage_of_any_length, begin, end),
        cmocka_unit_test_setup_teardown(test_a_client_that_stalls_is_dropped, begin, end),
        cmocka_unit_test_setup_teardown(test_stacks_where_there_are_none, begin, end),
        cmocka_unit_test_setup_teardown(test_the_output_of_a_child, begin, end),
        cmocka_unit_test_setup_teardown(test_a_child_that_does_not_end, begin, end),
        cmocka_unit_test_setup_teardown(test_a_child_that_writes_too_much, begin, end),
        cmocka_unit_test_setup_teardown(test_a_client_that_leaves_amid_the_output, begin, end),
        cmocka_unit_test_setup_teardown(test_the_host_leaves_the_loop_by_an_output, begin, end),
        cmocka_unit_test_setup_teardown(test_the_host_leaves_the_loop, begin, end),
        cmocka_unit_test_setup_teardown(test_without_memory, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
