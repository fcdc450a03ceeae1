#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "serve/engine/budget.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

static struct budget budget;

static int open_budget(void **state)
{
    (void)state;
    budget_init(&budget, 64 * MIB, 64 * MIB);
    return 0;
}

static int close_budget(void **state)
{
    (void)state;
    mem_fail_never();
    budget_destroy(&budget);
    return 0;
}

static uint64_t used(void)
{
    return atomic_load(&budget.memory);
}

static void a_buffer_takes_its_share(void **state)
{
    (void)state;
    assert_true(budget_take(&budget, BUDGET_REQUEST, 0, 1 * MIB));
    assert_int_equal(used(), 1 * MIB);
    /* 2 MiB are larger than a 32nd of the 62 that would be left. */
    assert_false(budget_take(&budget, BUDGET_REQUEST, 1 * MIB, 1 * MIB));
    assert_int_equal(errno, ENOBUFS);
    assert_int_equal(used(), 1 * MIB);
    assert_true(budget_take(&budget, BUDGET_REQUEST, 1 * MIB, MIB / 2));
    budget_give(&budget, 1 * MIB + MIB / 2);
}

/* Readers that take nothing leave room for whoever sends. */
static void answers_leave_a_part_to_requests(void **state)
{
    size_t size = 4 * MIB, taken = 0;
    (void)state;
    while (size >= 4096) {
        if (budget_take(&budget, BUDGET_ANSWER, 0, size))
            taken += size;
        else
            size /= 2;
    }
    assert_in_range(taken, 40 * MIB, 48 * MIB);
    assert_true(budget_take(&budget, BUDGET_REQUEST, 0, MIB / 4));
    assert_false(budget_take(&budget, BUDGET_ANSWER, 0, MIB / 4));
    budget_give(&budget, taken + MIB / 4);
}

/* However many are as greedy as they may be, they have about the same, and so may the next one. */
static void the_greedy_starve_nobody(void **state)
{
    enum { MANY = 300, STEP = 4096 };
    size_t held[MANY] = {0}, total = 0;
    bool grows = true;
    (void)state;
    while (grows) {
        grows = false;
        for (int i = 0; i < MANY; i++)
            if (budget_take(&budget, BUDGET_REQUEST, held[i], STEP)) {
                held[i] += STEP;
                total += STEP;
                grows = true;
            }
    }
    assert_int_equal(used(), total);
    assert_true(total < 64 * MIB);
    assert_true(held[0] - held[MANY - 1] <= STEP);
    assert_true(budget_has(&budget, held[0] / 2));
    assert_false(budget_has(&budget, 2 * held[0]));
    budget_give(&budget, total);
}

static void what_is_forced_may_be_too_much(void **state)
{
    (void)state;
    budget_force(&budget, 100 * MIB);
    assert_false(budget_take(&budget, BUDGET_REQUEST, 0, 1));
    assert_false(budget_has(&budget, 1));
    budget_give(&budget, 100 * MIB);
    assert_true(budget_has(&budget, 1));
}

static void without_a_bound(void **state)
{
    (void)state;
    budget.memory_max = budget.disk_max = 0;
    assert_true(budget_allows(&budget, SIZE_MAX));
    assert_true(budget_take(&budget, BUDGET_REQUEST, 0, 1000 * (size_t)MIB));
    assert_true(budget_spool(&budget, 0, 1000 * (uint64_t)MIB));
    budget_give(&budget, 1000 * (size_t)MIB);
    budget_unspool(&budget, 1000 * (uint64_t)MIB);
}

static void buffers(void **state)
{
    size_t size = 100, large = 100 * 1000, too_large = 64 * MIB;
    (void)state;
    char *one = budget_alloc(&budget, BUDGET_REQUEST, &size),
         *other = budget_alloc(&budget, BUDGET_REQUEST, &large);
    assert_int_equal(size, 100);
    assert_int_equal(large, 128 * 1024);
    memset(one, 1, size);
    memset(other, 2, large);
    assert_int_equal(used(), size + large);
    assert_null(budget_alloc(&budget, BUDGET_REQUEST, &too_large));
    assert_int_equal(errno, ENOBUFS);
    budget_free(&budget, one, size);
    budget_free(&budget, other, large);
    budget_free(&budget, NULL, 0);
    assert_int_equal(used(), 0);
}

