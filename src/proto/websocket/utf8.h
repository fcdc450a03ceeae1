#ifndef PROTO_WEBSOCKET_UTF8_H
#define PROTO_WEBSOCKET_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * UTF-8 (RFC 3629: no surrogates, nothing above U+10FFFF, shortest forms), checked as the bytes
 * come. The state is one byte, WS_UTF8_START at first.
 */
enum { WS_UTF8_START = 6 };

/* False: one of the bytes cannot follow the ones before it; the state stays failed. */
bool ws_utf8_check(uint8_t *state, const char *bytes, size_t size);

/* Whether no character is incomplete. */
static inline bool ws_utf8_complete(uint8_t state)
{
    return state == WS_UTF8_START;
}

/* The length of the longest prefix of at most `limit` bytes that ends no character early. */
size_t ws_utf8_cut(const char *bytes, size_t size, size_t limit);

#endif
