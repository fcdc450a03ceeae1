#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http2_client.h"
#include "serve/conn/http2.h"
#include "serve/conn/http2_private.h"
#include "serve/conn/protocol.h"
#include "serve/engine/limits.h"
#include "serve/request/later.h"
#include "served.h"

#include <errno.h>

/* The engine with HTTP/2 and a client of nghttp2: streams are requests. */

enum { BIG = 3 * 1000 * 1000 };

static struct h2_client client;
static struct conn *conn;
static char big[BIG];

static struct engine_options http2_options(void)
{
    struct engine_options options = served_options();
    options.protocol = &http2_protocol;
    return options;
}

static void answer_path(struct request *request)
{
    struct str target = request_target(request);
    served_put(request, target.p, target.n, NULL, &(bool){false});
}

static void open_with(const struct engine_options *options, void (*run)(struct request *request))
{
    served_open(options, run);
    h2_open(&client);
    conn = served_connect(false);
}

static void close_all(void)
{
    h2_close(&client);
    served_close();
}

/* The server may have closed. */
static void send_bytes(struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = send(served.client, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return;
        bytes.p += n > 0 ? n : 0;
        bytes.n -= n > 0 ? (size_t)n : 0;
        served_turn();
    }
}

/* A client of nghttp2 whose streams are closed reads no further GOAWAY. */
static bool named_last;

static void look_for_goaway(void)
{
    static const char last[] = "\0\0\10\7\0\0\0\0\0\0\0\0\3\0\0\0";
    named_last |= memmem(served.output, served.output_size, last, sizeof(last)) != NULL;
}

/* Both sides go on until neither has anything to say. */
static const char *talk(void)
{
    for (int quiet = 0; quiet < 3;) {
        struct str bytes = h2_bytes(&client);
        send_bytes(bytes);
        bool ran = served_turn();
        served.output_size = 0;
        served_read();
        look_for_goaway();
        h2_receive(&client, served.output, served.output_size);
        quiet = ran || bytes.n > 0 || served.output_size > 0 ? 0 : quiet + 1;
    }
    return h2_lines(&client);
}

/* The connection's next time is over. */
static void expire(void)
{
    assert_true(conn->timer.deadline > 0);
    assert_true(engine_lead(served.engine));
    served.engine->now_ms = conn->timer.deadline;
    conn_expired(served.engine, conn);
    engine_yield(served.engine);
}

static unsigned activity(enum metrics_activity which)
{
    return served.engine->metrics->connections[which];
}

/* Requests and answers */

static void streams_are_requests(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    open_with(&options, answer_path);
    h2_get(&client, "/first");
    h2_post(&client, "/second", "abc", 3);
    const char *lines = talk();
    assert_non_null(strstr(lines, "1 :status 200\n1 server gunicorn\n1 date "));
    assert_non_null(strstr(lines, "1 closed 0 with 6: /first\n"));
    assert_non_null(strstr(lines, "3 closed 0 with 7: /second\n"));
    assert_int_equal(served.runs, 2);
    assert_int_equal(conn->served, 2);
    assert_int_equal(served.engine->in_flight, 0);
    assert_int_equal(activity(ACTIVITY_IDLE), 1);
    close_all();
}

static void answer_body(struct request *request)
{
    char body[64];
    size_t n = 0;
    for (ssize_t got; (got = body_read(request, body + n, sizeof(body) - n)) > 0;)
        n += (size_t)got;
    response_interim(request, 103, STR("Link: </a>\r\n"));
    response_start(request, "201 Made", 8);
    response_field(request, STR("X-A"), STR("b"));
    response_write(request, body, n, NULL, &(bool){false}, false);
    response_write(request, "!", 1, NULL, &(bool){false}, false);
    response_trailers(request, STR("Sum: 1\r\n"));
    response_finish(request);
}

static void bodies_fields_and_trailers_arrive(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    open_with(&options, answer_body);
    h2_request(&client, ":method POST\n:scheme http\n:authority a\n:path /\nexpect 100-continue\n",
               "abcde", 5, false);
    const char *lines = talk();
    assert_non_null(strstr(lines, "1 :status 100\n1 :status 103\n1 link </a>\n1 :status 201\n"));
    assert_non_null(strstr(lines, "1 x-a b\n1 sum 1\n1 closed 0 with 6: abcde!\n"));
    close_all();
}

