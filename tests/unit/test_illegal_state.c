#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "served.h"

/*
 * A fault of the engine's own, as a release build meets it: this program and the engine in it are
 * compiled without assertions. It costs the connection concerned, and no other.
 */

static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

static void answer(struct request *request)
{
    served_put(request, "fine", 4, NULL, &(bool){false});
}

static void answer_and_damage(struct request *request)
{
    answer(request);
    served.run = answer;
    atomic_store(&request->phase, PHASE_HEAD);
    served.engine->in_flight--;
}

static void open_server(void (*run)(struct request *request))
{
    struct engine_options options = served_options();
    served_open(&options, run);
}

enum { PATIENCE_MS = 30000 };

/* By its timer. */
static void it_is_closed(void)
{
    for (uint64_t since = clock_ms(); served_is_open();) {
        served_turn();
        assert_true(clock_ms() < since + PATIENCE_MS);
    }
}

static void a_new_client_is_served(void)
{
    served_connect(false);
    assert_non_null(strstr(served_ask(get), "\r\n\r\nfine"));
    assert_int_equal(served.engine->connections, 1);
    served_close();
}

static void an_illegal_phase_costs_one_connection(void **state)
{
    (void)state;
    open_server(answer_and_damage);
    served_connect(false);
    assert_non_null(strstr(served_ask(get), "\r\n\r\nfine"));
    it_is_closed();
    assert_non_null(strstr(served.notes, " is closed: an illegal change of its request's phase\n"));
    a_new_client_is_served();
}

static void an_illegal_state_costs_one_connection(void **state)
{
    (void)state;
    open_server(answer);
    struct conn *conn = served_connect(false);
    assert_true(engine_lead(served.engine));
    conn_close(served.engine, conn);
    conn_close(served.engine, conn);
    engine_yield(served.engine);
    served_turn();
    assert_int_equal(served.engine->connections, 0);
    assert_non_null(strstr(served.notes, " is closed: it is closed twice\n"));
    a_new_client_is_served();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_illegal_phase_costs_one_connection),
        cmocka_unit_test(an_illegal_state_costs_one_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
