#ifndef SERVE_CONN_DUPLEX_H
#define SERVE_CONN_DUPLEX_H

#include "proto/websocket/close.h"
#include "proto/websocket/reader.h"
#include "serve/engine/budget.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * A WebSocket on an upgraded connection: messages to and from the application, and everything else
 * by itself: pings, pongs, the close handshake, time-outs, limits, compression and back-pressure.
 * It reads and writes through its connection, and asks no clock: `now_ms` is the engine's.
 *
 *            close() by either side of ours           their close frame, or time is over
 *   OPEN ------------------------------> CLOSING ---------------------------------> ENDED
 *     \______________________________________________________________________________^
 *          their close frame (answered), a violation (reported), or the connection's end
 *
 * A violation is reported when the application has answered the messages before it, or after
 * DUPLEX_CLOSE_MS.
 */
enum duplex_state {
    DUPLEX_OPEN,
    DUPLEX_CLOSING, /* our close frame is sent, theirs is awaited */
    DUPLEX_ENDED,   /* nothing more is read or written */
};

/* The connection's next step. */
enum duplex_want {
    DUPLEX_READ,  /* reads on */
    DUPLEX_PAUSE, /* does not read until link->attend(), and keeps the bytes that are not consumed
                   */
    DUPLEX_END,   /* closes when its output is sent, without reading */
};

/* Events for the application. */
enum duplex_event {
    DUPLEX_INPUT = 1, /* duplex_next() has something to give */
    DUPLEX_ROOM = 2,  /* duplex_send() may be called again */
    DUPLEX_OVER = 4,  /* it has ended: DUPLEX_GONE follows the messages that wait */
};

/* The connection, as a WebSocket needs it. All but send() return at once and wait for nobody. */
struct duplex_link {
    /* Sends or queues one frame, whole. False: the client has gone. Any thread, with the lock. */
    bool (*send)(void *conn, const struct iovec *parts, int count);

    /* Bytes that the client has not taken yet. Any thread. */
    size_t (*queued)(void *conn);

    /* These have happened (DUPLEX_INPUT …). Any thread, without the lock. */
    void (*raise)(void *conn, unsigned events);

    /* The leader is to call duplex_attend() soon. Any thread, without the lock. */
    void (*attend)(void *conn);
};

struct duplex_options {
    size_t message_max;        /* bytes of a message: websocket_max_message_size; 0: no limit */
    uint32_t ping_interval_ms; /* websocket_ping_interval; 0: no pings */
    uint32_t ping_timeout_ms;  /* websocket_ping_timeout: how long no byte may come after a ping;
                                  0: any time */
};

struct duplex_message {
    struct duplex_message *next;
    struct str payload;
    bool text;

    /* Private. */
    size_t cost;            /* bytes of memory, as the queue counts them */
    struct ws_buffer taken; /* owned: the payload stands there, or behind this struct */
};

struct duplex {
    uint64_t deadline_ms; /* when duplex_expired() is to be called; 0: never. Leader only */

    /* How it ended, for the application: RFC 6455 §7.1.5 and §7.1.6. */
    uint16_t code;
    uint8_t reason_size;
    char reason[WS_REASON_MAX];

    /* Private: constant. */
    const struct duplex_link *link;
    void *conn;
    struct budget *budget;
    struct duplex_options options;
    struct ws_deflate_terms terms;
    struct ws_memory memory;
    atomic_size_t held; /* bytes of memory, all of them charged to the budget */

    /* The leader's. */
    struct ws_reader reader;
    bool pinged;            /* no byte has come since the last ping */
    uint64_t pinged_ms;     /* since when that counts */
    uint64_t ping_at_ms;    /* when the next ping is due */
    uint32_t pings;         /* so far: the payload */
    uint64_t closing_at_ms; /* when CLOSING or a violation ends it; 0: neither is known */

    /* The application's, one thread at a time. */
    struct ws_deflater *deflater;

    /* Both, under the lock. */
    pthread_mutex_t lock;
    enum duplex_state state;
    uint8_t failure; /* enum ws_error: a violation that is to be reported */
    bool answering;  /* the application has taken a message, and not asked for the next */
    bool left;       /* the application has closed: later messages are dropped */
    bool paused;     /* the application is to take messages first */
    bool full;       /* the application waits for DUPLEX_ROOM: until half of it is sent */
    bool pong_due;
    uint8_t pong_size;
    char pong[WS_CONTROL_MAX]; /* of the last ping, when the client takes no output */
    size_t waiting;            /* bytes of the messages in the queue, by their cost */
    struct duplex_message *head, *tail;
};

/*
 * The handshake is answered. terms: as agreed on, copied. link, conn and budget are borrowed until
 * duplex_destroy(). False: no lock could be had. Leader only.
 */
bool duplex_init(struct duplex *duplex, const struct duplex_options *options,
                 const struct ws_deflate_terms *terms, const struct duplex_link *link, void *conn,
                 struct budget *budget, uint64_t now_ms);

/* The connection is closed, and the application is through: no message is held any more. */
void duplex_destroy(struct duplex *duplex);

/* The leader's. Each sets duplex->deadline_ms. */

/*
 * Bytes have come; they are changed in place. *consumed of them were used: all, unless the answer
 * is DUPLEX_PAUSE or DUPLEX_END.
 */
enum duplex_want duplex_received(struct duplex *duplex, char *data, size_t size, size_t *consumed,
                                 uint64_t now_ms);

/* The client has closed or reset its connection. */
void duplex_hung_up(struct duplex *duplex);

/* duplex->deadline_ms has passed, and all that could be read before was given. */
enum duplex_want duplex_expired(struct duplex *duplex, uint64_t now_ms);

/* Some of the output was sent. */
void duplex_sent(struct duplex *duplex);

/* After link->attend(). */
enum duplex_want duplex_attend(struct duplex *duplex, uint64_t now_ms);

/* The worker ends: closes with this code (1001, 1012). What the client sends until it answers still
 * goes to the application. */
void duplex_drain(struct duplex *duplex, uint16_t code, uint64_t now_ms);

/* The application's: attached, one call at a time. */

/* Which of DUPLEX_INPUT, DUPLEX_ROOM and DUPLEX_OVER hold now. */
unsigned duplex_pending(struct duplex *duplex);

enum duplex_next {
    DUPLEX_NOTHING, /* wait for DUPLEX_INPUT */
    DUPLEX_MESSAGE, /* *message is the caller's: duplex_drop() */
    DUPLEX_GONE,    /* duplex->code and reason say how it ended; so do all further calls */
};

enum duplex_next duplex_next(struct duplex *duplex, struct duplex_message **message);
void duplex_drop(struct duplex *duplex, struct duplex_message *message);

enum duplex_sent {
    DUPLEX_SENT,
    DUPLEX_FULL,   /* sent as well; wait for DUPLEX_ROOM before the next one */
    DUPLEX_CLOSED, /* not sent: the connection is closing or has ended */
};

/* A message; a text is valid UTF-8. The payload is copied where the client does not take it. */
enum duplex_sent duplex_send(struct duplex *duplex, bool text, struct str payload);

/* Begins the close handshake, unless it has begun. Later messages of the client are dropped. */
void duplex_close(struct duplex *duplex, uint16_t code, struct str reason);

#endif
