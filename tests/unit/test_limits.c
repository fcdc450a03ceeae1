#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/conn/http1.h"
#include "serve/engine/limits.h"
#include "served.h"

/* What a client may do, and for how long. */

enum { RATE = 1000, LARGE = 100 * 1000 };

static char large[LARGE];

static struct engine_options options;

static int usual_options(void **state)
{
    (void)state;
    options = served_options();
    options.debug = true;
    return 0;
}

static void put(struct request *request, const char *data, size_t n)
{
    bool kept = false;
    if (!served_put(request, data, n, NULL, &kept))
        response_abort(request);
}

static void run(struct request *request)
{
    bool much = str_eq(request_target(request), STR("/large"));
    put(request, much ? large : "x", much ? LARGE : 1);
}

static struct conn *open_one(void)
{
    served_open(&options, run);
    return served_connect(false);
}

/* There was one connection. */
static void assert_closed(enum metrics_close reason)
{
    char line[64];
    assert_false(served_is_open());
    for (int i = 0; i < CLOSE_REASONS; i++)
        assert_int_equal(served.engine->metrics->closed[i], i == (int)reason);
    engine_collect(served.engine);
    snprintf(line, sizeof(line), "Connection of ip= closed: %s\n", metrics_close_name(reason));
    assert_non_null(strstr(served.notes, line));
}

static void hang_up(void)
{
    shutdown(served.client, SHUT_WR);
    served_answer();
}

/* Time-outs */

static void the_head_has_its_time_from_accept_on(void **state)
{
    (void)state;
    options.header_timeout_ms = 10 * 1000;
    struct conn *conn = open_one();
    uint64_t until = conn->since_ms + 10 * 1000;
    assert_int_equal(conn->timer.deadline, until);
    served_say("GET ");
    assert_int_equal(conn->timer.deadline, until);
    served_say("/ HTTP/1.1\r\n");
    assert_int_equal(conn->timer.deadline, until);
    served_ask("\r\n");
    /* A further one has it from its first byte on. */
    conn->since_ms = 1;
    served_say("GET ");
    assert_true(conn->timer.deadline >= until);
    served_expire(conn);
    assert_closed(CLOSE_HEADER_TIMEOUT);
    served_close();
}

static void without_time_outs_nobody_is_closed(void **state)
{
    (void)state;
    options.header_timeout_ms = options.send_timeout_ms = 0;
    served_open(&options, run);
    struct conn *conn = served_connect(true);
    served.reads_while_waiting = false;
    assert_int_equal(conn->timer.deadline, 0);
    served_say("GET /large HTTP/1.1\r\n");
    assert_int_equal(conn->timer.deadline, 0);
    served_say("\r\n");
    served_turn();
    assert_int_equal(conn->activity, ACTIVITY_FLUSH);
    assert_int_equal(conn->timer.deadline, 0);
    served_answer();
    assert_int_equal(conn->activity, ACTIVITY_IDLE);
    assert_int_not_equal(conn->timer.deadline, 0);
    served_say("G");
    assert_int_equal(conn->timer.deadline, 0);
    served_close();
}

static void a_body_in_time_is_waited_for(void **state)
{
    (void)state;
    options.body_min_rate = RATE;
    struct conn *conn = open_one();
    served_say("POST / HTTP/1.1\r\nContent-Length: 50000\r\n\r\n");
    for (int window = 0; window < 5; window++) {
        served_send(large, (size_t)RATE * BODY_WINDOW_MS / 1000);
        served_turn();
        served_expire(conn);
        assert_int_equal(conn->activity, ACTIVITY_BODY);
        assert_true(conn->timer.deadline >= served.engine->now_ms + BODY_WINDOW_MS);
    }
    served_send(large, 25000);
    served_answer();
    assert_int_equal(served.runs, 1);
    served_close();
}

