#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "served.h"

#include "serve/engine/limits.h"
#include "serve/request/refusal.h"

enum { LARGE = 300 * 1000 };

static char large[LARGE + 1];

static void open_with(void (*run)(struct request *request))
{
    struct engine_options options = served_options();
    served_open(&options, run);
    served_connect(false);
}

static enum response_error start(struct request *request, const char *status)
{
    return response_start(request, status, strlen(status));
}

static enum response_error field(struct request *request, const char *name, const char *value)
{
    return response_field(request, (struct str){name, strlen(name)},
                          (struct str){value, strlen(value)});
}

static enum response_error put(struct request *request, const char *text, bool last)
{
    bool kept = false;
    enum response_error error = response_write(request, text, strlen(text), NULL, &kept, last);
    assert_false(kept);
    return error;
}

/* The head, byte by byte */

static void hello(struct request *request)
{
    start(request, "200 OK");
    field(request, "Content-Type", "text/plain");
    field(request, "Content-Length", "5");
    put(request, "hello", true);
    assert_int_equal(response_finish(request), RESPONSE_OK);
}

static void the_head_exactly(void **state)
{
    (void)state;
    open_with(hello);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(served_dateless(), "HTTP/1.1 200 OK\r\n"
                                           "Server: gunicorn\r\n"
                                           "Date: DATE\r\n"
                                           "Connection: keep-alive\r\n"
                                           "Content-Type: text/plain\r\n"
                                           "Content-Length: 5\r\n"
                                           "\r\n"
                                           "hello");
    served_close();
}

/* Users hide the Server field, or have others sent, longer than the first head buffer. */
static void fields_of_the_server(void **state)
{
    static char long_fields[2 * OUTPUT_SIZE];
    struct str fields[] = {{"", 0}, STR("A: 1\r\nB: 2\r\n"), {long_fields, sizeof(long_fields)}};
    (void)state;
    memset(long_fields, 'x', sizeof(long_fields));
    memcpy(long_fields, "X: ", 3);
    memcpy(long_fields + sizeof(long_fields) - 2, "\r\n", 2);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct engine_options options = served_options();
        static char expected[sizeof(long_fields) + 256];
        options.own_fields = fields[i];
        served_open(&options, hello);
        served_connect(false);
        served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        snprintf(expected, sizeof(expected),
                 "HTTP/1.1 200 OK\r\n%.*sDate: DATE\r\nConnection: keep-alive\r\n"
                 "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
                 (int)fields[i].n, fields[i].p);
        assert_string_equal(served_dateless(), expected);
        served_close();
    }
}

/* The framing, as a table: method, version, the application's length, status */

static const char *status_now, *length_now;

static void framed(struct request *request)
{
    start(request, status_now);
    if (length_now)
        field(request, "Content-Length", length_now);
    put(request, "hel", false);
    put(request, "", false);
    put(request, "lo", true);
    response_finish(request);
}

static const struct framing {
    const char *request, *status, *length, *connection, *rest;
} framings[] = {
    {"GET 1.1", "200 OK", "5", "keep-alive", "Content-Length: 5\r\n\r\nhello"},
    {"GET 1.1", "200 OK", NULL, "keep-alive",
     "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"},
    {"GET 1.0", "200 OK", "5", "close", "Content-Length: 5\r\n\r\nhello"},
    {"GET 1.0", "200 OK", NULL, "close", "\r\nhello"},
    {"HEAD 1.1", "200 OK", "5", "keep-alive", "Content-Length: 5\r\n\r\n"},
    {"HEAD 1.1", "200 OK", NULL, "keep-alive", "\r\n"},
    {"HEAD 1.0", "200 OK", "5", "close", "Content-Length: 5\r\n\r\n"},
    {"GET 1.1", "204 No Content", "5", "keep-alive", "\r\n"},
    {"GET 1.1", "204 No Content", NULL, "keep-alive", "\r\n"},
    {"GET 1.1", "304 Not Modified", "5", "keep-alive", "Content-Length: 5\r\n\r\n"},
    {"GET 1.1", "304 Not Modified", NULL, "keep-alive", "\r\n"},
    {"GET 1.1", "200 OK", "4", "keep-alive", "Content-Length: 4\r\n\r\nhell"},
    {"GET 1.1", "200 OK", "0", "keep-alive", "Content-Length: 0\r\n\r\n"},
    {"GET 1.1", "200 OK", "6", "keep-alive", "Content-Length: 6\r\n\r\nhello"},
    {"GET 1.1", "404", "5", "keep-alive", "Content-Length: 5\r\n\r\nhello"},
    {"GET 1.1", "200 ", "5", "keep-alive", "Content-Length: 5\r\n\r\nhello"},
};

