#ifndef SERVE_CONN_WEBSOCKET_PRIVATE_H
#define SERVE_CONN_WEBSOCKET_PRIVATE_H

#include "serve/conn/duplex.h"
#include "serve/engine/engine.h"
#include "serve/request/request.h"
#include "serve/request/response.h"

/* Shared by the files of WebSockets. */

struct websocket;

/* The way of its frames: a connection of its own, or a stream of HTTP/2. */
struct websocket_way {
    /* Sends the head of the answer, behind which frames follow. The application's thread. */
    enum response_error (*open)(struct request *request);

    /* Sends or queues one frame, whole; the parts are changed. 0, or -1: the client has gone.
     * *attend: the leader does not know yet that something is queued. Any thread, with the lock of
     * the duplex. */
    int (*send)(struct request *request, struct iovec *parts, int count, bool *attend);

    /* All that follows is the leader's. */

    /* Gives the bytes that have come, as long as ws->want is DUPLEX_READ. */
    void (*read_on)(struct websocket *ws);

    /* Has what is queued sent, and websocket_expired() called then; 0: never. */
    void (*settled)(struct websocket *ws, uint64_t at_ms);

    /* Nothing more is sent: all that was queued has left. Once. */
    void (*shut)(struct websocket *ws);

    /* Both sides are over, and the application is through: it may be gone after this. */
    void (*close)(struct websocket *ws);
};

/* Bytes that were read, and not consumed. */
struct websocket_kept {
    char *data; /* owned; NULL: none */
    uint32_t size, capacity;
};

/*
 * The application's thread sends by itself, under the lock of the duplex. All else is the leader's.
 * While the application has the request it is RUNNING, then in FLUSH until the close handshake is
 * over.
 */
struct websocket {
    struct duplex duplex;
    struct request *request;
    const struct websocket_way *way;
    atomic_bool unattended; /* something was queued, or the client has gone, and the leader does
                               not know */

    /* The leader's. */
    enum duplex_want want;
    struct websocket_kept kept;
    uint64_t out_at;   /* when its client has taken nothing for too long; 0: nothing waits */
    uint64_t drain_at; /* when it is closed, as the worker ends; 0: not at all */
    bool shut;         /* way->shut() was called */
};

extern const struct websocket_way websocket_conn_way, http2_websocket_way;

/* websocket.c */

/* Appends. False: no memory. */
bool websocket_keep(struct budget *budget, struct websocket_kept *kept, const char *data, size_t n);
void websocket_drop_kept(struct budget *budget, struct websocket_kept *kept);

/* websocket_leader.c: all is the leader's. */

static inline bool websocket_is_finished(const struct websocket *ws)
{
    return request_phase(ws->request) == PHASE_FLUSH;
}

/* The handshake is answered, and the leader knows it. */
void websocket_begin_reading(struct websocket *ws);

/* Bytes have come; they are changed. Bytes that are not consumed are kept. */
void websocket_give(struct websocket *ws, char *data, size_t n);
void websocket_give_kept(struct websocket *ws);

/* The client has ended or reset its side. */
void websocket_hang_up(struct websocket *ws);

/* The client takes nothing, or will get nothing more. */
void websocket_drop_output(struct websocket *ws);

/* The application has done something. */
void websocket_attend(struct websocket *ws);

/* Some of the output was sent, `taken` or none. */
void websocket_sent(struct websocket *ws, bool taken);

void websocket_expired(struct websocket *ws);
void websocket_drain(struct websocket *ws);

/* The application has it, and is informed. */
void websocket_cut(struct websocket *ws);

/* The application is through with it. */
void websocket_answered(struct websocket *ws);

/* At the end of all that the leader does for it; it may be gone after this. */
void websocket_settle(struct websocket *ws);

#endif
