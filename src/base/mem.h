#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The general heap, behind one seam so that a test can make each allocation fail in turn. Nothing
 * on the path of a usual request comes here: what grows is kept and used again.
 */

/* NULL with errno ENOMEM when there is no memory. The caller owns the block: mem_free(). */
void *mem_alloc(size_t size);

/* As realloc(): NULL leaves the old block as it was. */
void *mem_realloc(void *block, size_t size);

void mem_free(void *block);

/*
 * For a process that serves: bodies of some hundred KiB come and go with each request, and a heap
 * that gives its end back to the system each time pays for the same pages again and again.
 *
 * malloc has a heap for each thread. As each leads at times, the bodies of all clients pass through
 * every one, and each would keep its end: 16 threads keep 75 MiB, where those that share one keep
 * 16 MiB and answer as fast, for requests seldom allocate.
 *
 * Who tunes malloc by its environment is not overruled.
 */
void mem_keep_freed(void);

/*
 * Gives the pages of the heap that hold nothing but freed blocks back to the system: before a fork,
 * for the child would have a copy of each that either process writes to.
 */
void mem_return_freed(void);

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
