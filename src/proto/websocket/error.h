#ifndef PROTO_WEBSOCKET_ERROR_H
#define PROTO_WEBSOCKET_ERROR_H

#include <stdint.h>

/* Why a connection fails (RFC 6455 §7.1.7). */
enum ws_error {
    WS_NO_ERROR,
    WS_BAD_RESERVED,     /* a reserved bit that no extension defines, or not for this frame */
    WS_BAD_OPCODE,       /* 3..7, 11..15 */
    WS_BAD_MASK,         /* a frame of a client that is not masked */
    WS_BAD_LENGTH,       /* not the shortest form, or more than 2^63 - 1 */
    WS_CONTROL_PARTED,   /* a control frame that is a fragment */
    WS_CONTROL_TOO_LONG, /* more than 125 bytes */
    WS_NO_MESSAGE,       /* a continuation with nothing to continue */
    WS_MESSAGE_OPEN,     /* a message begins before the one before it has ended */
    WS_BAD_CLOSE,        /* a close frame of one byte, or with a code that is not for the wire */
    WS_BAD_TEXT,         /* no UTF-8: of a text message, or of a close frame's reason */
    WS_BAD_DEFLATE,      /* no deflated data, or data that ends within a block */
    WS_TOO_LARGE,        /* a message that is, or expands to, more than its limit */
    WS_NO_MEMORY,        /* for a message or for inflating it */
    WS_ERROR_COUNT
};

/* The close code that says it to the client: 1002, 1007, 1009, 1011; 1000 for WS_NO_ERROR. */
uint16_t ws_error_code(enum ws_error error);

/* For the close frame's reason and the log: at most 123 bytes of ASCII, static; "" for none. */
const char *ws_error_text(enum ws_error error);

#endif
