#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "served.h"

#include "serve/engine/limits.h"

enum { LARGE = 3 * BODY_MEMORY_MAX + 77, PIECE = 7000 };

static char large[LARGE];

/* What the application saw of the last body. */
static struct {
    char *data;
    size_t size, piece;
    ssize_t last;  /* what the last read gave */
    bool complete; /* when the application began */
    bool in_place, in_file;
    uint64_t buffered;
    bool blocks;
} seen;

static void answer(struct request *request, const char *length)
{
    bool kept;
    response_start(request, "200 OK", 6);
    response_field(request, STR("Content-Length"), (struct str){length, strlen(length)});
    response_write(request, "x", 1, NULL, &kept, true);
    response_finish(request);
}

static void read_body(struct request *request)
{
    const char *at;
    seen.complete = request->body.complete;
    seen.in_place = request->body.in_place;
    seen.in_file = request->body.spool.file >= 0;
    seen.buffered = body_buffered(request, &at);
    size_t begin = seen.size;
    assert_int_equal(body_read(request, seen.data, 0), 0);
    while ((seen.last = body_read(request, seen.data + seen.size, seen.piece)) > 0)
        seen.size += (size_t)seen.last;
    if (at && seen.complete)
        assert_memory_equal(at, seen.data + begin, seen.buffered);
    seen.blocks = body_blocks(request);
    assert_int_equal(body_read(request, seen.data + seen.size, 1), seen.last);
    answer(request, "1");
}

static const char *tmp_dir;

static void open_with(void (*run)(struct request *request))
{
    struct engine_options options = served_options();
    char *data = seen.data;
    memset(&seen, 0, sizeof(seen));
    seen.data = data;
    seen.piece = PIECE;
    options.tmp_dir = tmp_dir;
    options.debug = true;
    served_open(&options, run);
    served_connect(false);
}

static void assert_whole(size_t n)
{
    assert_true(seen.complete);
    assert_int_equal(seen.buffered, n);
    assert_int_equal(seen.last, 0);
    assert_int_equal(seen.size, n);
    assert_memory_equal(seen.data, large, n);
    assert_false(seen.blocks);
    assert_true(served_is_open());
    seen.size = 0;
}

static void say_head(uint64_t length, const char *more)
{
    char head[256];
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %llu\r\n%s\r\n",
             (unsigned long long)length, more);
    served_say(head);
}

/* Of known length */

static void with_its_head_in_place(void **state)
{
    (void)state;
    open_with(read_body);
    char text[512];
    int n =
        snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n%.10s", large);
    served_send(text, (size_t)n);
    served_answer();
    assert_true(seen.in_place);
    assert_whole(10);
    served_close();
}

