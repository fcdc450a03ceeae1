#ifndef PROC_LOOP_FORK_H
#define PROC_LOOP_FORK_H

#include "proc/loop/arbiter.h"

/* Children begin: arbiter_fork() and the functions around it. Their generations. */

/* A child has booted: the first of its generation proves that one. */
void fork_prove(struct arbiter *arbiter, const struct child *child);

#endif
