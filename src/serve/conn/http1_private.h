#ifndef SERVE_CONN_HTTP1_PRIVATE_H
#define SERVE_CONN_HTTP1_PRIVATE_H

#include "proto/http1/chunked.h"
#include "proto/http1/parse.h"
#include "serve/request/request.h"
#include "serve/request/stream.h"

/* What the files of HTTP/1 share. */

/* What a request is to HTTP/1: in request->state. */
struct http1_state {
    struct http1_parser parser;
    struct chunked chunked;
};

_Static_assert(sizeof(struct http1_state) <= REQUEST_STATE_SIZE, "it has room in a request");

static inline struct http1_state *http1_state(struct request *request)
{
    return (struct http1_state *)&request->state;
}

/* http1_body.c: a body on its way in */

/* Where the next bytes from the socket go, and how many: the head, the raw or the stored body. NULL
 * with errno: see spool_reserve(); EMSGSIZE: the head is longer than any. */
char *http1_room(struct request *request, size_t *room);

/* The head says that a body follows: takes what came with it. Says "100 Continue" when that is due.
 */
enum body_progress http1_body_begin(struct request *request);

/* n bytes were received where http1_room() said. */
enum body_progress http1_body_received(struct request *request, size_t n);

ssize_t http1_body_read(struct request *request, char *out, size_t n);

/* "100 Continue", at once: nothing else of its answer is on the way yet. */
void http1_go_on(struct request *request);

/* http1_stream.c */

extern const struct stream_ops http1_stream;

/* The input of a client has ended while its request waits. Whether it listens is not to be seen by
 * that; a system that nobody listens on answers an interim response with a reset. Leader only. */
void http1_ask(struct engine *engine, struct request *request);

#endif
