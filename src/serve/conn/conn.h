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
struct protocol;
struct proxied;
struct request;
struct tls;

/*
 * One connection: its descriptor, TLS, timer, lists and counts, until it is closed. The bytes on it
 * are its protocol's.
 *
 *   accept ---> HANDSHAKE ---> OPEN ---> LINGER ---> CLOSED
 *          \    PROXY, TLS   ^    \__________________^
 *           \_______________/
 *
 * The engine's leader owns it, but the fields that the thread of a request sends with,
 * which is that thread's while it does.
 */
enum conn_state {
    CONN_HANDSHAKE, /* the PROXY header, where one may come, and the handshake of TLS */
    CONN_OPEN,      /* the protocol's */
    CONN_LINGER,    /* our side is shut; bytes of the client are thrown away */
    CONN_CLOSED,
};

struct conn {
    struct io io;
    _Atomic(enum conn_state) state; /* the leader's to change */
    uint8_t activity;               /* enum metrics_activity: as it is counted, and in which list */
    uint8_t why;                    /* enum metrics_close: the first reason that was found */
    bool watched;                   /* the loop knows the descriptor */
    bool readable;                  /* an edge was told and not used up yet */
    atomic_bool gone;               /* the peer has closed or reset */
    bool urgent;                    /* urgent data came: a read may give less than there is */
    bool awaits_proxy;              /* a PROXY header may still come */
    bool parked;                    /* not read from, for want of room: see park.h */
    bool reads_on;                  /* it stays in engine->unread: see conn_read_later() */
    bool failed;                    /* see conn_fail() */
    bool may_upgrade;               /* HTTP/1 whose client may ask for h2c: see http2_upgrade.h, */
    bool upgraded;                  /* and has: it is HTTP/1's no more */
    const struct protocol *protocol;
    struct timer timer;
    struct list link; /* in one of the engine's lists */
    struct listener *listener;
    struct tls *tls;             /* owned; NULL: plain */
    struct proxied *proxied;     /* owned: see proxied.h; NULL: no PROXY header names the client */
    union {                      /* the protocol's; NULL at first */
        struct request *request; /* of HTTP/1; NULL while idle */
        void *session;           /* of any other */
    };
    uint64_t since_ms;  /* when it was accepted; in LINGER, when our side was shut */
    uint64_t mark_ms;   /* of its last progress: see room.c */
    uint32_t gained;    /* bytes since then; less than PACE_BYTES */
    uint32_t parked_ms; /* for how long, with this request */
    uint32_t untaken;   /* while an answer is sent: the bytes in the socket then */
    struct peer peer;   /* the client that a PROXY header names, else the other end */
    uint32_t served;    /* requests answered so far */
};

/* All of these are the leader's, unless they say otherwise. */

/* Both take over the descriptor unless they return NULL, for want of memory. The first: no byte has
 * been read from it, so that a PROXY header may come. */
struct conn *conn_accept(struct engine *engine, struct listener *listener, int fd,
                         const struct peer *peer);
struct conn *conn_create(struct engine *engine, struct listener *listener, int fd,
                         const struct peer *peer);

/* Reads the bytes that are there, and goes as far as it can. */
void conn_read(struct engine *engine, struct conn *conn);

/* Its deadline has passed. */
void conn_expired(struct engine *engine, struct conn *conn);

/* Why it will be closed. Its owner; the first reason counts. */
static inline void conn_because(struct conn *conn, enum metrics_close reason)
{
    if (conn->why == CLOSE_BY_CLIENT)
        conn->why = (uint8_t)reason;
}

/* Closes at once; the memory goes at the end of the engine's step. */
void conn_close(struct engine *engine, struct conn *conn);
void conn_close_because(struct engine *engine, struct conn *conn, enum metrics_close reason);

/* Our side is done: bytes that the client still sends must not make the kernel reset our answer
 * away. It is closed when the client has closed, or after a while. */
void conn_linger(struct engine *engine, struct conn *conn);

/* Closes it, after an answer if the protocol has one to give. False: a request of it runs. */
bool conn_cut(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
              const char *text);

/* A mistake of a programmer concerns it: it is closed as soon as no thread has
 * its request, with a line in the log. An assertion in builds that have them. */
void conn_fail(struct engine *engine, struct conn *conn, const char *what);

/* Puts the descriptor into the loop, once. Any owner. 0 or -1 with errno. */
int conn_watch(struct engine *engine, struct conn *conn);

/* The event to wait for when the socket is full: LOOP_WRITE, mostly. */
unsigned conn_send_interest(const struct conn *conn);

/* The rest is for the protocols. */

/* Sets its activity. */
void conn_turn_to(struct engine *engine, struct conn *conn, enum metrics_activity activity);

/* Puts it at the end of the list of its activity. */
void conn_list(struct engine *engine, struct conn *conn);

/* The same, as its client keeps pace: it is the last one now that is closed to make room. */
void conn_mark(struct engine *engine, struct conn *conn);

/* While an answer is sent: whether its client has taken PACE_BYTES since the last conn_mark(), of
 * which the engine knows nothing: the system says that the socket takes more only when much of it
 * is empty. */
bool conn_takes(const struct conn *conn);

/* So many bytes of a request came, or of an answer went: conn_mark() from PACE_BYTES on. */
void conn_gain(struct engine *engine, struct conn *conn, uint64_t n);

/* Waits for the client to send; closes when it has not within timeout_ms, unless that is 0. */
void conn_await(struct engine *engine, struct conn *conn, uint32_t timeout_ms);

/* There is more to read, but this client has had its turn. */
void conn_read_later(struct engine *engine, struct conn *conn);

/* The same, of bytes that were read already: they raise no event. */
void conn_go_on_later(struct engine *engine, struct conn *conn);

/* Sets the deadline, but no later than a worker that drains allows. The second: from `since` on, by
 * a setting; none when that is 0. */
void conn_deadline_in(struct engine *engine, struct conn *conn, uint32_t ms);
void conn_deadline_at(struct engine *engine, struct conn *conn, uint64_t since, uint32_t ms);

/* The next read, or the one after it, gives the end of the client's bytes. */
bool conn_is_ending(const struct conn *conn);

/* Bytes stand in the socket or in TLS that no event will tell of. */
bool conn_has_unread(const struct conn *conn);

#endif