static void none_at_all(void **state)
{
    (void)state;
    open_with(read_body);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_whole(0);
    served_ask("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    assert_whole(0);
    served_ask("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_whole(0);
    assert_int_equal(served.runs, 3);
    served_close();
}

static void after_its_head_in_memory(void **state)
{
    (void)state;
    open_with(read_body);
    say_head(100 * 1000, "");
    assert_int_equal(served.runs, 0);
    served_send(large, 99999);
    assert_int_equal(served.runs, 0); /* nothing is handed on before it is whole */
    served_send(large + 99999, 1);
    served_answer();
    assert_false(seen.in_place);
    assert_false(seen.in_file);
    assert_whole(100 * 1000);
    served_close();
}

static void past_the_bound_in_a_file(void **state)
{
    (void)state;
    open_with(read_body);
    say_head(LARGE, "");
    served_send(large, LARGE);
    served_answer();
    assert_true(seen.in_file);
    assert_whole(LARGE);
    served_close();
}

static void what_follows_is_the_next_request(void **state)
{
    (void)state;
    open_with(read_body);
    static const char text[] = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
                               "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "2\r\nde\r\n1;x=\"y\"\r\nf\r\n0\r\nX-Trailer: x\r\n\r\n"
                               "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\ngh";
    served_say(text);
    served_answer();
    assert_int_equal(served.runs, 3);
    assert_int_equal(seen.size, 8);
    assert_memory_equal(seen.data, "abcdefgh", 8);
    served_close();
}

static void byte_by_byte(void **state)
{
    static const char text[] = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
                               "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "2\r\nde\r\n1;x=\"y\"\r\nf\r\n0\r\nX-Trailer: x\r\n\r\n";
    (void)state;
    open_with(read_body);
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        served_send(text + i, 1);
    served_answer();
    assert_int_equal(served.runs, 2);
    assert_int_equal(seen.size, 6);
    assert_memory_equal(seen.data, "abcdef", 6);
    served_close();
}

/* Chunked */

static void send_chunks(size_t n, size_t chunk)
{
    for (size_t at = 0; at < n; at += chunk) {
        char line[32];
        size_t size = chunk < n - at ? chunk : n - at;
        snprintf(line, sizeof(line), "%zX\r\n", size);
        served_say(line);
        served_send(large + at, size);
        served_say("\r\n");
    }
    served_say("0\r\n\r\n");
}

static void chunks_of_any_size(void **state)
{
    static const size_t sizes[][2] = {
        {100, 1}, {20000, 333}, {400000, 9000}, {400000, 400000}, {LARGE, 500000}};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        open_with(read_body);
        served_say("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        send_chunks(sizes[i][0], sizes[i][1]);
        served_answer();
        assert_int_equal(seen.in_file, sizes[i][0] > BODY_MEMORY_MAX);
        assert_whole(sizes[i][0]);
        served_close();
    }
}

static void malformed_chunks_are_refused(void **state)
{
    (void)state;
    open_with(read_body);
    served_say("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    served_ask("3\r\nabc\r\nzz\r\n");
    assert_memory_equal(served.output, "HTTP/1.1 400 ", 13);
    assert_int_equal(served.runs, 0);
    assert_non_null(strstr(served.notes, "Invalid request from ip="));
    shutdown(served.client, SHUT_WR);
    served_answer();
    assert_false(served_is_open());
    served_close();
}

/* Streams */

enum { STREAM_FROM = 1 << 30 };
static const uint64_t streamed = (uint64_t)STREAM_FROM + 1;

/* The application is to read what does not fit. */
static void open_streaming(const char *dir, void (*run)(struct request *request))
{
    tmp_dir = dir;
    open_with(run);
    tmp_dir = NULL;
    served.engine->options.stream_body = STREAM_FROM;
}

static void a_huge_body_streams_for_who_asks(void **state)
{
    (void)state;
    open_streaming(NULL, read_body);
    char head[128];
    int n = snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nContent-Length: %llu\r\n\r\n",
                     (unsigned long long)streamed);
    memcpy(head + n, large, 5);
    assert_int_equal(send(served.client, head, (size_t)n + 5, 0), n + 5);
    assert_int_equal(send(served.client, large + 5, 20000, 0), 20000);
    shutdown(served.client, SHUT_WR);
    served_answer();
    assert_int_equal(served.runs, 1);
    assert_false(seen.complete);
    assert_int_equal(seen.last, -1); /* it was cut short */
    assert_int_equal(seen.size, 20005);
    assert_memory_equal(seen.data, large, 20005);
    /* The application may answer still, but there is no next request. */
    assert_non_null(strstr(served.output, "\r\nConnection: close\r\n"));
    assert_false(served_is_open());
    served_close();
}

/* A length that is announced costs nothing, and takes no thread. */
static void a_huge_body_is_waited_for(void **state)
{
    (void)state;
    open_with(read_body);
    say_head(streamed, "");
    served_send(large, 1);
    struct conn *conn = list_entry(served.engine->crowd.next, struct conn, link);
    assert_int_equal(conn->request->body.spool.memory_capacity, BODY_STEP);
    assert_int_equal(served.runs, 0);
    served_close();
}

static void a_body_beyond_any_bound_is_refused(void **state)
{
    (void)state;
    open_with(read_body);
    served_ask("POST / HTTP/1.1\r\nContent-Length: 1000000000000\r\nExpect: 100-continue\r\n\r\n");
    assert_memory_equal(served.output, "HTTP/1.1 413 ", 13);
    assert_int_equal(served.runs, 0);
    served_close();
}

/* The rest of a body that no disk takes is read by the application, if it is to. */
static void without_a_disk_it_streams_for_who_asks(void **state)
{
    (void)state;
    open_streaming("/nonexistent/dir", read_body);
    say_head(2 * BODY_MEMORY_MAX, "");
    served_send(large, BODY_MEMORY_MAX - 1);
    assert_int_equal(served.runs, 0);
    assert_int_equal(send(served.client, large + BODY_MEMORY_MAX - 1, 50001, 0), 50001);
    shutdown(served.client, SHUT_WR);
    served_answer();
    assert_int_equal(served.runs, 1);
    assert_int_equal(seen.buffered, BODY_MEMORY_MAX);
    assert_int_equal(seen.size, BODY_MEMORY_MAX + 50000);
    assert_int_equal(seen.last, -1);
    assert_memory_equal(seen.data, large, seen.size);
    served_close();
}

static void a_body_that_no_disk_takes_is_refused(void **state)
{
    (void)state;
    tmp_dir = "/nonexistent/dir";
    open_with(read_body);
    tmp_dir = NULL;
    say_head(2 * BODY_MEMORY_MAX, "");
    served_send(large, BODY_MEMORY_MAX + 1);
    served_answer();
    assert_int_equal(served.runs, 0);
    assert_memory_equal(served.output, "HTTP/1.1 503 ", 13);
    assert_non_null(strstr(served.output, "Retry-After: "));
    assert_non_null(strstr(served.notes, "Cannot buffer a request body"));
    served_close();
}

static void chunks_that_no_disk_takes_are_refused(void **state)
{
    (void)state;
    tmp_dir = "/nonexistent/dir";
    open_with(read_body);
    tmp_dir = NULL;
    served_say("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    send_chunks(BODY_MEMORY_MAX + 1, 100000);
    served_answer();
    assert_int_equal(served.runs, 0);
    assert_memory_equal(served.output, "HTTP/1.1 503 ", 13);
    assert_non_null(strstr(served.notes, "Cannot buffer a request body"));
    served_close();
}

/* Cut short */

static void cut_short_is_not_handed_on(void **state)
{
    (void)state;
    for (int chunked = 0; chunked < 2; chunked++) {
        open_with(read_body);
        if (chunked)
            served_say("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc");
        else
            served_say("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc");
        shutdown(served.client, SHUT_WR);
        assert_string_equal(served_answer(), "");
        assert_int_equal(served.runs, 0);
        assert_false(served_is_open());
        assert_non_null(strstr(served.notes, "Request body cut short"));
        served_close();
    }
}

/* Expect: 100-continue */

static void continue_before_the_body(void **state)
{
    (void)state;
    open_with(read_body);
    say_head(5, "Expect: 100-continue\r\n");
    assert_string_equal(served_answer(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(served.runs, 0);
    served.output_size = 0;
    served_send(large, 5);
    assert_memory_equal(served_answer(), "HTTP/1.1 200 OK\r\n", 17);
    assert_whole(5);
    served_close();
}

static void no_continue_when_the_body_is_there(void **state)
{
    (void)state;
    open_with(read_body);
    served_ask("POST / HTTP/1.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\na");
    assert_memory_equal(served.output, "HTTP/1.1 200 OK\r\n", 17);
    served_close();
}

/* The client, who is this thread, has nothing more to say: the read must not wait for it. */
static void read_hasty(struct request *request)
{
    shutdown(served.client, SHUT_WR);
    read_body(request);
}

static void continue_when_a_stream_is_read(void **state)
{
    (void)state;
    open_with(read_body);
    served.run = read_hasty;
    say_head(streamed, "Expect: 100-continue\r\n");
    served_answer();
    assert_memory_equal(served.output, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    served_close();
}

enum { HINTS = 64 * 1024 }; /* more than the client takes at once */

static void read_after_hints(struct request *request)
{
    response_interim(request, 103, (struct str){large, HINTS});
    served_read(); /* there is room for what comes next, but not before the rest of the hints */
    read_hasty(request);
}

static void continue_comes_behind_what_is_queued(void **state)
{
    (void)state;
    open_streaming(NULL, read_after_hints);
    served_connect(true);
    say_head(streamed, "Expect: 100-continue\r\n");
    served_answer();
    const char line[] = "HTTP/1.1 103 Early Hints\r\n", *hints = served.output + sizeof(line) - 1;
    assert_memory_equal(served.output, line, sizeof(line) - 1);
    assert_memory_equal(hints, large, HINTS);
    assert_memory_equal(hints + HINTS, "\r\nHTTP/1.1 100 Continue\r\n\r\n", 27);
    served_close();
}

static void answer_unread(struct request *request)
{
    answer(request, "1");
}

static void no_continue_when_a_stream_is_not_read(void **state)
{
    (void)state;
    open_streaming(NULL, answer_unread);
    say_head(streamed, "Expect: 100-continue\r\n");
    served_answer();
    assert_memory_equal(served.output, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(served.output, "\r\nConnection: close\r\n"));
    served_close();
}

/* An unread body that arrived whole does not stand in the way of the next request. */
static void unread_is_skipped(void **state)
{
    (void)state;
    open_with(answer_unread);
    say_head(LARGE, "");
    served_send(large, LARGE);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(served.runs, 2);
    assert_true(served_is_open());
    served_close();
}

static int make_large(void **state)
{
    (void)state;
    for (int i = 0; i < LARGE; i++)
        large[i] = (char)('a' + (i / 7 + i) % 26);
    seen.data = malloc(LARGE + 1);
    return 0;
}

static int free_large(void **state)
{
    (void)state;
    free(seen.data);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_its_head_in_place),
        cmocka_unit_test(none_at_all),
        cmocka_unit_test(after_its_head_in_memory),
        cmocka_unit_test(past_the_bound_in_a_file),
        cmocka_unit_test(what_follows_is_the_next_request),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(chunks_of_any_size),
        cmocka_unit_test(malformed_chunks_are_refused),
        cmocka_unit_test(a_huge_body_streams_for_who_asks),
        cmocka_unit_test(a_huge_body_is_waited_for),
        cmocka_unit_test(a_body_beyond_any_bound_is_refused),
        cmocka_unit_test(without_a_disk_it_streams_for_who_asks),
        cmocka_unit_test(a_body_that_no_disk_takes_is_refused),
        cmocka_unit_test(chunks_that_no_disk_takes_are_refused),
        cmocka_unit_test(cut_short_is_not_handed_on),
        cmocka_unit_test(continue_before_the_body),
        cmocka_unit_test(no_continue_when_the_body_is_there),
        cmocka_unit_test(continue_when_a_stream_is_read),
        cmocka_unit_test(continue_comes_behind_what_is_queued),
        cmocka_unit_test(no_continue_when_a_stream_is_not_read),
        cmocka_unit_test(unread_is_skipped),
    };
    return cmocka_run_group_tests(tests, make_large, free_large);
}
