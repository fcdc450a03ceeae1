#ifndef SERVE_CONN_HTTP1_PRIVATE_H
#define SERVE_CONN_HTTP1_PRIVATE_H

#include "proto/fastcgi.h"
#include "proto/http1/chunked.h"
#include "proto/http1/parse.h"
#include "proto/uwsgi.h"
#include "serve/conn/conn.h"
#include "serve/conn/protocol.h"
#include "serve/request/request.h"
#include "serve/request/stream.h"

#include <sys/uio.h>

/* Shared by the files of HTTP/1. */

enum { HTTP1_FAULT_TEXT = 512 }; /* bytes of the words about a refused head */

/* Why a head is refused. */
struct http1_fault {
    int status;
    bool of_system; /* for want of memory */
    char text[HTTP1_FAULT_TEXT];
    char page[HTTP1_FAULT_TEXT]; /* the same for the client */
};

/*
 * How requests are written: as HTTP/1 has them, as packets of uwsgi or as records of FastCGI. All
 * else of a connection that has one request after the other is the same for all.
 */
struct http1_form {
    const struct stream_ops *stream; /* how answers are written */

    /* The head from the socket, of which `size` bytes are there. HTTP1_ERROR: fault() says why. */
    enum http1_result (*parse)(struct request *request, size_t size);

    /* The same of a request that another worker has had. */
    enum http1_result (*parse_again)(struct request *request, size_t size);

    /* Applies a whole head to the connection. HTTP1_OK or HTTP1_ERROR. */
    enum http1_result (*apply)(struct request *request);

    /* The head is longer than any, or there is no memory for it: fault() says so. */
    void (*no_room)(struct request *request, bool too_long);

    void (*fault)(struct request *request, struct http1_fault *fault);

    /* The rest is for bodies that show where they end (HEAD_UNTIL_END), if the form has any: before
     * the first byte; as chunked_decode(); and why that failed: a status and words, static. */
    void (*begin_body)(struct request *request);
    enum chunked_result (*decode)(struct request *request, char *data, size_t size,
                                  size_t *consumed, size_t *produced);
    int (*body_fault)(struct request *request, const char **text);
};

extern const struct http1_form http1_form, uwsgi_form, fastcgi_form;

/* HTTP/1's part of a request: in request->state. */
struct http1_state {
    struct http1_parser parser; /* zeroed where the form has another, but for keep_alive */
    union {
        struct chunked chunked;
        struct uwsgi_state {
            struct uwsgi packet;
            bool forbidden, too_long, no_memory;
        } uwsgi;
        struct fastcgi_state {
            struct fastcgi records;
            uint64_t body; /* bytes of it so far */
            uint32_t kept; /* bytes of the head that stand in the input: see fastcgi.c */
            uint8_t fault; /* enum fault of fastcgi.c */
        } fastcgi;
    };
    bool upgrades; /* to HTTP/2, when it is whole */
    bool gateway;  /* the other end is one that wants neither chunks nor interim answers */
};

_Static_assert(sizeof(struct http1_state) <= REQUEST_STATE_SIZE, "it has room in a request");

static inline struct http1_state *http1_state(struct request *request)
{
    return (struct http1_state *)&request->state;
}

static inline const struct http1_form *http1_form_of(const struct request *request)
{
    return request->conn->protocol->form;
}

/* http1_body.c: a body on its way in */

/* Where the next bytes from the socket go, and how many: the head, the raw or the stored body. NULL
 * with errno: see spool_reserve(); EMSGSIZE: the head is longer than any. */
char *http1_room(struct request *request, size_t *room);

/* The head says that a body follows: takes the bytes that came with it. Says "100 Continue" when
 * that is due.
 */
enum body_progress http1_body_begin(struct request *request);

/* n bytes were received where http1_room() said, of which *gained are the body's: framing is no
 * progress. */
enum body_progress http1_body_received(struct request *request, size_t n, uint64_t *gained);

/* Sets the timer until more of it has to be there. */
void http1_await_body(struct engine *engine, struct conn *conn);

/* In which its rate is measured; at its end, whether it gets another one. */
uint32_t http1_body_window_ms(const struct engine *engine);
bool http1_body_goes_on(struct engine *engine, struct conn *conn);

ssize_t http1_body_read(struct request *request, char *out, size_t n);

/* A few bytes, at once, before anything of the answer: whether the socket takes them. */
bool http1_send_aside(struct request *request, struct str bytes);

/* The same for "100 Continue". */
void http1_go_on(struct request *request);

/* http1_unread.c: bytes of the client that nobody takes */

/* The rest of a body that the application has not received. */
enum http1_rest { REST_WHOLE, REST_COMES, REST_CUT };

/* Whether it is worth waiting for, so that the connection is kept. Any thread that has the request.
 */
bool http1_rest_is_small(struct request *request);

/* Throws away as much of it as is there. */
enum http1_rest http1_waste_rest(struct engine *engine, struct conn *conn);

/* Whether close() may be a reset, for there are bytes that we did not take. Who wanted to go on may
 * have sent the next request already, of which the loop has not told us yet. */
bool http1_may_have_unread(const struct conn *conn);

/* Throws some away, so that close() is none, in which the answer is lost. */
void http1_waste_unread(const struct conn *conn);

/* http1_stream.c */

/* Whether the answer has left whole and its connection stays. */
static inline bool http1_keeps(const struct request *request)
{
    const struct response *response = &request->response;
    return response->keep_alive && response->finished && !request->must_close;
}

extern const struct stream_ops http1_stream, fastcgi_stream;

/* Small answers leave as one piece of memory: joins parts behind the first, which is the end of
 * response->head, if they have room there. */
void http1_join(struct response *response, struct iovec *parts, int *count);

bool http1_is_gone(struct request *request);
void http1_watch(struct request *request);
void http1_interrupt(struct request *request, bool both);

/* The input of a client has ended while its request waits. Whether it listens is not to be seen by
 * that; a system that nobody listens on answers an interim response with a reset. Leader only. */
void http1_ask(struct engine *engine, struct request *request);

#endif
