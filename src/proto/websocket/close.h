#ifndef PROTO_WEBSOCKET_CLOSE_H
#define PROTO_WEBSOCKET_CLOSE_H

#include "base/str.h"
#include "proto/websocket/error.h"
#include "proto/websocket/frame.h"

#include <stdbool.h>
#include <stdint.h>

/* The close handshake's codes (RFC 6455 §7.4 and IANA's registry). */
enum {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_NONE = 1005,     /* never on the wire: the close frame had no code */
    WS_CLOSE_ABNORMAL = 1006, /* never on the wire: there was no close frame */
    WS_CLOSE_DATA = 1007,
    WS_CLOSE_TOO_LARGE = 1009,
    WS_CLOSE_INTERNAL = 1011,
    WS_CLOSE_RESTART = 1012,
};

enum { WS_REASON_MAX = WS_CONTROL_MAX - 2 }; /* bytes of a close frame's reason */

/* Whether either side may send this code. */
bool ws_close_allowed(uint16_t code);

/*
 * Reads a close frame's payload. On WS_NO_ERROR *code is set (WS_CLOSE_NONE for an empty payload)
 * and *reason borrows from the payload; else WS_BAD_CLOSE or WS_BAD_TEXT.
 */
enum ws_error ws_close_read(struct str payload, uint16_t *code, struct str *reason);

/*
 * Writes a close frame's payload, at most WS_CONTROL_MAX bytes, and returns its size. The reason is
 * UTF-8 and is cut at a character's end. WS_CLOSE_NONE makes an empty payload; any other code is
 * one that ws_close_allowed() allows.
 */
size_t ws_close_write(char to[WS_CONTROL_MAX], uint16_t code, struct str reason);

#endif
