#ifndef BASE_SYSTEM_H
#define BASE_SYSTEM_H

#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

/*
 * Constants of Linux, and those that stand for them on systems without. PORTABLE builds have the
 * latter on Linux too, so that tests run them. Functions that differ are in net/socket_system.h.
 */

#if defined(CLOCK_MONOTONIC_COARSE) && !defined(PORTABLE)
#define SYSTEM_MONOTONIC_COARSE CLOCK_MONOTONIC_COARSE
#define SYSTEM_REALTIME_COARSE CLOCK_REALTIME_COARSE
#else /* exact, and dearer */
#define SYSTEM_MONOTONIC_COARSE CLOCK_MONOTONIC
#define SYSTEM_REALTIME_COARSE CLOCK_REALTIME
#endif

#if defined(MSG_MORE) && !defined(PORTABLE)
#define SYSTEM_MSG_MORE MSG_MORE
#else /* a packet is sent with each part */
#define SYSTEM_MSG_MORE 0
#endif

#if defined(MAP_NORESERVE) && !defined(PORTABLE)
#define SYSTEM_MAP_NORESERVE MAP_NORESERVE
#else /* memory is reserved that is never used */
#define SYSTEM_MAP_NORESERVE 0
#endif

#if defined(MSG_CMSG_CLOEXEC)
#define SYSTEM_MSG_CMSG_CLOEXEC MSG_CMSG_CLOEXEC
#else /* where the exchange is off */
#define SYSTEM_MSG_CMSG_CLOEXEC 0
#endif

#endif
