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

/* Doubled until it is enough. */
static size_t grown(size_t capacity, size_t enough)
{
    if (capacity < WS_BUFFER_FIRST)
        capacity = WS_BUFFER_FIRST;
    while (capacity < enough)
        capacity *= 2;
    return capacity;
}

bool ws_buffer_reserve(struct ws_buffer *buffer, size_t wanted)
{
    size_t most = buffer->limit + 1;
    assert(buffer->size < most);
    if (wanted > most - buffer->size)
        wanted = most - buffer->size;
    if (wanted <= buffer->capacity - buffer->size && buffer->capacity > buffer->size)
        return true;
    size_t capacity = grown(buffer->capacity, buffer->size + (wanted > 0 ? wanted : 1));
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
