#ifndef PROC_DUMP_DUMP_H
#define PROC_DUMP_DUMP_H

#include "base/writer.h"
#include "proc/children/children.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The stacks of live workers, without stopping them and without the interpreter's lock. The master
 * asks one thread after the other, by a signal of its own: a thread that gets it writes its own
 * stack, which cannot change meanwhile, into an unlinked file that all workers have inherited, and
 * takes its number out of `wanted`. The stack is written by the worker's handler (faulthandler), of
 * which dump.c knows only the address. Most system calls go on after the signal (SA_RESTART).
 *
 * A thread that does not begin within DUMP_THREAD_MS is not asked any more. One that has begun is
 * waited for: there is one file, and its late text would be taken for the next one's.
 *
 * One dump at a time, all of it within DUMP_TOTAL_MS and DUMP_SIZE. The master does not wait: it
 * calls dump_step() when it is woken, which the worker's handler does, or by dump_deadline().
 */

enum {
    DUMP_THREAD_MS = 500,   /* for one thread to begin */
    DUMP_TOTAL_MS = 10000,  /* for all of them */
    DUMP_THREADS = 256,     /* of a worker */
    DUMP_SIZE = 512 * 1024, /* bytes */
};

/*
 * Written by workers, as is the text in the file: see scoreboard.h. A worker that writes nonsense
 * keeps others from being dumped; their stacks are cut, escaped, and late by DUMP_TOTAL_MS at most.
 */
struct dump_shared {
    _Atomic uint32_t wanted;  /* the thread that is to write its stack; 0: none, or it has */
    _Atomic uint32_t writing; /* threads that do, or look whether they are to */
};

struct dump {
    int file; /* -1: this system has no such dumps */
    struct dump_shared *shared;
    struct writer text;
    bool active;
    const struct scoreboard *board;
    struct children *children;
    pid_t *pids; /* owned: the workers still to be asked, from `at` on */
    size_t count, at;
    bool asked_first; /* the threads of pids[at] are listed */
    pid_t threads[DUMP_THREADS];
    unsigned thread_count, thread_at;
    int64_t asked_at; /* ms of CLOCK_MONOTONIC: when threads[thread_at] was; 0: not yet */
    bool revoked;     /* it was too late to begin */
    pid_t late;       /* the worker that was still writing when the last dump ended; 0: none */
    int64_t begun_at;
};

/* The signal that asks a thread. */
int dump_signal(void);

/* Before the first fork. A system without the means is no failure. */
void dump_open(struct dump *dump);
void dump_close(struct dump *dump);

/* In the worker, where the present handler of dump_signal() writes the stack of the thread that it
 * runs in to dump->file. 0, or -1 with errno. */
int dump_accept(const struct dump *dump, struct slot *slot);

/* In the worker, before: the signal does nothing. */
void dump_ignore(void);

/* Begins with these workers. 0, or -1 with errno: EBUSY, ENOSYS, ENOMEM. */
int dump_begin(struct dump *dump, const struct scoreboard *board, struct children *children,
               const pid_t *pids, size_t count, int64_t now);

/* Goes on; true when dump->text is complete. */
bool dump_step(struct dump *dump, int64_t now);

/* When to call dump_step() at the latest; INT64_MAX while nothing is asked for. */
int64_t dump_deadline(const struct dump *dump);

/* Done with the text, or no client waits for it any more. */
void dump_end(struct dump *dump);

#endif
