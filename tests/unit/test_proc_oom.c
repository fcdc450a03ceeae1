#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proc/children/memory.h"
#include "proc/children/oom.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory in the place of /, with the files that the kernel would have. */
static char root[64];

static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/test_oom_XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", root);
    return system(command);
}

static void put(const char *path, const char *text)
{
    char full[PATH_MAX];

    snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_kill_is_counted_once(void **state)
{
    struct oom oom;

    (void)state;
    put("/proc/self/cgroup", "0::/one/two\n");
    put("/sys/fs/cgroup/one/two/memory.events", "low 1\noom 5\noom_kill 3\noom_group_kill 9\n");
    put("/sys/fs/cgroup/one/two/memory.max", "1048576\n");
    oom_open(&oom, root);
    assert_false(oom_claim(&oom, 1000));
    put("/sys/fs/cgroup/one/two/memory.events", "oom 6\noom_kill 5\n");
    assert_true(oom_claim(&oom, 2000));
    assert_true(oom_claim(&oom, 2001)); /* two were killed */
    assert_false(oom_claim(&oom, 2002));
    assert_int_equal(oom_limit(&oom), 1048576);
}

static void what_was_killed_long_ago_was_another(void **state)
{
    struct oom oom;

    (void)state;
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.events", "oom_kill 0\n");
    put("/sys/fs/cgroup/memory.max", "max\n");
    oom_open(&oom, root);
    put("/sys/fs/cgroup/memory.events", "oom_kill 3\n");
    assert_true(oom_claim(&oom, 10000));
    assert_false(oom_claim(&oom, 10000 + OOM_CLAIM_MS + 1));
    assert_int_equal(oom_limit(&oom), 0);
}

static void version_1_is_read_too(void **state)
{
    struct oom oom;

    (void)state;
    put("/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/box\n0::/\n");
    put("/sys/fs/cgroup/memory/box/memory.oom_control",
        "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n");
    put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
    oom_open(&oom, root);
    assert_int_equal(oom.kills, 7);
    assert_int_equal(oom_limit(&oom), 0);
    put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "4096\n");
    assert_int_equal(oom_limit(&oom), 4096);
}

static void a_group_mounted_as_the_root_is_found(void **state)
{
    struct oom oom;

    (void)state;
    put("/proc/self/cgroup", "0::/outside/box\n");
    put("/sys/fs/cgroup/memory.events", "oom_kill 4\n");
    oom_open(&oom, root);
    assert_int_equal(oom.kills, 4);
}

static void without_groups_the_machine_counts(void **state)
{
    struct oom oom;

    (void)state;
    put("/proc/vmstat", "nr_free_pages 1\noom_kill 2\n");
    oom_open(&oom, root);
    assert_int_equal(oom.kills, 2);
}

static void a_system_that_does_not_tell_blames_nobody(void **state)
{
    struct oom oom;

    (void)state;
    oom_open(&oom, root);
    assert_int_equal(oom.kills, -1);
    assert_false(oom_claim(&oom, 1000));
    put("/proc/self/cgroup", "nonsense\n:\n1:memory\n0::/\n");
    put("/sys/fs/cgroup/memory.events", "oom_kill\noom_kill many\n");
    assert_false(oom_claim(&oom, 1000));
    assert_int_equal(oom_limit(&oom), 0);
}

static void memory_of_a_process(void **state)
{
    enum { MORE = 32 << 20 };

    (void)state;
    assert_int_equal(memory_of(-1), -1);
    int64_t before = memory_of(getpid());
    if (before < 0)
        skip();
    volatile char *block = malloc(MORE);
    for (size_t i = 0; i < MORE; i += 1024)
        block[i] = 1;
    assert_true(memory_of(getpid()) - before > MORE / 2);
    free((void *)block);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_kill_is_counted_once),
        TEST(what_was_killed_long_ago_was_another),
        TEST(version_1_is_read_too),
        TEST(a_group_mounted_as_the_root_is_found),
        TEST(without_groups_the_machine_counts),
        TEST(a_system_that_does_not_tell_blames_nobody),
        TEST(memory_of_a_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