static void a_slow_body_is_not_waited_for(void **state)
{
    (void)state;
    static const char *const bodies[] = {"Content-Length: 50000\r\n\r\n",
                                         "Transfer-Encoding: chunked\r\n\r\n5000\r\n"};
    options.body_min_rate = RATE;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct conn *conn = open_one();
        served_say("POST / HTTP/1.1\r\n");
        served_say(bodies[i]);
        uint64_t until = conn->timer.deadline;
        served_send(large, (size_t)RATE * BODY_WINDOW_MS / 1000 - 10);
        served_turn();
        assert_int_equal(conn->timer.deadline, until);
        served_expire(conn);
        assert_closed(CLOSE_BODY_RATE);
        served_close();
    }
}

/* Bytes may frame a body and be none of it: the extension of a chunk, records of no request. */
enum { FRAMING = 1000 };

#define AFTER(protocol, head) {protocol, head, sizeof(head) - 1}

static const struct {
    const struct protocol *protocol;
    const char *head;
    size_t size;
} framed[] = {
    AFTER(&http1_protocol, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a="),
    AFTER(&fastcgi_protocol, "\1\1\0\1\0\x08\0\0\0\1\0\0\0\0\0\0"
                             "\1\4\0\1\0\x20\0\0\x0e\4REQUEST_METHODPOST\x09\1PATH_INFO/"
                             "\1\4\0\1\0\0\0\0\1\5\0\2\xff\0\0\0"),
};

static struct conn *begin_framed(size_t which)
{
    options.protocol = framed[which].protocol;
    struct conn *conn = open_one();
    served_send(framed[which].head, framed[which].size);
    served_turn();
    assert_int_equal(conn->activity, ACTIVITY_BODY);
    memset(large, 'x', FRAMING);
    return conn;
}

static void framing_keeps_no_pace(void **state)
{
    (void)state;
    options.body_min_rate = RATE / 10;
    for (size_t i = 0; i < sizeof(framed) / sizeof(framed[0]); i++) {
        struct conn *conn = begin_framed(i);
        served_send(large, FRAMING);
        served_turn();
        served_expire(conn);
        assert_closed(CLOSE_BODY_RATE);
        served_close();
    }
}

static void framing_is_no_progress(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(framed) / sizeof(framed[0]); i++) {
        struct conn *conn = begin_framed(i);
        uint64_t until = --conn->timer.deadline;
        conn->mark_ms = 1;
        served_send(large, FRAMING);
        served_send(large, FRAMING);
        served_turn();
        assert_int_equal(conn->timer.deadline, until);
        assert_int_equal(conn->mark_ms, 1);
        served_expire(conn);
        assert_closed(CLOSE_BODY_TIMEOUT);
        served_close();
    }
}

/* A body that streams: only the time counts in which the application waited for the client. */
static struct {
    uint64_t arrived; /* before the wait */
    ssize_t got;
    int waits;
} streamed;

enum { STREAM_FROM = 1000 };

static int wait_in_vain_then_send(void *app, int fd, short events, int timeout_ms)
{
    (void)app, (void)fd, (void)events;
    assert_int_equal(timeout_ms, streamed.waits == 0 ? 1 : BODY_WINDOW_MS);
    if (streamed.waits++ == 0)
        usleep(2000);
    else
        assert_int_equal(send(served.client, "abc", 3, 0), 3);
    return streamed.waits > 1;
}

static void read_stream(struct request *request)
{
    char data[64];
    request->body.waited_ms = BODY_WINDOW_MS - 1;
    request->body.arrived = streamed.arrived;
    streamed.got = body_read(request, data, sizeof(data));
    response_abort(request);
}

static void read_after_a_pause(uint64_t arrived, enum metrics_close reason)
{
    struct app_ops ops = served_ops;
    ops.wait = wait_in_vain_then_send;
    streamed.arrived = arrived;
    streamed.waits = 0;
    served_open(&options, read_stream);
    served.engine->ops = &ops;
    served.engine->options.stream_body = STREAM_FROM;
    served_connect(false);
    char head[128];
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nContent-Length: %llu\r\n\r\n",
             (unsigned long long)STREAM_FROM + 1);
    served_ask(head);
    assert_int_equal(served.runs, 1);
    hang_up();
    assert_closed(reason);
    served_close();
}

