#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/engine/limits.h"
#include "served.h"

/* Which connection makes room when no further one can be had. */

enum { CLIENTS = 4 };

static const char post[] = "POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n";
static const char get[] = "GET / HTTP/1.1\r\n\r\n";
static char bytes[PACE_BYTES];
static struct conn *conns[CLIENTS];
static int clients[CLIENTS];

static void run(struct request *request)
{
    bool kept = false;
    if (!served_put(request, "x", 1, NULL, &kept))
        response_abort(request);
}

/* The client of that number says something, and the engine reads it. */
static void say(int i, const char *data, size_t n)
{
    assert_int_equal(send(clients[i], data, n, MSG_NOSIGNAL), n);
    served_turn();
    served_turn();
}

static void begin(int i, const char *text)
{
    static struct listener listener = {.local = true};
    static const struct peer peer = {.family = AF_UNIX};
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    clients[i] = ends[1];
    assert_true(engine_lead(served.engine));
    conns[i] = conn_create(served.engine, &listener, ends[0], &peer);
    assert_non_null(conns[i]);
    conn_read(served.engine, conns[i]);
    engine_yield(served.engine);
    if (*text)
        say(i, text, strlen(text));
}

static void age(int i, uint32_t ms)
{
    conns[i]->mark_ms -= ms;
}

static void open_with(const char *first, const char *second)
{
    struct engine_options options = served_options();
    options.worker_connections = 2;
    served_open(&options, run);
    begin(0, first);
    begin(1, second);
}

static bool has_room(void)
{
    assert_true(engine_lead(served.engine));
    bool has = engine_has_room(served.engine);
    engine_yield(served.engine);
    return has;
}

static void make_way(void)
{
    assert_true(engine_lead(served.engine));
    engine_make_way(served.engine);
    engine_yield(served.engine);
    engine_collect(served.engine);
}

static bool is_open(int i)
{
    char data[4096];
    ssize_t n;
    while ((n = recv(clients[i], data, sizeof(data), MSG_DONTWAIT)) > 0)
        ;
    return n < 0;
}

static void assert_goes(int i)
{
    make_way();
    assert_false(is_open(i));
    assert_true(is_open(1 - i));
    close(clients[0]);
    close(clients[1]);
    served_close();
}

static void none_before_its_time(void **state)
{
    (void)state;
    open_with("GET", post);
    assert_false(has_room());
    make_way();
    assert_true(is_open(0));
    assert_true(is_open(1));
    age(0, SILENT_MS);
    assert_true(has_room());
    assert_goes(0);
}

static void the_longest_without_progress(void **state)
{
    (void)state;
    open_with(post, post);
    age(0, 3 * SILENT_MS);
    age(1, 2 * SILENT_MS);
    assert_goes(0);
}

static void bytes_that_drip_do_not_count(void **state)
{
    (void)state;
    open_with(post, post);
    age(0, 3 * SILENT_MS);
    age(1, 2 * SILENT_MS);
    uint64_t before = conns[0]->mark_ms;
    say(0, bytes, PACE_BYTES - sizeof(post)); /* the head counts, too */
    assert_int_equal(conns[0]->mark_ms, before);
    say(0, bytes, 1);
    assert_true(conns[0]->mark_ms > before);
    assert_goes(1);
}

/* What it has sent was not read yet. */
static void who_has_sent_stays(void **state)
{
    (void)state;
    open_with(post, post);
    age(0, 3 * SILENT_MS);
    age(1, 2 * SILENT_MS);
    assert_int_equal(send(clients[0], bytes, PACE_BYTES, 0), PACE_BYTES);
    assert_goes(1);
}

/* Unless it waits for room in the budget: what it wants is more than there is. */
static void who_waits_for_room_goes(void **state)
{
    (void)state;
    open_with(post, post);
    served.engine->budget.memory_max = 1;
    say(0, bytes, PACE_BYTES); /* on a body's first bytes: see spool_reserve() */
    assert_true(conns[0]->parked);
    age(0, 3 * SILENT_MS);
    age(1, 2 * SILENT_MS);
    assert_goes(0);
}

