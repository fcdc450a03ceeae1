#ifndef PROTO_WEBSOCKET_READER_H
#define PROTO_WEBSOCKET_READER_H

#include "base/str.h"
#include "proto/websocket/buffer.h"
#include "proto/websocket/deflate.h"
#include "proto/websocket/extension.h"
#include "proto/websocket/frame.h"

/*
 * Messages and control frames out of the bytes of a client (RFC 6455 §5, RFC 7692 §6): bytes in,
 * events out, resumable at any byte.
 */

enum ws_event {
    WS_EVENT_MORE,   /* everything was consumed: no event is whole */
    WS_EVENT_TEXT,   /* a message: the payload is UTF-8 */
    WS_EVENT_BINARY, /* a message */
    WS_EVENT_PING,   /* answer with a pong of the same payload */
    WS_EVENT_PONG,
    WS_EVENT_CLOSE,  /* reader->code; the payload is the reason. Nothing follows */
    WS_EVENT_FAILED, /* reader->error: close with ws_error_code(). Nothing follows; no payload */
};

struct ws_reader {
    uint16_t code; /* of WS_EVENT_CLOSE; WS_CLOSE_NONE when the frame had none */
    uint8_t error; /* enum ws_error */

    /* Private. */
    uint8_t state, text, opcode;
    bool compressed;
    uint8_t control_size;
    uint64_t left; /* bytes of the current frame's payload */
    struct ws_frame frame;
    struct ws_deflate_terms deflate;
    struct ws_inflater *inflater; /* owned; made at the first compressed message */
    struct ws_buffer message;     /* owned; empty between messages */
    char control[WS_CONTROL_MAX];
};

/*
 * limit: bytes of the largest message, after inflating; at most SIZE_MAX / 2. `deflate` is copied,
 * `memory` is borrowed until ws_reader_free().
 */
void ws_reader_init(struct ws_reader *reader, size_t limit, const struct ws_deflate_terms *deflate,
                    const struct ws_memory *memory);
void ws_reader_free(struct ws_reader *reader);

/*
 * Reads up to the end of the next message or control frame; data is unmasked in place. *consumed
 * bytes were used: call again with the rest until WS_EVENT_MORE. *payload borrows from data or from
 * the reader until the next call. A message that is one uncompressed frame, whole in data, is not
 * copied.
 */
enum ws_event ws_reader_next(struct ws_reader *reader, char *data, size_t size, size_t *consumed,
                             struct str *payload);

/*
 * Hands the message of the last WS_EVENT_TEXT or WS_EVENT_BINARY over to the caller, who calls
 * ws_buffer_free(). False: it borrows from data.
 */
bool ws_reader_take(struct ws_reader *reader, struct ws_buffer *message);

#endif
