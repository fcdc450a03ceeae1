#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define MEM_NEVER LONG_MAX

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

void *mem_map(size_t size)
{
    if (mem_must_fail())
        return NULL;
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

void mem_unmap(void *block, size_t size)
{
    munmap(block, size);
}

#ifdef MREMAP_MAYMOVE

void *mem_remap(void *block, size_t size, size_t larger)
{
    if (mem_must_fail())
        return NULL;
    void *moved = mremap(block, size, larger, MREMAP_MAYMOVE);
    return moved == MAP_FAILED ? NULL : moved;
}

#else

void *mem_remap(void *block, size_t size, size_t larger)
{
    void *moved = mem_map(larger);
    if (moved) {
        memcpy(moved, block, size);
        mem_unmap(block, size);
    }
    return moved;
}

#endif

void mem_trim(void)
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
