#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proc/children/backoff.h"

static void the_first_failures_cost_nothing(void **state)
{
    struct backoff b = {0};

    (void)state;
    for (int i = 0; i < BACKOFF_FREE; i++)
        assert_int_equal(backoff_fail(&b, 5000), 0);
    assert_int_equal(backoff_left(&b, 5000), 0);
}

static void pauses_double_up_to_a_limit(void **state)
{
    struct backoff b = {.failures = BACKOFF_FREE};
    int64_t expected = BACKOFF_FIRST_MS;

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(backoff_fail(&b, 1000 * i), expected);
        assert_int_equal(backoff_left(&b, 1000 * i), expected);
        expected = expected * 2 > BACKOFF_LAST_MS ? BACKOFF_LAST_MS : expected * 2;
    }
    assert_int_equal(expected, BACKOFF_LAST_MS);
}

static void time_passes(void **state)
{
    struct backoff b = {.failures = BACKOFF_FREE};

    (void)state;
    backoff_fail(&b, 100);
    assert_int_equal(backoff_left(&b, 100 + BACKOFF_FIRST_MS - 1), 1);
    assert_int_equal(backoff_left(&b, 100 + BACKOFF_FIRST_MS), 0);
    assert_int_equal(backoff_left(&b, 100 + 10 * BACKOFF_LAST_MS), 0);
}

static void success_forgets_it_all(void **state)
{
    struct backoff b = {.failures = 50, .until = INT64_MAX};

    (void)state;
    backoff_reset(&b);
    assert_int_equal(backoff_left(&b, 0), 0);
    assert_int_equal(backoff_fail(&b, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_failures_cost_nothing),
        cmocka_unit_test(pauses_double_up_to_a_limit),
        cmocka_unit_test(time_passes),
        cmocka_unit_test(success_forgets_it_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