static void each_framing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
        const struct framing *f = &framings[i];
        char request[128], expected[512], method[8], version[8];
        status_now = f->status;
        length_now = f->length;
        assert_int_equal(sscanf(f->request, "%7s %7s", method, version), 2);
        snprintf(request, sizeof(request), "%s / HTTP/%s\r\nHost: a\r\n\r\n", method, version);
        snprintf(expected, sizeof(expected),
                 "HTTP/%s %s%s\r\nServer: gunicorn\r\nDate: DATE\r\nConnection: %s\r\n%s", version,
                 f->status, strlen(f->status) == 3 ? " " : "", f->connection, f->rest);
        open_with(framed);
        served_ask(request);
        assert_string_equal(served_dateless(), expected);
        /* A body that is shorter than declared ends the connection, whatever the head said. */
        bool complete = !f->length || strcmp(f->length, "6") != 0;
        assert_int_equal(served_is_open(), complete && strcmp(f->connection, "close") != 0);
        served_close();
    }
}

static void keep_alive_of_1_0(void **state)
{
    (void)state;
    status_now = "200 OK";
    length_now = "5";
    open_with(framed);
    served_ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_non_null(strstr(served.output, "\r\nConnection: keep-alive\r\n"));
    served_ask("GET / HTTP/1.0\r\n\r\n");
    assert_non_null(strstr(served.output, "\r\nConnection: close\r\n"));
    assert_false(served_is_open());
    served_close();
}

static void without_keepalive(void **state)
{
    struct engine_options options = served_options();
    (void)state;
    options.keepalive_ms = 0;
    served_open(&options, hello);
    served_connect(false);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(served.output, "\r\nConnection: close\r\n"));
    assert_false(served_is_open());
    served_close();
}

/* What an application may say */

static const struct {
    const char *status;
    enum response_error error;
} statuses[] = {
    {"200 OK", RESPONSE_OK},          {"200", RESPONSE_OK},
    {"999 \xe9t\xe9", RESPONSE_OK},   {"", RESPONSE_BAD_STATUS},
    {"20", RESPONSE_BAD_STATUS},      {"20x OK", RESPONSE_BAD_STATUS},
    {"099 OK", RESPONSE_BAD_STATUS},  {"2000", RESPONSE_BAD_STATUS},
    {"200OK", RESPONSE_BAD_STATUS},   {"200 O\nK", RESPONSE_BAD_VALUE},
    {"200 O\rK", RESPONSE_BAD_VALUE}, {"200 \x7f", RESPONSE_BAD_VALUE},
};

