#include "ext/core/frame_cache.h"

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>

enum {
    BLOCK_SIZE = 16 * 1024, /* the interpreter's first blocks; other sizes pass through */
    BLOCKS_MAX = 64,        /* kept, at most */
};

static struct {
    PyObjectArenaAllocator system;
    atomic_flag busy; /* several interpreters, each with a lock of its own, share this */
    int count;
    void *blocks[BLOCKS_MAX];
} cache = {.busy = ATOMIC_FLAG_INIT};

static void *take(void)
{
    void *block = NULL;
    if (atomic_flag_test_and_set(&cache.busy))
        return NULL;
    if (cache.count > 0)
        block = cache.blocks[--cache.count];
    atomic_flag_clear(&cache.busy);
    return block;
}

static bool keep(void *block)
{
    bool kept = false;
    if (atomic_flag_test_and_set(&cache.busy))
        return false;
    if (cache.count < BLOCKS_MAX) {
        cache.blocks[cache.count++] = block;
        kept = true;
    }
    atomic_flag_clear(&cache.busy);
    return kept;
}

static void *cached_alloc(void *unused, size_t size)
{
    (void)unused;
    void *block = size == BLOCK_SIZE ? take() : NULL;
    return block ? block : cache.system.alloc(cache.system.ctx, size);
}

static void cached_free(void *unused, void *block, size_t size)
{
    (void)unused;
    if (size != BLOCK_SIZE || !keep(block))
        cache.system.free(cache.system.ctx, block, size);
}

void frame_cache_install(void)
{
    PyObjectArenaAllocator ours = {.alloc = cached_alloc, .free = cached_free};
    PyObjectArenaAllocator present;
    PyObject_GetArenaAllocator(&present);
    if (present.alloc == cached_alloc)
        return;
    cache.system = present;
    PyObject_SetArenaAllocator(&ours);
}
