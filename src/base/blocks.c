#include "base/blocks.h"

#include "base/mem.h"

#include <stdint.h>
#include <string.h>

struct block {
    struct block *next;
};

_Static_assert(BLOCK_MIN << (BLOCK_CLASSES - 1) == BLOCK_MAX, "a class for each size");

static size_t size_of_class(int class)
{
    return (size_t)BLOCK_MIN << class;
}

/* -1: none is kept. */
static int class_of_size(size_t size)
{
    int class = 0;
    if (size > BLOCK_MAX)
        return -1;
    while (size_of_class(class) < size)
        class ++;
    return class;
}

void blocks_init(struct blocks *blocks)
{
    *blocks = (struct blocks){.kept = 0};
    pthread_mutex_init(&blocks->lock, NULL);
}

void blocks_destroy(struct blocks *blocks)
{
    blocks_trim(blocks);
    pthread_mutex_destroy(&blocks->lock);
}

size_t blocks_round(size_t size)
{
    size_t rounded = BLOCK_MIN;
    if (size < BLOCK_MIN || size > SIZE_MAX / 2)
        return size;
    while (rounded < size)
        rounded *= 2;
    return rounded;
}

void *blocks_get(struct blocks *blocks, size_t size)
{
    int class = class_of_size(size);
    struct block *block = NULL;
    if (size < BLOCK_MIN)
        return mem_alloc(size);
    if (class >= 0) {
        pthread_mutex_lock(&blocks->lock);
        block = blocks->free[class];
        if (block) {
            blocks->free[class] = block->next;
            blocks->kept -= size;
        }
        pthread_mutex_unlock(&blocks->lock);
    }
    return block ? block : mem_map(size);
}

/* False: there are enough. */
static bool keep(struct blocks *blocks, struct block *block, size_t size)
{
    int class = class_of_size(size);
    bool kept = false;
    if (class < 0)
        return false;
    pthread_mutex_lock(&blocks->lock);
    if (blocks->kept + size <= BLOCKS_KEPT) {
        block->next = blocks->free[class];
        blocks->free[class] = block;
        blocks->kept += size;
        kept = true;
    }
    pthread_mutex_unlock(&blocks->lock);
    return kept;
}

void blocks_put(struct blocks *blocks, void *block, size_t size)
{
    if (size < BLOCK_MIN)
        mem_free(block);
    else if (!keep(blocks, block, size))
        mem_unmap(block, size);
}

void *blocks_resize(struct blocks *blocks, void *block, size_t old, size_t size)
{
    if (old < BLOCK_MIN && size < BLOCK_MIN)
        return mem_realloc(block, size);
    if (old >= BLOCK_MIN && size > BLOCK_MAX && size > old)
        return mem_remap(block, old, size);
    void *other = blocks_get(blocks, size);
    if (other) {
        memcpy(other, block, old < size ? old : size);
        blocks_put(blocks, block, old);
    }
    return other;
}

static void unmap_all(struct block *block, size_t size)
{
    while (block) {
        struct block *next = block->next;
        mem_unmap(block, size);
        block = next;
    }
}

void blocks_trim(struct blocks *blocks)
{
    pthread_mutex_lock(&blocks->lock);
    for (int class = 0; class < BLOCK_CLASSES; class ++) {
        unmap_all(blocks->free[class], size_of_class(class));
        blocks->free[class] = NULL;
    }
    blocks->kept = 0;
    pthread_mutex_unlock(&blocks->lock);
}
