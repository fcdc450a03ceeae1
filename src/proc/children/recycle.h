#ifndef PROC_CHILDREN_RECYCLE_H
#define PROC_CHILDREN_RECYCLE_H

#include "proc/children/children.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Workers that are replaced because they have grown for long enough. When one is due it is
 * RETIRING, and children_admit() decides when its turn comes; beyond the hard limit of memory it is
 * not waited for.
 *
 * Memory is looked at while the worker is watched, so not while it is idle.
 */
#define RECYCLE_LOOK_MS 1000

/* Bytes of memory_of(); 0: no limit. */
struct recycle_limits {
    int64_t max_rss, max_rss_hard;
};

enum recycle_verdict { RECYCLE_NOT, RECYCLE_DUE, RECYCLE_TOO_BIG };

/* Whether memory is looked at. */
bool recycle_weighs(const struct recycle_limits *limits);

/* A worker has become ready. True: it is beyond a limit already. So would be each new worker: it is
 * not held to the limits. */
bool recycle_greet(const struct recycle_limits *limits, struct child *child);

/* Looks at the memory of a worker: it is RETIRING now, or has the reason to be aborted. */
enum recycle_verdict recycle_weigh(const struct recycle_limits *limits, struct child *child,
                                   int64_t now);

#endif
