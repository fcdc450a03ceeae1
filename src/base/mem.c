#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define MEM_NEVER LONG_MAX

enum {
    HEAP_KEPT = 8 * 1024 * 1024,    /* bytes at the end of each that are not given back */
    HEAP_LARGEST = 4 * 1024 * 1024, /* bytes of the largest block that comes from one */
    HEAPS = 2,                      /* the main thread's, and one that all others share */
};

static atomic_long mem_left = MEM_NEVER;
static atomic_bool mem_once, mem_has_failed;

static bool mem_must_fail(void)
{
    if (atomic_load_explicit(&mem_left, memory_order_relaxed) == MEM_NEVER)
        return false;
    if (atomic_fetch_sub(&mem_left, 1) > 0)
        return false;
    if (atomic_load(&mem_once))
        mem_fail_never();
    atomic_store(&mem_has_failed, true);
    errno = ENOMEM;
    return true;
}

void *mem_alloc(size_t size)
{
    return mem_must_fail() ? NULL : malloc(size);
}

void *mem_realloc(void *block, size_t size)
{
    return mem_must_fail() ? NULL : realloc(block, size);
}

void mem_free(void *block)
{
    free(block);
}

void mem_keep_freed(void)
{
#ifdef M_TRIM_THRESHOLD
    if (getenv("GLIBC_TUNABLES"))
        return;
    if (!getenv("MALLOC_TRIM_THRESHOLD_") && !getenv("MALLOC_MMAP_THRESHOLD_")) {
        mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
        mallopt(M_MMAP_THRESHOLD, HEAP_LARGEST);
    }
    if (!getenv("MALLOC_ARENA_MAX") && !getenv("MALLOC_ARENA_TEST"))
        mallopt(M_ARENA_MAX, HEAPS);
#endif
}

void mem_return_freed(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static void fail(long count, bool once)
{
    atomic_store(&mem_once, once);
    atomic_store(&mem_has_failed, false);
    atomic_store(&mem_left, count);
}

void mem_fail_after(long count)
{
    fail(count, false);
}

void mem_fail_once(long count)
{
    fail(count, true);
}

bool mem_failed(void)
{
    return atomic_load(&mem_has_failed);
}

void mem_fail_never(void)
{
    atomic_store(&mem_left, MEM_NEVER);
}
