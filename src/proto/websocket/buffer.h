#ifndef PROTO_WEBSOCKET_BUFFER_H
#define PROTO_WEBSOCKET_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The memory of one connection's messages and of its compression, behind a hook so that the owner
 * can count and refuse it.
 */
struct ws_memory {
    /*
     * As realloc(), with the old size beside the block; size 0 frees and returns NULL. NULL for
     * another size: refused, the old block is as it was. `block` is NULL with an old size of 0.
     */
    void *(*resize)(void *owner, void *block, size_t old, size_t size);
    void *owner;
};

/* The general heap: mem_realloc(), counted nowhere. */
extern const struct ws_memory ws_memory_heap;

/* A message that grows up to a limit. */
struct ws_buffer {
    char *data; /* owned: ws_buffer_free() */
    size_t size, capacity;
    size_t limit; /* bytes of `size`; one more may be held, which shows that it is exceeded */
    const struct ws_memory *memory;
};

enum {
    WS_BUFFER_FIRST = 256, /* bytes of the first block of a message that grows */
};

/* limit: at most SIZE_MAX / 2. */
void ws_buffer_init(struct ws_buffer *buffer, size_t limit, const struct ws_memory *memory);
void ws_buffer_free(struct ws_buffer *buffer);

/*
 * Makes room for at least one byte behind `size`, and for `wanted` where the limit allows it, by
 * doubling. False: no memory. Never with size > limit.
 */
bool ws_buffer_reserve(struct ws_buffer *buffer, size_t wanted);

#endif