static void answer_big(struct request *request)
{
    bool kept = false;
    served_put(request, big, sizeof(big), &served, &kept);
    served.releases -= kept;
}

static void big_answers_wait_for_their_windows(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    open_with(&options, answer_big);
    nghttp2_settings_entry small = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000};
    nghttp2_submit_settings(client.ng, 0, &small, 1);
    talk();
    for (int i = 0; i < 3; i++)
        h2_get(&client, "/");
    struct str bytes = h2_bytes(&client);
    served_send(bytes.p, bytes.n);
    served_turn();
    assert_int_equal(served.runs, 3); /* none of them holds the thread */
    assert_int_equal(activity(ACTIVITY_FLUSH), 1);
    const char *lines = talk();
    for (int id = 1; id <= 5; id += 2) {
        char closed[64];
        snprintf(closed, sizeof(closed), "%d closed 0 with %d: ", id, BIG);
        assert_non_null(strstr(lines, closed));
    }
    assert_int_equal(served.releases, 0); /* as many as were kept */
    assert_int_equal(served.engine->budget.memory,
                     HTTP2_SESSION +
                         served.engine->pooled * (sizeof(struct request) + INPUT_SIZE +
                                                  OUTPUT_SIZE + 32 * sizeof(struct head_field)));
    close_all();
}

static void answer_cut_short(struct request *request)
{
    response_start(request, "200 OK", 6);
    response_field(request, STR("Content-Length"), STR("10"));
    response_write(request, "abc", 3, NULL, &(bool){false}, false);
    response_finish(request);
}

static void an_answer_cut_short_is_reset(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    open_with(&options, answer_cut_short);
    h2_get(&client, "/");
    assert_non_null(strstr(talk(), "1 closed 2 with 3: abc"));
    assert_true(served_is_open());
    close_all();
}

/* Limits */

static void a_body_has_its_limit(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    options.body_max = 5;
    open_with(&options, answer_path);
    h2_post(&client, "/a", "abcdef", 6);
    h2_request(&client, ":method POST\n:scheme http\n:authority a\n:path /b\ncontent-length 6\n",
               "abcdef", 6, false);
    h2_post(&client, "/c", "abcde", 5);
    const char *lines = talk();
    assert_non_null(strstr(lines, "1 :status 413\n"));
    assert_non_null(strstr(lines, "3 :status 413\n"));
    assert_non_null(strstr(lines, "5 :status 200\n"));
    assert_non_null(strstr(served.notes, "limit_request_body is 5"));
    assert_int_equal(served.engine->metrics->refused[REFUSED_BODY_SIZE], 2);
    close_all();
}

static void too_many_at_a_time_are_refused(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    options.limit_concurrency = 2;
    open_with(&options, answer_path);
    for (int i = 0; i < 4; i++)
        h2_get(&client, "/");
    const char *lines = talk();
    assert_non_null(strstr(lines, "1 :status 200\n"));
    assert_non_null(strstr(lines, "3 :status 200\n"));
    assert_non_null(strstr(lines, "5 :status 503\n"));
    assert_non_null(strstr(lines, "7 :status 503\n"));
    assert_int_equal(served.engine->metrics->refused[REFUSED_CONCURRENCY], 2);
    close_all();
}

/* They become ready, and no thread takes them. */
static void wait_for_nobody(const struct engine_options *options, int count)
{
    open_with(options, answer_path);
    for (int i = 0; i < count; i++)
        h2_get(&client, "/");
    struct str bytes = h2_bytes(&client);
    assert_int_equal(send(served.client, bytes.p, bytes.n, 0), (int)bytes.n);
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    engine_yield(served.engine);
    assert_int_equal(served.engine->in_flight, count);
}

static void a_thread_comes_too_late(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    options.max_queue_ms = 1000;
    wait_for_nobody(&options, 2);
    assert_true(conn->timer.deadline > 0);
    served.engine->now_ms += 2000;
    expire();
    const char *lines = talk();
    assert_non_null(strstr(lines, "1 :status 503\n"));
    assert_non_null(strstr(lines, "3 :status 503\n"));
    assert_int_equal(served.engine->metrics->refused[REFUSED_QUEUE_TIME], 2);
    assert_int_equal(served.runs, 0);
    close_all();
}

