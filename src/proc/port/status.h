#ifndef PROC_PORT_STATUS_H
#define PROC_PORT_STATUS_H

#include "proc/dump/dump.h"
#include "proc/loop/arbiter.h"
#include "proc/port/port.h"
#include "proc/port/successor.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The status port: the master answers /live, /ready, /metrics, /workers and /workers/SLOT/stack by
 * itself, so also when every worker hangs. One request a connection. At a second, private socket
 * `gunicorn --dump` asks for all stacks, too.
 *
 * A client that asks for stacks waits while the workers write them (dump.h); there is one dump at a
 * time, and it ends with its client.
 */

enum {
    STATUS_HEAD = 4096, /* bytes of a request */
    STATUS_MS = 5000,   /* for a request and its answer, without the dump */
};

/* The dump is complete: adds what is missing of the client's answer. May take the text away. */
typedef void (*status_write_dump)(struct port_client *client, struct writer *text, int64_t now);

struct status {
    struct arbiter *arbiter;
    struct port port;         /* at the address of the setting */
    struct port private_port; /* for processes of our own user; its descriptor is owned */
    struct successor successor;
    struct dump dump;
    struct pollable dumping;    /* when to go on with the dump */
    struct port_client *waiter; /* for the dump; NULL: none is made */
    bool waiter_head_only;
    status_write_dump write_dump; /* the answer to `waiter` */
};

/* Without a listener yet. The arbiter is borrowed and outlives it. */
void status_open(struct status *status, struct arbiter *arbiter);
void status_close(struct status *status);

/* In a worker that was forked: closes the master's descriptors. */
void status_leave(struct status *status);

/* See private_listen(). 0, or -1 with errno. */
int status_open_private(struct status *status);

/* Begins with the stacks of a worker, for a client of any port, which waits until write() is
 * called. 0, or -1 with errno: EBUSY, ENOSYS, ENOMEM. */
int status_dump(struct status *status, struct port_client *client, pid_t pid,
                status_write_dump write, int64_t now);

/* The client does not wait for stacks any more, if it did. */
void status_end_dump(struct status *status, const struct port_client *client);

/* A second master is about to be started: returns the end of a pipe that it inherits, or -1. */
int status_await_successor(struct status *status);

/* There is no second master any more. */
void status_resume(struct status *status);

/* Takes no more clients of the status port, and answers those that are there within `limit_ms`. 0,
 * or a callback's negative value. */
int status_end(struct status *status, int64_t limit_ms);

#endif
