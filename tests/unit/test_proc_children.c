#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proc/children/children.h"

/* A registry whose workers have slots that the test writes, as the workers would. */
struct registry {
    struct children children;
    struct slot slots[16];
    struct slot_shared shared[16];
    struct children_goal goal;
    pid_t last_pid;
};

static int setup(void **state)
{
    struct registry *r = aligned_alloc(64, sizeof(*r));
    memset(r, 0, sizeof(*r));
    children_init(&r->children);
    r->goal.proven = true;
    r->goal.max_unavailable = 1;
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct registry *r = *state;
    children_free(&r->children);
    free(r);
    return 0;
}

static pid_t add(struct registry *r, enum slot_phase said)
{
    pid_t pid = ++r->last_pid;
    struct slot *slot = &r->slots[pid];
    slot->shared = &r->shared[pid];

    slot->shared->phase = said;
    assert_non_null(children_add(&r->children, CHILD_WORKER, pid, (uint32_t)pid, r->goal.generation,
                                 slot, pid * 10));
    child_update(children_find(&r->children, pid), pid * 10);
    return pid;
}

static void admit(struct registry *r)
{
    children_admit(&r->children, &r->goal);
}

static void die(struct registry *r, pid_t pid)
{
    children_remove(&r->children, children_find(&r->children, pid));
}

static bool is_replacing(struct registry *r, pid_t pid)
{
    return children_find(&r->children, pid)->replacing;
}

static void say(struct registry *r, pid_t pid, enum slot_phase said)
{
    r->shared[pid].phase = said;
    child_update(children_find(&r->children, pid), 1000);
}

static pid_t surplus(struct registry *r)
{
    struct child *child = children_surplus(&r->children, &r->goal);
    return child ? child->pid : 0;
}

static void stop_worker(struct registry *r, pid_t pid)
{
    child_move(children_find(&r->children, pid), CHILD_STOPPING, 2000);
}

static void phases_move_as_the_diagram_says(void **state)
{
    (void)state;
    for (int from = 0; from < CHILD_PHASE_COUNT; from++) {
        assert_false(child_may_move(from, from));
        assert_false(child_may_move(from, CHILD_BOOTING));
        assert_int_equal(child_may_move(from, CHILD_KILLED), from != CHILD_KILLED);
        for (int to = from + 1; to < CHILD_PHASE_COUNT; to++)
            assert_int_equal(child_may_move(from, to),
                             !(from == CHILD_BOOTING && to == CHILD_RETIRING));
        for (int to = 0; to < from; to++)
            assert_false(child_may_move(from, to));
    }
}

static void many_come_and_go_and_stay_in_order(void **state)
{
    struct registry *r = *state;

    for (int i = 1; i <= 1000; i++)
        assert_non_null(children_add(&r->children, CHILD_WORKER, i, (uint32_t)i, 0, NULL, 0));
    for (int i = 1; i <= 1000; i += 2)
        children_remove(&r->children, children_find(&r->children, i));
    assert_int_equal(r->children.count, 500);
    assert_null(children_find(&r->children, 1));
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(r->children.list[i].pid, 2 * (i + 1));
}

static void missing_workers_are_counted(void **state)
{
    struct registry *r = *state;

    r->goal.target = 3;
    assert_int_equal(children_missing(&r->children, &r->goal), 3);
    add(r, SLOT_BOOTING);
    pid_t ready = add(r, SLOT_READY);
    assert_int_equal(children_missing(&r->children, &r->goal), 1);
    stop_worker(r, ready);
    assert_int_equal(children_missing(&r->children, &r->goal), 2);
}

static void the_oldest_of_too_many_goes(void **state)
{
    struct registry *r = *state;
    pid_t first = add(r, SLOT_READY), second = add(r, SLOT_READY);

    add(r, SLOT_READY);
    r->goal.target = 3;
    assert_int_equal(surplus(r), 0);
    r->goal.target = 1;
    assert_int_equal(surplus(r), first);
    stop_worker(r, first);
    assert_int_equal(surplus(r), second);
    stop_worker(r, second);
    assert_int_equal(surplus(r), 0);
}

