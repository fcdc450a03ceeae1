#ifndef PROTO_WEBSOCKET_DEFLATE_H
#define PROTO_WEBSOCKET_DEFLATE_H

#include "base/str.h"
#include "proto/websocket/buffer.h"
#include "proto/websocket/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The two streams of permessage-deflate (RFC 7692 §7.2), by zlib. Each is made when it is first
 * used; a deflater may be freed after any message, for a sender need not use the context that it
 * has announced.
 *
 * Bytes of one stream with windows of 2^12 and 2^15 bytes: deflating 38 and 148 KiB, inflating 11
 * and 39 KiB.
 */
enum {
    WS_WINDOW_LEAST = 8, /* bits: the smallest window that may be agreed on */
    WS_WINDOW_MOST = 15,
    WS_DEFLATE_WINDOW = 12, /* bits: the largest window that we deflate with */
    WS_INFLATE_WINDOW = 12, /* bits: that clients are held to, where they can be */
    WS_DEFLATE_MEMORY = 5,  /* zlib's memLevel: 2^(5+9) bytes of hashes and symbols */
    WS_DEFLATE_LEVEL = 1,
    WS_DEFLATE_ROOM = 64, /* the least room of ws_deflate(), for its end marker to fit at once */
};

struct ws_inflater;
struct ws_deflater;

/*
 * NULL: no memory. `window`: bits, WS_WINDOW_LEAST to WS_WINDOW_MOST. A message may refer to those
 * before it that the same inflater has inflated.
 */
struct ws_inflater *ws_inflater_new(const struct ws_memory *memory, unsigned window);
void ws_inflater_free(struct ws_inflater *inflater); /* NULL is nothing */

/*
 * Inflates a piece of a message behind buffer->size. WS_NO_ERROR: all of it was used. WS_TOO_LARGE
 * as soon as there is more than buffer->limit, WS_BAD_DEFLATE, WS_NO_MEMORY: fail the connection.
 */
enum ws_error ws_inflate(struct ws_inflater *inflater, const char *data, size_t size,
                         struct ws_buffer *buffer);

/* The same at the end of the message, which must be the end of a block. */
enum ws_error ws_inflate_end(struct ws_inflater *inflater, struct ws_buffer *buffer);

/* The same for a deflater. Without `takeover` each message stands for itself. */
struct ws_deflater *ws_deflater_new(const struct ws_memory *memory, unsigned window, bool takeover);
void ws_deflater_free(struct ws_deflater *deflater);

/*
 * Deflates bytes of a message, which is not empty, into room[0..size), size >= WS_DEFLATE_ROOM;
 * the used bytes are taken off *payload. Returns how many bytes stand in `room`; *done: they end
 * the message, which is so only when all of its bytes are used. Call again until then.
 */
size_t ws_deflate(struct ws_deflater *deflater, struct str *payload, char *room, size_t size,
                  bool *done);

#endif
