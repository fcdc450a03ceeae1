#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/dispatch/handover.h"
#include "served.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>

/* What a worker makes of the parcels that another one sends: here, the test. */

static struct exchange exchange;
static int listener;

static void run(struct request *request)
{
    response_start(request, "200 OK", 6);
    response_write(request, "hello", 5, NULL, &(bool){false}, true);
    response_finish(request);
}

static void open_worker(uint32_t connections)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct engine_options options = served_options();
    assert_int_equal(exchange_open(&exchange), 0);
    served_open(&options, run);
    engine_destroy(served.engine);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 10), 0);
    options.exchange = &exchange;
    options.worker_connections = connections;
    served.engine = engine_create(&options, &served_ops, NULL, &listener, 1);
    assert_non_null(served.engine);
}

static void close_worker(void)
{
    served_close();
    close(listener);
    exchange_close(&exchange);
}

static struct iovec text(const char *data)
{
    return (struct iovec){.iov_base = (char *)data, .iov_len = strlen(data)};
}

/* Sends a request as another worker would; the client's end is served.client. */
static void send_parcel(const char *head, uint32_t number)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    struct parcel parcel = {
        .label = {.listener = number, .ready_ns = 1, .peer = {.family = AF_UNIX}},
        .fd = ends[0],
        .file = -1,
        .pieces = {text(head)},
    };
    assert_true(exchange_send(&exchange, &parcel));
    close(ends[0]);
    if (served.client >= 0)
        close(served.client);
    served.client = ends[1];
    served.output_size = 0;
}

static const char *const head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

static bool is_closed(void)
{
    char byte;
    return recv(served.client, &byte, 1, MSG_DONTWAIT) == 0;
}

static void a_request_is_answered(void **state)
{
    (void)state;
    open_worker(10);
    send_parcel(head, 0);
    assert_non_null(strstr(served_answer(), "hello"));
    assert_string_equal(served.notes, "");
    /* The connection stays. */
    assert_non_null(strstr(served_ask(head), "hello"));
    assert_int_equal(served.runs, 2);
    close_worker();
}

/* It was admitted where it came from, and a thread is free for it. */
static void one_is_answered_though_the_budget_is_used_up(void **state)
{
    static char long_head[12 * 1024];
    (void)state;
    open_worker(10);
    served.engine->budget.memory_max = 1;
    send_parcel(head, 0);
    assert_non_null(strstr(served_answer(), "hello"));
    snprintf(long_head, sizeof(long_head),
             "GET / HTTP/1.1\r\nHost: a\r\nX: %08000d\r\nY: %03000d\r\n\r\n", 0, 0);
    send_parcel(long_head, 0);
    assert_non_null(strstr(served_answer(), "hello"));
    assert_string_equal(served.notes, "");
    close_worker();
}

/* What the system has told this worker of, it has told nobody else, even if that is replaced. */
static void who_is_told_of_it_runs_it_before_the_end(void **state)
{
    (void)state;
    open_worker(10);
    exchange_sit(&exchange, 1, 2); /* a new worker, to which the rest is left */
    send_parcel(head, 0);
    engine_drain(served.engine);
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    assert_false(atomic_load(&served.engine->stopped));
    engine_yield(served.engine);
    assert_non_null(strstr(served_answer(), "hello"));
    send_parcel(head, 0);
    while (!atomic_load(&served.engine->stopped)) {
        assert_true(engine_lead(served.engine));
        engine_step(served.engine, 0);
        engine_yield(served.engine);
    }
    assert_false(exchange_is_empty(&exchange));
    close_worker();
}

