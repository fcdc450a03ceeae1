#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/engine/limits.h"
#include "serve/request/later.h"
#include "served.h"

/* Requests that run from their head on, one client, and an application that does one step at a
 * time. Nothing depends on time. */

enum { LARGE = 1024 * 1024, BODY_MAX = 100 * 1000 };

static struct {
    struct request *request;
    unsigned events; /* that were given so far */
    int ended;       /* what body_take() said at last */
    bool finished;
    size_t taken;
    char body[LARGE + 1];
} app;

static char large[LARGE];

static enum run_result begin(struct request *request)
{
    app.request = request;
    app.events = 0;
    app.ended = BODY_NOT_YET;
    app.finished = false;
    app.taken = 0;
    request_ask(request, REQUEST_GONE | REQUEST_DEADLINE);
    return RUN_LATER;
}

static void note_events(struct request *request, unsigned events)
{
    assert_ptr_equal(request, app.request);
    assert_false(app.finished);
    assert_int_equal(app.events & events, 0);
    app.events |= events;
}

/* Takes at most n bytes. */
static void take(size_t n)
{
    while (n > 0 && app.ended == BODY_NOT_YET) {
        ssize_t got = body_take(app.request, app.body + app.taken, n);
        if (got == BODY_NOT_YET)
            return;
        if (got <= 0) {
            app.ended = (int)got;
            return;
        }
        app.taken += (size_t)got;
        n -= (size_t)got;
    }
}

static void finish(const char *text)
{
    if (text)
        served_put(app.request, text, strlen(text), NULL, &(bool){false});
    app.finished = true;
    engine_finish(served.engine, app.request);
}

static struct engine_options options(void)
{
    struct engine_options options = served_options();
    options.at_head = true;
    return options;
}

static struct conn *open_client(const struct engine_options *options)
{
    served_open_later(options, begin, note_events);
    return served_connect(false);
}

static void turns(int n)
{
    while (n-- > 0)
        served_turn();
}

static void close_all(void)
{
    assert_int_equal(served.engine->metrics->running, 0);
    assert_int_equal(served.engine->dormant, 0);
    served_close();
}

/* The body */

static void it_runs_before_its_body(void **state)
{
    (void)state;
    struct engine_options o = options();
    open_client(&o);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab");
    assert_int_equal(served.runs, 1);
    take(LARGE);
    assert_int_equal(app.taken, 2);
    assert_int_equal(app.ended, BODY_NOT_YET);
    request_ask(app.request, REQUEST_BODY);
    turns(3);
    assert_int_equal(app.events, 0);
    served_say("cdefg");
    assert_int_equal(app.events, REQUEST_BODY);
    assert_int_equal(body_available(app.request), 5);
    take(4);
    served_say("hij");
    take(LARGE);
    take(LARGE);
    assert_int_equal(app.ended, BODY_END);
    assert_memory_equal(app.body, "abcdefghij", 10);
    finish("hello");
    assert_non_null(strstr(served_answer(), "Connection: keep-alive\r\n"));
    assert_true(served_is_open());
    close_all();
}

static void a_small_body_is_there_at_once(void **state)
{
    (void)state;
    struct engine_options o = options();
    open_client(&o);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcdeGET / HTTP/1.1\r\n"
               "Host: a\r\n\r\n");
    request_ask(app.request, REQUEST_BODY);
    turns(1);
    assert_int_equal(app.events, REQUEST_BODY);
    take(LARGE);
    assert_int_equal(app.taken, 5);
    assert_int_equal(app.ended, BODY_END);
    assert_int_equal(served.runs, 1);
    finish("one");
    turns(2);
    assert_int_equal(served.runs, 2);
    take(1);
    assert_int_equal(app.ended, BODY_END);
    finish("two");
    assert_non_null(strstr(served_answer(), "two"));
    close_all();
}

/* In every division into two pieces; what is pipelined behind the last chunk is the next request.
 */
