#ifndef SERVE_REQUEST_STREAM_H
#define SERVE_REQUEST_STREAM_H

#include "serve/conn/conn.h"
#include "serve/request/request.h"

#include <assert.h>
#include <sys/types.h>

struct engine;

/*
 * The way of a request to its client, and the only one: a table of functions that its protocol has.
 * Called by the thread that runs the request, attached, or by the leader for one that does not run.
 * Those that return bool say false when the client has gone: response.broken is set then.
 */
struct stream_ops {
    bool http2; /* a stream of HTTP/2, whatever version the head of another protocol names */

    /*
     * Sends n bytes of the body, which may be none, and the head before them when it has not left:
     * request->response has its parts, and room for two bytes behind its fields. `last`: finish()
     * does not follow. `ref` and `kept` are as in response_write().
     */
    bool (*write)(struct request *request, const char *data, size_t n, void *ref, bool *kept,
                  bool last);

    /* The same for bytes of a file. */
    bool (*file)(struct request *request, int file, off_t offset, uint64_t n);

    /* The body ends here; the head has left. */
    bool (*finish)(struct request *request);

    /* An interim answer, with lines of fields; before the head. */
    bool (*interim)(struct request *request, int status, struct str fields);

    /* Fields behind the body, which has not ended: lines with CRLF. False: no memory. NULL: the
     * protocol has none. */
    bool (*trailers)(struct request *request, struct str fields);

    /* "100 Continue", without waiting: nothing else of the answer is on the way. */
    void (*go_on)(struct request *request);

    /* Waits for bytes of a body that the application reads as it comes: up to n, 0 at its end, -1
     * with body.failed set. NULL: all bodies are there whole. */
    ssize_t (*read)(struct request *request, char *out, size_t n);

    /* Whether the client has gone before its request ran. */
    bool (*is_gone)(struct request *request);

    /* From now on it is seen when the client leaves, which sets conn->gone: see REQUEST_GONE. */
    void (*watch)(struct request *request);

    /* Ends the waiting of the application's threads in write() and read(). Both ways, or of the
     * client's bytes alone. Any thread. */
    void (*interrupt)(struct request *request, bool both);

    /* The application has the connection's descriptor, too, and may make it block: nothing that is
     * sent must wait for the client. Any thread. */
    void (*share)(struct request *request);
};

static inline bool request_is_http2(const struct request *request)
{
    return request->stream->http2;
}

/* Parts of the connection, read-only but for the thread that runs the request. */

static inline const struct peer *request_peer(const struct request *request)
{
    return &request->conn->peer;
}

/* The connection's PROXY header; NULL: none names a client. */
static inline const struct proxied *request_proxied(const struct request *request)
{
    return request->conn->proxied;
}

/* NULL: plain. */
static inline struct tls *request_tls(const struct request *request)
{
    return request->conn->tls;
}

static inline struct listener *request_listener(const struct request *request)
{
    return request->conn->listener;
}

/* The connection's descriptor: for applications that take it over. */
static inline int request_fd(const struct request *request)
{
    return request->conn->io.fd;
}

/* Which one it is of those that its connection has had, from 1. */
static inline uint32_t request_number(const struct request *request)
{
    return request->conn->served + 1;
}

/* Why its connection will be closed; the first reason counts. The thread that runs it, which has
 * the connection for itself: not of HTTP/2. */
static inline void request_because(struct request *request, enum metrics_close reason)
{
    assert(!request->stream->http2);
    conn_because(request->conn, reason);
}

static inline void request_interrupt(struct request *request, bool both)
{
    request->stream->interrupt(request, both);
}

static inline void request_share(struct request *request)
{
    request->stream->share(request);
}

#endif
