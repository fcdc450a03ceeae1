#ifndef PROC_PORT_STATUS_H
#define PROC_PORT_STATUS_H

#include "base/writer.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct arbiter;

/*
 * The status port: the master answers /live, /ready, /metrics, /workers and /workers/SLOT/stack by
 * itself, so also when every worker hangs. One request a connection, few connections, little time
 * for each: nobody who talks to it can keep the master from its work.
 *
 *          accept         whole head              all sent          client closed
 *   (free) ------> HEAD ---------------> ANSWER ------------> END --------------> (free)
 *                    |                     ^
 *                    +---> DUMPING --------+
 *                 a stack is asked for
 *
 * Any of them is closed when its time is over, or when a new client needs the place.
 */

enum {
    STATUS_CONNECTIONS = 16,
    STATUS_HEAD = 4096,               /* bytes of a request */
    STATUS_MS = 5000,                 /* for a request and its answer, without the dump */
    STATUS_PAUSE_MS = 100,            /* when no client can be accepted: no descriptor, no memory */
    STATUS_TELL_MS = 10 * 1000,       /* between two lines of the log about that */
    STATUS_ANSWER = 16 * 1024 * 1024, /* bytes of an answer: thousands of workers */
    STATUS_FDS = STATUS_CONNECTIONS + 3,
};

enum status_state { STATUS_READ_HEAD, STATUS_DUMPING, STATUS_SEND, STATUS_END };

struct status_client {
    int fd;
    enum status_state state;
    bool private;     /* came by the private socket */
    bool head_only;   /* the method is HEAD */
    int64_t deadline; /* ms of CLOCK_MONOTONIC */
    struct writer answer;
    size_t sent;
    size_t size; /* bytes in head */
    char head[STATUS_HEAD];
};

struct status {
    int listener;         /* borrowed; -1: there is no status port */
    int private_listener; /* -1: none */
    bool paused;          /* another master answers at the listener */
    int successor;        /* a pipe: that other master writes to it when it answers; -1: none */
    int64_t resume_at;    /* ms of CLOCK_MONOTONIC: nobody is accepted until then; 0: accepts */
    int64_t tell_at;      /* the same: until then the log has said that nobody can be */
    struct status_client *clients[STATUS_CONNECTIONS]; /* NULL: free */
};

void status_init(struct status *status);
void status_close(struct status *status);

/*
 * Opens a socket that only processes of our own user on this machine can use, for `gunicorn
 * --dump`: an abstract one with a name that cannot be guessed. A process that may look into this
 * one finds it by its descriptors. 0, or -1 with errno.
 */
int status_open_private(struct status *status);

/* A second master is about to be started: returns the end of a pipe that it inherits, or -1. */
int status_await_successor(struct status *status);

/* There is no second master any more. */
void status_resume(struct status *status);

/* Puts in what to poll, at most STATUS_FDS; returns how many. */
unsigned status_fill(const struct status *status, struct pollfd *fds);

/* What poll(2) said of them, and what time it is. */
void status_run(struct arbiter *arbiter, const struct pollfd *fds, unsigned count, int64_t now);

/* When to call status_run() at the latest; INT64_MAX without clients. */
int64_t status_deadline(const struct status *status);

#endif