/* By settings that the sender did not have. */
static void what_is_not_allowed_here_is_refused(void **state)
{
    (void)state;
    open_worker(10);
    send_parcel("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 0);
    assert_non_null(strstr(served_answer(), "HTTP/1.1 400 "));
    assert_true(is_closed());
    assert_int_equal(served.runs, 0);
    close_worker();
}

/* It stays in the exchange, where other workers may take it. */
static void without_memory_it_waits(void **state)
{
    (void)state;
    open_worker(10);
    served.engine->budget.memory_max = (uint64_t)64 << 20;
    budget_force(&served.engine->budget, (size_t)64 << 20);
    send_parcel(head, 0);
    assert_string_equal(served_answer(), "");
    assert_false(is_closed());
    assert_false(exchange_is_empty(&exchange));
    assert_non_null(strstr(served.notes, "Requests from other workers wait: clients occupy"));
    budget_give(&served.engine->budget, (size_t)64 << 20);
    assert_true(engine_lead(served.engine));
    engine_resume(served.engine, PAUSE_ERROR); /* as its timer does */
    engine_yield(served.engine);
    assert_non_null(strstr(served_answer(), "hello"));
    close_worker();
}

static void what_is_no_request_is_closed(void **state)
{
    static const struct {
        const char *head;
        uint32_t listener;
    } bad[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n", 0},         /* no whole head */
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\nmore", 0}, /* more than one */
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1},     /* no such listener */
    };
    (void)state;
    open_worker(10);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        send_parcel(bad[i].head, bad[i].listener);
        served_answer();
        assert_true(is_closed());
        assert_int_equal(served.engine->connections, 0);
    }
    /* Logged once in a while. */
    assert_string_equal(served.notes, "Cannot go on with a request from another worker\n");
    assert_int_equal(served.runs, 0);
    close_worker();
}

static void nonsense_is_told_of(void **state)
{
    (void)state;
    open_worker(10);
    assert_int_equal(send(exchange.give, "nonsense", 8, 0), 8);
    served_answer();
    assert_string_equal(served.notes, "Cannot go on with a request from another worker\n");
    close_worker();
}

static void without_memory_the_client_is_let_go(void **state)
{
    (void)state;
    open_worker(10);
    for (long n = 0; n < 20; n++) {
        send_parcel(head, 0);
        mem_fail_after(n);
        for (int i = 0; i < 5; i++)
            served_turn();
        mem_fail_never();
        served_answer();
        assert_true(strstr(served.output, "hello") || is_closed());
    }
    close_worker();
}

static void without_descriptors_it_tries_again(void **state)
{
    struct rlimit old, limit;
    (void)state;
    open_worker(10);
    send_parcel(head, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int lowest = dup(listener);
    close(lowest);
    limit = (struct rlimit){(rlim_t)lowest, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int turns = 0; !served.engine->paused && turns < SERVED_TURNS; turns++)
        served_turn();
    assert_int_equal(served.engine->paused, PAUSE_ERROR);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_non_null(strstr(served.notes, "Cannot take a request from another worker: "));
    while (served.engine->paused)
        served_turn();
    assert_non_null(strstr(served_answer(), "hello"));
    close_worker();
}

/* It stays in the exchange, for whoever has room. */
static void a_full_worker_takes_none(void **state)
{
    (void)state;
    open_worker(1);
    send_parcel("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    int first = served.client;
    served.client = -1;
    /* The request is taken, not answered: its connection is not idle. */
    struct request *request = NULL;
    for (int turns = 0; !request && turns < SERVED_TURNS; turns++) {
        assert_true(engine_lead(served.engine));
        engine_step(served.engine, 0);
        engine_yield(served.engine);
        request = engine_poll(served.engine);
    }
    assert_non_null(request);
    send_parcel(head, 0);
    for (int i = 0; i < 20; i++)
        served_turn();
    assert_int_equal(served.engine->paused, PAUSE_FULL);
    assert_false(exchange_is_empty(&exchange));
    run(request);
    engine_put_back(served.engine, request);
    /* The first is idle now, and makes room. */
    assert_non_null(strstr(served_answer(), "hello"));
    close(first);
    close_worker();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered),
        cmocka_unit_test(one_is_answered_though_the_budget_is_used_up),
        cmocka_unit_test(who_is_told_of_it_runs_it_before_the_end),
        cmocka_unit_test(what_is_not_allowed_here_is_refused),
        cmocka_unit_test(without_memory_it_waits),
        cmocka_unit_test(what_is_no_request_is_closed),
        cmocka_unit_test(nonsense_is_told_of),
        cmocka_unit_test(without_memory_the_client_is_let_go),
        cmocka_unit_test(without_descriptors_it_tries_again),
        cmocka_unit_test(a_full_worker_takes_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
