#ifndef SERVE_REQUEST_INFLOW_H
#define SERVE_REQUEST_INFLOW_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct request;

/*
 * The body of a request that runs from its head on. The engine's leader reads it into a window of
 * bounded size, the application takes it from there without waiting:
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
    uint64_t arrived;    /* raw bytes since then; the leader's */
};

/* Leader only. */

enum inflow_begin {
    INFLOW_STREAMS,
    INFLOW_COMPLETE, /* all of it came with the head: no window is needed */
    INFLOW_INVALID,  /* malformed chunks */
    INFLOW_LARGE,    /* beyond limit_request_body */
    INFLOW_NO_ROOM,  /* for a window, not even a small one */
};

/* The head says that a body follows: takes what came with it. */
enum inflow_begin inflow_begin(struct request *request);

/* Where the next bytes from the socket go, and how many. NULL: the window is full, or no more are
 * read. */
char *inflow_room(struct request *request, size_t *room);

/* n bytes were received there; false when they were the last that are read. */
bool inflow_received(struct request *request, size_t n);

/* Whether body_take() has something to say. Any thread. */
bool inflow_is_due(struct request *request);

/* No more bytes come, as there is an error. */
void inflow_fail(struct request *request, enum inflow_end why);

/* For how many ms in all the application has waited for bytes since the rate was looked at.
 * `begins_anew`: it is looked at now. */
uint64_t inflow_waited(struct request *request, bool begins_anew);

/* The application has finished. Bytes of the next request go behind the head; false: no memory. */
bool inflow_give_rest(struct request *request);

/* The request ends. */
void inflow_clear(struct request *request);

/* Any thread. */

enum inflow_end inflow_state(struct request *request);

/* The application's. */

enum { BODY_NOT_YET = -2, BODY_FAILED = -1, BODY_END = 0 };

/* How many bytes body_take() has to give at once. */
size_t body_available(struct request *request);

/*
 * Copies up to n > 0 bytes of the body that have come: how many, or BODY_END, BODY_FAILED, or
 * BODY_NOT_YET: request_ask(REQUEST_BODY) says when there are some. Never waits.
 */
ssize_t body_take(struct request *request, char *out, size_t n);

/* The status by which a request is answered whose body has failed, unless the application has begun
 * to, and why; 0: it has not failed, or nobody is there to be answered. */
int body_failure(struct request *request, const char **text);

/* REQUEST_BODY was asked for: whether it is due at once. */
bool inflow_want(struct request *request);

#endif
