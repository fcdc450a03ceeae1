#include "proto/websocket/error.h"

#include "proto/websocket/close.h"

static const struct {
    uint16_t code;
    const char *text;
} errors[WS_ERROR_COUNT] = {
    [WS_NO_ERROR] = {WS_CLOSE_NORMAL, ""},
    [WS_BAD_RESERVED] = {WS_CLOSE_PROTOCOL, "reserved bit set"},
    [WS_BAD_OPCODE] = {WS_CLOSE_PROTOCOL, "unknown opcode"},
    [WS_BAD_MASK] = {WS_CLOSE_PROTOCOL, "frame without a mask"},
    [WS_BAD_LENGTH] = {WS_CLOSE_PROTOCOL, "invalid payload length"},
    [WS_CONTROL_PARTED] = {WS_CLOSE_PROTOCOL, "fragmented control frame"},
    [WS_CONTROL_TOO_LONG] = {WS_CLOSE_PROTOCOL, "control frame too long"},
    [WS_NO_MESSAGE] = {WS_CLOSE_PROTOCOL, "continuation without a message"},
    [WS_MESSAGE_OPEN] = {WS_CLOSE_PROTOCOL, "message within a message"},
    [WS_BAD_CLOSE] = {WS_CLOSE_PROTOCOL, "invalid close frame"},
    [WS_BAD_TEXT] = {WS_CLOSE_DATA, "invalid UTF-8"},
    [WS_BAD_DEFLATE] = {WS_CLOSE_DATA, "invalid compressed data"},
    [WS_TOO_LARGE] = {WS_CLOSE_TOO_LARGE, "message too large"},
    [WS_NO_MEMORY] = {WS_CLOSE_INTERNAL, "out of memory"},
};

uint16_t ws_error_code(enum ws_error error)
{
    return errors[error].code;
}

const char *ws_error_text(enum ws_error error)
{
    return errors[error].text;
}
