#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proc/children/scoreboard.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct scoreboard board;
static int wake[2];

static int setup(void **state)
{
    (void)state;
    assert_int_equal(pipe2(wake, O_NONBLOCK), 0);
    return scoreboard_open(&board);
}

static int teardown(void **state)
{
    (void)state;
    close(wake[0]);
    close(wake[1]);
    scoreboard_close(&board);
    return 0;
}

static int wakes(void)
{
    char bytes[64];
    ssize_t n = read(wake[0], bytes, sizeof(bytes));
    return n < 0 ? 0 : (int)n;
}

static void slots_are_aligned_and_taken_once(void **state)
{
    (void)state;
    struct slot *a = scoreboard_take(&board, -1), *b = scoreboard_take(&board, -1);

    assert_ptr_not_equal(a, b);
    assert_int_equal((uintptr_t)a->shared % 64, 0);
    assert_int_equal((uintptr_t)b->shared % 64, 0);
    scoreboard_release(&board, a);
    assert_int_equal(a->wake_fd, -1);
    assert_ptr_equal(scoreboard_take(&board, -1), a);
}

static void counters_of_the_dead_stay(void **state)
{
    struct metrics totals;
    struct slot *slot = scoreboard_take(&board, -1);

    (void)state;
    metrics_add(&slot->metrics->accepted, 3);
    metrics_set(&slot->metrics->running, 1);
    scoreboard_sum(&board, &totals);
    assert_int_equal(totals.accepted, 3);
    assert_int_equal(totals.running, 1);
    assert_int_equal(scoreboard_index(&board, slot), 0);
    scoreboard_release(&board, slot);
    slot = scoreboard_take(&board, -1);
    assert_int_equal(slot->metrics->accepted, 0);
    metrics_add(&slot->metrics->accepted, 1);
    scoreboard_sum(&board, &totals);
    assert_int_equal(totals.accepted, 4);
    assert_int_equal(totals.running, 0);
}

static void there_is_a_limit(void **state)
{
    (void)state;
    for (int i = 0; i < SCOREBOARD_SLOTS; i++)
        assert_non_null(scoreboard_take(&board, -1));
    assert_null(scoreboard_take(&board, -1));
}

