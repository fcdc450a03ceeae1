#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/timer.h"

enum { MANY = 2000, TURN_MS = TIMER_SLOTS * TIMER_SLOT_MS, START = 1000 * 1000 };

/* Timers that note when they expired, in which order. */
struct alarm {
    struct timer timer;
    uint64_t due;
    uint64_t seen; /* 0: not yet */
    int order;
};

struct world {
    struct timers timers;
    uint64_t now;
    int expired;
};

static void expired(struct timer *timer, void *context)
{
    struct world *world = context;
    struct alarm *alarm = (struct alarm *)timer;
    assert_int_equal(alarm->seen, 0);
    alarm->seen = world->now;
    alarm->order = world->expired++;
}

static void open_world(struct world *world)
{
    *world = (struct world){.now = START};
    timers_init(&world->timers, START);
}

static void set(struct world *world, struct alarm *alarm, uint64_t due)
{
    alarm->due = due;
    timer_set(&world->timers, &alarm->timer, due);
}

static void add(struct world *world, struct alarm *alarm, uint64_t due)
{
    *alarm = (struct alarm){.due = 0};
    timer_init(&alarm->timer);
    set(world, alarm, due);
}

static void go_to(struct world *world, uint64_t now)
{
    world->now = now;
    timers_run(&world->timers, now, expired, world);
}

/* As the engine does: waits as long as it is told, at most until `end`. Returns how often it woke.
 */
static int sleep_until(struct world *world, uint64_t end)
{
    int wakes = 0;
    while (world->now < end) {
        int wait = timers_wait(&world->timers, world->now);
        uint64_t now = wait < 0 ? end : world->now + (uint64_t)wait;
        assert_true(wait != 0 || wakes == 0); /* no turn without sleep, but the first */
        go_to(world, now < end ? now : end);
        wakes++;
    }
    return wakes;
}

static void assert_on_time(const struct alarm *alarm)
{
    assert_true(alarm->seen >= alarm->due);
    assert_true(alarm->seen <= alarm->due + TIMER_SLOT_MS);
}

static void nothing_set_is_for_ever(void **state)
{
    struct world world;
    (void)state;
    open_world(&world);
    assert_int_equal(timers_wait(&world.timers, START), -1);
    go_to(&world, START + 10 * TURN_MS);
    assert_int_equal(timers_wait(&world.timers, world.now), -1);
}

static void each_expires_in_its_order(void **state)
{
    struct world world;
    struct alarm alarms[5];
    static const int after[] = {500, 100, 30000, 7, 900};
    static const int order[] = {2, 1, 4, 0, 3};
    (void)state;
    open_world(&world);
    for (int i = 0; i < 5; i++)
        add(&world, &alarms[i], START + (uint64_t)after[i]);
    sleep_until(&world, START + 40000);
    for (int i = 0; i < 5; i++) {
        assert_on_time(&alarms[i]);
        assert_int_equal(alarms[i].order, order[i]);
    }
}

static void moved_later_is_a_store(void **state)
{
    struct world world;
    struct alarm alarm;
    (void)state;
    open_world(&world);
    add(&world, &alarm, START + 200);
    uint64_t slot = alarm.timer.slot_at;
    set(&world, &alarm, START + 5000);
    assert_int_equal(alarm.timer.slot_at, slot);
    sleep_until(&world, START + 1000);
    assert_int_equal(alarm.seen, 0);
    sleep_until(&world, START + 10000);
    assert_on_time(&alarm);
}

static void moved_earlier(void **state)
{
    struct world world;
    struct alarm alarm;
    (void)state;
    open_world(&world);
    add(&world, &alarm, START + 20000);
    set(&world, &alarm, START + 100);
    sleep_until(&world, START + 1000);
    assert_on_time(&alarm);
}

static void moved_later_then_earlier(void **state)
{
    struct world world;
    struct alarm alarm;
    (void)state;
    open_world(&world);
    add(&world, &alarm, START + 1000);
    set(&world, &alarm, START + 30000);
    set(&world, &alarm, START + 2000);
    set(&world, &alarm, START + 64);
    sleep_until(&world, START + 40000);
    assert_on_time(&alarm);
}

static void cancelled_never_expires(void **state)
{
    struct world world;
    struct alarm alarm;
    (void)state;
    open_world(&world);
    add(&world, &alarm, START + 100);
    timer_cancel(&alarm.timer);
    assert_int_equal(sleep_until(&world, START + 5000), 2);
    assert_int_equal(alarm.seen, 0);
    set(&world, &alarm, START + 6000);
    sleep_until(&world, START + 7000);
    assert_on_time(&alarm);
}

static void unlinked_may_be_freed(void **state)
{
    struct world world;
    struct alarm *alarm = test_malloc(sizeof(*alarm));
    (void)state;
    open_world(&world);
    add(&world, alarm, START + 100);
    timer_unlink(&alarm->timer);
    test_free(alarm);
    go_to(&world, START + 1000);
    assert_int_equal(world.expired, 0);
}

