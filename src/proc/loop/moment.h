#ifndef PROC_LOOP_MOMENT_H
#define PROC_LOOP_MOMENT_H

#include "base/clock.h"

#include <stdint.h>

/* Moments of the master's loop, in ms of CLOCK_MONOTONIC; INT64_MAX is never. */
static inline int64_t moment_now(void)
{
    return (int64_t)(clock_ns() / 1000000);
}

static inline int64_t moment_later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t moment_sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
