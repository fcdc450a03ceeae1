#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/engine/host.h"
#include "served.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>

/* How much a worker takes on, and for whom. */

enum { CLIENTS = 6, SOON_MS = 10 * 1000 };

static const char get[] = "GET / HTTP/1.1\r\n\r\n";
static int clients[CLIENTS];
static struct engine_options options;

static int usual_options(void **state)
{
    (void)state;
    options = served_options();
    return 0;
}

static void run(struct request *request)
{
    bool kept = false;
    if (!served_put(request, "x", 1, NULL, &kept))
        response_abort(request);
}

/* max_queue, max_queue_time, limit_concurrency */

/* A client that has sent its request already. The lead is held. */
static struct conn *another_led(int *client)
{
    static struct listener listener = {.local = true};
    static const struct peer peer = {.family = AF_UNIX};
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(send(ends[1], get, sizeof(get) - 1, 0), sizeof(get) - 1);
    struct conn *conn = conn_create(served.engine, &listener, ends[0], &peer);
    assert_non_null(conn);
    conn_read(served.engine, conn);
    *client = ends[1];
    return conn;
}

static struct conn *another(int *client)
{
    assert_true(engine_lead(served.engine));
    struct conn *conn = another_led(client);
    engine_yield(served.engine);
    return conn;
}

/* The status that a client was answered, 0 when it was not. Closes its end. */
static int status_of(int client)
{
    char data[1024] = "";
    ssize_t n = recv(client, data, sizeof(data) - 1, MSG_DONTWAIT);
    close(client);
    if (n <= 0)
        return 0;
    bool refused = strstr(data, "\r\nRetry-After: 1\r\n") && strstr(data, "\r\nConnection: close");
    int status = atoi(data + strlen("HTTP/1.1 "));
    assert_int_equal(refused, status == 503);
    return status;
}

static void assert_admitted(int count, enum metrics_refusal reason)
{
    served_open(&options, run);
    for (int i = 0; i < CLIENTS; i++)
        another(&clients[i]);
    assert_int_equal(served.engine->metrics->refused[reason], CLIENTS - count);
    assert_int_equal(served.engine->metrics->rejected[5], CLIENTS - count);
    while (served_turn())
        ;
    assert_int_equal(served.runs, count);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(status_of(clients[i]), i < count ? 200 : 503);
    /* Those are done: there is room again. */
    another(&clients[0]);
    served_turn();
    assert_int_equal(status_of(clients[0]), 200);
    engine_collect(served.engine);
    assert_non_null(strstr(served.notes, "Requests are refused with 503"));
    served_close();
}

static void a_full_queue(void **state)
{
    (void)state;
    options.max_queue = 2;
    assert_admitted(3, REFUSED_QUEUE_FULL);
    options.threads = 3;
    assert_admitted(5, REFUSED_QUEUE_FULL);
}

static void too_many_at_a_time(void **state)
{
    (void)state;
    options.limit_concurrency = 4;
    assert_admitted(4, REFUSED_CONCURRENCY);
    options.max_queue = 1;
    assert_admitted(2, REFUSED_QUEUE_FULL);
}

/* Who was just answered does not count, though no leader has put it back yet. */
static void what_is_answered_is_not_in_flight(void **state)
{
    (void)state;
    options.limit_concurrency = 1;
    served_open(&options, run);
    another(&clients[0]);
    struct request *request = engine_poll(served.engine);
    run(request);
    assert_true(engine_lead(served.engine));
    engine_put_back(served.engine, request);
    another_led(&clients[1]);
    another_led(&clients[2]);
    engine_yield(served.engine);
    served_turn();
    assert_int_equal(status_of(clients[0]), 200);
    assert_int_equal(status_of(clients[1]), 200);
    assert_int_equal(status_of(clients[2]), 503);
    served_close();
}

/* A loop starts all that is ready when it comes to it: only what it does not come to waits. */
static void the_queue_of_a_foreign_loop(void **state)
{
    (void)state;
    options.loop_host = true;
    options.sign_of_life_ms = 1000;
    options.max_queue = 2;
    served_open(&options, run);
    assert_true(engine_lead(served.engine));
    for (int i = 0; i < 3; i++)
        another_led(&clients[i]);
    engine_yield(served.engine);
    another(&clients[3]);
    while (served_turn())
        ;
    assert_int_equal(served.runs, 3);
    served.engine->standby_leads = true;
    assert_true(engine_lead(served.engine));
    another_led(&clients[4]);
    another_led(&clients[5]);
    int last;
    another_led(&last);
    engine_yield(served.engine);
    assert_int_equal(status_of(clients[3]), 503);
    assert_int_equal(status_of(last), 503);
    assert_int_equal(served.engine->metrics->refused[REFUSED_QUEUE_FULL], 2);
    for (int i = 0; i < CLIENTS; i++)
        if (i != 3)
            close(clients[i]);
    served_close();
}

