#ifndef PROTO_WEBSOCKET_WRITER_H
#define PROTO_WEBSOCKET_WRITER_H

#include "base/str.h"
#include "proto/websocket/deflate.h"
#include "proto/websocket/frame.h"

/*
 * A message as the frames of a server: plain, in fragments that refer to the application's bytes,
 * or deflated, in fragments that fill the caller's room. Control frames may be sent between any
 * two.
 */

enum {
    WS_FRAGMENT = 64 * 1024, /* bytes of a payload after which an uncompressed message is parted,
                                so that a pong need not wait for all of it */
};

struct ws_writer {
    /* Private. */
    struct str left;
    struct ws_deflater *deflater;
    uint8_t opcode;
    bool begun;
};

/* One frame. */
struct ws_piece {
    char header[WS_HEADER_OWN_MAX];
    uint8_t header_size;
    bool last;          /* it ends the message */
    struct str payload; /* borrowed from the message, or from the room */
};

/*
 * opcode: WS_TEXT or WS_BINARY. The payload, valid UTF-8 for a text, is borrowed until the last
 * piece. deflater: NULL sends it as it is, as an empty message always is.
 */
void ws_writer_begin(struct ws_writer *writer, enum ws_opcode opcode, struct str payload,
                     struct ws_deflater *deflater);

/* room, size: at least WS_DEFLATE_ROOM bytes for a deflated message; else NULL and 0. */
void ws_writer_next(struct ws_writer *writer, char *room, size_t size, struct ws_piece *piece);

#endif