static void who_retires_serves_until_its_successor_is_ready(void **state)
{
    struct registry *r = *state;
    pid_t old = add(r, SLOT_READY);

    r->goal.target = 1;
    say(r, old, SLOT_RETIRING);
    admit(r);
    assert_int_equal(children_missing(&r->children, &r->goal), 1);
    assert_int_equal(surplus(r), 0);
    pid_t successor = add(r, SLOT_BOOTING);
    assert_int_equal(children_missing(&r->children, &r->goal), 0);
    assert_int_equal(surplus(r), 0);
    say(r, successor, SLOT_READY);
    assert_int_equal(surplus(r), old);
    stop_worker(r, old);
    assert_int_equal(surplus(r), 0);
}

static void few_are_replaced_at_a_time(void **state)
{
    struct registry *r = *state;
    pid_t all[8];

    r->goal.target = 8;
    r->goal.max_unavailable = 2;
    for (int i = 0; i < 8; i++)
        all[i] = add(r, SLOT_READY);
    for (int i = 7; i >= 0; i--)
        child_retire(children_find(&r->children, all[i]), REASON_MAX_REQUESTS, 1000 - i);
    for (int replaced = 0; replaced < 8; replaced += 2) {
        pid_t first = all[7 - replaced], second = all[6 - replaced];

        admit(r);
        admit(r);
        assert_true(is_replacing(r, first) && is_replacing(r, second)); /* waited for longest */
        assert_int_equal(children_missing(&r->children, &r->goal), 2);
        assert_int_equal(surplus(r), 0);
        add(r, SLOT_READY);
        assert_int_equal(surplus(r), second); /* the older of the two */
        stop_worker(r, second);
        assert_int_equal(surplus(r), 0);
        add(r, SLOT_READY);
        stop_worker(r, surplus(r));
        admit(r);
        assert_int_equal(children_missing(&r->children, &r->goal), 0); /* both still live */
        assert_int_equal(r->children.count, 10);
        die(r, first);
        die(r, second);
    }
    admit(r);
    assert_int_equal(children_missing(&r->children, &r->goal), 0);
    assert_int_equal(surplus(r), 0);
}

static void no_limit_replaces_all_at_once(void **state)
{
    struct registry *r = *state;

    r->goal.target = 3;
    r->goal.max_unavailable = 0;
    for (int i = 0; i < 3; i++)
        say(r, add(r, SLOT_READY), SLOT_RETIRING);
    admit(r);
    assert_int_equal(children_missing(&r->children, &r->goal), 3);
}

static void who_dies_before_its_turn_is_replaced_as_any_other(void **state)
{
    struct registry *r = *state;
    pid_t first = add(r, SLOT_READY), second = add(r, SLOT_READY);

    r->goal.target = 2;
    say(r, first, SLOT_RETIRING);
    admit(r);
    say(r, second, SLOT_RETIRING);
    admit(r);
    die(r, second);
    assert_int_equal(children_missing(&r->children, &r->goal), 2);
    add(r, SLOT_READY);
    die(r, first); /* and who dies in its turn */
    assert_int_equal(children_missing(&r->children, &r->goal), 1);
    assert_int_equal(surplus(r), 0);
}

static void a_successor_that_does_not_boot_costs_nobody(void **state)
{
    struct registry *r = *state;
    pid_t first = add(r, SLOT_READY), second = add(r, SLOT_READY);

    r->goal.target = 2;
    say(r, first, SLOT_RETIRING);
    say(r, second, SLOT_RETIRING);
    for (int i = 0; i < 3; i++) {
        admit(r);
        assert_int_equal(children_missing(&r->children, &r->goal), 1);
        die(r, add(r, SLOT_BOOTING));
        assert_int_equal(surplus(r), 0);
    }
    assert_true(is_replacing(r, first) && !is_replacing(r, second));
}

