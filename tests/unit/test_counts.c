/* What the engine counts of its clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "served.h"

#include <time.h>

static void run(struct request *request)
{
    bool kept;
    if (request_target(request).n == 1)
        response_start(request, "200 OK", 6);
    else
        response_start(request, "404 Not Found", 13);
    response_field(request, STR("Content-Length"), STR("2"));
    response_write(request, "ok", 2, NULL, &kept, true);
    response_finish(request);
}

static const struct metrics *open_engine(void)
{
    struct engine_options options = served_options();
    served_open(&options, run);
    return served.engine->metrics;
}

static uint64_t observed(const struct histogram *histogram)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < METRICS_BUCKETS; i++)
        sum += histogram->buckets[i];
    return sum;
}

static void an_answer_is_counted_once(void **state)
{
    (void)state;
    static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const struct metrics *m = open_engine();
    served_connect(false);
    assert_int_equal(m->connections[ACTIVITY_IDLE], 1);
    size_t answer = strlen(served_ask(ask));
    served_ask("GET /missing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_int_equal(m->accepted, 1);
    assert_int_equal(m->responses[2], 1);
    assert_int_equal(m->responses[4], 1);
    assert_int_equal(m->closed[CLOSE_ANSWERED], 1);
    assert_true(m->bytes_in > 2 * strlen(ask));
    assert_true(m->bytes_out > answer && m->bytes_out < 3 * answer);
    assert_int_equal(observed(&m->wait), 2);
    assert_int_equal(observed(&m->duration), 2);
    served_close();
}

static void the_proxy_s_time_is_counted(void **state)
{
    (void)state;
    static const char *const useless[] = {"now", "t=99", "t=1000000000", "t=9999999999"};
    char text[200];
    const struct metrics *m = open_engine();
    served_connect(false);
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Start: t=%lld.5\r\n\r\n",
             (long long)time(NULL) - 7);
    served_ask(text);
    assert_int_equal(m->front.buckets[12], 1); /* 5 to 10 s */
    for (size_t i = 0; i < sizeof(useless) / sizeof(useless[0]); i++) {
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Start: %s\r\n\r\n",
                 useless[i]);
        served_ask(text);
    }
    assert_true(m->front.sum_ns > (uint64_t)6 * 1000000000);
    assert_true(m->front.sum_ns < (uint64_t)10 * 1000000000);
    assert_int_equal(m->responses[2], 5);
    served_close();
}

static void a_ready_request_is_in_the_queue(void **state)
{
    (void)state;
    const struct metrics *m = open_engine();
    served_connect(false);
    assert_true(send(served.client, "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    engine_yield(served.engine);
    assert_int_equal(m->queued, 1);
    assert_int_equal(m->connections[ACTIVITY_RUNNING], 1);
    served_turn();
    assert_int_equal(m->queued, 0);
    assert_int_equal(m->connections[ACTIVITY_RUNNING], 0);
    served_close();
}

static const struct expiry {
    const char *said;
    enum metrics_close reason;
} expiries[] = {
    {"", CLOSE_HEADER_TIMEOUT},
    {"GET", CLOSE_HEADER_TIMEOUT},
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", CLOSE_KEEPALIVE},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc", CLOSE_BODY_TIMEOUT},
    {"nonsense\r\n\r\n", CLOSE_MALFORMED},
};

static void a_late_client_is_counted_by_what_it_was_late_with(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(expiries) / sizeof(expiries[0]); i++) {
        const struct metrics *m = open_engine();
        struct conn *conn = served_connect(false);
        served_say(expiries[i].said);
        served_turn();
        served_expire(conn);
        assert_int_equal(m->closed[expiries[i].reason], 1);
        for (int state_of = 0; state_of < METRICS_CONN_STATES; state_of++)
            assert_int_equal(m->connections[state_of], 0);
        served_close();
    }
}

static void what_is_refused_is_not_the_application_s(void **state)
{
    (void)state;
    const struct metrics *m = open_engine();
    static char line[8000];
    memset(line, 'a', sizeof(line) - 1);
    memcpy(line, "GET /", 5);
    served_connect(false);
    served_say(line);
    served_answer();
    close(served.client);
    served.client = -1;
    served_turn();
    assert_int_equal(m->rejected[4], 1);
    assert_int_equal(m->responses[4], 0);
    assert_int_equal(m->closed[CLOSE_LIMIT], 1);
    served_close();
}

static void who_leaves_is_counted(void **state)
{
    (void)state;
    const struct metrics *m = open_engine();
    served_connect(false);
    served_say("GET / HT");
    close(served.client);
    served.client = -1;
    served_turn();
    assert_int_equal(m->closed[CLOSE_BY_CLIENT], 1);
    served_close();
}

static void the_master_s_block_is_filled(void **state)
{
    (void)state;
    static struct metrics shared;
    struct engine_options options = served_options();
    options.metrics = &shared;
    options.threads = 3;
    served_open(&options, run);
    served_connect(false);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    served_close();
    assert_int_equal(shared.threads, 3);
    assert_int_equal(shared.accepted, 1);
    assert_int_equal(shared.closed[CLOSE_DRAINED], 1);
    assert_int_equal(shared.running, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_counted_once),
        cmocka_unit_test(the_proxy_s_time_is_counted),
        cmocka_unit_test(a_ready_request_is_in_the_queue),
        cmocka_unit_test(a_late_client_is_counted_by_what_it_was_late_with),
        cmocka_unit_test(what_is_refused_is_not_the_application_s),
        cmocka_unit_test(who_leaves_is_counted),
        cmocka_unit_test(the_master_s_block_is_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
