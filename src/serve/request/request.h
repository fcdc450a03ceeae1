#ifndef SERVE_REQUEST_REQUEST_H
#define SERVE_REQUEST_REQUEST_H

#include "proto/head.h"
#include "serve/engine/budget.h"
#include "serve/engine/deadline.h"
#include "serve/engine/events.h"
#include "serve/request/inflow.h"
#include "serve/request/outq.h"
#include "serve/request/spool.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct cgi;
struct conn;
struct engine;
struct stream_ops;
struct websocket;

/*
 * How far a request is. The engine's leader changes it, by request_turn_to(); while it is RUNNING
 * the request is the application's thread's.
 */
enum request_phase {
    PHASE_IDLE,    /* nothing of it has come */
    PHASE_HEAD,    /* its head is incomplete */
    PHASE_BODY,    /* its body is being buffered */
    PHASE_RUNNING, /* it is with the threads: it waits for one, or the application runs */
    PHASE_FLUSH,   /* the answer is complete, the client has not taken all of it */
};

enum { REQUEST_STATE_SIZE = 144 }; /* bytes of a protocol's own state in a request */

/* The body of a request, as the application reads it (RFC 9112 §6). */
struct body {
    enum head_framing framing;
    uint64_t wanted;      /* declared bytes; 0 when none are */
    uint64_t taken;       /* bytes that the application has read */
    struct spool spool;   /* the buffered bytes, unless they are in the input */
    const char *in_place; /* a body that arrived with its head: in the input buffer */
    uint64_t stored;      /* bytes buffered */
    uint64_t arrived;     /* bytes of it since its rate was looked at */
    uint32_t waited_ms;   /* the same for the time that a thread waited for a streaming one */
    bool too_large;       /* beyond limit_request_body */
    bool timed;           /* its rate is being measured */
    bool complete;        /* all of it has arrived */
    bool failed;          /* cut short, malformed, or too slow */
    bool wasted;          /* nobody receives the rest, for which the answered connection waits */
    bool continue_due;    /* "100 Continue" is sent when the application first reads */
};

struct response {
    char *head; /* owned; see response.c */
    uint32_t head_size, head_capacity;
    uint32_t status_size; /* bytes of "200 OK", at the front */
    uint32_t gap;         /* where the application's fields begin */
    uint16_t status;
    bool started;              /* a status is set */
    bool own_fields_yield;     /* the application's Server and Date replace the server's own */
    bool has_server, has_date; /* they are there */
    bool bare;                 /* without the server's own fields, as gunicorn's error pages */
    bool sent_head;
    bool chunked;
    bool no_body;    /* HEAD, 1xx, 204, 304: known when the head leaves */
    bool keep_alive; /* as the Connection field says */
    bool upgrade;    /* the application switches protocols */
    bool streamed;   /* its body comes in items as the application makes them: see stream_window */
    bool slow;       /* its client does not take them as fast */
    bool has_length;
    bool full;           /* more was written than may wait for the client */
    atomic_bool broken;  /* the client has gone, seen by either side: further bytes are dropped */
    bool finished;       /* complete, as its framing says */
    bool skipped;        /* the client had gone: the application was not called */
    uint64_t length;     /* declared */
    uint64_t body_sent;  /* body bytes accepted, framing not counted */
    struct str trailers; /* lines that follow a chunked body; borrowed */
    uint64_t stuck_ms;   /* since when its thread waits for room, about; 0: it does not */
    uint64_t stuck_at;   /* bytes that the client had taken then */
};

/* The times of a request that runs later, for the leader: see http1_flow.h. 0: none. */
struct flow {
    uint64_t queue_at; /* when it has waited too long for a thread */
    uint64_t in_at;    /* when the pace of its body is looked at */
    uint64_t out_at;   /* when its client has taken nothing for too long */
    uint32_t untaken;  /* the bytes in its socket when that was set */
    uint8_t why;       /* enum metrics_close: for which its connection will be closed */
};