static const struct {
    const char *name, *value;
    enum response_error error;
    bool sent;
} fields[] = {
    {"X-Plain", "value", RESPONSE_OK, true},
    {"X-Inside", "a \tb", RESPONSE_OK, true},
    {"X-High", "caf\xe9", RESPONSE_OK, true},
    {"X-Empty", "", RESPONSE_OK, true},
    {"", "value", RESPONSE_BAD_NAME, false},
    {"X Y", "value", RESPONSE_BAD_NAME, false},
    {"X:", "value", RESPONSE_BAD_NAME, false},
    {"X\r\nY", "value", RESPONSE_BAD_NAME, false},
    {"X-\xe9", "value", RESPONSE_BAD_NAME, false},
    {"X-Split", "a\r\nb: c", RESPONSE_BAD_VALUE, false},
    {"X-Line", "a\nb", RESPONSE_BAD_VALUE, false},
    {"X-Control", "a\x01", RESPONSE_BAD_VALUE, false},
    {"Connection", "close", RESPONSE_OK, false},
    {"keep-alive", "timeout=5", RESPONSE_OK, false},
    {"Proxy-Authenticate", "x", RESPONSE_OK, false},
    {"proxy-authorization", "x", RESPONSE_OK, false},
    {"TE", "x", RESPONSE_OK, false},
    {"Trailers", "x", RESPONSE_OK, false},
    {"Transfer-Encoding", "gzip", RESPONSE_OK, false},
    {"Upgrade", "h2c", RESPONSE_OK, false},
    {"Server", "mine", RESPONSE_OK, false},
    {"DATE", "never", RESPONSE_OK, false},
    {"Content-Length", "", RESPONSE_BAD_LENGTH, false},
    {"Content-Length", "-1", RESPONSE_BAD_LENGTH, false},
    {"Content-Length", "+1", RESPONSE_BAD_LENGTH, false},
    {"Content-Length", "1 2", RESPONSE_BAD_LENGTH, false},
    {"Content-Length", "0x5", RESPONSE_BAD_LENGTH, false},
    {"Content-Length", "18446744073709551616", RESPONSE_BAD_LENGTH, false},
};

static void say_all(struct request *request)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        assert_int_equal(start(request, statuses[i].status), statuses[i].error);
    assert_int_equal(start(request, "200 OK"), RESPONSE_OK);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        assert_int_equal(field(request, fields[i].name, fields[i].value), fields[i].error);
    assert_int_equal(field(request, "Content-Length", " 5\t"), RESPONSE_OK);
    assert_int_equal(field(request, "Content-Length", "05"), RESPONSE_OK); /* the same, dropped */
    put(request, "hello", true);
    response_finish(request);
}

static void rules_of_statuses_and_fields(void **state)
{
    char expected[1024] = "HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: DATE\r\n"
                          "Connection: keep-alive\r\n";
    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (fields[i].sent)
            snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), "%s: %s\r\n",
                     fields[i].name, fields[i].value);
    strcat(expected, "Content-Length: 5\r\n\r\nhello");
    open_with(say_all);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(served_dateless(), expected);
    served_close();
}

static void say_two_lengths(struct request *request)
{
    start(request, "200 OK");
    assert_int_equal(field(request, "Content-Length", "5"), RESPONSE_OK);
    assert_int_equal(field(request, "content-length", "6"), RESPONSE_BAD_LENGTH);
    response_abort(request);
}

static void two_lengths_contradict(void **state)
{
    (void)state;
    open_with(say_two_lengths);
    assert_string_equal(served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "");
    assert_false(served_is_open());
    served_close();
}

static void start_again(struct request *request)
{
    start(request, "200 OK");
    field(request, "X-First", "1");
    field(request, "Content-Length", "1000");
    start(request, "500 Internal Server Error");
    field(request, "X-Second", "2");
    put(request, "oh", true);
    response_finish(request);
}

static void a_second_start_forgets_the_first(void **state)
{
    (void)state;
    open_with(start_again);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(served_dateless(), "HTTP/1.1 500 Internal Server Error\r\n"
                                           "Server: gunicorn\r\nDate: DATE\r\n"
                                           "Connection: keep-alive\r\n"
                                           "Transfer-Encoding: chunked\r\nX-Second: 2\r\n\r\n"
                                           "2\r\noh\r\n0\r\n\r\n");
    served_close();
}

static void upgrade(struct request *request)
{
    start(request, "101 Switching Protocols");
    field(request, "Connection", "Upgrade");
    field(request, "Upgrade", "websocket");
    response_finish(request);
}

