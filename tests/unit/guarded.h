#ifndef TESTS_UNIT_GUARDED_H
#define TESTS_UNIT_GUARDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Memory between two pages that nobody may touch: a byte read too far on either side is a crash. */

#define GUARDED_PAGE ((size_t)4096)
#define GUARDED_SIZE (16 * GUARDED_PAGE)

struct guarded {
    char *begin, *end;
};

/* Not assert(): these tests also run where it is compiled away. */
static inline void guarded_require(bool condition)
{
    if (!condition)
        abort();
}

static inline struct guarded guarded_open(void)
{
    char *map =
        mmap(NULL, GUARDED_SIZE + 2 * GUARDED_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    guarded_require(map != MAP_FAILED);
    guarded_require(mprotect(map + GUARDED_PAGE, GUARDED_SIZE, PROT_READ | PROT_WRITE) == 0);
    return (struct guarded){map + GUARDED_PAGE, map + GUARDED_PAGE + GUARDED_SIZE};
}

static inline void guarded_close(struct guarded *guarded)
{
    munmap(guarded->begin - GUARDED_PAGE, GUARDED_SIZE + 2 * GUARDED_PAGE);
}

/* A copy that ends where the guard begins, and one that begins where the guard ends. */
static inline char *guarded_at_end(const struct guarded *guarded, const void *data, size_t size)
{
    guarded_require(size <= GUARDED_SIZE);
    return memcpy(guarded->end - size, data, size);
}

static inline char *guarded_at_begin(const struct guarded *guarded, const void *data, size_t size)
{
    guarded_require(size <= GUARDED_SIZE);
    return memcpy(guarded->begin, data, size);
}

#endif
