#ifndef PROC_LOOP_WATCH_H
#define PROC_LOOP_WATCH_H

#include "proc/loop/arbiter.h"

/*
 * The time that children have: to boot, to answer, to stop, to live; and the memory of workers.
 * arbiter_murder() acts when it is over. All moments are ms of CLOCK_MONOTONIC.
 */

/* When a child needs a look; INT64_MAX for never. */
int64_t watch_deadline(const struct arbiter *arbiter);

/* While the server stops: when a dirty arbiter needs a look, and that look. 0, or the host's
 * negative value. */
int64_t watch_last_deadline(const struct arbiter *arbiter);
int watch_last(struct arbiter *arbiter);

/* A worker that says so in its slot is watched from now on. */
void watch_begin(struct arbiter *arbiter, struct child *child, int64_t now);

/* If `due` is seen so late that the machine or the process group stood still, no child is silent
 * for that. */
void watch_spare_if_late(struct arbiter *arbiter, int64_t due, int64_t now);

#endif