struct request {
    struct conn *conn;
    const struct stream_ops *stream; /* its way to the client: see stream.h */
    _Atomic(enum request_phase) phase;
    struct engine *engine;
    struct request *next; /* ready queue, pool or list of the answered */
    char *input;          /* owned */
    uint32_t input_size, input_capacity;
    uint32_t input_at; /* first byte behind the head that is not decoded yet */
    struct head head;
    bool must_close;         /* the connection, or this request's part of it, ends after it */
    struct cgi *cgi;         /* owned: variables that came beside the head. NULL or empty: none */
    uint32_t fields_charged; /* bytes of the head's tables that the budget knows */
    struct body body;
    struct inflow inflow;
    struct response response;
    struct outq out;
    uint64_t claimed_ms; /* when its thread began to attach */
    uint64_t ready_ns;   /* when it was whole, about */
    uint64_t begun_ns;   /* when a thread took it */
    uint64_t ended_ns;   /* when the application was through with it */
    bool asked;          /* by an interim response, whether the client listens */
    struct deadline deadline;
    union {
        char bytes[REQUEST_STATE_SIZE];
        uint64_t align;
    } state; /* its protocol's: zeroed for each request */
    struct events events;
    struct request *next_attended; /* see engine_attend() */
    atomic_bool attended;
    struct flow flow;
    _Atomic(struct websocket *) websocket; /* owned; set when its handshake is answered. NULL: it is
                                              none, or none yet */
    void *call;                            /* the application's, while it runs */
    uint32_t blocked; /* calls of the application's threads that wait detached; attached only */
};

/* From the pool or new; NULL with errno: ENOMEM, or ENOBUFS when the budget is used up. Leader
 * only.
 */
struct request *request_get(struct engine *engine, struct conn *conn,
                            const struct stream_ops *stream, enum budget_use use);
void request_put(struct engine *engine, struct request *request);

/* The same for one in PHASE_IDLE without input: as request_get() or request_next() left it. */
void request_put_unused(struct engine *engine, struct request *request);

void request_free(struct request *request);

static inline enum request_phase request_phase(const struct request *request)
{
    return atomic_load_explicit(&request->phase, memory_order_relaxed);
}

/* False when the move is illegal: nothing changes. Leader only. */
bool request_turn_to(struct engine *engine, struct request *request, enum request_phase phase);

/* Makes it ready for the connection's next request; bytes that are there already move to the front.
 */
void request_next(struct engine *engine, struct request *request);

static inline struct str request_method(const struct request *r)
{
    return head_slice(r->input, r->head.method, r->head.method_len);
}

static inline struct str request_target(const struct request *r)
{
    return head_slice(r->input, r->head.target, r->head.target_len);
}

/* Doubles the input buffer; false with errno: ENOMEM, ENOBUFS when the budget is used up, EMSGSIZE
 * when it is as large as any may be. */
bool request_grow(struct request *request, enum budget_use use);

/* Makes the input so many bytes large, at least, for a request that was admitted elsewhere: the
 * budget is not asked. False with errno ENOMEM. */
bool request_reserve(struct request *request, size_t size);

/* Makes request->cgi, if there is none. False with errno ENOMEM. */
bool request_need_variables(struct request *request);

/* It lasts long, and nothing more is read into it or added to its answer: gives back the room that
 * it does not use. */
void request_shrink(struct request *request);

/* The table of fields or of variables has grown. */
void request_charge_fields(struct request *request);

enum body_progress {
    BODY_PARTIAL,
    BODY_COMPLETE,
    BODY_STREAMS,   /* beyond stream_body: the application reads on from the socket */
    BODY_MALFORMED, /* chunks */
    BODY_TOO_LARGE, /* beyond body_limit() */
    BODY_NO_ROOM,   /* neither memory nor disk */
};

/* Takes the head's fields about the body. False: BODY_TOO_LARGE. */
bool body_declare(struct request *request);

/* The first n bytes, at most all, of a body whose length is declared: they may be left in place. */
enum body_progress body_begin_length(struct request *request, const char *data, uint64_t n);

/* Further n bytes, `ended` with the last ones: a body that is there at once is left in place. */
enum body_progress body_store(struct request *request, const char *data, size_t n, bool ended);

/* The most bytes that a body may have; 0: it streams, and may have any number. */
uint64_t body_limit(const struct engine *engine);
bool body_is_too_large(const struct request *request, uint64_t n);

/* The same in words, for the client and the log. */
void body_limit_text(const struct engine *engine, char text[BODY_LIMIT_TEXT]);

/* Neither memory nor disk takes more of it: BODY_STREAMS if it may, else BODY_NO_ROOM with errno as
 * it is. */
enum body_progress body_no_room(struct request *request);

/* Whether it came with at least `rate` bytes a second in a window since this was asked last. */
bool body_keeps_pace(struct request *request, uint32_t rate, uint32_t window_ms);

/*
 * Copies up to n body bytes. 0 at the end, -1 when the body is cut short or malformed. When
 * body_blocks() says so it waits for the client, by app_ops. Attached.
 */
ssize_t body_read(struct request *request, char *out, size_t n);
bool body_blocks(const struct request *request);

/* Bytes that can be had without blocking, and where they stand if they are in memory (else NULL).
 */
uint64_t body_buffered(const struct request *request, const char **at);

#endif
