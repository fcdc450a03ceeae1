#ifndef PROTO_HTTP2_SESSION_H
#define PROTO_HTTP2_SESSION_H

#include "proto/http2/head.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The server's side of an HTTP/2 connection (RFC 9113) over nghttp2: bytes of the client in, events
 * out, and bytes for the client. No descriptor, and no clock but the time that is given. One thread
 * at a time. Streams have numbers, and a pointer of their owner's.
 */

struct http2_session;

struct http2_settings {
    uint32_t streams;                  /* requests at a time */
    uint32_t window;                   /* bytes of a body that a client may send ahead */
    uint32_t frame_size;               /* bytes of the payload of a frame */
    uint32_t header_list_size;         /* 0: any */
    bool websockets;                   /* extended CONNECT (RFC 8441) */
    const struct http1_limits *limits; /* borrowed */
};

/* Floods: so many of a kind in HTTP2_FLOOD_MS are answered by ENHANCE_YOUR_CALM. */
enum {
    HTTP2_FLOOD_MS = 10 * 1000,
    HTTP2_RESETS_MAX = 200,      /* streams that the client resets, or makes us reset */
    HTTP2_IDLE_FRAMES = 1000,    /* frames that carry nothing: see is_idle_frame() */
    HTTP2_LEAST_WINDOW = 256,    /* bytes by which a window has to grow to be more than nothing */
    HTTP2_LEAST_DATA = 1024,     /* bytes of DATA for a stream that is gone, to be the same */
    HTTP2_DECODE_TURN = 1 << 20, /* bytes of decoded fields before others have their turn */
    HTTP2_OUTBOUND_MAX = 1000,   /* frames that may wait for a client that does not read */
};

/* What follows the bytes of a body that were read. */
enum http2_more {
    HTTP2_MORE,     /* others, now or after http2_resume() */
    HTTP2_END,      /* the end of the stream */
    HTTP2_TRAILERS, /* the fields of http2_trailers(), which was called */
};

/*
 * Called by http2_receive() and http2_send(), which these may not call in turn, nor http2_free().
 */
struct http2_events {
    /* A request begins: the stream's owner, with the head's buffer put into *in. NULL: it is
     * refused, and may be repeated. */
    void *(*begin)(void *context, int32_t id, struct http2_head *in);

    /* Makes room for n bytes behind in->size, if it can. */
    bool (*grow)(void *stream, struct http2_head *in, size_t n);

    /* The head is whole. `ended`: no body follows. */
    void (*head)(void *stream, const struct http2_head *in, bool ended);

    /* Bytes of the body, which http2_consume() is to be told of when they are taken. */
    void (*data)(void *stream, const char *data, size_t n);

    /* The body has ended. */
    void (*ended)(void *stream);

    /* The stream is closed, and gone when this returns: HTTP2_NO_ERROR, or why it was reset. */
    void (*closed)(void *stream, uint32_t code);

    /* Copies up to n bytes of the answer's body; 0 with HTTP2_MORE: none are there yet. -1: the
     * stream is reset. */
    ssize_t (*read)(void *stream, char *out, size_t n, enum http2_more *more);

    /* The answer to http2_ping() has come. */
    void (*ponged)(void *context);
};

/* NULL: no memory. */
struct http2_session *http2_new(const struct http2_settings *settings,
                                const struct http2_events *events, void *context);

/*
 * Before any byte: stream 1 is a request of HTTP/1, which is whole, with its owner; `settings` is
 * the payload of the client's SETTINGS (RFC 7540 §3.2.1), which is valid. False: no memory.
 */
bool http2_upgrade(struct http2_session *session, const uint8_t *settings, size_t size,
                   bool is_head, void *stream);

/* No event is given any more, also not for streams that are open. */
void http2_free(struct http2_session *session);

/* The client's bytes. False: nothing that follows is read; what http2_send() has is still to be
 * sent. */
bool http2_receive(struct http2_session *session, const char *data, size_t n, uint64_t now_ms);

/* Few bytes can name many fields: some are left to a further http2_receive(), with or without
 * others, when other clients have had their turn. */
bool http2_has_more(const struct http2_session *session);

/* Writes up to `room` bytes for the client; how many. 0: there is nothing to send now. */
size_t http2_send(struct http2_session *session, char *out, size_t room);

/* Whether a client that does not read has made us keep so much that it is not to be read from. */
bool http2_is_full(const struct http2_session *session);

/* http2_send() has something. */
bool http2_wants_write(const struct http2_session *session);

/* Neither side has anything more to say. */
bool http2_is_over(const struct http2_session *session);

/* A head is incomplete, so that no other stream goes on. */
bool http2_awaits_head(const struct http2_session *session);

/* Why the session was ended because of the client, in English; NULL: it was not. */
const char *http2_violation(const struct http2_session *session);

/*
 * The head of an answer, with the lines of fields ("Name: value\r\n") of up to three parts.
 * `body`: bytes may follow, by read(). False: no memory, or the stream is gone.
 */
bool http2_answer(struct http2_session *session, int32_t id, int status, const struct str lines[],
                  size_t parts, bool body);

/* An interim answer (RFC 9110 §15.2). */
bool http2_interim(struct http2_session *session, int32_t id, int status, struct str lines);

/* For read(), which then says HTTP2_TRAILERS. */
bool http2_trailers(struct http2_session *session, int32_t id, struct str lines);

/* read() has bytes again. */
void http2_resume(struct http2_session *session, int32_t id);

/* n bytes of a body have been taken: the client may send as many more. */
void http2_consume(struct http2_session *session, int32_t id, size_t n);

/* No event of this stream is given any more. */
void http2_disown(struct http2_session *session, int32_t id);

/* RST_STREAM, with a code of RFC 9113 §7. */
void http2_reset(struct http2_session *session, int32_t id, uint32_t code);

enum {
    HTTP2_NO_ERROR = 0,
    HTTP2_INTERNAL_ERROR = 2,
    HTTP2_REFUSED_STREAM = 7,
    HTTP2_CANCEL = 8,
};

/*
 * The end, in two steps (RFC 9113 §6.8): clients are to begin no more requests, and the answer to
 * the ping shows that they know it; then GOAWAY names the last request that was taken.
 */
void http2_announce_end(struct http2_session *session);
void http2_end(struct http2_session *session);

#endif
