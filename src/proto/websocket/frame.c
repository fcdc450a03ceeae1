#include "proto/websocket/frame.h"

#include <string.h>

enum {
    FIN = 0x80,
    RSV1 = 0x40,
    RSV23 = 0x30,
    OPCODE = 0x0f,
    MASKED = 0x80,
    LENGTH = 0x7f,
    LENGTH_16 = 126, /* two bytes of length follow */
    LENGTH_64 = 127, /* eight do */
    FIXED = 2,       /* bytes that each header has */
    KEY = 4,
};

void ws_frame_init(struct ws_frame *frame)
{
    frame->have = 0;
    frame->need = FIXED;
}

static enum ws_error read_first(struct ws_frame *frame, uint8_t byte, bool deflate)
{
    frame->opcode = byte & OPCODE;
    frame->fin = (byte & FIN) != 0;
    frame->compressed = (byte & RSV1) != 0;
    bool message = frame->opcode == WS_TEXT || frame->opcode == WS_BINARY;
    if ((byte & RSV23) != 0 || (frame->compressed && !(deflate && message)))
        return WS_BAD_RESERVED;
    if (frame->opcode > WS_PONG || (frame->opcode > WS_BINARY && frame->opcode < WS_CLOSE))
        return WS_BAD_OPCODE;
    return ws_is_control(frame->opcode) && !frame->fin ? WS_CONTROL_PARTED : WS_NO_ERROR;
}

static enum ws_error read_second(struct ws_frame *frame, uint8_t byte)
{
    uint8_t length = byte & LENGTH;
    if ((byte & MASKED) == 0)
        return WS_BAD_MASK;
    if (ws_is_control(frame->opcode) && length > WS_CONTROL_MAX)
        return WS_CONTROL_TOO_LONG;
    frame->length = length;
    unsigned more = length < LENGTH_16 ? 0 : length == LENGTH_16 ? 2 : 8;
    frame->need = (uint8_t)(FIXED + more + KEY);
    return WS_NO_ERROR;
}

/* The length where it has bytes of its own, and the key. */
static enum ws_error read_rest(struct ws_frame *frame)
{
    unsigned bytes = frame->need - FIXED - KEY;
    memcpy(frame->key, frame->raw + FIXED + bytes, KEY);
    if (bytes == 0)
        return WS_NO_ERROR;
    frame->length = 0;
    for (unsigned i = 0; i < bytes; i++)
        frame->length = frame->length << 8 | frame->raw[FIXED + i];
    uint64_t least = bytes == 2 ? LENGTH_16 : (uint64_t)UINT16_MAX + 1;
    return frame->length < least || frame->length > INT64_MAX ? WS_BAD_LENGTH : WS_NO_ERROR;
}

/* Takes bytes of the header until it has `until`, and says whether it has. */
static bool gather(struct ws_frame *frame, uint8_t until, const char *data, size_t size, size_t *at)
{
    size_t missing = until - frame->have;
    size_t n = size - *at < missing ? size - *at : missing;
    memcpy(frame->raw + frame->have, data + *at, n);
    frame->have = (uint8_t)(frame->have + n);
    *at += n;
    return n == missing;
}

static enum ws_frame_result result_of(struct ws_frame *frame, enum ws_error error)
{
    frame->error = (uint8_t)error;
    return error == WS_NO_ERROR ? WS_FRAME_READY : WS_FRAME_ERROR;
}

enum ws_frame_result ws_frame_read(struct ws_frame *frame, const char *data, size_t size,
                                   bool deflate, size_t *consumed)
{
    enum ws_error error = WS_NO_ERROR;
    *consumed = 0;
    if (frame->have < 1) {
        if (!gather(frame, 1, data, size, consumed))
            return WS_FRAME_MORE;
        error = read_first(frame, frame->raw[0], deflate);
    }
    if (error == WS_NO_ERROR && frame->have < FIXED) {
        if (!gather(frame, FIXED, data, size, consumed))
            return WS_FRAME_MORE;
        error = read_second(frame, frame->raw[1]);
    }
    if (error == WS_NO_ERROR) {
        if (!gather(frame, frame->need, data, size, consumed))
            return WS_FRAME_MORE;
        error = read_rest(frame);
    }
    return result_of(frame, error);
}

/* The length in the fewest bytes; returns where the header ends. */
static size_t write_length(uint8_t *to, uint64_t length)
{
    unsigned bytes = length < LENGTH_16 ? 0 : length <= UINT16_MAX ? 2 : 8;
    to[1] = bytes == 0 ? (uint8_t)length : bytes == 2 ? LENGTH_16 : LENGTH_64;
    for (unsigned i = 0; i < bytes; i++)
        to[FIXED + i] = (uint8_t)(length >> 8 * (bytes - 1 - i));
    return FIXED + bytes;
}

size_t ws_frame_write(char to[WS_HEADER_OWN_MAX], enum ws_opcode opcode, bool fin, bool compressed,
                      uint64_t length)
{
    to[0] = (char)((unsigned)opcode | (fin ? FIN : 0u) | (compressed ? RSV1 : 0u));
    return write_length((uint8_t *)to, length);
}