static void what_is_reset_before_it_runs_does_not_run(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    wait_for_nobody(&options, 3);
    nghttp2_submit_rst_stream(client.ng, 0, 3, NGHTTP2_CANCEL);
    struct str bytes = h2_bytes(&client);
    assert_int_equal(send(served.client, bytes.p, bytes.n, 0), (int)bytes.n);
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    engine_yield(served.engine);
    assert_int_equal(served.engine->in_flight, 2);
    talk();
    assert_int_equal(served.runs, 2);
    close_all();
}

/* Endings */

static void a_client_may_leave(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    wait_for_nobody(&options, 2);
    close(served.client);
    served.client = -1;
    while (served_turn())
        ;
    assert_false(served_is_open());
    assert_int_equal(served.engine->in_flight, 0);
    close_all();
}

/* An answer waits for its window, and no frame can open it any more. */
static void a_client_may_leave_a_blocked_answer(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    open_with(&options, answer_big);
    h2_get(&client, "/");
    struct str bytes = h2_bytes(&client);
    served_send(bytes.p, bytes.n);
    served_answer();
    assert_int_equal(activity(ACTIVITY_FLUSH), 1);
    shutdown(served.client, SHUT_WR);
    served_answer();
    assert_false(served_is_open());
    close_all();
}

/* Of one stream the head is malformed, of the other the body is to come: both end with the client.
 */
static void a_client_may_leave_unfinished_streams(void **state)
{
    static const char bytes[] =
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        "\0\0\0\4\0\0\0\0\0"
        "\0\0\12\1\5\0\0\0\1\202\206\204\1\1a\0\1X\0" /* a field name in capitals */
        "\0\0\6\1\4\0\0\0\3\203\206\204\1\1a";
    struct engine_options options = http2_options();
    (void)state;
    open_with(&options, answer_path);
    assert_int_equal(send(served.client, bytes, sizeof(bytes) - 1, 0), (int)sizeof(bytes) - 1);
    shutdown(served.client, SHUT_WR);
    served_answer();
    assert_false(served_is_open());
    assert_int_equal(served.runs, 0);
    close_all();
}

static void an_idle_one_is_told(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    open_with(&options, answer_path);
    h2_get(&client, "/");
    talk();
    expire();
    assert_non_null(strstr(talk(), "goaway 1 0\n"));
    close(served.client);
    served.client = -1;
    while (served_turn() || served_is_open())
        ;
    assert_int_equal(served.engine->metrics->closed[CLOSE_KEEPALIVE], 1);
    close_all();
}

/* A worker that ends takes what is on its way, and then names the last one. */
static void the_end_comes_in_two_steps(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    open_with(&options, answer_path);
    h2_get(&client, "/a");
    talk();
    h2_get(&client, "/raced");
    struct str bytes = h2_bytes(&client);
    engine_drain(served.engine);
    served_turn();
    served_send(bytes.p, bytes.n);
    const char *lines = talk();
    assert_non_null(strstr(lines, "goaway 2147483647 0\n"));
    assert_non_null(strstr(lines, "3 closed 0 with 6: /raced\n"));
    assert_true(named_last);
    close(served.client);
    served.client = -1;
    while (served_turn() || served_is_open())
        ;
    close_all();
}

static void an_unfinished_one_makes_room(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    open_with(&options, answer_path);
    h2_request(&client, ":method POST\n:scheme http\n:authority a\n:path /\n", "", 0, true);
    talk();
    assert_int_equal(activity(ACTIVITY_BODY), 1);
    conn->mark_ms = 0;
    assert_true(engine_lead(served.engine));
    assert_true(engine_make_room(served.engine));
    engine_yield(served.engine);
    const char *lines = talk();
    assert_non_null(strstr(lines, "1 :status 408\n"));
    assert_non_null(strstr(lines, "goaway 1 0\n"));
    assert_false(served_is_open());
    close_all();
}

static void an_error_ends_the_connection(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    wait_for_nobody(&options, 1);
    served_send("\0\0\1\6\0\0\0\0\0x", 10); /* a PING of one byte */
    assert_non_null(strstr(talk(), "goaway 1 6\n"));
    assert_non_null(strstr(served.notes, "Invalid request from ip=: HTTP/2: "));
    assert_false(served_is_open());
    assert_int_equal(served.engine->in_flight, 0);
    close_all();
}

