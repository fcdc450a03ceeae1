#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/system.h"

#include <stdint.h>
#include <time.h>

/* Monotonic milliseconds, from the kernel's tick (a few ms coarse): cheap enough for each event. */
static inline uint64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(SYSTEM_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Monotonic nanoseconds, exact: for durations that are reported. */
static inline uint64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 §5.6.7), without a NUL. */
enum { CLOCK_DATE_SIZE = 29 };

/* The present date; made once a second, valid for a minute. Any thread. */
const char *clock_date(void);

#endif
