#ifndef PROC_PORT_CONTROL_H
#define PROC_PORT_CONTROL_H

#include "proc/loop/arbiter.h"
#include "proc/port/port.h"
#include "proc/port/status.h"

#include <stdbool.h>

/*
 * The control socket, at which gunicornc asks: its framing and limits. The commands are the host's.
 *
 * Each way a message is its length in bytes (4 bytes, the most significant first) and so many bytes
 * of JSON. A client may send several requests at once, and stay connected. Answers come in the
 * order of the requests.
 */

enum {
    CONTROL_REQUEST = 8192,        /* bytes of a request's JSON */
    CONTROL_MS = 300 * 1000,       /* from an answer to the end of the next one */
    CONTROL_LENGTH = 4,            /* bytes of the length */
    CONTROL_OUTPUT = 1 << 20,      /* bytes of a child's output */
    CONTROL_OUTPUT_MS = 10 * 1000, /* for all of it */
};

struct control {
    struct status *status; /* borrowed: its dump of stacks serves this socket, too */
    struct port port;
    struct pollable output;     /* of a child that makes an answer, one at a time; fd -1: none */
    struct writer text;         /* its output so far */
    struct port_client *reader; /* the client that waits for it; NULL: it has left */
};

/* Without a listener yet. The status and its arbiter are borrowed and outlive it. */
void control_open(struct control *control, struct status *status);

/* Drops the clients; the descriptor of the listener stays its owner's. */
void control_close(struct control *control);

/* Accepts at `fd`, which is non-blocking, or at none (-1). Clients that are connected stay.
 * `own_user`: only processes of our own user and of root, by their credentials. */
void control_listen(struct control *control, int fd, bool own_user);

#endif