static void chunks_and_what_follows(void **state)
{
    static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5\r\nabcde\r\n3;x=y\r\nfgh\r\n0\r\n\r\n"
                               "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    (void)state;
    struct engine_options o = options();
    served_open_later(&o, begin, note_events);
    for (size_t at = 1; at < sizeof(text) - 1; at++) {
        int runs = served.runs;
        served_connect(false);
        served_send(text, at);
        turns(2);
        if (served.runs > runs)
            take(LARGE);
        served_send(text + at, sizeof(text) - 1 - at);
        turns(2);
        take(LARGE);
        take(LARGE);
        assert_int_equal(app.ended, BODY_END);
        assert_int_equal(app.taken, 8);
        assert_memory_equal(app.body, "abcdefgh", 8);
        assert_int_equal(served.runs, runs + 1);
        finish("first");
        turns(3);
        assert_int_equal(served.runs, runs + 2);
        assert_true(str_eq(request_target(app.request), STR("/next")));
        finish("second");
        assert_non_null(strstr(served_answer(), "second"));
    }
    close_all();
}

/* Reading stops when the window is full, and goes on by what the application takes. */
static void the_window_is_bounded(void **state)
{
    char head[128];
    (void)state;
    struct engine_options o = options();
    open_client(&o);
    int n = snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                     LARGE);
    served_send(head, (size_t)n);
    size_t sent = 0;
    for (int quiet = 0; quiet < 10; quiet++) {
        ssize_t k = send(served.client, large + sent, LARGE - sent, MSG_NOSIGNAL);
        if (k > 0) {
            sent += (size_t)k;
            quiet = 0;
        }
        served_turn();
    }
    assert_true(sent < LARGE);
    assert_in_range(body_available(app.request), READ_AHEAD / 2, READ_AHEAD);
    assert_true(atomic_load(&served.engine->budget.memory) < 3 * READ_AHEAD);
    while (app.ended == BODY_NOT_YET) {
        take(10 * 1000);
        ssize_t k =
            sent < LARGE ? send(served.client, large + sent, LARGE - sent, MSG_NOSIGNAL) : 0;
        sent += k > 0 ? (size_t)k : 0;
        served_turn();
    }
    assert_int_equal(app.ended, BODY_END);
    assert_null(app.request->inflow.data); /* the answer may take long */
    assert_int_equal(app.taken, LARGE);
    assert_memory_equal(app.body, large, LARGE);
    finish("thanks");
    assert_non_null(strstr(served_answer(), "thanks"));
    close_all();
}

/* The application's thread takes, the loop is not turned: half a window is read at once. */
static void taking_reads_on_by_itself(void **state)
{
    char head[128];
    (void)state;
    struct engine_options o = options();
    open_client(&o);
    int n = snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                     100 * 1000);
    served_send(head, (size_t)n);
    served_send(large, 100 * 1000);
    turns(2);
    while (app.taken < 100 * 1000) {
        size_t before = app.taken;
        take(LARGE);
        assert_true(app.taken > before);
    }
    take(1);
    assert_int_equal(app.ended, BODY_END);
    finish("thanks");
    served_answer();
    close_all();
}

static void continue_when_it_is_asked_for(void **state)
{
    (void)state;
    struct engine_options o = options();
    open_client(&o);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_string_equal(served_answer(), "");
    assert_int_equal(served.runs, 1);
    request_ask(app.request, REQUEST_BODY);
    assert_string_equal(served_answer(), "HTTP/1.1 100 Continue\r\n\r\n");
    request_ask(app.request, REQUEST_BODY);
    assert_string_equal(served_ask("abc"), "");
    take(3);
    assert_int_equal(app.taken, 3);
    finish("good");
    assert_non_null(strstr(served_answer(), "keep-alive"));
    close_all();
}