static void no_http2_is_refused(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    open_with(&options, answer_path);
    served_say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    served_answer();
    assert_non_null(strstr(served.notes, "it does not begin as HTTP/2 does"));
    close(served.client);
    served.client = -1;
    while (served_turn() || served_is_open())
        ;
    close_all();
}

/* Those that run from their head on */

static void echo_on(struct request *request)
{
    char piece[1000];
    for (;;) {
        if (!response_room(request)) {
            request_ask(request, REQUEST_ROOM);
            return;
        }
        ssize_t n = body_take(request, piece, sizeof(piece));
        if (n == BODY_NOT_YET) {
            request_ask(request, REQUEST_BODY | REQUEST_GONE);
            return;
        }
        if (n > 0 &&
            response_write(request, piece, (size_t)n, NULL, &(bool){false}, false) == RESPONSE_OK)
            continue;
        if (n == BODY_END)
            response_finish(request);
        engine_finish(request->engine, request);
        return;
    }
}

static enum run_result begin_echo(struct request *request)
{
    response_start(request, "200 OK", 6);
    echo_on(request);
    return RUN_LATER;
}

static unsigned last_events;

static void echo_events(struct request *request, unsigned events)
{
    last_events = events;
    echo_on(request);
}

static void open_echo(void)
{
    struct engine_options options = http2_options();
    options.at_head = true;
    served_open_later(&options, begin_echo, echo_events);
    h2_open(&client);
    conn = served_connect(false);
}

static void bodies_stream(void **state)
{
    (void)state;
    open_echo();
    h2_post(&client, "/a", big, 200 * 1000);
    h2_post(&client, "/b", big, sizeof(big));
    const char *lines = talk();
    assert_non_null(strstr(lines, "1 closed 0 with 200000: "));
    assert_non_null(strstr(lines, "3 closed 0 with 3000000: "));
    assert_int_equal(served.engine->in_flight, 0);
    close_all();
}

static void a_reset_is_an_event(void **state)
{
    (void)state;
    open_echo();
    int32_t id =
        h2_request(&client, ":method POST\n:scheme http\n:authority a\n:path /\n", "abc", 3, true);
    talk();
    assert_int_equal(served.engine->in_flight, 1);
    nghttp2_submit_rst_stream(client.ng, 0, id, NGHTTP2_CANCEL);
    talk();
    assert_true(last_events & REQUEST_GONE);
    assert_int_equal(served.engine->in_flight, 0);
    assert_true(served_is_open());
    close_all();
}

/* Clients that do not read */

static struct request *put_off;

static enum run_result put_one_off(struct request *request)
{
    if (!str_eq(request_target(request), STR("/later"))) {
        served_put(request, big, 100 * 1000, &served, &(bool){false});
        return RUN_DONE;
    }
    put_off = request;
    return RUN_LATER;
}

static void no_event(struct request *request, unsigned events)
{
    (void)request, (void)events;
}

static void send_now(void)
{
    struct str bytes = h2_bytes(&client);
    served_send(bytes.p, bytes.n);
    while (served_turn())
        ;
}

