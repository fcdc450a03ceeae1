#include "proto/websocket/deflate.h"

#include <assert.h>
#include <stdint.h>
#include <zlib.h>

/* The end of each message, which is not sent (RFC 7692 §7.2.1). */
static const char TAIL[] = {0x00, 0x00, (char)0xff, (char)0xff};

enum {
    AT_BLOCK_END = 128, /* z_stream.data_type: no bit of a further block has been read */
    STEP = 1 << 30,     /* bytes given to zlib at once: it counts in 32 bits */
};

/* zlib frees without a size: it stands before each of its blocks. */
union prefix {
    size_t size;
    max_align_t align;
};

static void *memory_get(void *opaque, unsigned items, unsigned size)
{
    const struct ws_memory *memory = opaque;
    size_t whole = sizeof(union prefix) + (size_t)items * size;
    union prefix *block = memory->resize(memory->owner, NULL, 0, whole);
    if (block == NULL)
        return NULL;
    block->size = whole;
    return block + 1;
}

static void memory_put(void *opaque, void *address)
{
    const struct ws_memory *memory = opaque;
    union prefix *block = (union prefix *)address - 1;
    memory->resize(memory->owner, block, block->size, 0);
}

static z_stream stream_of(const struct ws_memory *memory)
{
    return (z_stream){
        .zalloc = memory_get, .zfree = memory_put, .opaque = (void *)(uintptr_t)memory};
}

struct ws_inflater {
    z_stream stream;
    const struct ws_memory *memory;
};

struct ws_inflater *ws_inflater_new(const struct ws_memory *memory, unsigned window)
{
    assert(window >= WS_WINDOW_LEAST && window <= WS_WINDOW_MOST);
    struct ws_inflater *inflater =
        memory->resize(memory->owner, NULL, 0, sizeof(struct ws_inflater));
    if (inflater == NULL)
        return NULL;
    *inflater = (struct ws_inflater){stream_of(memory), memory};
    if (inflateInit2(&inflater->stream, -(int)window) == Z_OK)
        return inflater;
    memory->resize(memory->owner, inflater, sizeof(*inflater), 0);
    return NULL;
}

void ws_inflater_free(struct ws_inflater *inflater)
{
    if (inflater == NULL)
        return;
    inflateEnd(&inflater->stream);
    inflater->memory->resize(inflater->memory->owner, inflater, sizeof(*inflater), 0);
}

static unsigned at_most(size_t size)
{
    return size < STEP ? (unsigned)size : STEP;
}

/* One call of zlib into the free part of the buffer, all of which it may fill. */
static enum ws_error inflate_step(z_stream *stream, struct ws_buffer *buffer)
{
    if (buffer->size > buffer->limit)
        return WS_TOO_LARGE;
    if (!ws_buffer_reserve(buffer, 2 * (size_t)stream->avail_in))
        return WS_NO_MEMORY;
    unsigned room = at_most(buffer->capacity - buffer->size);
    stream->next_out = (Bytef *)buffer->data + buffer->size;
    stream->avail_out = room;
    int result = inflate(stream, Z_SYNC_FLUSH);
    buffer->size += room - stream->avail_out;
    /* A last block ends zlib's stream, but not the message, nor what later ones may refer to. */
    if (result == Z_STREAM_END)
        result = inflateResetKeep(stream);
    if (result == Z_MEM_ERROR)
        return WS_NO_MEMORY;
    return result == Z_OK || result == Z_BUF_ERROR ? WS_NO_ERROR : WS_BAD_DEFLATE;
}

/* Until the input is used up and no output waits inside zlib, which then leaves room. */
static enum ws_error inflate_all(z_stream *stream, struct ws_buffer *buffer)
{
    enum ws_error error;
    do {
        error = inflate_step(stream, buffer);
    } while (error == WS_NO_ERROR && (stream->avail_in > 0 || stream->avail_out == 0));
    return error == WS_NO_ERROR && buffer->size > buffer->limit ? WS_TOO_LARGE : error;
}

