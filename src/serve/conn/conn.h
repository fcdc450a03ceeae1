#ifndef SERVE_CONN_CONN_H
#define SERVE_CONN_CONN_H

#include "base/list.h"
#include "base/metrics.h"
#include "net/loop.h"
#include "net/socket.h"
#include "net/timer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct engine;
struct listener;
struct request;
struct tls;

/*
 * One connection. The engine's leader owns it in every state but RUNNING, when the application's
 * thread does; the state itself is written by the leader alone.
 *
 *            accept ----> HANDSHAKE ---> FLUSH, LINGER: it failed
 *              |              | TLS only
 *              v <------------+
 *                     byte        whole head        whole body
 *   +------> IDLE ---------> HEAD ----------> BODY ------------> RUNNING
 *   |          |              |  \___________ no body ____________^ |
 *   |          |              | refused                             |
 *   |          |              v                                     |
 *   | sent,    |            FLUSH <------------ answered -----------+
 *   | keep     |              |
 *   +----------|--------------+----> LINGER
 *              v              v         v
 *              +----------> CLOSED <----+
 */
enum conn_state {
    CONN_IDLE,      /* between requests: no buffer is held */
    CONN_HEAD,      /* a head is incomplete */
    CONN_BODY,      /* a body is being buffered */
    CONN_RUNNING,   /* the request is with the threads: it waits for one, or the application runs */
    CONN_FLUSH,     /* the answer is complete, the client has not taken all of it */
    CONN_LINGER,    /* our side is shut; what the client still sends is thrown away */
    CONN_HANDSHAKE, /* of TLS */
    CONN_CLOSED,
};

struct conn {
    struct io io;
    _Atomic(enum conn_state) state; /* its owner's to change; the leader looks at all */
    bool watched;                   /* the loop knows the descriptor */
    bool readable;                  /* an edge was told and not used up yet */
    atomic_bool gone;               /* the peer has closed or reset */
    bool urgent;                    /* urgent data came: a read may give less than there is */
    bool close_after;               /* no further request */
    bool parked;                    /* not read from, for want of room: see park() */
    uint8_t why;                    /* enum metrics_close: the first reason that was found */
    struct timer timer;
    struct list link; /* in one of the engine's lists */
    struct listener *listener;
    struct tls *tls;         /* owned; NULL: plain */
    struct request *request; /* NULL while idle */
    struct conn *next_dead;
    uint64_t since_ms;  /* when it was accepted; in LINGER, when our side was shut */
    uint64_t mark_ms;   /* when it last did what counts as progress: see room.c */
    uint32_t gained;    /* bytes since then; less than PACE_BYTES */
    uint32_t parked_ms; /* for how long, with this request */
    uint32_t untaken;   /* in FLUSH: what stood in the socket then */
    struct peer peer;
    uint32_t served; /* requests answered so far */
};

struct conn *conn_create(struct engine *engine, struct listener *listener, int fd,
                         const struct peer *peer);

/* Reads what there is and goes as far as it can. Leader only, as all below. */
void conn_read(struct engine *engine, struct conn *conn);

/*
 * A connection that another worker has had, with a request that has been whole since ready_ns: its
 * head of head_size bytes and all that belongs to it stand in conn->request. False when it is none:
 * conn_close().
 */
bool conn_adopt(struct engine *engine, struct conn *conn, uint32_t head_size, uint64_t ready_ns);

/* What follows when the application is through with conn->request. */
void conn_answered(struct engine *engine, struct conn *conn);

/* A deadline has passed. */
void conn_expired(struct engine *engine, struct conn *conn);

/* Why it will be closed. Its owner; what was said first counts. */
static inline void conn_because(struct conn *conn, enum metrics_close reason)
{
    if (conn->why == CLOSE_BY_CLIENT)
        conn->why = (uint8_t)reason;
}

/* Closes at once; the memory goes at the end of the engine's step. */
void conn_close(struct engine *engine, struct conn *conn);

/* Closes one whose request is not with a thread: answered before, as far as its socket takes that
 * at once. */
void conn_cut(struct engine *engine, struct conn *conn, int status, const char *text);

/* Puts the descriptor into the loop, once. Any owner. 0 or -1 with errno. */
int conn_watch(struct engine *engine, struct conn *conn);

/* What its loop is asked for when the client does not take what is sent: LOOP_WRITE, mostly. */
unsigned conn_send_interest(const struct conn *conn);

/* In FLUSH: whether its client has taken PACE_BYTES since the last conn_mark(), of which the engine
 * knows nothing: the system says that the socket takes more only when much of it is empty. */
bool conn_takes(const struct conn *conn);

/* Its client keeps pace: it is the last one now that is closed to make room. */
void conn_mark(struct engine *engine, struct conn *conn);

#endif