static void another_process_sees_what_is_stored(void **state)
{
    (void)state;
    struct slot *slot = scoreboard_take(&board, wake[1]);
    pid_t pid = fork();

    if (pid == 0) {
        slot_set_phase(slot, SLOT_READY);
        slot_request_begin(slot, 123);
        running_begin(slot->running, 123, STR("GET"), STR("/slow"));
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    assert_int_equal(slot->shared->phase, SLOT_READY);
    assert_int_equal(slot->shared->busy_since, 123);
    assert_int_equal(slot->shared->requests, 1);
    struct running_request list[RUNNING_MAX];
    assert_int_equal(running_copy(slot->running, 2000, list), 1);
    assert_true(str_eq(running_method(&list[0]), STR("GET")));
    assert_true(str_eq(running_path(&list[0]), STR("/slow")));
    assert_int_equal(list[0].since, 123);
    assert_int_equal(wakes(), 1);
    slot_request_end(slot);
    assert_int_equal(slot->shared->busy_since, 0);
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    char text[1000];
    struct running_request list[RUNNING_MAX];
    struct running *running = &board.running[0];

    memset(text, 'x', sizeof(text));
    struct str long_text = {text, sizeof(text)};
    running_begin(running, 1, long_text, long_text);
    assert_int_equal(running_copy(running, 2000, list), 1);
    assert_int_equal(running_method(&list[0]).n, RUNNING_METHOD_MAX);
    assert_int_equal(running_path(&list[0]).n, RUNNING_PATH_MAX);
}

static void more_requests_than_places(void **state)
{
    (void)state;
    struct running_request list[RUNNING_MAX];
    struct running *running = &board.running[0];
    int places[RUNNING_MAX];

    for (int i = 0; i < RUNNING_MAX; i++)
        places[i] = running_begin(running, 1000 - i, STR("GET"), STR("/"));
    assert_int_equal(running_begin(running, 1, STR("GET"), STR("/")), -1);
    running_end(running, -1);
    assert_int_equal(running_copy(running, 2000, list), RUNNING_MAX);
    assert_int_equal(list[0].since, 1000 - RUNNING_MAX + 1);
    running_end(running, places[7]);
    assert_int_equal(running_begin(running, 1, STR("PUT"), STR("/")), places[7]);
    for (int i = 0; i < RUNNING_MAX; i++)
        running_end(running, places[i]);
    assert_int_equal(running_copy(running, 2000, list), 0);
}

static void an_unwatched_worker_wakes_the_master_once(void **state)
{
    (void)state;
    struct slot *slot = scoreboard_take(&board, wake[1]);

    slot_beat(slot, 1); /* watched from the start */
    slot_idle(slot);
    assert_int_equal(wakes(), 0);
    assert_true(slot_unwatch(slot));
    for (int i = 1; i < 10; i++) {
        slot_request_begin(slot, i);
        slot_request_end(slot);
    }
    assert_int_equal(wakes(), 1);
}

static void a_busy_worker_stays_watched(void **state)
{
    (void)state;
    struct slot *slot = scoreboard_take(&board, wake[1]);

    slot_beat(slot, 1);
    assert_false(slot_unwatch(slot));
    slot_idle(slot);
    slot_beat(slot, 2);
    assert_int_equal(wakes(), 0);
}

static void threads_are_busy_while_one_of_them_is(void **state)
{
    (void)state;
    struct slot *slot = scoreboard_take(&board, -1);

    slot_answer(slot, 5); /* no threads: not asked */
    assert_int_equal(slot->shared->busy_since, 0);
    slot->shared->threads = 2;
    slot_thread_begin(slot, 10);
    slot_thread_begin(slot, 20);
    slot_thread_end(slot);
    assert_int_equal(slot->shared->busy_since, 10);
    slot_answer(slot, 30);
    assert_int_equal(slot->shared->busy_since, 30);
    slot_thread_end(slot);
    assert_int_equal(slot->shared->busy_since, 0);
    slot_answer(slot, 40);
    assert_int_equal(slot->shared->busy_since, 0);
    assert_int_equal(slot->shared->requests, 2);
}

static void a_full_pipe_does_not_block(void **state)
{
    (void)state;
    struct slot *slot = scoreboard_take(&board, wake[1]);

    for (int i = 0; i < 70000; i++)
        slot_wake(slot);
    assert_true(wakes() > 0);
}

static void nonsense_is_brought_into_range(void **state)
{
    (void)state;
    struct slot *slot = scoreboard_take(&board, -1);
    struct running_request list[RUNNING_MAX];

    memset(slot->running, 0xff, sizeof(*slot->running));
    assert_int_equal(running_copy(slot->running, 50, list), RUNNING_MAX);
    for (int i = 0; i < RUNNING_MAX; i++) {
        assert_int_equal(running_method(&list[i]).n, RUNNING_METHOD_MAX);
        assert_int_equal(running_path(&list[i]).n, RUNNING_PATH_MAX);
        assert_int_equal(list[i].since, 50);
    }
}

/* All that workers can write, over which they write. */
static void slots_survive_their_workers(void **state)
{
    (void)state;
    struct slot *slot = scoreboard_take(&board, wake[1]), before = *slot;
    struct metrics totals;

    memset(board.shared, 0xff, SCOREBOARD_SLOTS * sizeof(*board.shared));
    memset(board.metrics, 0xff, 16 * sizeof(*board.metrics));
    assert_memory_equal(slot, &before, sizeof(before));
    scoreboard_sum(&board, &totals);
    assert_int_equal(totals.accepted, 0);
    scoreboard_release(&board, slot);
    assert_ptr_equal(scoreboard_take(&board, wake[1]), slot);
    assert_int_equal(slot->shared->busy_since, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(slots_are_aligned_and_taken_once),
        TEST(there_is_a_limit),
        TEST(another_process_sees_what_is_stored),
        TEST(long_texts_are_cut),
        TEST(an_unwatched_worker_wakes_the_master_once),
        TEST(a_busy_worker_stays_watched),
        TEST(threads_are_busy_while_one_of_them_is),
        TEST(a_full_pipe_does_not_block),
        TEST(counters_of_the_dead_stay),
        TEST(more_requests_than_places),
        TEST(nonsense_is_brought_into_range),
        TEST(slots_survive_their_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
