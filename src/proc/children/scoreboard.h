#ifndef PROC_CHILDREN_SCOREBOARD_H
#define PROC_CHILDREN_SCOREBOARD_H

#include "base/metrics.h"
#include "base/str.h"
#include "proc/children/reason.h"
#include "proc/children/running.h"

#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The state that workers report: one slot each, with its words in anonymous shared memory that the
 * master maps before its first fork. The worker that owns a slot writes them with plain stores, the
 * master reads. There is no file and no system call in it, save the rare one of slot_wake().
 *
 * Rights to write. The master may be root and the workers another user that runs any code, so
 * the master trusts nothing that a worker can write:
 *
 *   shared, written by workers   struct slot_shared, struct metrics, struct running of each slot;
 *                                struct dump_shared (dump.h); the board of serve/exchange.h
 *   the process's own            struct slot, struct child, the pipes: forking copies them
 *
 * Any worker may write any byte that is shared, at any moment, also those of other workers. So no
 * pointer, process, descriptor or age is there; the master finds shared memory by pointers of its
 * own, reads a word once into a local, and uses it only if it is in range: child_update(),
 * child_busy_since(), metrics_accept(), running_copy(). False values may harm the worker itself, or
 * its siblings, which have the same user; the master neither crashes, nor waits, nor signals a
 * process that is no child of its own. fuzz/fuzz_shared.c feeds it random bytes.
 *
 * The heartbeat. `busy_since` is 0 while the worker has nothing to do, so an idle worker cannot be
 * late and never has to wake up. Anything else is the moment (ms of CLOCK_MONOTONIC) from which the
 * master counts `timeout`: a request's start, or the last sign of life of a worker that beats.
 *
 * The master sleeps without a time limit while no worker is busy. `watched` says that it has a
 * timer for this worker, or is about to: the request that finds it clear sets it and wakes the
 * master, which clears it when it looks a `timeout` later and finds the worker idle. So this costs
 * at most one write(2) per worker and `timeout`, and nothing at all while idle.
 */

#define SCOREBOARD_SLOTS 4096 /* most workers at a time; pages are touched only when used */

/*
 *            fork            ready             wants a successor
 *   FREE ----------> BOOTING ------> READY ----------------------> RETIRING
 *     ^                 |              |                              |
 *     +-----------------+--------------+-- dead, reaped by the master-+
 */
enum slot_phase {
    SLOT_FREE,
    SLOT_BOOTING,
    SLOT_READY,    /* the application is loaded: the worker accepts */
    SLOT_RETIRING, /* still serving; asks to be replaced */
};

/* Written by workers. */
struct slot_shared {
    /* Line 1: stored at each request. */
    alignas(64) _Atomic int64_t busy_since; /* ms of CLOCK_MONOTONIC, 0 when idle */
    _Atomic uint64_t requests;              /* begun, since the worker booted */
    _Atomic uint32_t watched;               /* the master has a timer for this slot */
    _Atomic uint32_t phase;                 /* enum slot_phase */
    _Atomic uint32_t in_flight;             /* requests running now; kept by threaded workers */
    _Atomic uint32_t threads;               /* it runs so many requests at a time; 0: one */
    _Atomic uint32_t dumps; /* its threads write their stacks when they are asked to: dump.h */
    _Atomic uint8_t retire_reason; /* enum reason, with SLOT_RETIRING */
};

_Static_assert(sizeof(struct slot_shared) == 64, "workers write to different cache lines");

/* Each process has its own copy. */
struct slot {
    struct slot_shared *shared; /* at the same addresses in every process */
    struct metrics *metrics;    /* shared: its figures */
    struct running *running;    /* shared: the requests it runs */
    int wake_fd;                /* the master's pipe, inherited; -1: there is no master */
    bool taken;
};

struct scoreboard {
    struct slot *slots;         /* SCOREBOARD_SLOTS of them */
    size_t used;                /* of them, those that have ever been taken */
    struct slot_shared *shared; /* one for each slot, shared with every process forked later */
    struct metrics *metrics;    /* the same */
    struct running *running;    /* the same */
    struct metrics *accepted;   /* one for each slot: of its figures, those that were believed */
    struct metrics past;        /* the counters of the workers that have died */
};

