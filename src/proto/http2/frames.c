#include "proto/http2/frames.h"

#include <string.h>

enum { TYPE_AT = 3, FLAGS_AT = 4, ID_AT = 5 };
enum { TYPE_HEADERS = 1, TYPE_PRIORITY = 2, TYPE_CONTINUATION = 9, END_HEADERS = 4 };

void http2_frames_init(struct http2_frames *frames)
{
    *frames = (struct http2_frames){.skip = FRAMES_PREFACE};
}

/* 31 bits: the highest is reserved. */
static int32_t number(const uint8_t *p)
{
    return (int32_t)((uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
                     p[3]);
}

uint32_t http2_frames_length(const struct http2_frames *frames)
{
    return ((uint32_t)frames->head[0] << 16) | ((uint32_t)frames->head[1] << 8) | frames->head[2];
}

static bool is_priority(const struct http2_frames *frames)
{
    return frames->head[TYPE_AT] == TYPE_PRIORITY && http2_frames_length(frames) == FRAMES_PRIORITY;
}

/* Bytes that are to be there. */
static uint32_t wanted(const struct http2_frames *frames)
{
    bool more = frames->size >= FRAMES_HEAD && is_priority(frames);
    return more ? FRAMES_HEAD + FRAMES_PRIORITY : FRAMES_HEAD;
}

static size_t fill(struct http2_frames *frames, const char *data, size_t n)
{
    size_t room = wanted(frames) - frames->size;
    if (n > room)
        n = room;
    memcpy(frames->head + frames->size, data, n);
    frames->size += (uint32_t)n;
    return n;
}

static void begin_frame(struct http2_frames *frames)
{
    uint8_t type = http2_frames_type(frames);
    frames->skip = http2_frames_length(frames) + FRAMES_HEAD - frames->size;
    frames->size = 0;
    frames->fields = type == TYPE_HEADERS || type == TYPE_CONTINUATION;
    frames->goes_on = frames->fields && !(frames->head[FLAGS_AT] & END_HEADERS);
}

size_t http2_frames_next(struct http2_frames *frames, const char *data, size_t n, bool *found)
{
    size_t at = 0;
    *found = false;
    while (at < n && !*found) {
        size_t used = frames->skip < n - at ? frames->skip : n - at;
        frames->skip -= (uint32_t)used;
        if (used == 0)
            used = fill(frames, data + at, n - at);
        at += used;
        *found = frames->size > 0 && frames->size == wanted(frames);
    }
    if (*found)
        begin_frame(frames);
    return at;
}

uint8_t http2_frames_type(const struct http2_frames *frames)
{
    return frames->head[TYPE_AT];
}

uint8_t http2_frames_flags(const struct http2_frames *frames)
{
    return frames->head[FLAGS_AT];
}

int32_t http2_frames_id(const struct http2_frames *frames)
{
    return number(frames->head + ID_AT);
}

bool http2_frames_await_head(const struct http2_frames *frames)
{
    return frames->goes_on || (frames->fields && frames->skip > 0);
}

bool http2_frames_loop(const struct http2_frames *frames)
{
    return is_priority(frames) &&
           number(frames->head + FRAMES_HEAD) == number(frames->head + ID_AT);
}