static void far_beyond_the_wheel(void **state)
{
    struct world world;
    struct alarm alarm;
    (void)state;
    open_world(&world);
    add(&world, &alarm, START + 5 * TURN_MS + 123);
    int wakes = sleep_until(&world, START + 6 * TURN_MS);
    assert_on_time(&alarm);
    assert_true(wakes < 10); /* once a turn, not once a slot */
}

static void a_deadline_in_the_past(void **state)
{
    struct world world;
    struct alarm alarm;
    (void)state;
    open_world(&world);
    add(&world, &alarm, START - 5000);
    assert_true(timers_wait(&world.timers, START) <= TIMER_SLOT_MS);
    go_to(&world, START + TIMER_SLOT_MS);
    assert_int_equal(world.expired, 1);
}

static void after_a_long_sleep(void **state)
{
    struct world world;
    struct alarm alarms[3];
    (void)state;
    open_world(&world);
    add(&world, &alarms[0], START + 100);
    add(&world, &alarms[1], START + 20000);
    add(&world, &alarms[2], START + 100 * TURN_MS);
    go_to(&world, START + 50 * TURN_MS);
    assert_int_equal(world.expired, 2);
    add(&world, &alarms[0], world.now + 10);
    sleep_until(&world, world.now + 1000);
    assert_on_time(&alarms[0]);
    assert_int_equal(alarms[2].seen, 0);
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void many_that_move_all_the_time(void **state)
{
    static struct alarm alarms[MANY];
    struct world world;
    uint32_t seed = 42;
    (void)state;
    open_world(&world);
    for (int i = 0; i < MANY; i++)
        add(&world, &alarms[i], START + 1 + next(&seed) % (3 * TURN_MS));
    for (int round = 0; round < 200; round++) {
        sleep_until(&world, world.now + next(&seed) % 100);
        for (int i = 0; i < 100; i++) {
            struct alarm *alarm = &alarms[next(&seed) % MANY];
            if (alarm->seen == 0)
                set(&world, alarm, world.now + 1 + next(&seed) % (2 * TURN_MS));
        }
    }
    sleep_until(&world, world.now + 4 * TURN_MS);
    assert_int_equal(world.expired, MANY);
    for (int i = 0; i < MANY; i++)
        assert_on_time(&alarms[i]);
}

/* The callback may set its own timer again, and touch any other. */
struct knot {
    struct timer timer;
    struct knot *cancels, *unlinks, *sets;
    int count;
};

static struct timers *knotted;

static void knot_expired(struct timer *timer, void *context)
{
    struct knot *knot = (struct knot *)timer;
    uint64_t now = *(uint64_t *)context;
    knot->count++;
    if (knot->cancels)
        timer_cancel(&knot->cancels->timer);
    if (knot->unlinks)
        timer_unlink(&knot->unlinks->timer);
    if (knot->sets)
        timer_set(knotted, &knot->sets->timer, now + 100);
}

static void callbacks_touch_others(void **state)
{
    struct timers timers;
    struct knot knots[4] = {0};
    uint64_t now = START;
    (void)state;
    knotted = &timers;
    timers_init(&timers, now);
    for (int i = 0; i < 4; i++) {
        timer_init(&knots[i].timer);
        timer_set(&timers, &knots[i].timer, now + 10); /* all in one slot */
    }
    knots[0].cancels = &knots[1];
    knots[0].unlinks = &knots[2];
    knots[0].sets = &knots[0];
    knots[3].sets = &knots[1];
    now += 200;
    timers_run(&timers, now, knot_expired, &now);
    assert_int_equal(knots[0].count, 1);
    assert_int_equal(knots[1].count, 0);
    assert_int_equal(knots[2].count, 0);
    assert_int_equal(knots[3].count, 1);
    knots[0].cancels = NULL;
    now += 200;
    timers_run(&timers, now, knot_expired, &now);
    assert_int_equal(knots[0].count, 2);
    assert_int_equal(knots[1].count, 1);
    assert_int_equal(knots[2].count, 0);
    assert_int_equal(knots[3].count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_set_is_for_ever),     cmocka_unit_test(each_expires_in_its_order),
        cmocka_unit_test(moved_later_is_a_store),      cmocka_unit_test(moved_earlier),
        cmocka_unit_test(moved_later_then_earlier),    cmocka_unit_test(cancelled_never_expires),
        cmocka_unit_test(unlinked_may_be_freed),       cmocka_unit_test(far_beyond_the_wheel),
        cmocka_unit_test(a_deadline_in_the_past),      cmocka_unit_test(after_a_long_sleep),
        cmocka_unit_test(many_that_move_all_the_time), cmocka_unit_test(callbacks_touch_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