static void a_slow_stream_is_not_waited_for(void **state)
{
    (void)state;
    options.body_min_rate = RATE;
    read_after_a_pause((uint64_t)RATE * BODY_WINDOW_MS / 1000 - 1, CLOSE_BODY_RATE);
    assert_int_equal(streamed.got, -1);
    read_after_a_pause((uint64_t)RATE * BODY_WINDOW_MS / 1000, CLOSE_ANSWERED);
    assert_int_equal(streamed.got, 3);
}

static int send_framing_then_wait(void *app, int fd, short events, int timeout_ms)
{
    (void)app, (void)fd, (void)events, (void)timeout_ms;
    if (streamed.waits++ == 0)
        assert_int_equal(send(served.client, large, FRAMING, 0), FRAMING);
    else
        usleep(2000);
    return streamed.waits == 1;
}

/* Behind what is there already. */
static void read_on(struct request *request)
{
    char data[64];
    assert_int_equal(body_read(request, data, sizeof(data)), 2);
    read_stream(request);
}

static void framing_is_no_stream(void **state)
{
    (void)state;
    struct app_ops ops = served_ops;
    ops.wait = send_framing_then_wait;
    options.body_min_rate = RATE / 10;
    streamed.arrived = 0;
    streamed.waits = 0;
    memset(large, 'x', FRAMING);
    served_open(&options, read_on);
    served.engine->ops = &ops;
    served.engine->options.stream_body = 1;
    served_connect(false);
    served_ask("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n3;a=");
    assert_int_equal(streamed.got, -1);
    assert_int_equal(streamed.waits, 2);
    hang_up();
    assert_closed(CLOSE_BODY_RATE);
    served_close();
}

/* Why connections are closed */

static void without_a_fault(void **state)
{
    (void)state;
    open_one();
    served_ask("GET / HTTP/1.1\r\n\r\n");
    hang_up();
    assert_closed(CLOSE_BY_CLIENT);
    served_close();
    open_one();
    served_ask("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_closed(CLOSE_ANSWERED);
    served_close();
    struct conn *conn = open_one();
    served_ask("GET / HTTP/1.1\r\n\r\n");
    served_expire(conn);
    assert_closed(CLOSE_KEEPALIVE);
    served_close();
    conn = open_one();
    engine_drain(served.engine);
    served_turn();
    served_expire(conn);
    assert_closed(CLOSE_DRAINED);
    served_close();
}

static void for_what_was_asked(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        enum metrics_close reason;
    } cases[] = {
        {"nonsense\r\n\r\n", CLOSE_MALFORMED},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", CLOSE_MALFORMED},
        {"GET /123456789012345678901234567890 HTTP/1.1\r\n\r\n", CLOSE_LIMIT},
        {"GET / HTTP/1.1\r\na: 123456789012345678901234567890\r\n\r\n", CLOSE_LIMIT},
        {"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", CLOSE_REFUSED},
    };
    options.body_max = 1000;
    options.limits = (struct http1_limits){.request_line = 32, .fields = 10, .field_size = 32};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct conn *conn = open_one();
        served_ask(cases[i].data);
        assert_int_equal(conn->state, CONN_LINGER);
        hang_up();
        assert_closed(cases[i].reason);
        assert_int_equal(served.engine->metrics->rejected[4], 1);
        assert_int_equal(served.engine->metrics->refused[REFUSED_BODY_SIZE],
                         cases[i].reason == CLOSE_REFUSED);
        served_close();
    }
}

static void for_a_client_that_stopped(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        enum metrics_close reason;
    } cases[] = {
        {"", CLOSE_HEADER_TIMEOUT},
        {"GET", CLOSE_HEADER_TIMEOUT},
        {"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", CLOSE_BODY_TIMEOUT},
        {"GET /large HTTP/1.1\r\n\r\n", CLOSE_SEND_TIMEOUT},
        {"nonsense\r\n\r\n", CLOSE_MALFORMED}, /* lingers */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        served_open(&options, run);
        struct conn *conn = served_connect(true);
        served.reads_while_waiting = false;
        served_say(cases[i].data);
        served_turn();
        served_expire(conn);
        assert_closed(cases[i].reason);
        served_close();
    }
}

/* Memory */

enum { ALL = 64 << 20 };

