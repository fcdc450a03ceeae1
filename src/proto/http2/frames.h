#ifndef PROTO_HTTP2_FRAMES_H
#define PROTO_HTTP2_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The heads of a client's frames (RFC 9113 §4.1), found beside nghttp2, which passes over some of
 * which the client has to be told.
 */

enum { FRAMES_HEAD = 9, FRAMES_PRIORITY = 5, FRAMES_PREFACE = 24 };

struct http2_frames {
    uint8_t head[FRAMES_HEAD + FRAMES_PRIORITY]; /* of PRIORITY with its payload */
    uint32_t size;                               /* bytes of it that are there */
    uint32_t skip;                               /* bytes of the present frame that follow */
    bool fields, goes_on; /* the present frame has fields of a head; others of it follow */
};

/* Before the client's first byte. */
void http2_frames_init(struct http2_frames *frames);

/* Looks at the next bytes, in any pieces: up to the end of the next head, then *found is set, or
 * all n. How many. */
size_t http2_frames_next(struct http2_frames *frames, const char *data, size_t n, bool *found);

/* Of the head that was found last. */
uint8_t http2_frames_type(const struct http2_frames *frames);
uint8_t http2_frames_flags(const struct http2_frames *frames);
uint32_t http2_frames_length(const struct http2_frames *frames);
int32_t http2_frames_id(const struct http2_frames *frames);

/* A head, or trailers, have begun, and their last byte has not come: nothing else may come before.
 */
bool http2_frames_await_head(const struct http2_frames *frames);

/* Whether it is PRIORITY, and makes its stream depend on itself (RFC 7540 §5.3.1). */
bool http2_frames_loop(const struct http2_frames *frames);

#endif