static void who_waits_too_long(void **state)
{
    (void)state;
    options.max_queue_ms = 500;
    served_open(&options, run);
    struct conn *conns[4];
    for (int i = 0; i < 4; i++) {
        conns[i] = another(&clients[i]);
        assert_true(conns[i]->timer.deadline <= served.engine->now_ms + 500);
        assert_int_not_equal(conns[i]->timer.deadline, 0);
    }
    struct request *request = engine_poll(served.engine);
    served_expire(conns[0]); /* it runs */
    served_expire(conns[3]);
    served_expire(conns[1]);
    assert_int_equal(served.engine->metrics->queued, 1);
    run(request);
    engine_put_back(served.engine, request);
    another(&clients[4]); /* the queue's end is where it belongs */
    served_turn();
    assert_int_equal(served.engine->metrics->refused[REFUSED_QUEUE_TIME], 2);
    static const int expected[] = {200, 503, 200, 503, 200};
    for (int i = 0; i < 5; i++)
        assert_int_equal(status_of(clients[i]), expected[i]);
    served_close();
}

/* check_client */

/* A client by TCP, whose closing can only be guessed. */
static struct conn *over_tcp(int *client)
{
    static struct listener listener;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct peer peer;
    socklen_t size = sizeof(address);
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listening, 1), 0);
    getsockname(listening, (struct sockaddr *)&address, &size);
    *client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(*client, (struct sockaddr *)&address, size), 0);
    assert_int_equal(send(*client, get, sizeof(get) - 1, 0), sizeof(get) - 1);
    assert_int_equal(socket_wait(listening, POLLIN, SOON_MS), 1);
    int fd = socket_accept(listening, &peer);
    assert_true(fd >= 0);
    assert_int_equal(socket_wait(fd, POLLIN, SOON_MS), 1);
    close(listening);
    assert_true(engine_lead(served.engine));
    struct conn *conn = conn_create(served.engine, &listener, fd, &peer);
    assert_non_null(conn);
    conn_read(served.engine, conn);
    engine_yield(served.engine);
    return conn;
}

/* Until the kernel has told of the client's end, whatever it was. */
static void wait_for_end(const struct conn *conn)
{
    for (int i = 0; i < SERVED_TURNS && socket_peer(conn->io.fd) == PEER_THERE; i++)
        usleep(1000);
}

static void run_next(void)
{
    struct request *request = engine_poll(served.engine);
    assert_non_null(request);
    atomic_fetch_add(&served.engine->metrics->running, 1);
    host_run_one(served.engine, request);
    engine_collect(served.engine);
}

static void leave(int client, int how)
{
    struct linger reset = {.l_onoff = 1};
    if (how == 2)
        setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (how == 0)
        shutdown(client, SHUT_WR);
    else
        close(client);
}

static void a_client_that_has_gone(void **state)
{
    (void)state;
    options.check_client = true;
    for (int tcp = 0; tcp < 2; tcp++) {
        for (int how = 1; how <= 2; how++) {
            int client;
            served_open(&options, run);
            struct conn *conn = tcp ? over_tcp(&client) : another(&client);
            leave(client, how);
            wait_for_end(conn);
            run_next();
            assert_int_equal(served.runs, 0);
            assert_false(served_is_open());
            assert_int_equal(served.engine->metrics->refused[REFUSED_CLIENT_GONE], 1);
            assert_int_equal(served.engine->metrics->responses[4], 0);
            served_close();
        }
    }
}

static void a_client_that_has_only_ended_its_input(void **state)
{
    (void)state;
    options.check_client = true;
    for (int tcp = 0; tcp < 2; tcp++) {
        int client;
        char data[1024] = "";
        served_open(&options, run);
        struct conn *conn = tcp ? over_tcp(&client) : another(&client);
        leave(client, 0);
        wait_for_end(conn);
        run_next();
        assert_int_equal(served.runs, 1);
        assert_true(recv(client, data, sizeof(data) - 1, 0) > 0);
        assert_int_equal(tcp, strstr(data, "HTTP/1.1 100 Continue\r\n\r\n") == data);
        assert_non_null(strstr(data, "HTTP/1.1 200 OK\r\n"));
        close(client);
        served_close();
    }
}

/* It is asked while it waits, so that its system has the time to answer; but once. */
static void a_client_that_leaves_while_it_waits(void **state)
{
    (void)state;
    options.check_client = true;
    for (int how = 0; how < 2; how++) {
        int client;
        char data[1024] = "";
        served_open(&options, run);
        struct conn *conn = over_tcp(&client);
        struct request *request = conn->request;
        assert_true(engine_lead(served.engine));
        assert_int_equal(conn_watch(served.engine, conn), 0);
        engine_yield(served.engine);
        leave(client, how);
        wait_for_end(conn);
        for (int i = 0; i < SERVED_TURNS && !request->asked; i++) {
            assert_true(engine_lead(served.engine));
            engine_step(served.engine, 1);
            engine_yield(served.engine);
        }
        assert_true(request->asked);
        run_next();
        assert_int_equal(served.runs, how == 0);
        if (how == 0) {
            assert_true(recv(client, data, sizeof(data) - 1, 0) > 0);
            assert_null(strstr(data + 10, "100 Continue"));
            close(client);
        }
        served_close();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_full_queue, usual_options),
        cmocka_unit_test_setup(too_many_at_a_time, usual_options),
        cmocka_unit_test_setup(what_is_answered_is_not_in_flight, usual_options),
        cmocka_unit_test_setup(the_queue_of_a_foreign_loop, usual_options),
        cmocka_unit_test_setup(who_waits_too_long, usual_options),
        cmocka_unit_test_setup(a_client_that_has_gone, usual_options),
        cmocka_unit_test_setup(a_client_that_has_only_ended_its_input, usual_options),
        cmocka_unit_test_setup(a_client_that_leaves_while_it_waits, usual_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
