#ifndef SERVE_CONN_HTTP1_PRIVATE_H
#define SERVE_CONN_HTTP1_PRIVATE_H

#include "proto/http1/chunked.h"
#include "proto/http1/parse.h"
#include "proto/uwsgi.h"
#include "serve/conn/conn.h"
#include "serve/conn/protocol.h"
#include "serve/request/request.h"
#include "serve/request/stream.h"

/* What the files of HTTP/1 share. */

enum { HTTP1_FAULT_TEXT = 512 }; /* bytes of the words about a refused head */

/* Why a head is refused. */
struct http1_fault {
    int status;
    bool of_system; /* for want of memory */
    char text[HTTP1_FAULT_TEXT];
    char page[HTTP1_FAULT_TEXT]; /* the same for the client */
};

/*
 * How the head of a request is written: as HTTP/1 has it, or as a packet of uwsgi. All else of a
 * connection that has one request after the other is the same for both, and so are the answers.
 */
struct http1_form {
    /* The head from the socket, of which `size` bytes are there. HTTP1_ERROR: fault() says why. */
    enum http1_result (*parse)(struct request *request, size_t size);

    /* The same of a request that another worker has had. */
    enum http1_result (*parse_again)(struct request *request, size_t size);

    /* Applies a whole head to the connection. HTTP1_OK or HTTP1_ERROR. */
    enum http1_result (*apply)(struct request *request);

    /* The head is longer than any, or there is no memory for it: fault() says so. */
    void (*no_room)(struct request *request, bool too_long);

    void (*fault)(struct request *request, struct http1_fault *fault);
};

extern const struct http1_form http1_form, uwsgi_form;

/* What a request is to HTTP/1: in request->state. */
struct http1_state {
    struct http1_parser parser; /* zeroed where the form has another */
    union {
        struct chunked chunked;
        struct uwsgi_state {
            struct uwsgi packet;
            bool forbidden, too_long, no_memory;
        } uwsgi;
    };
    bool gateway; /* the other end is one that wants neither chunks nor interim answers */
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