/* With a body of which no byte may be kept. */
static struct conn *open_parked(void)
{
    options.client_memory = ALL;
    struct conn *conn = open_one();
    served_say("POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\n");
    budget_force(&served.engine->budget, ALL);
    served_say("abc");
    assert_int_equal(conn->activity, ACTIVITY_BODY);
    assert_true(conn->parked);
    return conn;
}

static void a_client_waits_for_room(void **state)
{
    (void)state;
    struct conn *conn = open_parked();
    budget_give(&served.engine->budget, ALL);
    served_expire(conn);
    assert_false(conn->parked);
    served_ask("def");
    assert_int_equal(served.runs, 1);
    served_close();
}

/* What it sends meanwhile does not prolong that; when it was refused it is treated as all are. */
static void but_not_for_ever(void **state)
{
    (void)state;
    struct conn *conn = open_parked();
    uint64_t until = served.engine->now_ms + 3600 * 1000;
    timer_set(&served.engine->timers, &conn->timer, until);
    served_say("d");
    assert_int_equal(conn->timer.deadline, until);
    conn->parked_ms = PARK_MAX_MS - PARK_LOOK_MS;
    served_expire(conn);
    served_read();
    assert_non_null(strstr(served.output, "HTTP/1.1 503 "));
    assert_int_equal(conn->state, CONN_LINGER);
    served_expire(conn);
    assert_closed(CLOSE_REFUSED);
    budget_give(&served.engine->budget, ALL);
    served_close();
}

/* The fields of a head that is refused count, too: so much is not kept for the next request. */
static void a_table_of_fields_is_charged(void **state)
{
    enum { FIELDS = 2 * FIELDS_KEPT / sizeof(struct head_field) };
    (void)state;
    options.limits.fields = FIELDS + 1;
    open_one();
    char head[32 + FIELDS * 6] = "GET / HTTP/1.1\r\n";
    for (int i = 0; i < (int)FIELDS; i++)
        strcat(head, "a: b\r\n");
    assert_true(strlen(head) + 6 < INPUT_SIZE);
    strcat(head, ":\r\n\r\n");
    served_ask(head);
    hang_up();
    assert_closed(CLOSE_MALFORMED);
    assert_int_equal(served.engine->pooled, 0);
    assert_int_equal(atomic_load(&served.engine->budget.memory), 0);
    served_close();
}

/* The end */

/* The leader answers, which is not attached: what holds references to objects is left alone, even
 * if the answer has to wait. */
