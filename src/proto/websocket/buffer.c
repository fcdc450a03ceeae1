#include "proto/websocket/buffer.h"

#include "base/mem.h"

#include <assert.h>
#include <stdint.h>

static void *heap_resize(void *owner, void *block, size_t old, size_t size)
{
    (void)owner;
    (void)old;
    if (size > 0)
        return mem_realloc(block, size);
    mem_free(block);
    return NULL;
}

const struct ws_memory ws_memory_heap = {heap_resize, NULL};

void ws_buffer_init(struct ws_buffer *buffer, size_t limit, const struct ws_memory *memory)
{
    assert(limit <= SIZE_MAX / 2);
    *buffer = (struct ws_buffer){.limit = limit, .memory = memory};
}

void ws_buffer_free(struct ws_buffer *buffer)
{
    if (buffer->data != NULL)
        buffer->memory->resize(buffer->memory->owner, buffer->data, buffer->capacity, 0);
    ws_buffer_init(buffer, buffer->limit, buffer->memory);
}

static size_t at_least(size_t a, size_t b)
{
    return a > b ? a : b;
}

bool ws_buffer_reserve(struct ws_buffer *buffer, size_t wanted)
{
    size_t most = buffer->limit + 1;
    assert(buffer->size < most);
    if (wanted > most - buffer->size)
        wanted = most - buffer->size;
    if (wanted <= buffer->capacity - buffer->size && buffer->capacity > buffer->size)
        return true;
    size_t capacity =
        at_least(buffer->size + wanted, at_least(2 * buffer->capacity, WS_BUFFER_FIRST));
    if (capacity > most)
        capacity = most;
    char *data =
        buffer->memory->resize(buffer->memory->owner, buffer->data, buffer->capacity, capacity);
    if (data == NULL)
        return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}