static void no_continue_without_asking(void **state)
{
    (void)state;
    struct engine_options o = options();
    open_client(&o);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    finish("no");
    assert_memory_equal(served_answer(), "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(served.output, "Connection: close\r\n"));
    close_all();
}

/* Failures */

static void too_large(const char *text, bool answers)
{
    struct engine_options o = options();
    o.body_max = BODY_MAX;
    open_client(&o);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    request_ask(app.request, REQUEST_BODY);
    for (int i = 0; app.ended == BODY_NOT_YET && i < 1000; i++) {
        if (i < 200)
            served_send(text, strlen(text));
        take(LARGE);
        turns(1);
    }
    assert_int_equal(app.ended, BODY_FAILED);
    assert_true(app.events & REQUEST_BODY);
    finish(answers ? "mine" : NULL);
    assert_memory_equal(served_answer(), answers ? "HTTP/1.1 200 OK" : "HTTP/1.1 413 Con", 15);
    assert_non_null(strstr(served.output, "Connection: close\r\n"));
    close_all();
}

static void beyond_the_limit(void **state)
{
    static char chunk[1100];
    (void)state;
    snprintf(chunk, sizeof(chunk), "400\r\n%01024d\r\n", 1);
    too_large(chunk, false);
    too_large(chunk, true);
}

static void a_length_beyond_the_limit_does_not_run(void **state)
{
    (void)state;
    struct engine_options o = options();
    o.body_max = BODY_MAX;
    open_client(&o);
    assert_memory_equal(served_ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n"),
                        "HTTP/1.1 413 Con", 15);
    assert_int_equal(served.runs, 0);
    close_all();
}

static void malformed_chunks(void **state)
{
    (void)state;
    struct engine_options o = options();
    open_client(&o);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    request_ask(app.request, REQUEST_BODY);
    turns(1);
    take(LARGE);
    served_say("x\r\n");
    take(LARGE);
    assert_int_equal(app.taken, 3);
    assert_int_equal(app.ended, BODY_FAILED);
    finish(NULL);
    assert_memory_equal(served_answer(), "HTTP/1.1 400 Bad", 15);
    close_all();
}

static void a_client_that_leaves_cuts_it(void **state)
{
    (void)state;
    struct engine_options o = options();
    open_client(&o);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nab");
    take(LARGE);
    request_ask(app.request, REQUEST_BODY);
    close(served.client);
    served.client = -1;
    turns(3);
    assert_int_equal(app.events, REQUEST_BODY | REQUEST_GONE);
    take(1);
    assert_int_equal(app.ended, BODY_FAILED);
    finish(NULL);
    turns(2);
    assert_false(served_is_open());
    close_all();
}

/* What has come before can be taken first. */
static void what_came_before_the_end_can_be_taken(void **state)
{
    (void)state;
    struct engine_options o = options();
    open_client(&o);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nab");
    shutdown(served.client, SHUT_WR);
    turns(3);
    assert_int_equal(app.events, REQUEST_GONE);
    take(LARGE);
    assert_int_equal(app.taken, 2);
    assert_int_equal(app.ended, BODY_FAILED);
    finish("cut");
    assert_non_null(strstr(served_answer(), "cut"));
    assert_false(served_is_open());
    close_all();
}

/* Time */

static void over(struct conn *conn, uint64_t *at)
{
    assert_int_not_equal(*at, 0);
    *at = 1;
    served_expire(conn);
    turns(1);
}

static void a_body_that_stands_still(void **state)
{
    (void)state;
    struct engine_options o = options();
    struct conn *conn = open_client(&o);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nab");
    /* The application is not there yet: the client has time. */
    over(conn, &app.request->flow.in_at);
    assert_int_equal(app.events, 0);
    take(LARGE);
    request_ask(app.request, REQUEST_BODY);
    over(conn, &app.request->flow.in_at);
    assert_int_equal(app.events, 0);
    app.request->inflow.wanted_ms -= BODY_TIMEOUT_MS;
    over(conn, &app.request->flow.in_at);
    assert_int_equal(app.events, REQUEST_BODY);
    take(1);
    assert_int_equal(app.ended, BODY_FAILED);
    finish(NULL);
    assert_memory_equal(served_answer(), "HTTP/1.1 408 Req", 15);
    close_all();
}

static void a_body_that_drips(void **state)
{
    (void)state;
    struct engine_options o = options();
    o.body_min_rate = 100;
    struct conn *conn = open_client(&o);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\nab");
    for (int i = 0; i < 2; i++) {
        take(LARGE);
        request_ask(app.request, REQUEST_BODY);
        app.request->inflow.wanted_ms -= BODY_WINDOW_MS;
        if (i == 0) /* enough for the first window */
            served_send(large, 1000);
        app.events = 0;
        over(conn, &app.request->flow.in_at);
        assert_int_equal(app.events, i == 0 ? 0 : REQUEST_BODY);
    }
    take(LARGE);
    assert_int_equal(app.ended, BODY_FAILED);
    finish(NULL);
    assert_memory_equal(served_answer(), "HTTP/1.1 408 Req", 15);
    close_all();
}

/* The extension of a chunk is none of the body. */
static void a_body_of_framing_alone(void **state)
{
    (void)state;
    static char extension[1000];
    struct engine_options o = options();
    o.body_min_rate = 100;
    struct conn *conn = open_client(&o);
    memset(extension, 'x', sizeof(extension));
    served_say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;a=");
    take(LARGE);
    request_ask(app.request, REQUEST_BODY);
    app.request->inflow.wanted_ms -= BODY_WINDOW_MS;
    served_send(extension, sizeof(extension));
    over(conn, &app.request->flow.in_at);
    assert_int_equal(app.events, REQUEST_BODY);
    take(1);
    assert_int_equal(app.ended, BODY_FAILED);
    finish(NULL);
    assert_memory_equal(served_answer(), "HTTP/1.1 408 Req", 15);
    close_all();
}

/* The answer */

static enum response_error write_some(size_t n)
{
    bool kept = false;
    enum response_error error = response_write(app.request, large, n, &served, &kept, false);
    if (!kept)
        served.releases++;
    return error;
}

static void writing_never_waits(void **state)
{
    (void)state;
    struct engine_options o = options();
    served_open_later(&o, begin, note_events);
    served_connect(true);
    served_say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    response_start(app.request, "200 OK", 6);
    int writes = 0;
    for (; response_room(app.request); writes++)
        assert_int_equal(write_some(20 * 1000), RESPONSE_OK);
    assert_in_range(writes, 2, 10);
    request_ask(app.request, REQUEST_ROOM);
    turns(5);
    assert_int_equal(app.events, 0);
    served_answer();
    turns(1);
    assert_int_equal(app.events, REQUEST_ROOM);
    assert_true(response_room(app.request));
    response_finish(app.request);
    finish(NULL);
    assert_non_null(strstr(served_answer(), "\r\n0\r\n\r\n"));
    assert_int_equal(served.waits, 0);
    turns(1);
    assert_int_equal(served.releases, writes);
    close_all();
}

static void beyond_all_bounds_it_fails(void **state)
{
    enum response_error error;
    (void)state;
    struct engine_options o = options();
    served_open_later(&o, begin, note_events);
    served.engine->out_spool_max = 4 * LARGE;
    served_connect(true);
    served_say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    response_start(app.request, "200 OK", 6);
    int writes = 0;
    while ((error = write_some(LARGE)) == RESPONSE_OK)
        assert_true(writes++ < 20);
    assert_int_equal(error, RESPONSE_FULL);
    finish(NULL);
    served_answer();
    assert_false(served_is_open());
    close_all();
}

static void a_client_that_takes_nothing(void **state)
{
    (void)state;
    struct engine_options o = options();
    served_open_later(&o, begin, note_events);
    struct conn *conn = served_connect(true);
    served_say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    response_start(app.request, "200 OK", 6);
    while (response_room(app.request))
        assert_int_equal(write_some(20 * 1000), RESPONSE_OK);
    request_ask(app.request, REQUEST_ROOM);
    over(conn, &app.request->flow.out_at);
    assert_int_equal(app.events, REQUEST_ROOM | REQUEST_GONE);
    assert_int_equal(write_some(10), RESPONSE_GONE);
    finish(NULL);
    turns(2);
    assert_false(served_is_open());
    assert_int_equal(served.engine->metrics->closed[CLOSE_SEND_TIMEOUT], 1);
    close_all();
}

static struct conn *impatient; /* its time to send is over while the application's thread waits */

static void lose_patience(void *context)
{
    (void)context;
    if (!impatient)
        return;
    assert_true(engine_lead(served.engine));
    app.request->flow.out_at = 1;
    conn_expired(served.engine, impatient);
    engine_yield(served.engine);
    impatient = NULL;
}

/* Bytes that the thread was about to queue would stand where those were that are thrown away. */
static void nothing_follows_what_is_thrown_away(void **state)
{
    (void)state;
    struct engine_options o = options();
    struct app_ops ops = served_later_ops;
    bool kept;
    ops.detach = lose_patience;
    served_create(&o, &ops);
    served.begin = begin;
    served.events = note_events;
    struct conn *conn = served_connect(true);
    served_say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    response_start(app.request, "200 OK", 6);
    char *beyond = malloc(3 * LARGE);
    memset(beyond, '#', 3 * LARGE);
    assert_int_equal(response_write(app.request, large, LARGE, NULL, &kept, false), RESPONSE_OK);
    impatient = conn;
    assert_int_equal(response_write(app.request, beyond, 3 * LARGE, NULL, &kept, true),
                     RESPONSE_GONE);
    assert_null(impatient);
    free(beyond);
    finish(NULL);
    served_answer();
    assert_null(memchr(served.output, '#', served.output_size));
    assert_false(served_is_open());
    assert_int_equal(served.engine->metrics->closed[CLOSE_SEND_TIMEOUT], 1);
    close_all();
}

/* Events */

static void finish_in_event(struct request *request, unsigned events)
{
    note_events(request, events);
    if (!(events & REQUEST_BODY))
        return;
    take(LARGE);
    finish("within");
}

static void finishing_within_an_event(void **state)
{
    (void)state;
    struct engine_options o = options();
    served_open_later(&o, begin, finish_in_event);
    served_connect(false);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    take(LARGE);
    request_ask(app.request, REQUEST_BODY);
    served_say("cd");
    assert_non_null(strstr(served_answer(), "within"));
    assert_true(served_is_open());
    close_all();
}

static void events_of_a_finished_request_are_not_given(void **state)
{
    (void)state;
    struct engine_options o = options();
    open_client(&o);
    served_say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd");
    request_ask(app.request, REQUEST_BODY | REQUEST_ROOM);
    assert_int_equal(served.engine->ready.due_count, 1);
    finish("done");
    assert_int_equal(served.engine->ready.due_count, 0);
    assert_non_null(strstr(served_answer(), "done"));
    assert_int_equal(app.events, 0);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_runs_before_its_body),
        cmocka_unit_test(a_small_body_is_there_at_once),
        cmocka_unit_test(chunks_and_what_follows),
        cmocka_unit_test(the_window_is_bounded),
        cmocka_unit_test(taking_reads_on_by_itself),
        cmocka_unit_test(continue_when_it_is_asked_for),
        cmocka_unit_test(no_continue_without_asking),
        cmocka_unit_test(beyond_the_limit),
        cmocka_unit_test(a_length_beyond_the_limit_does_not_run),
        cmocka_unit_test(malformed_chunks),
        cmocka_unit_test(a_client_that_leaves_cuts_it),
        cmocka_unit_test(what_came_before_the_end_can_be_taken),
        cmocka_unit_test(a_body_that_stands_still),
        cmocka_unit_test(a_body_that_drips),
        cmocka_unit_test(a_body_of_framing_alone),
        cmocka_unit_test(writing_never_waits),
        cmocka_unit_test(beyond_all_bounds_it_fails),
        cmocka_unit_test(a_client_that_takes_nothing),
        cmocka_unit_test(nothing_follows_what_is_thrown_away),
        cmocka_unit_test(finishing_within_an_event),
        cmocka_unit_test(events_of_a_finished_request_are_not_given),
    };
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)('a' + (i / 7 + i) % 26);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
