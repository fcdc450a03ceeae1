#ifndef PROC_PORT_SUCCESSOR_H
#define PROC_PORT_SUCCESSOR_H

#include "proc/loop/pollable.h"

/*
 * The upgrade: two masters have the listener of the status port, and one answers at it. The first
 * waits here until the second has a worker that serves: that one writes to a pipe then.
 */
struct successor {
    struct pollable pollable;
    void (*answers)(void *ctx); /* the second master answers from now on */
    void *ctx;
};

void successor_init(struct successor *successor, struct pollables *pollables,
                    void (*answers)(void *ctx), void *ctx);

/* A second master is about to be started: returns the end of a pipe that it inherits, or -1. */
int successor_await(struct successor *successor);

/* There is none, or none any more. */
void successor_forget(struct successor *successor);

#endif
