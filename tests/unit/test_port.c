/* The small server of the master's loop with a protocol of its own: lines, several on a connection.
 * "wait" is answered later, "leave" leaves the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proc/port/port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_MAX_SIZE = 64, LIMIT_MS = 1000, LEAVE = -7 };

static struct pollables pollables;
static struct port port;
static struct port_client *waiting;
static int gone, failed, listener;

static int received(struct port_client *client, int64_t now)
{
    const char *end = memchr(client->input, '\n', client->size);

    if (!end)
        return 0;
    struct str line = {client->input, (size_t)(end - client->input)};

    if (str_eq(line, STR("leave")))
        return LEAVE;
    writer_format(&client->answer, "<%.*s>\n", (int)line.n, line.p);
    bool late = str_eq(line, STR("wait"));
    port_consume(client, line.n + 1);
    if (late) {
        waiting = client;
        port_wait(client, now, LIMIT_MS);
    } else {
        port_answer(client, now);
    }
    return 0;
}

static void on_gone(struct port_client *client)
{
    assert_ptr_equal(client, waiting);
    waiting = NULL;
    gone++;
}

static void on_failed(void *ctx, int error)
{
    assert_ptr_equal(ctx, &port);
    failed = error;
}

static const struct port_protocol lines = {
    .input_max = LINE_MAX_SIZE,
    .limit_ms = LIMIT_MS,
    .lasts = true,
    .received = received,
    .gone = on_gone,
    .failed = on_failed,
};

static int setup(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    (void)state;
    snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "gunicorn-test-port-%d", (int)getpid());
    pollables_init(&pollables);
    port_init(&port, &pollables, &lines, &port);
    port.own_user = true;
    waiting = NULL;
    gone = failed = 0;
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    bind(listener, (struct sockaddr *)&name, sizeof(name));
    port_listen(&port, listener);
    return listen(listener, 64);
}

static int teardown(void **state)
{
    (void)state;
    port_close(&port);
    pollables_free(&pollables);
    return close(listener);
}

static int plain_poll(void *ctx, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    (void)ctx;
    return poll(fds, count, timeout_ms);
}

static int turn(int64_t now)
{
    assert_true(pollables_poll(&pollables, plain_poll, NULL, 0) >= 0);
    return pollables_dispatch(&pollables, now);
}

static int client(void)
{
    struct sockaddr_un name;
    socklen_t size = sizeof(name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    getsockname(listener, (struct sockaddr *)&name, &size);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, size), 0);
    assert_int_equal(turn(0), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What has come back; "" for nothing, "(end)" for the end of the connection. */