enum ws_error ws_inflate(struct ws_inflater *inflater, const char *data, size_t size,
                         struct ws_buffer *buffer)
{
    enum ws_error error = WS_NO_ERROR;
    while (size > 0 && error == WS_NO_ERROR) {
        unsigned n = at_most(size);
        inflater->stream.next_in = (Bytef *)(uintptr_t)data;
        inflater->stream.avail_in = n;
        error = inflate_all(&inflater->stream, buffer);
        data += n;
        size -= n;
    }
    return error;
}

enum ws_error ws_inflate_end(struct ws_inflater *inflater, struct ws_buffer *buffer)
{
    enum ws_error error = ws_inflate(inflater, TAIL, sizeof(TAIL), buffer);
    if (error != WS_NO_ERROR)
        return error;
    return inflater->stream.data_type == AT_BLOCK_END ? WS_NO_ERROR : WS_BAD_DEFLATE;
}

struct ws_deflater {
    z_stream stream;
    const struct ws_memory *memory;
    bool takeover;
    uint8_t held; /* the last bytes so far, in `tail`: they may be the end marker */
    char tail[sizeof(TAIL)];
};

/*
 * zlib deflates no raw stream with a window of 2^8 bytes; with one of 2^9 it refers back by less
 * than 2^9 - 261 bytes, which a receiver with the smaller window can follow.
 */
static int deflate_window(unsigned window)
{
    return window > WS_WINDOW_LEAST ? -(int)window : -(WS_WINDOW_LEAST + 1);
}

struct ws_deflater *ws_deflater_new(const struct ws_memory *memory, unsigned window, bool takeover)
{
    assert(window >= WS_WINDOW_LEAST && window <= WS_WINDOW_MOST);
    struct ws_deflater *deflater =
        memory->resize(memory->owner, NULL, 0, sizeof(struct ws_deflater));
    if (deflater == NULL)
        return NULL;
    *deflater = (struct ws_deflater){stream_of(memory), memory, takeover, 0, {0}};
    if (deflateInit2(&deflater->stream, WS_DEFLATE_LEVEL, Z_DEFLATED, deflate_window(window),
                     WS_DEFLATE_MEMORY, Z_DEFAULT_STRATEGY) == Z_OK)
        return deflater;
    memory->resize(memory->owner, deflater, sizeof(*deflater), 0);
    return NULL;
}

void ws_deflater_free(struct ws_deflater *deflater)
{
    if (deflater == NULL)
        return;
    deflateEnd(&deflater->stream);
    deflater->memory->resize(deflater->memory->owner, deflater, sizeof(*deflater), 0);
}

/* The message has ended when zlib has left room at its flush. */
static bool deflate_step(z_stream *stream, struct str *payload, char *room, unsigned size)
{
    unsigned n = at_most(payload->n);
    bool last = n == payload->n;
    stream->next_in = (Bytef *)(uintptr_t)payload->p;
    stream->avail_in = n;
    stream->next_out = (Bytef *)room;
    stream->avail_out = size;
    int result = deflate(stream, last ? Z_SYNC_FLUSH : Z_NO_FLUSH);
    assert(result == Z_OK || result == Z_BUF_ERROR);
    (void)result;
    payload->p += n - stream->avail_in;
    payload->n -= n - stream->avail_in;
    return last && stream->avail_out > 0;
}

/* Keeps the last bytes back until it is known whether they are the end marker. */
static size_t hold_back(struct ws_deflater *deflater, const char *room, size_t size)
{
    size_t held = size < sizeof(TAIL) ? size : sizeof(TAIL);
    memcpy(deflater->tail, room + size - held, held);
    deflater->held = (uint8_t)held;
    return size - held;
}

static void message_end(struct ws_deflater *deflater)
{
    assert(memcmp(deflater->tail, TAIL, sizeof(TAIL)) == 0);
    deflater->held = 0;
    if (!deflater->takeover)
        deflateReset(&deflater->stream);
}

size_t ws_deflate(struct ws_deflater *deflater, struct str *payload, char *room, size_t size,
                  bool *done)
{
    assert(size >= WS_DEFLATE_ROOM);
    size_t held = deflater->held;
    unsigned free_room = at_most(size - held);
    memcpy(room, deflater->tail, held);
    *done = deflate_step(&deflater->stream, payload, room + held, free_room);
    size_t made = held + free_room - deflater->stream.avail_out;
    size_t n = hold_back(deflater, room, made);
    if (*done)
        message_end(deflater);
    return n;
}
