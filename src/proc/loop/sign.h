#ifndef PROC_LOOP_SIGN_H
#define PROC_LOOP_SIGN_H

#include "proc/loop/arbiter.h"

/*
 * Signs of life of children without a slot, the dirty arbiters. The master asks each by a signal,
 * and at its next look the number that the host reads from it (`sign`) has to have changed.
 */

/* When a child is to be looked at; INT64_MAX for never, as for each worker. */
int64_t sign_deadline(const struct arbiter *arbiter, const struct child *child);

/* The look. True: it has given no sign for `*silent_ms`. */
bool sign_is_missing(struct arbiter *arbiter, struct child *child, int64_t now, int64_t *silent_ms);

/* The server stops: each is looked at now, and has ARBITER_LAST_SIGN_MS for its answer. */
void sign_hurry(struct arbiter *arbiter, int64_t now);

#endif
