#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "served.h"

#include "serve/access/access_log.h"
#include "serve/engine/limits.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

/* Whatever the system refuses, no more is lost than has to be. */

enum {
    BODY = BODY_MEMORY_MAX + 50 * 1000, /* goes over the disk */
    ANSWER = OUT_MEMORY_MAX + 100 * 1000,
    FIELD = 6000,
    ALLOCATIONS_MAX = 5000,
};

static char *much;

static int make_much(void **state)
{
    (void)state;
    much = malloc(ANSWER);
    memset(much, 'x', ANSWER);
    signal(SIGXFSZ, SIG_IGN);
    return 0;
}

static int free_much(void **state)
{
    (void)state;
    free(much);
    return 0;
}

static bool put(struct request *request, size_t n)
{
    char length[24];
    bool kept = false;
    snprintf(length, sizeof(length), "%zu", n);
    return response_start(request, "200 OK", 6) == RESPONSE_OK &&
           response_field(request, STR("Content-Length"), (struct str){length, strlen(length)}) ==
               RESPONSE_OK &&
           response_field(request, STR("X-Long"), (struct str){much, FIELD}) == RESPONSE_OK &&
           response_write(request, much, n, NULL, &kept, true) == RESPONSE_OK &&
           response_finish(request) == RESPONSE_OK;
}

/* Reads all of the body, and answers much to a GET. */
static void run(struct request *request)
{
    static char data[64 * 1024];
    size_t size = 0;
    ssize_t n;
    while ((n = body_read(request, data, sizeof(data))) > 0)
        size += (size_t)n;
    bool get = str_eq(request_method(request), STR("GET"));
    assert_true(n < 0 || get || size == BODY);
    if (n < 0 || !put(request, get ? ANSWER : 1))
        response_abort(request);
    if (served.engine->access_log)
        access_log_refused(served.engine->access_log, request);
}

/* What the client has not sent yet. */
static struct {
    const char *data;
    size_t n;
} rest;

static void push(void)
{
    ssize_t sent = send(served.client, rest.data, rest.n, MSG_NOSIGNAL);
    if (sent > 0) {
        rest.data += sent;
        rest.n -= (size_t)sent;
    }
}

/* As long as the server listens. */
static void say(const char *data, size_t n)
{
    rest.data = data;
    rest.n = n;
    while (rest.n > 0 && served_is_open()) {
        push();
        served_answer();
    }
    rest.n = 0;
}

static void say_text(const char *text)
{
    say(text, strlen(text));
}

static void say_body(const char *head)
{
    char size[32];
    say_text(head);
    if (strstr(head, "chunked")) {
        snprintf(size, sizeof(size), "%x\r\n", BODY);
        say_text(size);
    }
    say(much, BODY);
    if (strstr(head, "chunked"))
        say_text("\r\n0\r\n\r\n");
}

static void live(void)
{
    char head[128];
    say_text("GET /long?");
    say(much, 1500);
    say_text(" HTTP/1.1\r\na: ");
    say(much, FIELD);
    say_text("\r\nb: ");
    say(much, FIELD);
    say_text("\r\n\r\n");
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n", BODY);
    say_body(head);
    say_body("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    say_text("nonsense\r\n\r\n");
}

/* How many answers came, each whole but for the last; and whether the last one was a refusal. */
static int answers(void)
{
    int count = 0;
    char *at = served.output, *end = served.output + served.output_size;
    while (at < end) {
        char *body = strstr(at, "\r\n\r\n"), *length = strstr(at, "\r\nContent-Length: ");
        if (!body)
            break;
        assert_non_null(length);
        assert_true(length < body);
        assert_memory_equal(at, "HTTP/1.1 ", 9);
        bool is_answer = memcmp(at + 9, "200", 3) == 0;
        size_t n = strtoul(length + 18, NULL, 10);
        body += 4;
        if (is_answer)
            for (char *p = body; p < body + n && p < end; p++)
                assert_int_equal(*p, 'x');
        if (body + n > end)
            break;
        count += is_answer;
        at = body + n;
    }
    return count;
}

/* Client and server are one thread: the client goes on sending while the application waits. */
static int wait_for_client(void *app, int fd, short events, int timeout_ms)
{
    if (!(events & POLLIN))
        return served_app_wait(app, fd, events, timeout_ms);
    if (rest.n == 0)
        return 0;
    push();
    return 1;
}

static void open_logged(void)
{
    static struct app_ops ops;
    ops = served_ops;
    ops.wait = wait_for_client;
    struct engine_options options = served_options();
    options.debug = true;
    served_open(&options, run);
    served.engine->ops = &ops;
    struct access_format *format = access_format_compile(STR("%(h)s %(r)s %(s)s"));
    int null = open("/dev/null", O_WRONLY);
    served.engine->access_log = access_log_create(format, null);
    assert_non_null(served.engine->access_log);
    close(null);
}

/* The n-th allocation fails, and all that follow or it alone. True when there were not so many. */
static bool live_without(long n, bool once)
{
    open_logged();
    if (once)
        mem_fail_once(n);
    else
        mem_fail_after(n);
    if (served_connect(true)) {
        live();
        served_answer();
    }
    bool enough = !mem_failed();
    mem_fail_never();
    int count = answers();
    assert_true(!enough || count == 3);
    if (served_is_open()) {
        shutdown(served.client, SHUT_WR);
        served_answer();
        served_answer();
    }
    assert_false(served_is_open());
    /* The next one has all it needs. */
    served_connect(true);
    say_text("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    served_answer();
    assert_int_equal(answers(), 1);
    served_close();
    return enough;
}

static void without_memory_at_any_point(void **state)
{
    (void)state;
    for (int once = 0; once < 2; once++) {
        long n = 0;
        while (!live_without(n, once))
            assert_true(++n < ALLOCATIONS_MAX);
        assert_true(n > 20);
    }
}

/* Disks */

static void with_files_up_to(rlim_t size, int expected)
{
    struct rlimit old, small;
    open_logged();
    served_connect(true);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){size, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    live();
    served_answer();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(answers(), expected);
    served_close();
}

/* What is sent needs no disk. Bodies do; their request is refused. */
static void without_room_on_the_disk(void **state)
{
    (void)state;
    with_files_up_to(0, 1);
    with_files_up_to(BODY_MEMORY_MAX / 2, 1);
    with_files_up_to(RLIM_INFINITY, 3);
}

static ssize_t last_read;

static void read_from_a_broken_disk(struct request *request)
{
    char data[100];
    int directory = open("/", O_RDONLY | O_DIRECTORY);
    assert_true(request->body.spool.file >= 0);
    assert_true(dup2(directory, request->body.spool.file) >= 0); /* reads of it fail */
    close(directory);
    last_read = body_read(request, data, sizeof(data));
    assert_int_equal(body_read(request, data, sizeof(data)), -1);
    response_abort(request);
}

static void a_disk_that_cannot_be_read(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    served_open(&options, read_from_a_broken_disk);
    served_connect(false);
    char head[128];
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n", BODY);
    say_body(head);
    served_answer();
    assert_int_equal(served.runs, 1);
    assert_int_equal(last_read, -1);
    served_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_at_any_point),
        cmocka_unit_test(without_room_on_the_disk),
        cmocka_unit_test(a_disk_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, make_much, free_much);
}
