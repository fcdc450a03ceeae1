#ifndef SERVE_CONN_PROTOCOL_H
#define SERVE_CONN_PROTOCOL_H

#include "base/metrics.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct engine;
struct http1_form;
struct request;

/*
 * The functions of the protocol of an OPEN connection: one constant table a protocol. All of
 * it is called by the engine's leader. Each function may close the connection, whose memory stays
 * until the end of the engine's step; `may_hand_over` alone must not.
 */
struct protocol {
    const char *name;              /* as ALPN has it (RFC 7301 §6) */
    const struct http1_form *form; /* of protocols that http1.c serves: see http1_private.h */

    /* Bytes can be read, or the client has closed (conn->gone): reads as far as it can. */
    void (*readable)(struct engine *engine, struct conn *conn);

    /* The socket takes more. Also called when nothing is queued. */
    void (*writable)(struct engine *engine, struct conn *conn);

    /* The application is through with the request, which has begun to run by engine_ready(). */
    void (*answered)(struct engine *engine, struct request *request);

    /*
     * For a request that runs later: its application has taken bytes of the body from a window that
     * was full, or has written more than the client takes. See engine_attend().
     */
    void (*attend)(struct engine *engine, struct request *request);

    /* Sends the answers that engine_send_later() has put off to the end of a step. NULL: none ever
     * are. */
    void (*flush)(struct engine *engine, struct conn *conn);

    /* conn->timer is due. */
    void (*expired)(struct engine *engine, struct conn *conn);

    /* The worker drains: what is not whole has until drain_requests_until(). The timer is set. */
    void (*drain)(struct engine *engine, struct conn *conn);

    /* Answers a client that has not sent a request, and closes. */
    void (*refuse)(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
                   const char *text);

    /*
     * Closes the connection, and answers before that what is not with the application, as far as
     * the socket takes it at once. False: it stays open, for a request of it runs, which gets
     * REQUEST_DEADLINE.
     */
    bool (*cut)(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
                const char *text);

    /* The connection is closed, or will only linger: gives its requests back. True if no answer
     * was cut short by that, so that TLS may say so. */
    bool (*release)(struct engine *engine, struct conn *conn);

    /* Whether another worker can go on with the connection when it gets the bytes of the head, the
     * body, and what follows. NULL: never. */
    bool (*may_hand_over)(const struct request *request);

    /*
     * A new connection, which another worker has had, with a request that has been whole since
     * ready_ns: its head of head_size bytes and all that belongs to it stand in the request, which
     * is the connection's from now on. False when it is none. NULL with may_hand_over.
     */
    bool (*adopt)(struct engine *engine, struct conn *conn, struct request *request,
                  uint32_t head_size, uint64_t ready_ns);
};

#endif
