#include "proto/websocket/close.h"

#include "proto/websocket/utf8.h"

#include <assert.h>

bool ws_close_allowed(uint16_t code)
{
    if (code >= 1000 && code <= 1014)
        return code < 1004 || code > 1006;
    return code >= 3000 && code <= 4999;
}

enum ws_error ws_close_read(struct str payload, uint16_t *code, struct str *reason)
{
    uint8_t text = WS_UTF8_START;
    *code = WS_CLOSE_NONE;
    *reason = (struct str){payload.p, 0};
    if (payload.n == 0)
        return WS_NO_ERROR;
    if (payload.n == 1)
        return WS_BAD_CLOSE;
    *code = (uint16_t)((uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1]);
    *reason = (struct str){payload.p + 2, payload.n - 2};
    if (!ws_close_allowed(*code))
        return WS_BAD_CLOSE;
    bool valid = ws_utf8_check(&text, reason->p, reason->n) && ws_utf8_complete(text);
    return valid ? WS_NO_ERROR : WS_BAD_TEXT;
}

size_t ws_close_write(char to[WS_CONTROL_MAX], uint16_t code, struct str reason)
{
    if (code == WS_CLOSE_NONE)
        return 0;
    assert(ws_close_allowed(code));
    size_t n = ws_utf8_cut(reason.p, reason.n, WS_REASON_MAX);
    to[0] = (char)(code >> 8);
    to[1] = (char)code;
    memcpy(to + 2, reason.p, n);
    return n + 2;
}