static void fewer_workers_are_wanted_while_recycling(void **state)
{
    struct registry *r = *state;
    pid_t turn = add(r, SLOT_READY), waiting = add(r, SLOT_READY), fresh = add(r, SLOT_READY);

    r->goal.target = 3;
    say(r, turn, SLOT_RETIRING);
    admit(r);
    say(r, waiting, SLOT_RETIRING);
    admit(r);
    pid_t successor = add(r, SLOT_BOOTING);
    r->goal.target = 2;
    assert_int_equal(surplus(r), turn); /* its successor is not needed */
    stop_worker(r, turn);
    assert_int_equal(surplus(r), 0); /* the successor does not serve yet, and the newest survive */
    say(r, successor, SLOT_READY);
    assert_int_equal(surplus(r), waiting); /* rather than a fresh one */
    stop_worker(r, waiting);
    assert_int_equal(surplus(r), 0);
    r->goal.target = 1;
    assert_int_equal(surplus(r), fresh);
    stop_worker(r, fresh);
    assert_int_equal(surplus(r), 0);
    assert_int_equal(children_find(&r->children, successor)->phase, CHILD_READY);
}

static void more_workers_are_wanted_while_recycling(void **state)
{
    struct registry *r = *state;
    pid_t old = add(r, SLOT_READY);

    r->goal.target = 1;
    say(r, old, SLOT_RETIRING);
    admit(r);
    r->goal.target = 2;
    assert_int_equal(children_missing(&r->children, &r->goal), 2);
    add(r, SLOT_READY);
    assert_int_equal(surplus(r), 0);
    add(r, SLOT_READY);
    assert_int_equal(surplus(r), old);
}

static void a_reload_does_not_wait_for_turns(void **state)
{
    struct registry *r = *state;

    for (int i = 0; i < 3; i++)
        say(r, add(r, SLOT_READY), SLOT_RETIRING);
    r->goal.target = 3;
    admit(r);
    r->goal.generation = 1;
    for (int i = 0; i < 3; i++) {
        admit(r);
        add(r, SLOT_READY);
        stop_worker(r, surplus(r));
    }
    assert_int_equal(surplus(r), 0);
    assert_int_equal(children_missing(&r->children, &r->goal), 0);
}

static void a_reload_tries_one_worker_first(void **state)
{
    struct registry *r = *state;
    pid_t old[3] = {add(r, SLOT_READY), add(r, SLOT_READY), add(r, SLOT_READY)};

    r->goal = (struct children_goal){.target = 3, .generation = 1};
    assert_int_equal(children_missing(&r->children, &r->goal), 1);
    pid_t probe = add(r, SLOT_BOOTING);
    assert_int_equal(children_missing(&r->children, &r->goal), 0);
    assert_int_equal(surplus(r), 0);

    say(r, probe, SLOT_READY);
    r->goal.proven = true;
    assert_int_equal(children_missing(&r->children, &r->goal), 2);
    assert_int_equal(surplus(r), old[0]);
    stop_worker(r, old[0]);
    assert_int_equal(surplus(r), 0);
    add(r, SLOT_READY);
    assert_int_equal(surplus(r), old[1]);
}

static void a_reload_to_fewer_workers_waits_for_the_first_new_one(void **state)
{
    struct registry *r = *state;

    for (int i = 0; i < 4; i++)
        add(r, SLOT_READY);
    r->goal = (struct children_goal){.target = 1, .generation = 1};
    assert_int_equal(surplus(r), 0);
    pid_t probe = add(r, SLOT_READY);
    r->goal.proven = true;
    for (pid_t pid; (pid = surplus(r)); stop_worker(r, pid))
        assert_int_not_equal(pid, probe);
    assert_int_equal(children_missing(&r->children, &r->goal), 0);
}

static void a_failed_reload_leaves_the_old_workers(void **state)
{
    struct registry *r = *state;

    add(r, SLOT_READY);
    add(r, SLOT_READY);
    r->goal = (struct children_goal){.target = 2, .generation = 1};
    pid_t probe = add(r, SLOT_BOOTING);
    children_remove(&r->children, children_find(&r->children, probe));
    r->goal = (struct children_goal){.target = 2, .generation = 0, .proven = true};
    assert_int_equal(children_missing(&r->children, &r->goal), 0);
    assert_int_equal(surplus(r), 0);
}

