#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/engine/limits.h"
#include "served.h"

/* The end of a worker's time, in which the leader answers what has not reached a thread. It has no
 * interpreter: it waits for nobody, and releases nothing of the application's. */

static const char get[] = "GET / HTTP/1.1\r\n\r\n";

static void put_much(struct request *request)
{
    static char much[512 * 1024];
    bool kept = false;
    if (!served_put(request, much, sizeof(much), &served, &kept))
        response_abort(request);
}

/* A client that has not taken its answer, of which the application's bytes are queued. */
static int connect_reader(void)
{
    struct conn *conn = served_connect(true);
    served_say(get);
    assert_int_equal(conn->activity, ACTIVITY_FLUSH);
    int client = served.client;
    served.client = -1;
    return client;
}

/* A client whose request waits for a thread, and that takes nothing any more. */
static struct conn *connect_waiting(void)
{
    struct conn *conn = served_connect(true);
    while (send(conn->io.fd, get, sizeof(get) - 1, MSG_NOSIGNAL) > 0)
        ;
    assert_int_equal(send(served.client, get, sizeof(get) - 1, MSG_NOSIGNAL), sizeof(get) - 1);
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    assert_int_equal(conn->activity, ACTIVITY_RUNNING);
    return conn;
}

static void cut_off(uint64_t memory_max)
{
    struct engine_options options = served_options();
    options.graceful_ms = 60 * 1000;
    served_open(&options, put_much);
    served.reads_while_waiting = false;
    int reader = connect_reader();
    connect_waiting();
    served.engine->budget.memory_max = memory_max;
    atomic_store(&served.engine->draining, true);
    drain_cut_off(served.engine);
    assert_int_equal(served.releases, 0);
    assert_int_equal(served.waits, 0);
    assert_int_equal(served.engine->connections, 0);
    assert_true(atomic_load(&served.engine->stopped));
    engine_yield(served.engine);
    engine_collect(served.engine);
    assert_int_equal(served.releases, 1);
    assert_non_null(strstr(served.notes, "1 requests that waited for a thread, 1 answers not"));
    close(reader);
    served_close();
}

static void who_waits_is_refused(void **state)
{
    (void)state;
    cut_off(0);
}

static void without_room_for_the_refusal(void **state)
{
    (void)state;
    cut_off(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_is_refused),
        cmocka_unit_test(without_room_for_the_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
