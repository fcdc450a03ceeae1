#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The general heap, behind one seam so that a test can make each allocation fail in turn. A usual
 * request allocates nothing here: buffers that have grown are kept and used again.
 */

/* NULL with errno ENOMEM when there is no memory. The caller owns the block: mem_free(). */
void *mem_alloc(size_t size);

/* As realloc(): NULL leaves the old block as it was. */
void *mem_realloc(void *block, size_t size);

void mem_free(void *block);

/* Pages of the system's own, zeroed: no heap sees them, and all of them go back at mem_unmap(). */
void *mem_map(size_t size);
void mem_unmap(void *block, size_t size);

/* The same pages, and more of them, perhaps elsewhere; NULL leaves them as they were. */
void *mem_remap(void *block, size_t size, size_t larger);

/* Returns the unused memory of the heaps to the system, where the C library can. */
void mem_trim(void);

/*
 * For tests: the next `count` allocations succeed, the one after them fails, and so do all that
 * follow until mem_fail_never().
 */
void mem_fail_after(long count);

/* The same, but only that one fails. */
void mem_fail_once(long count);

/* Whether any has failed so since it was asked for. */
bool mem_failed(void);

void mem_fail_never(void);

#endif
