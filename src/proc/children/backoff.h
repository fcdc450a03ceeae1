#ifndef PROC_CHILDREN_BACKOFF_H
#define PROC_CHILDREN_BACKOFF_H

#include <stdint.h>

/*
 * How long to wait before the next fork when workers die as soon as they are born, or fork(2)
 * itself fails. The first failures cost nothing, so that a dead worker is replaced at once.
 */
#define BACKOFF_FREE 3        /* failures in a row without a pause */
#define BACKOFF_FIRST_MS 250  /* then this, doubled each time … */
#define BACKOFF_LAST_MS 30000 /* … up to this */
#define BACKOFF_QUICK_MS 1000 /* a worker that lived shorter than this died quickly */

struct backoff {
    unsigned failures; /* in a row */
    int64_t until;     /* ms of CLOCK_MONOTONIC; no fork before it */
};

/* A failure. Returns the pause in ms, 0 for none. */
int64_t backoff_fail(struct backoff *backoff, int64_t now);

/* A worker lived as it should: all is forgotten. */
void backoff_reset(struct backoff *backoff);

/* ms still to wait, 0 when a fork may be tried. */
int64_t backoff_left(const struct backoff *backoff, int64_t now);

#endif