/* Maps the slots. Returns 0, or -1 with errno (ENOMEM). */
int scoreboard_open(struct scoreboard *board);
void scoreboard_close(struct scoreboard *board);

/* Takes a free slot for a worker about to be forked. NULL when all SCOREBOARD_SLOTS are taken. */
struct slot *scoreboard_take(struct scoreboard *board, int wake_fd);

/* The worker is dead: its counters go to those of the past. */
void scoreboard_release(struct scoreboard *board, struct slot *slot);

/* A slot's number: small, and used again. */
size_t scoreboard_index(const struct scoreboard *board, const struct slot *slot);

/* The figures of a worker as far as they are believed: see metrics_accept(). */
const struct metrics *scoreboard_figures(const struct scoreboard *board, const struct slot *slot);

/* The same of all workers, the dead ones' counters included. */
void scoreboard_sum(const struct scoreboard *board, struct metrics *totals);

/* Wakes the master so that it looks at this slot. A full pipe is fine: it is awake then. */
void slot_wake(struct slot *slot);

/* Worker: reports a new phase to the master. */
void slot_set_phase(struct slot *slot, enum slot_phase phase);

/* Worker: it goes on serving, and asks to be replaced. */
void slot_retire(struct slot *slot, enum reason reason);

/*
 * Master: stops (true) watching a slot that is idle, so that its next request wakes the master.
 * Returns false when the worker became busy meanwhile: it stays watched.
 */
bool slot_unwatch(struct slot *slot);

/* Worker: `now_ms` becomes the moment from which `timeout` counts. For notify(), and for an engine
 * that has work; a worker that beats without ever calling slot_idle() has to go on beating.
 */
static inline void slot_beat(struct slot *slot, int64_t now_ms)
{
    /* Sequentially consistent, against slot_unwatch(): one of the two sees the other's store. */
    atomic_store(&slot->shared->busy_since, now_ms);
    if (atomic_load(&slot->shared->watched) == 0)
        slot_wake(slot);
}

/* Worker: nothing runs; time-outs stop counting. */
static inline void slot_idle(struct slot *slot)
{
    atomic_store_explicit(&slot->shared->busy_since, 0, memory_order_release);
}

/* Worker with one request at a time: it runs from now on. */
static inline void slot_request_begin(struct slot *slot, int64_t now_ms)
{
    uint64_t n = atomic_load_explicit(&slot->shared->requests, memory_order_relaxed);

    atomic_store_explicit(&slot->shared->requests, n + 1, memory_order_relaxed);
    slot_beat(slot, now_ms);
}

static inline void slot_request_end(struct slot *slot)
{
    slot_idle(slot);
}

/*
 * Worker with several requests at a time: one of them begins. They may take as long as they like,
 * so `timeout` counts otherwise here: a master that has seen no sign for so long asks for one, and
 * the worker's main thread gives it with slot_answer(). If it does not in the same time again, the
 * worker hangs: C code holds the interpreter.
 */
static inline void slot_thread_begin(struct slot *slot, int64_t now_ms)
{
    atomic_fetch_add_explicit(&slot->shared->requests, 1, memory_order_relaxed);
    if (atomic_fetch_add(&slot->shared->in_flight, 1) == 0)
        slot_beat(slot, now_ms);
}

static inline void slot_thread_end(struct slot *slot)
{
    if (atomic_fetch_sub(&slot->shared->in_flight, 1) == 1)
        slot_idle(slot);
}

/* The signal that asks for a sign of life. */
#define SLOT_ASK_SIGNAL SIGWINCH

static inline void slot_answer(struct slot *slot, int64_t now_ms)
{
    if (atomic_load(&slot->shared->threads) == 0)
        return;
    if (atomic_load(&slot->shared->in_flight) > 0)
        slot_beat(slot, now_ms);
    else
        slot_idle(slot);
}

#endif