/* An answer of another stream empties the queue before the socket is reported as writable. */
static void a_client_that_reads_again_is_read_again(void **state)
{
    enum { PINGS = 960, REQUESTS = 60 };
    int size = BIG;
    struct engine_options options = http2_options();
    (void)state;
    options.loop = "poll";
    served_open_later(&options, put_one_off, no_event);
    h2_open(&client);
    conn = served_connect(true);
    talk();
    h2_get(&client, "/later");
    h2_get(&client, "/");
    send_now();
    for (int i = 0; i < PINGS; i++)
        nghttp2_submit_ping(client.ng, 0, NULL);
    for (int i = 0; i < REQUESTS; i++)
        h2_get(&client, "/");
    send_now();
    struct http2_conn *h2 = conn->session;
    assert_true(http2_is_full(h2->session));
    h2_get(&client, "/");
    send_now();
    assert_int_equal(served.runs, REQUESTS + 2);
    setsockopt(conn->io.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    engine_finish(served.engine, put_off);
    talk();
    assert_int_equal(served.runs, REQUESTS + 3);
    close_all();
}

static void answer_piece(struct request *request)
{
    served_put(request, big, 20 * 1000, NULL, &(bool){false});
}

/* Its last bytes wait for the socket when the connection has no stream any more. */
static void a_slow_client_gets_the_end_of_its_answer(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    options.keepalive_ms = 2000;
    open_with(&options, answer_piece);
    conn = served_connect(true);
    h2_close(&client);
    h2_open(&client);
    talk();
    h2_get(&client, "/");
    send_now();
    const struct http2_conn *h2 = conn->session;
    assert_true(h2->rest && list_empty(&h2->streams));
    assert_true(conn->timer.deadline > served.engine->now_ms + options.keepalive_ms);
    assert_non_null(strstr(talk(), "1 closed 0 with 20000"));
    assert_true(conn->timer.deadline <= served.engine->now_ms + options.keepalive_ms);
    expire();
    assert_non_null(strstr(talk(), "goaway 1 0"));
    close_all();
}

/* Its reset waits for the client to read, and the rest of the body comes before that. */
static void a_body_that_was_given_up_does_not_run(void **state)
{
    struct engine_options options = http2_options();
    (void)state;
    options.send_timeout_ms = 0;
    open_with(&options, answer_big);
    conn = served_connect(true);
    h2_close(&client);
    h2_open(&client);
    talk();
    h2_get(&client, "/");
    int32_t id =
        h2_request(&client, ":method POST\n:scheme http\n:authority a\n:path /\n", "a", 1, true);
    send_now();
    expire();
    assert_int_equal(activity(ACTIVITY_FLUSH), 1);
    h2_stream(&client, id)->open = false;
    nghttp2_session_resume_data(client.ng, id);
    send_now();
    assert_non_null(strstr(talk(), "3 closed 8 with 0"));
    assert_int_equal(served.runs, 1);

    close_all();
}

/* Bodies without room */

enum { MEMORY = 64 << 20, LARGE = 200 * 1000 };

/* Others have taken all of it, or give it back. */
static void take_all(void)
{
    budget_force(&served.engine->budget, MEMORY);
    budget_adopt(&served.engine->budget, MEMORY);
}

static void give_back(void)
{
    budget_give(&served.engine->budget, MEMORY);
    budget_unspool(&served.engine->budget, MEMORY);
    budget_close(&served.engine->budget);
}

static void answer_size(struct request *request)
{
    char text[24], part[4096];
    size_t size = 0;
    for (ssize_t n; (n = body_read(request, part, sizeof(part))) > 0;)
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(part[i], big[size++]);
    snprintf(text, sizeof(text), "%zu", size);
    served_put(request, text, strlen(text), NULL, &(bool){false});
}

/* Two streams have begun, and their bytes come when there is no room for them. */
static void open_without_room(void)
{
    static const char head[] = ":method POST\n:scheme http\n:authority a\n:path /\n";
    struct engine_options options = http2_options();
    options.client_memory = options.client_disk = MEMORY;
    for (size_t i = 0; i < LARGE; i++)
        big[i] = (char)(i * 7 + i / 251);
    open_with(&options, answer_size);
    int32_t one = h2_request(&client, head, "", 0, true);
    int32_t other = h2_request(&client, head, "", 0, true);
    talk();
    take_all();
    *h2_stream(&client, one) = (struct h2_stream){.body = big, .body_size = LARGE};
    *h2_stream(&client, other) = (struct h2_stream){.body = big, .body_size = 100};
    nghttp2_session_resume_data(client.ng, one);
    nghttp2_session_resume_data(client.ng, other);
    struct str bytes = h2_bytes(&client);
    assert_int_equal(send(served.client, bytes.p, bytes.n, MSG_NOSIGNAL), (int)bytes.n);
    served_answer();
    assert_int_equal(served.output_size, 0);
    assert_true(conn->parked);
}

static void a_body_waits_for_room(void **state)
{
    (void)state;
    open_without_room();
    assert_non_null(strstr(served.notes, "have to wait: clients occupy 64 MiB"));
    expire();
    assert_true(conn->parked);
    give_back();
    expire();
    assert_false(conn->parked);
    const char *lines = talk();
    assert_non_null(strstr(lines, "1 closed 0 with 6: 200000\n"));
    assert_non_null(strstr(lines, "3 closed 0 with 3: 100\n"));
    close_all();
}

static void but_not_for_ever(void **state)
{
    (void)state;
    open_without_room();
    for (int ms = 0; ms < PARK_MAX_MS; ms += PARK_LOOK_MS) {
        assert_true(conn->parked);
        expire();
    }
    assert_false(conn->parked);
    const char *lines = talk();
    assert_non_null(strstr(lines, "1 :status 503\n"));
    assert_int_equal(served.runs, 0);
    give_back();
    close_all();
}

static void one_that_has_gone_does_not_wait(void **state)
{
    (void)state;
    open_without_room();
    close(served.client);
    served.client = -1;
    for (int i = 0; i < 5; i++)
        served_turn();
    assert_false(served_is_open());
    give_back();
    close_all();
}

static struct request *running[H2_STREAMS];

static enum run_result run_on(struct request *request)
{
    running[served.runs - 1] = request;
    return RUN_LATER;
}

/* Rapid reset: a stream is free again, and its request runs on. */
static void resets_do_not_multiply_requests(void **state)
{
    enum { STREAMS = 4, RESETS = 50 };
    struct engine_options options = http2_options();
    (void)state;
    served_open_later(&options, run_on, no_event);
    served.engine->options.http2.streams = STREAMS;
    h2_open(&client);
    conn = served_connect(false);
    for (int i = 0; i < RESETS; i++) {
        int32_t id = h2_get(&client, "/");
        send_now();
        nghttp2_submit_rst_stream(client.ng, 0, id, NGHTTP2_CANCEL);
        send_now();
    }
    assert_int_equal(served.runs, STREAMS * HTTP2_REQUESTS_EACH);
    for (int i = 0; i < STREAMS * HTTP2_REQUESTS_EACH; i++)
        engine_finish(served.engine, running[i]);
    talk();
    h2_get(&client, "/");
    send_now();
    assert_int_equal(served.runs, STREAMS * HTTP2_REQUESTS_EACH + 1);
    engine_finish(served.engine, running[served.runs - 1]);
    talk();
    close_all();
}

/* The worker has to end while the head of one stream is incomplete, and another one runs. */
static void an_unfinished_head_is_cut_off(void **state)
{
    static const char begun[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\4\0\0\0\0\0"
                                "\0\0\15\1\5\0\0\0\1\202\206\4\6/later\1\1a"
                                "\0\0\6\1\1\0\0\0\3\202\206\204\1\1a";
    static const char rest[] = "\0\0\0\11\4\0\0\0\3";
    static const char refused[] = "\0\0\4\3\0\0\0\0\3\0\0\0\7";
    struct engine_options options = http2_options();
    (void)state;
    served_open_later(&options, put_one_off, no_event);
    h2_open(&client);
    conn = served_connect(false);
    served_send(begun, sizeof(begun) - 1);
    served_answer();
    assert_non_null(put_off);
    assert_true(engine_lead(served.engine));
    assert_false(conn_cut(served.engine, conn, CLOSE_DRAINED, 503, "The server is stopping"));
    engine_yield(served.engine);
    served_send(rest, sizeof(rest) - 1);
    served_answer();
    assert_int_equal(served.runs, 1);
    assert_non_null(memmem(served.output, served.output_size, refused, sizeof(refused) - 1));
    response_start(put_off, "200 OK", 6);
    response_finish(put_off);
    engine_finish(served.engine, put_off);
    served_answer();
    close(served.client);
    served.client = -1;
    while (served_turn() || served_is_open())
        ;
    close_all();
}

/* Heads of few bytes that decode to many: others have their turn between them. */
static void heads_that_grow_take_turns(void **state)
{
    enum { FIELD = 4000, NAMED = 14, HEADS = 90 };
    static char piece[HEADS * (9 + 8 + NAMED) + FIELD + 100];
    static const char begun[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\4\0\0\0\0\0"
                                "\0\017\256\1\5\0\0\0\1\202\206\4\1/\1\1a\100\1x\177\241\36";
    struct engine_options options = http2_options();
    size_t size = sizeof(begun) - 1;
    (void)state;
    open_with(&options, answer_path);
    memcpy(piece, begun, size);
    memset(piece + size, 'y', FIELD);
    size += FIELD;
    for (int i = 0; i < HEADS; i++) {
        const char head[17] = {
            0,      0, 8 + NAMED, 1,   5, 0, 0,  (char)(i / 126), (char)(3 + i % 126 * 2), '\202',
            '\206', 4, 1,         '/', 1, 1, 'a'};
        memcpy(piece + size, head, sizeof(head));
        memset(piece + size + sizeof(head), '\276', NAMED);
        size += sizeof(head) + NAMED;
    }
    assert_int_equal(send(served.client, piece, size, 0), (int)size);
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    engine_yield(served.engine);
    assert_in_range(served.engine->in_flight, 10, HEADS / 2);
    served_answer();
    assert_int_equal(served.runs, HEADS + 1);
    close_all();
}

/* Memory */

/* Bodies, interim answers, trailers, windows, resets, and both steps of the end. */
static void talk_of_all_kinds(void)
{
    nghttp2_settings_entry small = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000};
    nghttp2_submit_settings(client.ng, 0, &small, 1);
    h2_request(&client, ":method POST\n:scheme http\n:authority a\n:path /\nexpect 100-continue\n",
               "abc", 3, false);
    h2_post(&client, "/", big, LARGE);
    talk();
    int32_t id =
        h2_request(&client, ":method POST\n:scheme http\n:authority a\n:path /\n", "a", 1, true);
    h2_request(&client, ":method get\n:scheme http\n:authority a\n:path /\n", NULL, 0, false);
    talk();
    nghttp2_submit_rst_stream(client.ng, 0, id, NGHTTP2_CANCEL);
    nghttp2_submit_ping(client.ng, 0, NULL);
    talk();
    h2_get(&client, "/");
    engine_drain(served.engine);
    talk();
}

static void answer_much(struct request *request)
{
    if (request->body.stored < LARGE)
        answer_body(request);
    else
        answer_big(request);
}

static void no_memory_is_survived(void **state)
{
    static void (*const ways[])(long count) = {mem_fail_once, mem_fail_after};
    struct engine_options options = http2_options();
    (void)state;
    for (size_t way = 0; way < 2; way++) {
        for (long count = 0, failed = 1; failed; count++) {
            served_open(&options, answer_much);
            served.waiting = expire;
            h2_open(&client);
            ways[way](count);
            conn = served_connect(false);
            if (conn)
                talk_of_all_kinds();
            failed = mem_failed();
            mem_fail_never();
            assert_int_equal(served.engine->in_flight, 0);
            close_all();
            assert_true(count < 1000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_requests),
        cmocka_unit_test(bodies_fields_and_trailers_arrive),
        cmocka_unit_test(big_answers_wait_for_their_windows),
        cmocka_unit_test(an_answer_cut_short_is_reset),
        cmocka_unit_test(a_body_has_its_limit),
        cmocka_unit_test(too_many_at_a_time_are_refused),
        cmocka_unit_test(a_thread_comes_too_late),
        cmocka_unit_test(what_is_reset_before_it_runs_does_not_run),
        cmocka_unit_test(a_client_may_leave),
        cmocka_unit_test(a_client_may_leave_a_blocked_answer),
        cmocka_unit_test(a_client_may_leave_unfinished_streams),
        cmocka_unit_test(an_idle_one_is_told),
        cmocka_unit_test(the_end_comes_in_two_steps),
        cmocka_unit_test(an_unfinished_one_makes_room),
        cmocka_unit_test(an_error_ends_the_connection),
        cmocka_unit_test(no_http2_is_refused),
        cmocka_unit_test(bodies_stream),
        cmocka_unit_test(a_reset_is_an_event),
        cmocka_unit_test(a_client_that_reads_again_is_read_again),
        cmocka_unit_test(an_unfinished_head_is_cut_off),
        cmocka_unit_test(resets_do_not_multiply_requests),
        cmocka_unit_test(a_slow_client_gets_the_end_of_its_answer),
        cmocka_unit_test(a_body_that_was_given_up_does_not_run),
        cmocka_unit_test(a_body_waits_for_room),
        cmocka_unit_test(but_not_for_ever),
        cmocka_unit_test(one_that_has_gone_does_not_wait),
        cmocka_unit_test(heads_that_grow_take_turns),
        cmocka_unit_test(no_memory_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
