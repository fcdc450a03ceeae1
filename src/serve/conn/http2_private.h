#ifndef SERVE_CONN_HTTP2_PRIVATE_H
#define SERVE_CONN_HTTP2_PRIVATE_H

#include "proto/http2/session.h"
#include "serve/conn/conn.h"
#include "serve/conn/websocket_private.h"
#include "serve/engine/engine.h"
#include "serve/request/request.h"
#include "serve/request/stream.h"

/* What the files of HTTP/2 share. */

enum {
    HTTP2_READ_SIZE = 16 * 1024,  /* bytes that are read at once, on the stack */
    HTTP2_READ_TURN = 128 * 1024, /* bytes of one client before the others have their turn: frames
                                     cost more than bytes */
    HTTP2_SEND_SIZE = 32 * 1024,  /* bytes that are sent at once, on the stack; what the socket does
                                     not take of them is kept */
    HTTP2_REQUESTS_EACH = 2,      /* requests for each stream that a client may open: some run on
                                     when it has reset theirs */
    HTTP2_SESSION = 24 * 1024,    /* bytes of a session, about */
    HTTP2_WAIT_MS = 5,            /* until a thread whose client is slow looks again */
    HTTP2_END_MS = 1000,          /* for clients to learn that the connection ends */
    HTTP2_IDLE_MS = 2000,         /* where keepalive is 0: another stream may be on its way */
};

/* A connection: conn->session. All of it is the leader's. */
struct http2_conn {
    struct engine *engine;
    struct conn *conn;
    struct unsent unsent;
    struct http2_session *session;
    struct list streams; /* of struct http2_stream */
    struct list sending; /* of them: those with bytes, or an end, for the client */
    uint32_t requests, running, receiving; /* all; of them, those in these phases */
    uint32_t websockets;                   /* of those that run */
    char *rest; /* owned; bytes that the socket has not taken yet; NULL: none */
    size_t rest_at, rest_size, rest_capacity;
    bool ended;  /* the client sends nothing more, or nothing is read because of an error */
    bool broken; /* nothing more can be sent */
    bool logged; /* the violation is in the log */
    bool unread; /* bytes may be in the socket for which no event comes: see may_read() */
    bool announced, ending, ponged; /* the two steps of GOAWAY, and the pong between them */
    uint32_t keeping;               /* streams whose bodies wait for room */
    uint64_t room_at;               /* when it is looked for again; 0: none wait */
    uint64_t idle_at, head_at, out_at, end_at; /* when each is over; 0: it is not waited for */
    uint64_t next_at; /* none of the streams' times is over before; 0: there is none */
};

/* An interim answer that is to be sent. */
struct http2_interim {
    struct http2_interim *next;
    int status;
    size_t size;
    char lines[];
};

/* A stream: in request->state. */
struct http2_stream {
    struct list link;    /* in http2_conn.streams */
    struct list sending; /* in http2_conn.sending, or in none */
    struct request *request;
    int32_t id;
    bool closed;         /* it is gone, and its number unknown */
    bool begun;          /* the head was given to the session */
    bool is_websocket;   /* its handshake is answered */
    bool in_ended;       /* of a WebSocket, or behind `kept`: the client sends nothing more */
    bool timed;          /* `at` is the client's, to take some of the answer */
    bool has_head;       /* under request->out.lock: the head of the answer is complete, */
    bool whole;          /* all of it is in the queue, */
    bool waits;          /* and its thread waits for room there */
    uint32_t taken;      /* bytes of the answer that have left since `at` was set */
    uint64_t at;         /* when it has waited too long; 0: it does not */
    uint64_t in_at;      /* when the pace of a body that streams is looked at; 0: never */
    uint64_t credited;   /* bytes of the body for which the client has credit again */
    char *kept;          /* owned; bytes of the body that wait for room; NULL: none do */
    uint64_t kept_until; /* when they have waited too long */
    uint32_t kept_size;
    struct websocket_kept early;    /* sent before the handshake was answered */
    struct http2_interim *interims; /* under request->out.lock; owned */
    struct str trailers;            /* the same */
};

_Static_assert(sizeof(struct http2_stream) <= REQUEST_STATE_SIZE, "it has room in a request");

static inline struct http2_stream *http2_stream(const struct request *request)
{
    return (struct http2_stream *)(uintptr_t)&request->state;
}

static inline struct http2_conn *http2_of(const struct request *request)
{
    return request->conn->session;
}

/* When http2_request_expired() is to be called, for this stream at least; 0: never. The times of
 * all are looked at when the first may be over. */
static inline void http2_look_at(struct request *request, uint64_t at)
{
    struct http2_conn *h2 = http2_of(request);
    if (at > 0 && (h2->next_at == 0 || at < h2->next_at))
        h2->next_at = at;
}

/* http2_websocket.c. Leader only. */

/* The application has done something with a request that may be one. */
void http2_websocket_attend(struct request *request);

/* Frames have come, or their end. */
void http2_websocket_data(struct request *request, const char *data, size_t n);
void http2_websocket_ended(struct request *request);

/* Nothing more leaves, and nothing comes. */
void http2_websocket_gone(struct request *request);

/* http2_stream.c: the answers, by the threads that run the requests. */

extern const struct stream_ops http2_stream_ops;

/* Frees what the stream has beside the request. */
void http2_stream_clear(struct request *request);

/* http2.c: the connection gets its session. False: no memory. Leader only. */
bool http2_open(struct engine *engine, struct conn *conn);

/* http2_request.c: streams become requests. Leader only, as all that follows. */

extern const struct http2_events http2_conn_events;

/* A whole request of HTTP/1 is stream 1: see http2_upgrade(). False: it is as it was. */
bool http2_take_request(struct http2_conn *h2, struct request *request, const uint8_t *settings,
                        size_t size);

/* It is whole: a thread takes it, unless it is refused. */
void http2_ready(struct request *request);

/* Gives the session what the application has queued. */
void http2_deliver(struct request *request);

/* The application is through with it. */
void http2_request_answered(struct request *request);

/* More of its body has been stored, or has not. */
void http2_body_went_on(struct request *request, enum body_progress progress);

/* Bytes of the body have been taken from the window. */
void http2_credit(struct request *request);

/* Answers it without the application. It must not be running. */
void http2_refuse(struct request *request, int status, const char *text);

/* Its head is not whole: the client may repeat it. The request is gone. */
void http2_withdraw(struct request *request);

/* Whatever of its times is over. When the next one is; 0: there is none. The request may be gone.
 */
uint64_t http2_request_expired(struct request *request);

/* http2_room.c: bodies without room. */

/* Its next bytes wait for room, and nothing is read from the connection. False: no memory. */
bool http2_keep(struct request *request, const char *data, size_t n);

/* Tries again to store them. False: they still wait. Else nothing is kept, and errno says why if
 * there was no room. */
bool http2_store_kept(struct request *request, enum body_progress *progress);

void http2_forget_kept(struct request *request);

/* The client is gone, or sends nothing more: what is not whole is dropped. */
void http2_abandon(struct http2_conn *h2, bool broken);

/* The client sends nothing more, and all that could leave has left: the rest of the answers waits
 * for windows that nothing opens. */
void http2_abandon_unsent(struct http2_conn *h2);

/* Takes it from its connection, and back to the pool. */
void http2_drop(struct request *request);

#endif
