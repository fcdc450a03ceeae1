#ifndef PROTO_WEBSOCKET_FRAME_H
#define PROTO_WEBSOCKET_FRAME_H

#include "proto/websocket/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The header of a frame (RFC 6455 §5.2), read resumably at any byte, and written. */

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

enum {
    WS_CONTROL_MAX = 125,   /* bytes of a control frame's payload */
    WS_HEADER_MAX = 14,     /* bytes of a header with its mask */
    WS_HEADER_OWN_MAX = 10, /* of one without, as servers send */
};

struct ws_frame {
    uint64_t length; /* bytes of the payload, at most INT64_MAX */
    uint8_t opcode;  /* enum ws_opcode */
    bool fin;
    bool compressed; /* RSV1 */
    uint8_t key[4];
    uint8_t error; /* enum ws_error, of WS_FRAME_ERROR */

    /* Private. */
    uint8_t have, need; /* bytes of the header */
    uint8_t raw[WS_HEADER_MAX];
};

enum ws_frame_result {
    WS_FRAME_MORE,  /* everything was consumed; the header goes on */
    WS_FRAME_READY, /* the header is whole: the payload follows */
    WS_FRAME_ERROR, /* frame->error says why; nothing more may be read */
};

static inline bool ws_is_control(uint8_t opcode)
{
    return opcode >= WS_CLOSE;
}

/* Makes ready for the next header. */
void ws_frame_init(struct ws_frame *frame);

/*
 * Reads the header of a client's frame; a wrong byte is refused as soon as it is there. On return
 * *consumed bytes were used. `deflate`: RSV1 is allowed on the first frame of a message.
 */
enum ws_frame_result ws_frame_read(struct ws_frame *frame, const char *data, size_t size,
                                   bool deflate, size_t *consumed);

/* Writes the header of a server's frame and returns its size; length: at most INT64_MAX. */
size_t ws_frame_write(char to[WS_HEADER_OWN_MAX], enum ws_opcode opcode, bool fin, bool compressed,
                      uint64_t length);

#endif
