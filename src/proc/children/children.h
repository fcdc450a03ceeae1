#ifndef PROC_CHILDREN_CHILDREN_H
#define PROC_CHILDREN_CHILDREN_H

#include "proc/children/reason.h"
#include "proc/children/scoreboard.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The registry of the master's children, and what follows from it: how many to fork, which to stop.
 * It forks none and sends no signal, so all of it is tested without a process. Each kind of
 * children has a goal of its own; the life of a child is the same for all kinds.
 *
 * A worker that is RETIRING has reached a limit (max_requests, max_rss …) and serves on until its
 * turn to be replaced comes: children_admit() gives few of them a turn at a time. Then a successor
 * is forked, and when that one is ready the worker is stopped.
 *
 *                  ready             is to be replaced
 *   BOOTING ----------------> READY -----------------> RETIRING
 *      |                        |                          |
 *      +------- TERM, QUIT -----+--------------------------+----> STOPPING
 *      |                        |                          |         |
 *      +------- ABRT -----------+--------------------------+---------+----> ABORTED
 *      |                        |                          |         |         |
 *      +------- KILL -----------+--------------------------+---------+---------+----> KILLED
 *
 * Any of them may die; the record is removed then.
 */
enum child_kind {
    CHILD_WORKER, /* serves requests, and has a slot unless the host forked it by itself */
    CHILD_DIRTY,  /* an arbiter with workers of its own, for long jobs; it has no slot */
    CHILD_KINDS
};

enum child_phase {
    CHILD_BOOTING,
    CHILD_READY,
    CHILD_RETIRING,
    CHILD_STOPPING,
    CHILD_ABORTED,
    CHILD_KILLED,
    CHILD_PHASE_COUNT
};

/* In lower case: "booting". */
const char *child_phase_name(enum child_phase phase);

struct child {
    pid_t pid;
    enum child_kind kind;
    uint32_t age;        /* grows with each fork: the lowest is the oldest */
    uint32_t generation; /* of the configuration it was forked with */
    enum child_phase phase;
    bool slow_boot_logged;
    bool watching;        /* look_at is set */
    bool replacing;       /* its turn to be replaced has come */
    bool born_big;        /* beyond a limit of memory as soon as it was ready: not held to it */
    enum reason due;      /* why it is RETIRING */
    enum reason reason;   /* why it has to stop */
    int64_t forked_at;    /* ms of CLOCK_MONOTONIC, as the others */
    int64_t since;        /* when the phase began */
    int64_t spared_to;    /* no time-out before this: the machine slept */
    int64_t look_at;      /* when to see whether a watched worker has become idle, or whether a
                           * dirty arbiter has answered; 0: not chosen yet */
    int64_t expires_at;   /* end of max_lifetime, 0: none */
    int64_t processor_ms; /* its processor time at the last sample of the load; 0: none yet */
    int64_t delay_ms;     /* the same of its delay */
    int64_t memory;       /* bytes it occupied when that was last looked at; 0: never */
    int64_t asked_at;     /* when it was asked for a sign of life; 0: never … */
    int64_t asked_sign;   /* … and the last sign that it had given then */
    struct slot
        *slot; /* of a worker; NULL for any other kind, and if the host forked it by itself */
};

struct children {
    struct child *list; /* by age, ascending */
    size_t count, capacity;
};

void children_init(struct children *children);
void children_free(struct children *children);

/* Room for one more, so that children_add() does not fail. 0, or -1 with errno ENOMEM. Pointers to
 * children are invalid after it. */
int children_reserve(struct children *children);

/* Adds a child, BOOTING. NULL with errno ENOMEM. Pointers to other children are invalid after it.
 */
struct child *children_add(struct children *children, enum child_kind kind, pid_t pid, uint32_t age,
                           uint32_t generation, struct slot *slot, int64_t now);
struct child *children_find(struct children *children, pid_t pid);

/* Removes the record; its slot is the caller's again. */
void children_remove(struct children *children, struct child *child);

/* The one place where a phase changes; asserts that the move is in the diagram. */
void child_move(struct child *child, enum child_phase phase, int64_t now);
bool child_may_move(enum child_phase from, enum child_phase to);

/* BOOTING, READY or RETIRING: it does not have to stop. */
bool child_serves(const struct child *child);

/* How many of a kind have booted, also by their slots, and do not have to stop. */
unsigned children_serving(const struct children *children, enum child_kind kind);

/* Takes over the phase in the worker's slot, as far as the worker may set it; true when the phase
 * changed. */
bool child_update(struct child *child, int64_t now);

/* Since when it is busy, as it says: ms of CLOCK_MONOTONIC, 0 when it is idle. In a range in which
 * times can be added to it. */
int64_t child_busy_since(const struct child *child);

/* It has reached a limit: it serves on, and is replaced when its turn comes. */
void child_retire(struct child *child, enum reason due, int64_t now);

/* A worker that is being replaced: of an older generation, or one whose turn has come. */
bool child_is_veteran(const struct child *child, uint32_t generation);

/* Whether a child of this generation has ever become ready is for the caller to remember. */
struct children_goal {
    enum child_kind kind;
    unsigned target;          /* children wanted */
    uint32_t generation;      /* the present one */
    bool proven;              /* a child of the present generation has been ready */
    unsigned max_unavailable; /* children of this generation that are replaced at a time; 0: all */
};

/*
 * Gives the worker that has been RETIRING for longest its turn, as long as fewer than
 * max_unavailable have theirs. A turn lasts until the worker is gone: so there are never more than
 * target + max_unavailable workers because of it.
 */
void children_admit(struct children *children, const struct children_goal *goal);

/* How many workers to fork now. Until a new generation is proven, one is tried while the old serve.
 */
unsigned children_missing(const struct children *children, const struct children_goal *goal);

/* The next worker to be stopped, or NULL. Veterans go as their successors become ready. */
struct child *children_surplus(struct children *children, const struct children_goal *goal);

#endif
