#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "serve/engine/budget.h"
#include "serve/engine/limits.h"
#include "serve/request/spool.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct budget budget;

/* The byte that stands at `at`: no two pages are alike. */
static char pattern(uint64_t at)
{
    return (char)(at * 31 + (at >> 12));
}

/* Writes up to n bytes; returns how many were stored, less than n when there is no room. */
static uint64_t put(struct spool *spool, uint64_t n, uint64_t total, const char *dir)
{
    uint64_t done = 0;
    while (done < n) {
        size_t room = 0;
        char *into = spool_reserve(spool, total, (size_t)(n - done), dir, &room);
        if (!into)
            return done;
        assert_true(room > 0 && room <= n - done);
        for (size_t i = 0; i < room; i++)
            into[i] = pattern(spool->size + i);
        spool_commit(spool, room);
        done += room;
    }
    return done;
}

static void assert_reads(const struct spool *spool, uint64_t at, size_t n)
{
    char *out = test_malloc(n);
    size_t done = 0;
    while (done < n) {
        ssize_t got = spool_read(spool, at + done, out + done, n - done);
        assert_true(got > 0);
        done += (size_t)got;
    }
    for (size_t i = 0; i < n; i++)
        if (out[i] != pattern(at + i))
            fail_msg("byte %zu differs", (size_t)at + i);
    test_free(out);
}

static void empty(void **state)
{
    struct spool spool;
    char byte;
    (void)state;
    spool_init(&spool, &budget);
    assert_int_equal(spool_read(&spool, 0, &byte, 1), 0);
    spool_free(&spool);
    spool_free(&spool);
}

static void small_stays_in_memory(void **state)
{
    struct spool spool;
    char byte;
    (void)state;
    spool_init(&spool, &budget);
    assert_int_equal(put(&spool, 100, 100, NULL), 100);
    assert_int_equal(spool.memory_capacity, 100); /* the size that is known */
    assert_int_equal(spool.file, -1);
    assert_reads(&spool, 0, 100);
    assert_reads(&spool, 99, 1);
    assert_int_equal(spool_read(&spool, 100, &byte, 1), 0);
    spool_free(&spool);
}

static void unknown_size_doubles(void **state)
{
    struct spool spool;
    (void)state;
    spool_init(&spool, &budget);
    assert_int_equal(put(&spool, BODY_STEP + 1, 0, NULL), BODY_STEP + 1);
    assert_int_equal(spool.memory_capacity, 2 * BODY_STEP);
    assert_int_equal(put(&spool, BODY_MEMORY_MAX - BODY_STEP - 1, 0, NULL),
                     BODY_MEMORY_MAX - BODY_STEP - 1);
    assert_int_equal(spool.file, -1);
    assert_reads(&spool, 0, BODY_MEMORY_MAX);
    spool_free(&spool);
}

static void past_the_bound_in_a_file(void **state)
{
    uint64_t total = *state ? 3 * BODY_MEMORY_MAX + 5 : 0;
    struct spool spool;
    char byte;
    spool_init(&spool, &budget);
    assert_int_equal(put(&spool, BODY_MEMORY_MAX, total, NULL), BODY_MEMORY_MAX);
    assert_int_equal(spool.file, -1);
    assert_int_equal(put(&spool, 2 * BODY_MEMORY_MAX + 5, total, NULL), 2 * BODY_MEMORY_MAX + 5);
    assert_true(spool.file >= 0);
    assert_int_equal(spool.memory_capacity, BODY_SPILLED); /* a place to receive into */
    assert_int_equal(spool.size, 3 * BODY_MEMORY_MAX + 5);
    assert_reads(&spool, 0, 3 * BODY_MEMORY_MAX + 5);
    /* From the file, across into memory, from memory, behind the end. */
    assert_reads(&spool, 3 * BODY_MEMORY_MAX - 10, 15);
    assert_reads(&spool, 3 * BODY_MEMORY_MAX, 5);
    assert_int_equal(spool_read(&spool, spool.size, &byte, 1), 0);
    spool_free(&spool);
    assert_int_equal(spool.file, -1);
}

static void no_memory(void **state)
{
    struct spool spool;
    size_t room;
    (void)state;
    spool_init(&spool, &budget);
    blocks_trim(&budget.blocks);
    mem_fail_after(0);
    assert_null(spool_reserve(&spool, 0, 1, NULL, &room));
    assert_int_equal(errno, ENOMEM);
    mem_fail_after(1);
    assert_int_equal(put(&spool, 3 * BODY_STEP, 0, NULL), BODY_STEP);
    mem_fail_never();
    assert_reads(&spool, 0, BODY_STEP);
    spool_free(&spool);
}

