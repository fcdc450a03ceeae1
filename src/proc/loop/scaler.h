#ifndef PROC_LOOP_SCALER_H
#define PROC_LOOP_SCALER_H

#include "proc/loop/arbiter.h"

/*
 * Has the number of workers follow the load: takes samples while requests run, and has
 * proc/children/scale.h decide. While all workers are idle and there are no more than the least
 * number, it takes none, and the loop sleeps.
 */

#define SCALER_ROOM_MS 1000    /* between two looks at the memory */
#define SCALER_MEMORY_USED 0.9 /* of the memory that there is */

/* Between two samples of workers that are idle, and more than the least number. */
#define SCALER_IDLE_MS 1000

void scaler_open(struct arbiter *arbiter);

/* `least` workers at least, by the other limits in arbiter->scale.limits. */
void scaler_limit(struct arbiter *arbiter, unsigned least);

/* The loop is awake: samples are taken again if a worker is busy. */
void scaler_rouse(struct arbiter *arbiter, int64_t now);

#endif
