#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "serve/engine/deadline.h"
#include "serve/engine/limits.h"

enum { TIMEOUT = 1000, GRACE = 300, NOW = 50000 };

static struct deadlines all;

static int open_one(void **state)
{
    (void)state;
    all = (struct deadlines){0};
    deadlines_init(&all, TIMEOUT, GRACE);
    return 0;
}

static int close_one(void **state)
{
    (void)state;
    deadlines_destroy(&all);
    return 0;
}

static void test_nothing_runs(void **state)
{
    (void)state;
    assert_int_equal(deadlines_wait(&all, NOW), TIMEOUT);
    assert_false(deadlines_may_be_due(&all, NOW));
    assert_int_equal(deadlines_look(&all, NOW), 0);
    assert_null(deadlines_next(&all));
}

static void test_without_a_timeout_nobody_looks(void **state)
{
    (void)state;
    struct deadlines none = {0};
    struct deadline deadline = {0};
    assert_int_equal(deadlines_wait(&none, NOW), -1);
    assert_false(deadlines_may_be_due(&none, NOW));
    deadline_end(&none, &deadline);
}

static void test_a_life(void **state)
{
    (void)state;
    struct deadline deadline;
    deadline_begin(&all, &deadline, NOW);
    uint64_t at = NOW + TIMEOUT;
    assert_int_equal(deadlines_wait(&all, NOW + 400), TIMEOUT - 400);
    assert_false(deadlines_may_be_due(&all, at - 1));
    assert_true(deadlines_may_be_due(&all, at));
    assert_int_equal(deadlines_look(&all, at), DEADLINES_TELL);
    assert_ptr_equal(deadlines_next(&all), &deadline);
    assert_false(deadlines_may_be_due(&all, at + DEADLINE_AGAIN_MS - 1));
    assert_int_equal(deadlines_look(&all, at + DEADLINE_AGAIN_MS), DEADLINES_TELL);

    assert_true(deadline_reported(&all, deadline.serial));
    assert_false(deadline_reported(&all, deadline.serial));
    assert_null(deadlines_next(&all));
    assert_int_equal(deadlines_look(&all, at + GRACE - 1), 0);
    assert_int_equal(deadlines_wait(&all, at + GRACE - 1), 1);

    assert_int_equal(deadlines_look(&all, at + GRACE), DEADLINES_STUCK | DEADLINES_TELL);
    assert_ptr_equal(deadlines_next(&all), &deadline);
    assert_true(deadline_reported(&all, deadline.serial));
    assert_null(deadlines_next(&all));
    assert_int_equal(deadlines_look(&all, at + 100 * GRACE), 0);
    deadline_end(&all, &deadline);
    deadline_end(&all, &deadline);
    assert_int_equal(deadline.serial, 0);
}

static void test_nobody_hears(void **state)
{
    (void)state;
    struct deadline deadline;
    deadline_begin(&all, &deadline, NOW);
    uint64_t at = NOW + TIMEOUT;
    assert_false(deadline_is_unheard(&all, &deadline));
    deadlines_look(&all, at);
    assert_true(deadline_is_unheard(&all, &deadline));
    assert_int_equal(deadlines_look(&all, at + GRACE),
                     DEADLINES_STUCK | DEADLINES_UNHEARD | DEADLINES_TELL);
    assert_int_equal(deadlines_look(&all, at + GRACE + 50), DEADLINES_TELL);
    assert_true(deadline_reported(&all, deadline.serial));
    assert_true(deadline.reported && deadline.stuck_reported);
    assert_false(deadline_is_unheard(&all, &deadline));
    assert_null(deadlines_next(&all));
    deadline_end(&all, &deadline);
    assert_false(deadline_is_unheard(&all, &deadline));
}

/* However late the first look is, the application is told before the worker is given up. */
static void test_a_late_look(void **state)
{
    (void)state;
    struct deadline deadline;
    deadline_begin(&all, &deadline, NOW);
    assert_int_equal(deadlines_look(&all, NOW + TIMEOUT + 10 * GRACE), DEADLINES_TELL);
    deadline_end(&all, &deadline);
}

static void test_more_time(void **state)
{
    (void)state;
    struct deadline deadline;
    deadline_begin(&all, &deadline, NOW);
    uint64_t at = NOW + TIMEOUT;
    deadline_extend(&all, &deadline, 500);
    assert_int_equal(deadlines_look(&all, at), 0);
    assert_int_equal(deadlines_wait(&all, at), 500);
    assert_int_equal(deadlines_look(&all, at + 500), DEADLINES_TELL);

    deadline_extend(&all, &deadline, 500); /* between the look and the telling */
    assert_false(deadline_reported(&all, deadline.serial));
    assert_null(deadlines_next(&all));
    assert_int_equal(deadlines_look(&all, at + 1000), DEADLINES_TELL);
    assert_true(deadline_reported(&all, deadline.serial));

    deadline_extend(&all, &deadline, 500); /* only of the grace */
    assert_null(deadlines_next(&all));
    assert_int_equal(deadlines_look(&all, at + 1499 + GRACE), 0);
    assert_int_equal(deadlines_look(&all, at + 1500 + GRACE), DEADLINES_STUCK | DEADLINES_TELL);
    deadline_end(&all, &deadline);

    deadline_begin(&all, &deadline, NOW);
    deadline_extend(&all, &deadline, UINT64_MAX);
    assert_int_equal(deadlines_look(&all, UINT64_MAX / 4), 0);
    deadline_end(&all, &deadline);
}

/* A time to look at that belongs to no request any more delays no other one. */
static void test_others(void **state)
{
    (void)state;
    struct deadline first, second, third;
    deadline_begin(&all, &first, NOW);
    deadline_begin(&all, &second, NOW + 200);
    uint64_t serial = first.serial;
    deadline_end(&all, &first);
    assert_null(deadlines_find(&all, serial));
    assert_false(deadline_reported(&all, serial));
    assert_int_equal(deadlines_look(&all, NOW + TIMEOUT), 0);
    assert_int_equal(deadlines_look(&all, NOW + TIMEOUT + 200), DEADLINES_TELL);
    assert_ptr_equal(deadlines_find(&all, second.serial), &second);
    assert_true(deadline_reported(&all, second.serial));
    deadlines_look(&all, NOW + TIMEOUT + 200);
    deadline_extend(&all, &second, 100000);
    deadlines_look(&all, NOW + TIMEOUT + 201);
    deadline_begin(&all, &third, NOW + TIMEOUT + 300);
    assert_true(deadlines_may_be_due(&all, NOW + 2 * TIMEOUT + 300));
    assert_int_equal(deadlines_look(&all, NOW + 2 * TIMEOUT + 300), DEADLINES_TELL);
    assert_ptr_equal(deadlines_next(&all), &third);
    deadline_end(&all, &second);
    deadline_end(&all, &third);
    assert_int_equal(deadlines_look(&all, NOW * 2), 0);
    assert_false(deadlines_may_be_due(&all, UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_runs, open_one, close_one),
        cmocka_unit_test(test_without_a_timeout_nobody_looks),
        cmocka_unit_test_setup_teardown(test_a_life, open_one, close_one),
        cmocka_unit_test_setup_teardown(test_nobody_hears, open_one, close_one),
        cmocka_unit_test_setup_teardown(test_a_late_look, open_one, close_one),
        cmocka_unit_test_setup_teardown(test_more_time, open_one, close_one),
        cmocka_unit_test_setup_teardown(test_others, open_one, close_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