static void no_memory(void **state)
{
    size_t small = 1, large = MIB;
    (void)state;
    mem_fail_after(0);
    assert_null(budget_alloc(&budget, BUDGET_REQUEST, &small));
    assert_int_equal(errno, ENOMEM);
    assert_null(budget_alloc(&budget, BUDGET_REQUEST, &large));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(used(), 0);
}

static void files(void **state)
{
    (void)state;
    budget.files_max = 2;
    assert_true(budget_open(&budget));
    assert_true(budget_open(&budget));
    assert_false(budget_open(&budget));
    assert_int_equal(errno, EMFILE);
    budget_adopt(&budget, 60 * MIB); /* it is there already */
    assert_int_equal(atomic_load(&budget.files), 3);
    assert_false(budget_spool(&budget, 0, 3 * MIB));
    assert_int_equal(errno, ENOBUFS);
    assert_true(budget_spool(&budget, 0, 2 * MIB));
    assert_int_equal(atomic_load(&budget.spooled), 62 * MIB);
    budget_unspool(&budget, 62 * MIB);
    for (int i = 0; i < 3; i++)
        budget_close(&budget);
}

static void a_peak_and_its_end(void **state)
{
    (void)state;
    budget_force(&budget, BUDGET_PEAK - 1);
    assert_false(atomic_load(&budget.peaked));
    budget_force(&budget, BUDGET_PEAK);
    assert_true(atomic_load(&budget.peaked));
    assert_false(budget_calm(&budget));
    budget_give(&budget, BUDGET_PEAK);
    assert_true(budget_calm(&budget));
    assert_false(atomic_load(&budget.peaked));
    budget_give(&budget, BUDGET_PEAK - 1);
}

/* In a child of its own, with these limits. Its status: what the test has found. */
static void with_limits(rlim_t soft, rlim_t hard, int (*test)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {soft, hard};
        _exit(setrlimit(RLIMIT_NOFILE, &limit) < 0 ? 100 : test());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static rlim_t soft_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

static int raises_it(void)
{
    uint64_t hard;
    if (budget_descriptors(&budget, 200, &hard) != 200)
        return 1;
    return soft_limit() < 400 || soft_limit() > 600 || budget.files_max < 200;
}

static int leaves_it(void)
{
    uint64_t hard;
    return budget_descriptors(&budget, 20, &hard) != 20 || soft_limit() != 512;
}

/* Each connection has its file, and the application what it needs. */
static int divides_it(void)
{
    uint64_t hard;
    uint32_t connections = budget_descriptors(&budget, 1000, &hard);
    return hard != 256 || soft_limit() != 256 || connections < 60 ||
           budget.files_max < connections || connections + budget.files_max > 256 - 64;
}

static int has_hardly_any(void)
{
    uint64_t hard;
    uint32_t connections = budget_descriptors(&budget, 1000, &hard);
    return connections < 1 || connections + budget.files_max > 16;
}

static void descriptors(void **state)
{
    (void)state;
    with_limits(64, 1024, raises_it);
    with_limits(512, 1024, leaves_it);
    with_limits(64, 256, divides_it);
    with_limits(20, 20, has_hardly_any);
}

#define WITH_BUDGET(test) cmocka_unit_test_setup_teardown(test, open_budget, close_budget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BUDGET(a_buffer_takes_its_share),
        WITH_BUDGET(answers_leave_a_part_to_requests),
        WITH_BUDGET(the_greedy_starve_nobody),
        WITH_BUDGET(what_is_forced_may_be_too_much),
        WITH_BUDGET(without_a_bound),
        WITH_BUDGET(buffers),
        WITH_BUDGET(no_memory),
        WITH_BUDGET(files),
        WITH_BUDGET(a_peak_and_its_end),
        WITH_BUDGET(descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