static void a_request_that_waits_is_cut_off(void **state)
{
    (void)state;
    options.graceful_ms = 60 * 1000;
    struct conn *conn = open_one();
    struct part *part = mem_alloc(sizeof(*part));
    *part = (struct part){.kind = PART_REF, .ref = &served};
    engine_discard(served.engine, part);
    while (send(conn->io.fd, large, LARGE, MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(send(served.client, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    engine_drain(served.engine);
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    assert_int_equal(conn->activity, ACTIVITY_RUNNING);
    drain_cut_off(served.engine);
    assert_int_equal(served.releases, 0);
    engine_yield(served.engine);
    assert_closed(CLOSE_DRAINED);
    assert_int_equal(served.releases, 1);
    assert_int_equal(served.runs, 0);
    served_close();
}

/* Lingering */

/* The next request is there, though the loop has not told us: closing would reset our answer. */
static void what_was_not_read_is_thrown_away(void **state)
{
    (void)state;
    options.keepalive_ms = 0;
    struct conn *conn = open_one();
    assert_int_equal(send(served.client, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    engine_yield(served.engine);
    struct request *request = engine_poll(served.engine);
    assert_non_null(request);
    assert_int_equal(send(served.client, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    run(request);
    engine_put_back(served.engine, request);
    assert_int_equal(conn->state, CONN_LINGER);
    served_answer();
    assert_non_null(strstr(served.output, "\r\nConnection: close\r\n"));
    hang_up();
    assert_closed(CLOSE_ANSWERED);
    served_close();
}

/* Who sends more than we read in a turn is not taken for silent. */
static void a_lingering_client_that_goes_on(void **state)
{
    (void)state;
    struct conn *conn = open_one();
    served_ask("nonsense\r\n\r\n");
    assert_int_equal(conn->state, CONN_LINGER);
    int size = 2 * READ_TURN;
    if (setsockopt(served.client, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
        skip();
    size_t queued = 0;
    ssize_t n;
    while ((n = send(served.client, large, LARGE, MSG_DONTWAIT)) > 0)
        queued += (size_t)n;
    assert_true(queued > READ_TURN);
    conn->timer.deadline = served.engine->now_ms + 500;
    served_turn();
    assert_true(served_is_open());
    assert_true(conn->timer.deadline >= served.engine->now_ms + LINGER_IDLE_MS - 500);
    served_close();
}

/* limit_request_body */

enum { BODY_MAX = 1000 };

static void assert_refused(const char *status)
{
    assert_int_equal(served.runs, 0);
    assert_memory_equal(served.output, status, strlen(status));
    assert_non_null(strstr(served.output, "\r\nConnection: close\r\n"));
    assert_null(strstr(served.output, "100 Continue"));
}

static void a_body_of_the_length_that_is_allowed(void **state)
{
    (void)state;
    options.body_max = BODY_MAX;
    open_one();
    served_say("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n");
    served_send(large, BODY_MAX);
    served_answer();
    served_say("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n");
    served_send(large, BODY_MAX);
    served_ask("\r\n0\r\n\r\n");
    assert_int_equal(served.runs, 2);
    served_close();
}

static void a_body_that_says_it_is_too_long(void **state)
{
    (void)state;
    options.body_max = BODY_MAX;
    struct conn *conn = open_one();
    served_ask("POST / HTTP/1.1\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
    assert_refused("HTTP/1.1 413 Content Too Large\r\n");
    assert_non_null(strstr(served.notes, "limit_request_body is 1000"));
    /* What is on its way already is not answered by a reset. */
    assert_int_equal(conn->state, CONN_LINGER);
    served_send(large, LARGE);
    assert_true(served_is_open());
    shutdown(served.client, SHUT_WR);
    served_answer();
    assert_false(served_is_open());
    served_close();
}

static void a_body_that_becomes_too_long(void **state)
{
    (void)state;
    options.body_max = BODY_MAX;
    for (int at_once = 0; at_once < 2; at_once++) {
        struct conn *conn = open_one();
        char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n";
        if (at_once)
            memcpy(large, head, sizeof(head) - 1);
        else
            served_say(head);
        served_send(large, BODY_MAX + 1 + (at_once ? sizeof(head) - 1 : 0));
        served_answer();
        assert_refused("HTTP/1.1 413 Content Too Large\r\n");
        assert_int_equal(conn->state, CONN_LINGER);
        served_close();
    }
}

static void read_all(struct request *request)
{
    static char data[LARGE];
    size_t size = 0;
    ssize_t n;
    while ((n = body_read(request, data, sizeof(data))) > 0)
        size += (size_t)n;
    assert_int_equal(n, -1);
    assert_true(request->body.too_large);
    assert_true(size <= BODY_MAX);
    put(request, "x", 1);
}

static void a_stream_that_becomes_too_long(void **state)
{
    (void)state;
    options.body_max = BODY_MAX;
    served_open(&options, read_all);
    served.engine->options.stream_body = 100;
    struct conn *conn = served_connect(false);
    served_say("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n");
    assert_int_equal(send(served.client, large, 200, 0), 200);
    assert_int_equal(served.runs, 0);
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    engine_yield(served.engine);
    struct request *request = engine_poll(served.engine);
    assert_non_null(request);
    assert_int_equal(send(served.client, large, BODY_MAX + 1 - 200, 0), BODY_MAX + 1 - 200);
    served_app_run(NULL, request);
    engine_put_back(served.engine, request);
    served_answer();
    assert_int_equal(conn->state, CONN_LINGER);
    served_close();
}

/* Lines for the log, while nobody has the time to write them */

static int noted;

static void count_note(void *app, enum note_level level, const char *text)
{
    (void)app;
    (void)level;
    noted++;
    snprintf(served.notes, sizeof(served.notes), "%s", text);
}

static void lines_that_nobody_writes(void **state)
{
    (void)state;
    struct app_ops ops = served_ops;
    ops.note = count_note;
    open_one();
    served.engine->ops = &ops;
    noted = 0;
    for (int i = 0; i < NOTES_MAX + 50; i++)
        engine_note(served.engine, NOTE_WARNING, "%d", i);
    engine_collect(served.engine);
    assert_int_equal(noted, NOTES_MAX);
    assert_string_equal(served.notes, "999");
    engine_collect(served.engine);
    assert_int_equal(noted, NOTES_MAX + 1);
    assert_string_equal(served.notes, "50 lines about clients are missing here");
    engine_collect(served.engine);
    assert_int_equal(noted, NOTES_MAX + 1);
    engine_note(served.engine, NOTE_WARNING, "again");
    engine_collect(served.engine);
    assert_string_equal(served.notes, "again");
    served_close();
}

/* Lines of the access log about what the engine refused, when the application writes that */

static const char too_many[] =
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nC: d\r\n"
    "Bad Name: x\r\n\r\n";

static void lines_of_the_application(void **state)
{
    (void)state;
    open_one();
    served.engine->app_logs = true;
    served_say(too_many);
    served_answer();
    assert_non_null(strstr(served.notes, "2: /b, 2 fields, 400\n"));
    served_connect(false);
    served_say("NONSENSE\r\n");
    assert_non_null(strstr(served.notes, "1: , 0 fields, 400\n"));
    assert_int_equal(served.engine->refused_kept, 0);
    served_close();
}

/* Without memory for it, or when too much waits, a line is missing, and that is said. */
static void lines_that_are_lost(void **state)
{
    (void)state;
    open_one();
    served.engine->app_logs = true;
    served.engine->refused_kept = REFUSED_KEPT_MAX;
    served_say(too_many);
    served_answer();
    assert_null(strstr(served.notes, "2: /b"));
    served.engine->refused_kept = 0;
    served_connect(false);
    served_say("NONSENSE\r\n");
    served_answer();
    assert_non_null(strstr(served.notes, "The access log lacks 1 lines about refused requests\n"));
    served_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_head_has_its_time_from_accept_on, usual_options),
        cmocka_unit_test_setup(without_time_outs_nobody_is_closed, usual_options),
        cmocka_unit_test_setup(a_body_in_time_is_waited_for, usual_options),
        cmocka_unit_test_setup(a_slow_body_is_not_waited_for, usual_options),
        cmocka_unit_test_setup(framing_keeps_no_pace, usual_options),
        cmocka_unit_test_setup(framing_is_no_progress, usual_options),
        cmocka_unit_test_setup(a_slow_stream_is_not_waited_for, usual_options),
        cmocka_unit_test_setup(framing_is_no_stream, usual_options),
        cmocka_unit_test_setup(without_a_fault, usual_options),
        cmocka_unit_test_setup(for_what_was_asked, usual_options),
        cmocka_unit_test_setup(for_a_client_that_stopped, usual_options),
        cmocka_unit_test_setup(a_client_waits_for_room, usual_options),
        cmocka_unit_test_setup(but_not_for_ever, usual_options),
        cmocka_unit_test_setup(a_table_of_fields_is_charged, usual_options),
        cmocka_unit_test_setup(a_request_that_waits_is_cut_off, usual_options),
        cmocka_unit_test_setup(what_was_not_read_is_thrown_away, usual_options),
        cmocka_unit_test_setup(a_lingering_client_that_goes_on, usual_options),
        cmocka_unit_test_setup(a_body_of_the_length_that_is_allowed, usual_options),
        cmocka_unit_test_setup(a_body_that_says_it_is_too_long, usual_options),
        cmocka_unit_test_setup(a_body_that_becomes_too_long, usual_options),
        cmocka_unit_test_setup(a_stream_that_becomes_too_long, usual_options),
        cmocka_unit_test_setup(lines_that_nobody_writes, usual_options),
        cmocka_unit_test_setup(lines_of_the_application, usual_options),
        cmocka_unit_test_setup(lines_that_are_lost, usual_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
