#ifndef PROC_CHILDREN_RECYCLE_H
#define PROC_CHILDREN_RECYCLE_H

#include "proc/loop/arbiter.h"

/*
 * Workers that are replaced because they have lived or grown for long enough. When one is due it is
 * RETIRING, and children_admit() decides when its turn comes; beyond the hard limit of memory it is
 * not waited for.
 *
 * Memory is looked at while the worker is watched, so not while it is idle.
 */
#define RECYCLE_LOOK_MS 1000

/* Whether memory is looked at. */
bool recycle_weighs(const struct arbiter *arbiter);

/* A worker has become ready. One that is beyond a limit already would be so in each new worker: the
 * host is told, and it is left alone. */
int recycle_greet(struct arbiter *arbiter, struct child *child);

/* Looks at the memory of a worker. `child` may be gone afterwards. */
int recycle_weigh(struct arbiter *arbiter, struct child *child, int64_t now);

/* Its lifetime is over. */
int recycle_expire(struct arbiter *arbiter, struct child *child, int64_t now);

#endif