/* However often it sends a byte, and when it is refused it has its answer. */
static void nobody_waits_for_room_for_longer_by_dripping(void **state)
{
    char data[256] = "";
    (void)state;
    open_with(post, post);
    served.engine->budget.memory_max = 1;
    say(0, bytes, 1);
    assert_true(conns[0]->parked);
    conns[0]->timer.deadline -= PARK_LOOK_MS / 2;
    uint64_t until = conns[0]->timer.deadline;
    say(0, bytes, 1);
    assert_int_equal(conns[0]->timer.deadline, until);
    conns[0]->parked_ms = PARK_MAX_MS;
    served_expire(conns[0]);
    assert_true(recv(clients[0], data, sizeof(data) - 1, 0) > 0);
    assert_memory_equal(data, "HTTP/1.1 503 ", 13);
    assert_int_equal(socket_unread(conns[0]->io.fd), 0); /* close() would be a reset */
    close(clients[0]);
    close(clients[1]);
    served_close();
}

static void put_much(struct request *request)
{
    static char much[512 * 1024];
    bool kept = false;
    if (!served_put(request, much, sizeof(much), NULL, &kept))
        response_abort(request);
}

/* A reader takes what stands in the socket, which takes no more for that. */
static void who_reads_stays(void **state)
{
    static char data[80 * 1024];
    (void)state;
    open_with("", post);
    served.run = put_much;
    say(0, get, sizeof(get) - 1);
    assert_int_equal(conns[0]->activity, ACTIVITY_FLUSH);
    assert_true(engine_lead(served.engine));
    list_remove(&conns[0]->link); /* the first of the two to be looked at */
    list_push(&served.engine->crowd, &conns[0]->link);
    list_remove(&conns[1]->link);
    list_push(&served.engine->crowd, &conns[1]->link);
    engine_yield(served.engine);
    age(0, 3 * SILENT_MS);
    age(1, 2 * SILENT_MS);
    assert_int_equal(recv(clients[0], data, sizeof(data), 0), sizeof(data));
    assert_goes(1);
}

static void the_idle_before_the_slow(void **state)
{
    (void)state;
    open_with(get, post);
    assert_int_equal(conns[0]->activity, ACTIVITY_IDLE);
    age(1, ROOM_LEAD_MS - SILENT_MS);
    assert_goes(0);
}

static void the_slow_who_are_far_behind(void **state)
{
    (void)state;
    open_with(get, post);
    age(1, ROOM_LEAD_MS + SILENT_MS);
    assert_goes(1);
}

static void nobody_whose_request_runs(void **state)
{
    (void)state;
    open_with(post, "");
    assert_int_equal(send(clients[1], get, sizeof(get) - 1, 0), sizeof(get) - 1);
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    engine_yield(served.engine);
    assert_int_equal(conns[1]->activity, ACTIVITY_RUNNING);
    age(1, 100 * SILENT_MS);
    age(0, SILENT_MS);
    assert_goes(0);
}

/* An unfinished request is answered, and the log says that there was no room. */
static void it_is_answered_and_told(void **state)
{
    char data[256] = "";
    (void)state;
    open_with(post, get);
    age(0, 100 * SILENT_MS);
    make_way();
    assert_true(recv(clients[0], data, sizeof(data) - 1, 0) > 0);
    assert_memory_equal(data, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n", 49);
    assert_non_null(strstr(served.notes, "worker_connections (2) is used up: 1 connections"));
    assert_int_equal(atomic_load(&served.engine->metrics->closed[CLOSE_ROOM]), 1);
    close(clients[0]);
    close(clients[1]);
    served_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_before_its_time),
        cmocka_unit_test(the_longest_without_progress),
        cmocka_unit_test(bytes_that_drip_do_not_count),
        cmocka_unit_test(who_has_sent_stays),
        cmocka_unit_test(who_waits_for_room_goes),
        cmocka_unit_test(nobody_waits_for_room_for_longer_by_dripping),
        cmocka_unit_test(who_reads_stays),
        cmocka_unit_test(the_idle_before_the_slow),
        cmocka_unit_test(the_slow_who_are_far_behind),
        cmocka_unit_test(nobody_whose_request_runs),
        cmocka_unit_test(it_is_answered_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
