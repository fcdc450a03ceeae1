#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arbiter_host.h"
#include "proc/children/memory.h"

/* Workers that have lived or grown for long enough. */

static void a_lifetime_ends_and_the_successor_comes_first(void **state)
{
    (void)state;
    host.arbiter.kinds[CHILD_WORKER].goal.max_unavailable = 1;
    run_until_ready(2);
    for (int i = 0; i < 2; i++)
        arbiter_expire(&host.arbiter, host.arbiter.children.list[i].pid, 20);
    host.leave_when_ready = 0;
    host.leave_when_dead = 2;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.due[REASON_MAX_LIFETIME], 2);
    assert_int_equal(host.last_reason, REASON_MAX_LIFETIME);
    assert_int_equal(host.arbiter.deaths[REASON_MAX_LIFETIME], 2);
    assert_int_equal(host.arbiter.children.count, 2);
    assert_int_equal(host.ready, 4);
    arbiter_expire(&host.arbiter, 1, 20); /* nobody's */
}

static bool system_tells_memory(void)
{
    return memory_of(getpid()) > 0;
}

static void a_worker_that_grows_is_replaced(void **state)
{
    (void)state;
    if (!system_tells_memory())
        skip();
    host.behaviour = GROWS;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    host.arbiter.limits.max_rss = GROWTH / 2;
    run_until_dead(1);
    assert_true(host.due[REASON_MAX_RSS] >= 1);
    assert_int_equal(host.last_reason, REASON_MAX_RSS);
    assert_true(host.last_peak >= GROWTH);
}

static void a_worker_that_grows_beyond_the_hard_limit_is_not_waited_for(void **state)
{
    (void)state;
    if (!system_tells_memory())
        skip();
    host.behaviour = GROWS;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    host.arbiter.limits.max_rss_hard = GROWTH / 2;
    run_until_dead(1);
    assert_int_equal(host.too_big, 1);
    assert_int_equal(host.last_reason, REASON_MAX_RSS_HARD);
    assert_int_equal(host.ready, 1);
}

static void a_worker_that_is_born_too_big_is_left_alone(void **state)
{
    (void)state;
    if (!system_tells_memory())
        skip();
    host.behaviour = GROWS;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    host.arbiter.limits.max_rss = host.arbiter.limits.max_rss_hard = 1;
    run_until_ready(1);
    assert_int_equal(host.born_big, 1);
    turn_by_turn();
    host.arbiter.children.list[0].look_at = 1;
    host.arbiter.children.list[0].watching = true;
    assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    assert_int_equal(host.too_big + host.due[REASON_MAX_RSS], 0);
    assert_true(host.arbiter.children.list[0].look_at > 1);
}

static void an_idle_worker_is_not_looked_at(void **state)
{
    (void)state;
    host.arbiter.kinds[CHILD_WORKER].goal.target = 1;
    host.arbiter.limits.max_rss = INT64_MAX;
    run_until_ready(1);
    turn_by_turn();
    host.arbiter.tick_ms = 10;
    struct child *child = &host.arbiter.children.list[0];
    for (int i = 0; i < 1000 && (child->watching || atomic_load(&child->slot->shared->watched));
         i++) {
        child->look_at = 1;
        assert_int_equal(arbiter_run(&host.arbiter), LEAVE);
    }
    assert_false(child->watching);
    assert_int_equal(atomic_load(&child->slot->shared->watched), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lifetime_ends_and_the_successor_comes_first),
        TEST(a_worker_that_grows_is_replaced),
        TEST(a_worker_that_grows_beyond_the_hard_limit_is_not_waited_for),
        TEST(a_worker_that_is_born_too_big_is_left_alone),
        TEST(an_idle_worker_is_not_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
