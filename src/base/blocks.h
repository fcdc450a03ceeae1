#ifndef BASE_BLOCKS_H
#define BASE_BLOCKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Large buffers, outside malloc's heaps: a heap of each thread would keep the memory of its largest
 * bodies, and malloc's settings belong to the application. Sizes from BLOCK_MIN on are powers of
 * two; up to BLOCK_MAX a few that came back are kept, for mapping pages anew costs more than a
 * copy. Smaller sizes come from the heap as they are. Any thread.
 */

enum {
    BLOCK_MIN = 16 * 1024,         /* bytes of the smallest one */
    BLOCK_MAX = 1024 * 1024,       /* bytes of the largest one that is kept */
    BLOCK_CLASSES = 7,             /* sizes from the one to the other */
    BLOCKS_KEPT = 8 * 1024 * 1024, /* bytes that are kept, over all sizes */
};

struct block;

struct blocks {
    pthread_mutex_t lock;
    struct block *free[BLOCK_CLASSES];
    size_t kept;
};

void blocks_init(struct blocks *blocks);
void blocks_destroy(struct blocks *blocks);

/* How large a block of at least so many bytes is. */
size_t blocks_round(size_t size);

/* A block of a size that blocks_round() gave; NULL with errno ENOMEM. */
void *blocks_get(struct blocks *blocks, size_t size);
void blocks_put(struct blocks *blocks, void *block, size_t size);

/* The block with its first bytes in another of those sizes, which are not 0; NULL leaves it as it
 * was. */
void *blocks_resize(struct blocks *blocks, void *block, size_t old, size_t size);

/* Frees the buffers that are kept. */
void blocks_trim(struct blocks *blocks);

#endif