static const char *hear(int fd)
{
    static char text[4096];
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    if (n == 0)
        return "(end)";
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void a_connection_has_many_requests(void **state)
{
    int fd = client();

    (void)state;
    say(fd, "one\ntwo\nthr");
    turn(0);
    assert_string_equal(hear(fd), "<one>\n<two>\n");
    say(fd, "ee\n");
    turn(0);
    assert_string_equal(hear(fd), "<three>\n");
    close(fd);
    turn(0);
    assert_false(port_has_clients(&port));
}

static void an_answer_may_come_later(void **state)
{
    int fd = client(), other = client();

    (void)state;
    say(fd, "wait\nnext\n");
    say(other, "a\n");
    turn(0);
    assert_string_equal(hear(fd), "");
    assert_string_equal(hear(other), "<a>\n");
    assert_int_equal(port_answer_late(waiting, 0), 0);
    assert_string_equal(hear(fd), "<wait>\n<next>\n");
    assert_int_equal(gone, 0);
    close(fd);
    close(other);
}

static void a_client_that_waits_may_leave(void **state)
{
    int fd = client();

    (void)state;
    say(fd, "wait\n");
    turn(0);
    close(fd);
    turn(0);
    assert_int_equal(gone, 1);
    assert_false(port_has_clients(&port));
}

static void an_answer_that_does_not_come_ends_the_connection(void **state)
{
    int fd = client();

    (void)state;
    say(fd, "wait\n");
    turn(0);
    turn(LIMIT_MS);
    assert_int_equal(gone, 1);
    assert_string_equal(hear(fd), "(end)");
    close(fd);
}

static void a_client_that_stalls_is_dropped(void **state)
{
    int fd = client();

    (void)state;
    say(fd, "hal");
    turn(0);
    assert_int_equal(pollables_deadline(&pollables), LIMIT_MS);
    turn(LIMIT_MS);
    assert_string_equal(hear(fd), "(end)");
    assert_int_equal(pollables_deadline(&pollables), INT64_MAX);
    close(fd);
}

static void a_client_that_does_not_read_is_dropped(void **state)
{
    int fd = client(), sent = 0;

    (void)state;
    while (send(fd, "abcdefghijklmnopqrstuvwxyz\n", 27, MSG_DONTWAIT | MSG_NOSIGNAL) == 27) {
        turn(0);
        assert_true(++sent < 1000000);
    }
    assert_true(port_has_clients(&port));
    turn(LIMIT_MS);
    assert_false(port_has_clients(&port));
    close(fd);
}

static void garbage_without_end_is_dropped(void **state)
{
    int fd = client();
    char garbage[LINE_MAX_SIZE + 1];

    (void)state;
    memset(garbage, 'x', sizeof(garbage));
    assert_int_equal(send(fd, garbage, sizeof(garbage), 0), sizeof(garbage));
    turn(0);
    turn(0);
    assert_false(port_has_clients(&port));
    close(fd);
}

static void the_oldest_makes_room(void **state)
{
    int fds[PORT_CLIENTS + 1];

    (void)state;
    for (int i = 0; i <= PORT_CLIENTS; i++) {
        fds[i] = client();
        say(fds[i], "a\n");
        turn(i);
    }
    assert_string_equal(hear(fds[0]), "<a>\n");
    assert_string_equal(hear(fds[0]), "(end)");
    assert_string_equal(hear(fds[PORT_CLIENTS]), "<a>\n");
    for (int i = 0; i <= PORT_CLIENTS; i++)
        close(fds[i]);
}

static void a_request_may_leave_the_loop(void **state)
{
    int fd = client(), other = client();

    (void)state;
    say(fd, "leave\n");
    say(other, "a\n");
    assert_int_equal(turn(0), LEAVE);
    assert_int_equal(pollables_dispatch(&pollables, 0), 0); /* the rest has its turn */
    assert_string_equal(hear(other), "<a>\n");
    close(fd);
    close(other);
}

static void without_memory_a_client_is_refused(void **state)
{
    (void)state;
    turn(0);
    mem_fail_after(0);
    int fd = client();
    mem_fail_never();
    assert_int_equal(failed, ENOMEM);
    assert_string_equal(hear(fd), "(end)");
    close(fd);
    fd = client();
    say(fd, "a\n");
    turn(0);
    assert_string_equal(hear(fd), "<a>\n");
    close(fd);
}

/* ---- pollables ---- */

static struct pollable first, second;
static int calls;

static int remove_other(struct pollable *self, short revents, int64_t now)
{
    (void)revents, (void)now;
    calls++;
    self->deadline = INT64_MAX;
    pollable_remove(self == &first ? &second : &first);
    return 0;
}

static void a_callback_may_remove_another(void **state)
{
    (void)state;
    calls = 0;
    pollable_init(&first, remove_other);
    pollable_init(&second, remove_other);
    first.deadline = second.deadline = 5;
    pollables_add(&pollables, &first);
    pollables_add(&pollables, &second);
    assert_int_equal(pollables_deadline(&pollables), 5);
    assert_int_equal(pollables_dispatch(&pollables, 4), 0);
    assert_int_equal(calls, 0);
    assert_int_equal(pollables_dispatch(&pollables, 5), 0);
    assert_int_equal(calls, 1);
    pollable_wake(&first);
    assert_int_equal(pollables_deadline(&pollables), 0);
    assert_int_equal(pollables_dispatch(&pollables, 5), 0);
    assert_int_equal(calls, 2);
    pollable_remove(&first);
}

/* A callback runs the loop, which serves the others, and then it returns. */
static int nest(struct pollable *self, short revents, int64_t now)
{
    (void)self, (void)revents;
    calls++;
    return turn(now);
}

static int count_call(struct pollable *self, short revents, int64_t now)
{
    char byte;

    (void)now;
    assert_int_equal(revents, POLLIN);
    assert_int_equal(read(self->fd, &byte, 1), 1);
    calls++;
    return 0;
}

static void a_callback_may_run_the_loop(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    calls = 0;
    pollable_init(&first, nest);
    pollable_init(&second, count_call);
    second.fd = ends[0];
    second.events = POLLIN;
    pollables_add(&pollables, &first);
    pollables_add(&pollables, &second);
    assert_int_equal(write(ends[1], "a", 1), 1);
    pollable_wake(&first);
    assert_int_equal(turn(0), 0);
    assert_int_equal(calls, 2);
    pollable_remove(&first);
    pollable_remove(&second);
    close(ends[0]);
    close(ends[1]);
}

static void many_are_polled(void **state)
{
    static struct pollable many[100];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    calls = 0;
    for (int i = 0; i < 100; i++) {
        pollable_init(&many[i], i == 99 ? count_call : NULL);
        many[i].fd = ends[0];
        many[i].events = POLLIN;
        pollables_add(&pollables, &many[i]);
    }
    mem_fail_after(0);
    assert_int_equal(pollables_poll(&pollables, plain_poll, NULL, 0), -1);
    mem_fail_never();
    assert_int_equal(write(ends[1], "a", 1), 1);
    assert_int_equal(turn(0), 0);
    assert_int_equal(calls, 1);
    for (int i = 0; i < 100; i++)
        pollable_remove(&many[i]);
    close(ends[0]);
    close(ends[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_connection_has_many_requests),
        TEST(an_answer_may_come_later),
        TEST(a_client_that_waits_may_leave),
        TEST(an_answer_that_does_not_come_ends_the_connection),
        TEST(a_client_that_stalls_is_dropped),
        TEST(a_client_that_does_not_read_is_dropped),
        TEST(garbage_without_end_is_dropped),
        TEST(the_oldest_makes_room),
        TEST(a_request_may_leave_the_loop),
        TEST(without_memory_a_client_is_refused),
        TEST(a_callback_may_remove_another),
        TEST(a_callback_may_run_the_loop),
        TEST(many_are_polled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
