#ifndef SERVE_REQUEST_INFLOW_H
#define SERVE_REQUEST_INFLOW_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct engine;
struct request;

enum { BODY_LIMIT_TEXT = 128 };

/*
 * The body of a request that runs from its head on. The engine's leader reads it into a window of
 * READ_AHEAD bytes at most, the application takes it from there without waiting:
 *
 *   | taken | waits for the application | free          |
 *   0       at                          size            capacity
 *
 * When the window is full the leader reads no more, until half of it is free again. It alone moves
 * `size` and the bytes, and writes behind `size` without the lock; the application moves `at`.
 */

/* Why no more bytes come. */
enum inflow_end {
    INFLOW_GOES_ON,
    INFLOW_WHOLE,     /* all of the body has come */
    INFLOW_CUT,       /* the client has left in the midst of it */
    INFLOW_MALFORMED, /* chunks */
    INFLOW_TOO_LARGE, /* beyond limit_request_body */
    INFLOW_TOO_SLOW,  /* the application waited for too long */
};

struct inflow {
    pthread_mutex_t lock;
    bool used; /* this request has one; else its body was whole before it ran */
    char *data;
    size_t capacity, at, size;
    size_t rest;         /* bytes of the next request, behind the last of the body */
    enum inflow_end end; /* under lock, as the next ones */
    bool full;           /* the leader has stopped reading */
    bool wanted;         /* the application waits for bytes, */
    uint64_t wanted_ms;  /* since then */
    uint64_t waited_ms;  /* and for so long before, since the rate was looked at */
    uint64_t arrived;    /* bytes of it since then; the leader's */
    int status;          /* of the answer to a body that has failed; 0: none */
    const char *text;    /* why, constant; NULL: beyond the limit of the settings */
};

/* Leader only. */

/*
 * Opens the window for n bytes that came with the head, and at most `left` others. False with errno
 * when there is no memory, not even for a small one.
 */
bool inflow_open(struct request *request, const char *data, size_t n, uint64_t left);

/* Where the next bytes go, and how many. NULL: the window is full, or no more are wanted. */
char *inflow_room(struct request *request, size_t *room);

/*
 * n bytes of the body stand there now, behind them `rest` bytes that belong to the next request if
 * the body `ended` with them. False when no more of it is wanted.
 */
bool inflow_add(struct request *request, size_t n, size_t rest, bool ended);

/* Copies n bytes of the body, which stand elsewhere, to where the next ones go: inflow_add() is to
 * follow. False: there is no room for them. */
bool inflow_put(struct request *request, const char *data, size_t n);

/* How many of the bytes that have come wait for the application. If they are more than half of the
 * window, body_take() calls engine_attend() when they no longer are. */
size_t inflow_waiting(struct request *request);

/* Whether body_take() has something to say. Any thread. */
bool inflow_is_due(struct request *request);

/* No more bytes come. `status` and `text` (constant) are for body_failure(). */
void inflow_fail(struct request *request, enum inflow_end why, int status, const char *text);

/* The pace of a body: see inflow_look(). */

/* Bytes a second that a body has to keep up while the application waits for it; 0: any. */
uint32_t inflow_least_rate(const struct engine *engine);

/* When the pace is to be looked at next; 0: the body is too slow now. */
uint64_t inflow_look(struct engine *engine, struct request *request);

/* For how many ms in all the application has waited for bytes since the rate was looked at.
 * `begins_anew`: it is looked at now. */
uint64_t inflow_waited(struct request *request, bool begins_anew);

/* The request ends. */
void inflow_clear(struct request *request);

/* Any thread. */

enum inflow_end inflow_state(struct request *request);

/* Whether all of the request's body has come, by way of a window or not. */
bool inflow_is_whole(struct request *request);

/* The status by which a request is answered whose body has failed, unless the application has begun
 * to, and why; 0: it has not failed, or the client has gone. */
int body_failure(struct request *request, char text[BODY_LIMIT_TEXT]);

#endif