static void no_workers_at_all_can_be_wanted(void **state)
{
    struct registry *r = *state;

    add(r, SLOT_READY);
    add(r, SLOT_BOOTING);
    r->goal = (struct children_goal){.target = 0, .generation = 1};
    for (pid_t pid; (pid = surplus(r));)
        stop_worker(r, pid);
    for (size_t i = 0; i < r->children.count; i++)
        assert_int_equal(r->children.list[i].phase, CHILD_STOPPING);
    assert_int_equal(children_missing(&r->children, &r->goal), 0);
}

static void a_worker_without_a_slot_says_nothing(void **state)
{
    struct registry *r = *state;
    struct child *child = children_add(&r->children, CHILD_WORKER, 7, 1, 0, NULL, 0);

    assert_false(child_update(child, 1));
    assert_int_equal(child->phase, CHILD_BOOTING);
}

static void nonsense_of_a_worker_has_no_effect(void **state)
{
    struct registry *r = *state;
    struct child *child = children_find(&r->children, add(r, SLOT_BOOTING));
    struct slot_shared *shared = child->slot->shared;

    shared->phase = 4711;
    assert_false(child_update(child, 1));
    shared->phase = SLOT_RETIRING;
    shared->retire_reason = 255;
    assert_true(child_update(child, 1));
    assert_int_equal(child->due, REASON_MAX_REQUESTS);
    shared->phase = SLOT_FREE;
    assert_false(child_update(child, 1));
    shared->busy_since = INT64_MIN;
    assert_int_equal(child_busy_since(child), 1);
    shared->busy_since = INT64_MAX;
    assert_true(child_busy_since(child) < INT64_MAX - 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void kinds_are_counted_apart(void **state)
{
    struct registry *r = *state;
    struct children_goal dirty = {.kind = CHILD_DIRTY, .target = 1};

    r->goal.target = 0;
    assert_int_equal(children_missing(&r->children, &dirty), 1);
    struct child *child = children_add(&r->children, CHILD_DIRTY, 7, 1, 0, NULL, 0);
    assert_int_equal(children_missing(&r->children, &dirty), 0);
    child_move(child, CHILD_READY, 0);
    child_retire(child, REASON_MAX_LIFETIME, 0);
    assert_int_equal(children_serving(&r->children, CHILD_DIRTY), 1);
    assert_int_equal(children_serving(&r->children, CHILD_WORKER), 0);
    assert_null(children_surplus(&r->children, &r->goal));
    children_admit(&r->children, &r->goal);
    assert_false(child->replacing);
    dirty.target = 0;
    assert_ptr_equal(children_surplus(&r->children, &dirty), child);
    children_admit(&r->children, &dirty);
    assert_true(child->replacing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(phases_move_as_the_diagram_says),
        TEST(many_come_and_go_and_stay_in_order),
        TEST(missing_workers_are_counted),
        TEST(the_oldest_of_too_many_goes),
        TEST(who_retires_serves_until_its_successor_is_ready),
        TEST(few_are_replaced_at_a_time),
        TEST(no_limit_replaces_all_at_once),
        TEST(who_dies_before_its_turn_is_replaced_as_any_other),
        TEST(a_successor_that_does_not_boot_costs_nobody),
        TEST(fewer_workers_are_wanted_while_recycling),
        TEST(more_workers_are_wanted_while_recycling),
        TEST(a_reload_does_not_wait_for_turns),
        TEST(a_reload_tries_one_worker_first),
        TEST(a_reload_to_fewer_workers_waits_for_the_first_new_one),
        TEST(a_failed_reload_leaves_the_old_workers),
        TEST(no_workers_at_all_can_be_wanted),
        TEST(a_worker_without_a_slot_says_nothing),
        TEST(nonsense_of_a_worker_has_no_effect),
        TEST(kinds_are_counted_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