static void no_such_directory(void **state)
{
    struct spool spool;
    (void)state;
    spool_init(&spool, &budget);
    assert_int_equal(put(&spool, BODY_MEMORY_MAX + 1, 0, "/nonexistent/dir"), BODY_MEMORY_MAX);
    assert_int_equal(errno, ENOENT);
    assert_reads(&spool, 0, BODY_MEMORY_MAX);
    spool_free(&spool);
}

static void a_name_too_long(void **state)
{
    char dir[5000];
    (void)state;
    memset(dir, 'x', sizeof(dir) - 1);
    dir[sizeof(dir) - 1] = '\0';
    assert_int_equal(spool_open_file(dir), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

/* A bound on the size of files stands for a disk that is full. */
static void the_disk_is_full(void **state)
{
    struct spool spool;
    struct rlimit old, small;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){BODY_MEMORY_MAX + 1000, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    spool_init(&spool, &budget);
    uint64_t stored = put(&spool, 4 * BODY_MEMORY_MAX, 0, NULL);
    int error = errno;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(stored, BODY_MEMORY_MAX + BODY_SPILLED);
    assert_int_equal(error, EFBIG);
    assert_reads(&spool, 0, stored);
    spool_free(&spool);
}

static void the_directory_of_the_environment(void **state)
{
    (void)state;
    char *old = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
    setenv("TMPDIR", "/nonexistent/dir", 1);
    assert_int_equal(spool_open_file(NULL), -1);
    setenv("TMPDIR", "", 1);
    int file = spool_open_file(NULL);
    assert_true(file >= 0);
    close(file);
    unsetenv("TMPDIR");
    if (old)
        setenv("TMPDIR", old, 1);
    free(old);
}

static void beyond_the_budget_in_a_file(void **state)
{
    struct spool spool;
    (void)state;
    budget.memory_max = (uint64_t)BUDGET_SHARE * BODY_STEP + BODY_STEP;
    spool_init(&spool, &budget);
    assert_int_equal(put(&spool, 3 * BODY_STEP, BODY_MEMORY_MAX, NULL), 3 * BODY_STEP);
    assert_int_equal(spool.memory_capacity, BODY_STEP);
    assert_true(spool.file >= 0);
    assert_int_equal(atomic_load(&budget.memory), BODY_STEP);
    assert_int_equal(atomic_load(&budget.spooled), 2 * BODY_STEP);
    assert_int_equal(atomic_load(&budget.files), 1);
    assert_reads(&spool, 0, 3 * BODY_STEP);
    spool_free(&spool);
    budget.memory_max = 0;
}

/* First a smaller buffer, then none; what is there stays readable when the disk's part is used up,
 * too. */
static void nothing_left_of_the_budget(void **state)
{
    struct spool spool, other;
    (void)state;
    budget.memory_max = (uint64_t)(BUDGET_SHARE + 1) * BODY_LEAST;
    budget.disk_max = 2 * BODY_LEAST;
    spool_init(&spool, &budget);
    spool_init(&other, &budget);
    assert_int_equal(put(&spool, 5 * BODY_LEAST, 0, NULL), 2 * BODY_LEAST);
    assert_int_equal(errno, ENOBUFS);
    assert_int_equal(spool.memory_capacity, BODY_LEAST);
    assert_int_equal(put(&other, BODY_LEAST, 0, NULL), 0);
    assert_int_equal(errno, ENOBUFS);
    assert_reads(&spool, 0, 2 * BODY_LEAST);
    spool_free(&spool);
    spool_free(&other);
    budget.memory_max = budget.disk_max = 0;
}

static int open_budget(void **state)
{
    (void)state;
    budget_init(&budget, 0, 0);
    return 0;
}

static int close_budget(void **state)
{
    (void)state;
    budget_destroy(&budget);
    return 0;
}

int main(void)
{
    static char known[] = "known";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty),
        cmocka_unit_test(small_stays_in_memory),
        cmocka_unit_test(unknown_size_doubles),
        cmocka_unit_test(past_the_bound_in_a_file),
        {"past_the_bound_in_a_file, size known", past_the_bound_in_a_file, NULL, NULL, known},
        cmocka_unit_test(no_memory),
        cmocka_unit_test(no_such_directory),
        cmocka_unit_test(a_name_too_long),
        cmocka_unit_test(the_disk_is_full),
        cmocka_unit_test(the_directory_of_the_environment),
        cmocka_unit_test(beyond_the_budget_in_a_file),
        cmocka_unit_test(nothing_left_of_the_budget),
    };
    return cmocka_run_group_tests(tests, open_budget, close_budget);
}
