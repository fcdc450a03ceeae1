#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/blocks.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>

static struct blocks blocks;

static void sizes(void **state)
{
    (void)state;
    assert_int_equal(blocks_round(1), 1);
    assert_int_equal(blocks_round(BLOCK_MIN - 1), BLOCK_MIN - 1);
    assert_int_equal(blocks_round(BLOCK_MIN), BLOCK_MIN);
    assert_int_equal(blocks_round(BLOCK_MIN + 1), 2 * BLOCK_MIN);
    assert_int_equal(blocks_round(BLOCK_MAX + 1), 2 * BLOCK_MAX);
    assert_int_equal(blocks_round(SIZE_MAX), SIZE_MAX);
}

static void all_of_it_can_be_written(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 4 * BLOCK_MAX; size *= 2) {
        char *block = blocks_get(&blocks, size);
        assert_non_null(block);
        memset(block, 'x', size);
        blocks_put(&blocks, block, size);
    }
    blocks_trim(&blocks);
}

static void what_came_back_is_used_again(void **state)
{
    (void)state;
    void *one = blocks_get(&blocks, BLOCK_MIN), *other = blocks_get(&blocks, BLOCK_MAX);
    blocks_put(&blocks, one, BLOCK_MIN);
    blocks_put(&blocks, other, BLOCK_MAX);
    assert_int_equal(blocks.kept, BLOCK_MIN + BLOCK_MAX);
    assert_ptr_equal(blocks_get(&blocks, BLOCK_MIN), one);
    assert_ptr_equal(blocks_get(&blocks, BLOCK_MAX), other);
    blocks_put(&blocks, one, BLOCK_MIN);
    blocks_put(&blocks, other, BLOCK_MAX);
    assert_int_equal(blocks.kept, BLOCK_MIN + BLOCK_MAX);
    blocks_trim(&blocks);
    assert_int_equal(blocks.kept, 0);
}

static void no_more_than_so_many_are_kept(void **state)
{
    enum { MANY = 2 * BLOCKS_KEPT / BLOCK_MAX };
    void *all[MANY];
    (void)state;
    for (int i = 0; i < MANY; i++)
        assert_non_null(all[i] = blocks_get(&blocks, BLOCK_MAX));
    for (int i = 0; i < MANY; i++)
        blocks_put(&blocks, all[i], BLOCK_MAX);
    assert_int_equal(blocks.kept, BLOCKS_KEPT);
    void *large = blocks_get(&blocks, 2 * BLOCK_MAX);
    blocks_put(&blocks, large, 2 * BLOCK_MAX);
    assert_int_equal(blocks.kept, BLOCKS_KEPT);
    blocks_trim(&blocks);
}

static void no_memory(void **state)
{
    (void)state;
    mem_fail_after(0);
    assert_null(blocks_get(&blocks, 1));
    assert_int_equal(errno, ENOMEM);
    assert_null(blocks_get(&blocks, BLOCK_MIN));
    assert_int_equal(errno, ENOMEM);
    mem_fail_never();
}

static int open_blocks(void **state)
{
    (void)state;
    blocks_init(&blocks);
    return 0;
}

static int close_blocks(void **state)
{
    (void)state;
    blocks_destroy(&blocks);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(all_of_it_can_be_written),
        cmocka_unit_test(what_came_back_is_used_again),
        cmocka_unit_test(no_more_than_so_many_are_kept),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, open_blocks, close_blocks);
}
