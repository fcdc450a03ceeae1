#ifndef PROC_CHILDREN_RUNNING_H
#define PROC_CHILDREN_RUNNING_H

#include "base/str.h"

#include <stdatomic.h>
#include <stdint.h>

/*
 * Which requests a worker runs: a table beside its slot, in memory shared with the master. A worker
 * writes it while it holds the interpreter, so there is one writer at a time; the master reads
 * whenever it is asked, and may see a text that is half the one of an earlier request, or anything
 * at all (scoreboard.h): it escapes controls and all bytes beyond ASCII.
 */

#define RUNNING_MAX 39        /* requests shown at a time; further ones are only counted */
#define RUNNING_METHOD_MAX 20 /* longer methods and paths are cut */
#define RUNNING_PATH_MAX 168

struct running_request {
    int64_t since;   /* ms of CLOCK_MONOTONIC */
    uint32_t thread; /* the kernel's number of the thread that runs it */
    uint8_t method_len;
    uint8_t path_len;
    char method[RUNNING_METHOD_MAX];
    char path[RUNNING_PATH_MAX];
};

struct running {
    _Atomic uint64_t mask; /* bit i: list[i] runs */
    struct running_request list[RUNNING_MAX];
};

_Static_assert(sizeof(struct running) <= 8192, "two pages, of which few requests touch one");

/* A request begins. Returns its place for running_end(), or -1 when all are taken. */
int running_begin(struct running *running, int64_t now_ms, struct str method, struct str path);
void running_end(struct running *running, int place);

/* Copies the requests that run to `list`, the oldest first; returns how many there are. Lengths are
 * in range then, and every request began between 0 and `now_ms`. */
unsigned running_copy(const struct running *running, int64_t now_ms,
                      struct running_request list[RUNNING_MAX]);

/* Of a copy. */
static inline struct str running_method(const struct running_request *request)
{
    return (struct str){request->method, request->method_len};
}

static inline struct str running_path(const struct running_request *request)
{
    return (struct str){request->path, request->path_len};
}

/* The kernel's number of this thread, as /proc has it; 0 where there is none. */
uint32_t running_thread(void);

#endif
