#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <string.h>

/* The queue of whole requests alone: whoever has waited longest stands first, whatever happens. */

enum { COUNT = 4 };

static struct ready ready;
static struct request requests[COUNT];
static _Atomic uint32_t length;

static int set_up(void **state)
{
    (void)state;
    memset(requests, 0, sizeof(requests));
    atomic_store(&length, 0);
    assert_int_equal(ready_init(&ready, &length, false), 0);
    for (int i = 0; i < COUNT; i++) {
        requests[i].ready_ns = (uint64_t)i + 1;
        ready_push(&ready, &requests[i], &requests[i], 1);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ready_destroy(&ready);
    return 0;
}

static bool all(const struct request *request)
{
    (void)request;
    return true;
}

static bool odd(const struct request *request)
{
    return request->ready_ns % 2 == 1;
}

/* All of them but those before `first`, oldest first, and then one that is pushed behind. */
static void assert_order_from(int first)
{
    struct request last = {.ready_ns = COUNT + 1};
    assert_int_equal(atomic_load(&length), COUNT - first);
    ready_push(&ready, &last, &last, 1);
    for (int i = first; i < COUNT; i++)
        assert_ptr_equal(ready_pop(&ready), &requests[i]);
    assert_ptr_equal(ready_pop(&ready), &last);
    assert_null(ready_pop(&ready));
    assert_int_equal(atomic_load(&length), 0);
}

static void what_is_put_back_stands_where_it_stood(void **state)
{
    (void)state;
    for (uint32_t keep = 0; keep <= COUNT; keep++) {
        uint32_t taken = ready.taken;
        ready_return(&ready, ready_take(&ready, all, keep, COUNT));
        ready_return(&ready, ready_take(&ready, odd, keep, COUNT));
        assert_int_equal(ready.taken, taken);
    }
    assert_order_from(0);
}

static void what_is_unclaimed_stands_where_it_stood(void **state)
{
    (void)state;
    uint64_t late = clock_ms() + STANDBY_TICK_MS + 1;
    struct request *first = ready_pop(&ready), *second = ready_pop(&ready);
    ready_claim(&ready, second);
    ready_claim(&ready, first);
    assert_int_equal(ready_unclaim(&ready, 0), CLAIMS_LEFT);
    assert_int_equal(ready_unclaim(&ready, late), CLAIMS_BACK);
    assert_false(ready_keep(&ready, first));
    assert_false(ready_keep(&ready, second));
    assert_int_equal(ready.taken, 0);
    assert_order_from(0);
}

/* Its time in the queue is over while its thread cannot run yet. */
static void what_is_claimed_still_waits(void **state)
{
    (void)state;
    struct request *first = ready_pop(&ready);
    assert_false(ready_remove(&ready, first)); /* it runs */
    ready_claim(&ready, first);
    assert_true(ready_remove(&ready, first));
    assert_false(ready_keep(&ready, first));
    assert_int_equal(ready_unclaim(&ready, UINT64_MAX), 0);
    assert_order_from(1);
}

static void what_is_removed_is_gone(void **state)
{
    (void)state;
    assert_true(ready_remove(&ready, &requests[COUNT - 1]));
    assert_false(ready_remove(&ready, &requests[COUNT - 1]));
    ready_push(&ready, &requests[COUNT - 1], &requests[COUNT - 1], 1);
    assert_true(ready_remove(&ready, &requests[0]));
    assert_order_from(1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_put_back_stands_where_it_stood),
        TEST(what_is_unclaimed_stands_where_it_stood),
        TEST(what_is_claimed_still_waits),
        TEST(what_is_removed_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