static void a_switch_of_protocols(void **state)
{
    (void)state;
    open_with(upgrade);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(served_dateless(), "HTTP/1.1 101 Switching Protocols\r\n"
                                           "Server: gunicorn\r\nDate: DATE\r\n"
                                           "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    served_close();
}

/* Sizes */

static void say_much(struct request *request)
{
    start(request, "200 OK");
    for (int i = 0; i < 300; i++)
        assert_int_equal(field(request, "X-Long", "0123456789012345678901234567890123456789"),
                         RESPONSE_OK);
    field(request, "Content-Length", "0");
    assert_int_equal(response_finish(request), RESPONSE_OK);
}

static void a_head_of_any_size(void **state)
{
    (void)state;
    open_with(say_much);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    int count = 0;
    for (char *at = served.output; (at = strstr(at, "X-Long: 0123456789")); at++)
        count++;
    assert_int_equal(count, 300);
    assert_true(served_is_open());
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(served.output_size > 15000);
    served_close();
}

static size_t item_size;
static bool with_ref, with_length;

static void say_items(struct request *request)
{
    char length[24];
    int kept_count = 0;
    snprintf(length, sizeof(length), "%d", LARGE);
    start(request, "200 OK");
    if (with_length)
        field(request, "Content-Length", length);
    for (size_t at = 0; at < LARGE; at += item_size) {
        size_t n = item_size < LARGE - at ? item_size : LARGE - at;
        bool kept = false;
        assert_int_equal(response_write(request, large + at, n, with_ref ? &served : NULL, &kept,
                                        at + n == LARGE),
                         RESPONSE_OK);
        kept_count += kept;
    }
    response_finish(request);
    assert_true(with_ref || kept_count == 0);
    served.releases -= kept_count;
}

/* Takes the chunks out of what was received; returns the body's size. */
static size_t unchunk(char *body)
{
    char *from = body, *to = body;
    for (;;) {
        char *end;
        size_t n = strtoul(from, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        memmove(to, end + 2, n);
        to += n;
        from = end + 2 + n;
        assert_memory_equal(from, "\r\n", 2);
        from += 2;
        if (n == 0)
            return (size_t)(to - body);
    }
}

static void large_answers_in_items_of_any_size(void **state)
{
    static const size_t sizes[] = {100, 4000, OUT_COPY_MAX, OUT_COPY_MAX + 1, 70000, LARGE};
    (void)state;
    for (unsigned i = 0; i < 4 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        item_size = sizes[i / 4];
        with_ref = i & 1;
        with_length = i & 2;
        struct engine_options options = served_options();
        served_open(&options, say_items);
        served_connect(true);
        served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        char *body = strstr(served.output, "\r\n\r\n") + 4;
        size_t n = served.output_size - (size_t)(body - served.output);
        if (!with_length)
            n = unchunk(body);
        assert_int_equal(n, LARGE);
        assert_memory_equal(body, large, LARGE);
        assert_int_equal(served.releases, 0);
        assert_true(served_is_open());
        served_close();
    }
}

/* A client that is slower than any bound: in memory, then on disk, and the thread never waits. */
enum { HUGE = 5 * 1024 * 1024 };

static const char *tmp_dir;

static void say_huge(struct request *request)
{
    bool kept;
    start(request, "200 OK");
    for (int at = 0; at < HUGE; at += LARGE)
        assert_int_equal(response_write(request, large, at + LARGE < HUGE ? LARGE : HUGE - at, NULL,
                                        &kept, false),
                         RESPONSE_OK);
    assert_int_equal(response_finish(request), RESPONSE_OK);
}

static void answer_huge(uint64_t client_memory, int expected_waits)
{
    struct engine_options options = served_options();
    options.tmp_dir = tmp_dir;
    options.client_memory = client_memory;
    served_open(&options, say_huge);
    served_connect(true);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(served.waits > 0, expected_waits > 0);
    char *body = strstr(served.output, "\r\n\r\n") + 4;
    assert_int_equal(unchunk(body), HUGE);
    assert_true(served_is_open());
    served_close();
}

static void past_the_memory_on_disk(void **state)
{
    (void)state;
    tmp_dir = NULL;
    answer_huge(0, 0);
}

static void in_memory_when_the_disk_is_full(void **state)
{
    (void)state;
    tmp_dir = "/nonexistent/dir";
    answer_huge(0, 0);
    answer_huge((uint64_t)8 * HUGE, 0);
}

static void the_thread_waits_when_memory_is_used_up_too(void **state)
{
    (void)state;
    tmp_dir = "/nonexistent/dir";
    answer_huge(HUGE, 1);
}

/* However much goes over the disk in all, what counts is what lies there. */
static void say_as_it_is_read(struct request *request)
{
    bool kept;
    start(request, "200 OK");
    for (int i = 0; i < 40; i++) {
        assert_int_equal(response_write(request, large, LARGE, NULL, &kept, false), RESPONSE_OK);
        while (request->out.kept > 0) {
            served_read();
            assert_true(engine_lead(served.engine));
            engine_step(served.engine, 0);
            engine_yield(served.engine);
        }
    }
    assert_int_equal(response_finish(request), RESPONSE_OK);
}

static void the_disk_is_used_again(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    served_open(&options, say_as_it_is_read);
    served.engine->out_spool_max = LARGE + sizeof("\r\n40000\r\n"); /* a chunk, with its framing */
    served_connect(true);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(served.waits, 0);
    assert_int_equal(unchunk(strstr(served.output, "\r\n\r\n") + 4), 40 * LARGE);
    served_close();
}

static void say_without_memory(struct request *request)
{
    start(request, "200 OK");
    field(request, "Content-Length", "300000");
    mem_fail_after(0);
    assert_int_equal(response_write(request, large, LARGE, NULL, &(bool){false}, true),
                     RESPONSE_OK);
    mem_fail_never();
    response_finish(request);
}

static void the_thread_sends_itself_when_memory_is_out(void **state)
{
    struct engine_options options = served_options();
    (void)state;
    served_open(&options, say_without_memory);
    served_connect(true);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    char *body = strstr(served.output, "\r\n\r\n") + 4;
    assert_int_equal(served.output_size - (size_t)(body - served.output), LARGE);
    assert_memory_equal(body, large, LARGE);
    assert_true(served.waits > 1);
    served_close();
}

static enum response_error last_error;

static void say_until_gone(struct request *request)
{
    bool kept;
    start(request, "200 OK");
    close(served.client);
    served.client = -1;
    do
        last_error = response_write(request, large, LARGE, NULL, &kept, false);
    while (last_error == RESPONSE_OK);
    assert_int_equal(response_write(request, large, 1, NULL, &kept, false), RESPONSE_GONE);
    assert_int_equal(response_file(request, 0, 0, 1), RESPONSE_GONE);
    response_finish(request);
}

static void a_client_that_has_gone(void **state)
{
    (void)state;
    open_with(say_until_gone);
    served_say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    served_turn();
    assert_int_equal(last_error, RESPONSE_GONE);
    assert_false(served_is_open());
    served_close();
}

/* Files */

static int file = -1;
static const char *file_length;

static void say_file(struct request *request)
{
    start(request, "200 OK");
    if (file_length)
        field(request, "Content-Length", file_length);
    assert_int_equal(response_file(request, file, 10, LARGE - 10), RESPONSE_OK);
    assert_int_equal(response_finish(request), RESPONSE_OK);
}

static void files(void **state)
{
    static const struct {
        const char *length;
        size_t body;
    } cases[] = {{"299990", LARGE - 10}, {NULL, LARGE - 10}, {"100", 100}, {"0", 0}};
    (void)state;
    for (unsigned i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct engine_options options = served_options();
        file_length = cases[i / 2].length;
        served_open(&options, say_file);
        served_connect(i & 1);
        served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        char *body = strstr(served.output, "\r\n\r\n") + 4;
        size_t n = served.output_size - (size_t)(body - served.output);
        if (!file_length)
            n = unchunk(body);
        assert_int_equal(n, cases[i / 2].body);
        assert_memory_equal(body, large + 10, n);
        assert_true(served_is_open());
        served_ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_non_null(strstr(served.output, "\r\n\r\n"));
        assert_string_equal(strstr(served.output, "\r\n\r\n"), "\r\n\r\n");
        served_close();
    }
}

/* Others */

static void say_hints(struct request *request)
{
    struct str hints = STR("Link: </a>\r\n");
    assert_int_equal(response_interim(request, 103, hints), RESPONSE_OK);
    hello(request);
    assert_int_equal(response_interim(request, 103, hints), RESPONSE_OK);
}

static void hints_go_before_the_answer_only(void **state)
{
    (void)state;
    open_with(say_hints);
    const char *answer = served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    static const char begin[] = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert_memory_equal(answer, begin, sizeof(begin) - 1);
    assert_null(strstr(answer + 10, "103"));
    served_close();
}

static void say_half(struct request *request)
{
    start(request, "200 OK");
    put(request, "half", false);
    response_abort(request);
}

static void an_answer_that_breaks_off(void **state)
{
    (void)state;
    open_with(say_half);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(strstr(served.output, "\r\n\r\n"), "\r\n\r\n4\r\nhalf\r\n");
    assert_false(served_is_open());
    served_close();
}

static void say_refused(struct request *request)
{
    refusal_send(request, 500, "<a> & \"b\" 'c'");
}

static void a_refusal_exactly(void **state)
{
    (void)state;
    open_with(say_refused);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    static const char page[] = "<html>\n  <head>\n    <title>Internal Server Error</title>\n"
                               "  </head>\n  <body>\n    <h1><p>Internal Server Error</p></h1>\n"
                               "    &lt;a&gt; &amp; &quot;b&quot; &#x27;c&#x27;\n"
                               "  </body>\n</html>\n";
    char expected[1024];
    snprintf(expected, sizeof(expected),
             "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n"
             "Content-Type: text/html\r\nContent-Length: %zu\r\n\r\n%s",
             sizeof(page) - 1, page);
    assert_string_equal(served.output, expected);
    assert_false(served_is_open());
    served_close();
}

static int make_large(void **state)
{
    char path[] = "/tmp/test-response-XXXXXX";
    (void)state;
    for (int i = 0; i < LARGE; i++)
        large[i] = (char)('a' + (i / 7 + i) % 26);
    file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    assert_int_equal(write(file, large, LARGE), LARGE);
    return 0;
}

static int close_file(void **state)
{
    (void)state;
    return close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_exactly),
        cmocka_unit_test(fields_of_the_server),
        cmocka_unit_test(each_framing),
        cmocka_unit_test(keep_alive_of_1_0),
        cmocka_unit_test(without_keepalive),
        cmocka_unit_test(rules_of_statuses_and_fields),
        cmocka_unit_test(two_lengths_contradict),
        cmocka_unit_test(a_second_start_forgets_the_first),
        cmocka_unit_test(a_switch_of_protocols),
        cmocka_unit_test(a_head_of_any_size),
        cmocka_unit_test(large_answers_in_items_of_any_size),
        cmocka_unit_test(past_the_memory_on_disk),
        cmocka_unit_test(in_memory_when_the_disk_is_full),
        cmocka_unit_test(the_thread_waits_when_memory_is_used_up_too),
        cmocka_unit_test(the_disk_is_used_again),
        cmocka_unit_test(the_thread_sends_itself_when_memory_is_out),
        cmocka_unit_test(a_client_that_has_gone),
        cmocka_unit_test(files),
        cmocka_unit_test(hints_go_before_the_answer_only),
        cmocka_unit_test(an_answer_that_breaks_off),
        cmocka_unit_test(a_refusal_exactly),
    };
    return cmocka_run_group_tests(tests, make_large, close_file);
}
