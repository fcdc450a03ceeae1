#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"

#include <string.h>

static void a_duration_is_in_the_first_bucket_that_holds_it(void **state)
{
    struct histogram h = {0};

    (void)state;
    metrics_observe(&h, 0);
    metrics_observe(&h, metrics_bounds_ns[0]);
    metrics_observe(&h, metrics_bounds_ns[0] + 1);
    metrics_observe(&h, metrics_bounds_ns[METRICS_BOUNDS - 1] + 1);
    assert_int_equal(h.buckets[0], 2);
    assert_int_equal(h.buckets[1], 1);
    assert_int_equal(h.buckets[METRICS_BUCKETS - 1], 1);
    assert_int_equal(h.sum_ns, 2 * metrics_bounds_ns[0] + 1 + metrics_bounds_ns[14] + 1);
}

static void bounds_grow(void **state)
{
    (void)state;
    for (int i = 1; i < METRICS_BOUNDS; i++)
        assert_true(metrics_bounds_ns[i] > metrics_bounds_ns[i - 1]);
    assert_int_equal(metrics_bounds_ns[METRICS_BOUNDS - 1], (uint64_t)60 * 1000000000);
}

static void the_dead_leave_counters_and_no_gauges(void **state)
{
    struct metrics totals = {0}, dead = {0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        metrics_set(&dead.running, 3);
        metrics_set(&dead.connections[1], 7);
        metrics_add(&dead.accepted, 5);
        metrics_add(&dead.closed[CLOSE_ERROR], 1);
        metrics_add_shared(&dead.request_timeouts, 2);
        metrics_observe(&dead.front, 1);
        metrics_fold(&totals, &dead);
        memset(&dead, 0, sizeof(dead));
    }
    assert_int_equal(totals.running, 0);
    assert_int_equal(totals.connections[1], 0);
    assert_int_equal(totals.accepted, 10);
    assert_int_equal(totals.closed[CLOSE_ERROR], 2);
    assert_int_equal(totals.request_timeouts, 4);
    assert_int_equal(totals.front.buckets[0], 2);
}

static void the_living_are_summed_with_their_gauges(void **state)
{
    struct metrics totals = {0}, worker = {0};

    (void)state;
    metrics_set(&worker.queued, 2);
    metrics_set(&worker.connections[METRICS_CONN_STATES - 1], 4);
    metrics_add(&worker.accepted, 1);
    metrics_sum(&totals, &worker);
    metrics_sum(&totals, &worker);
    assert_int_equal(totals.queued, 4);
    assert_int_equal(totals.connections[METRICS_CONN_STATES - 1], 8);
    assert_int_equal(totals.accepted, 2);
}

static void each_reason_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < CLOSE_REASONS; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(metrics_close_name(i), metrics_close_name(j));
    for (int i = 0; i < REFUSED_REASONS; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(metrics_refusal_name(i), metrics_refusal_name(j));
}

static void nonsense_of_a_worker_is_not_believed(void **state)
{
    struct metrics worker = {0}, accepted = {0}, totals = {0};

    (void)state;
    metrics_add(&worker.accepted, 5);
    metrics_set(&worker.running, 3);
    metrics_accept(&accepted, &worker);
    worker.accepted = 4; /* backwards */
    metrics_set(&worker.running, UINT32_MAX);
    worker.bytes_in = UINT64_MAX;
    metrics_accept(&accepted, &worker);
    assert_int_equal(accepted.accepted, 5);
    assert_int_equal(accepted.running, METRICS_GAUGE_MAX);
    assert_int_equal(accepted.bytes_in, 0);
    worker.accepted = 6;
    worker.bytes_in = METRICS_COUNTER_MAX;
    metrics_accept(&accepted, &worker);
    assert_int_equal(accepted.accepted, 6);
    assert_int_equal(accepted.bytes_in, METRICS_COUNTER_MAX);
    for (int i = 0; i < 300; i++)
        metrics_fold(&totals, &accepted);
    assert_true(totals.bytes_in == UINT64_MAX);
    for (int i = 0; i < 4096; i++)
        metrics_sum(&totals, &accepted);
    assert_int_equal(totals.running, 4096u * METRICS_GAUGE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duration_is_in_the_first_bucket_that_holds_it),
        cmocka_unit_test(bounds_grow),
        cmocka_unit_test(the_dead_leave_counters_and_no_gauges),
        cmocka_unit_test(the_living_are_summed_with_their_gauges),
        cmocka_unit_test(each_reason_has_a_name_of_its_own),
        cmocka_unit_test(nonsense_of_a_worker_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
