#ifndef PROC_LOOP_ARBITER_H
#define PROC_LOOP_ARBITER_H

#include "base/str.h"
#include "base/writer.h"
#include "proc/children/backoff.h"
#include "proc/children/children.h"
#include "proc/children/oom.h"
#include "proc/children/recycle.h"
#include "proc/children/scale.h"
#include "proc/children/scoreboard.h"
#include "proc/loop/pollable.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The master: one loop that sleeps until a signal, a worker's word or a deadline, and then decides.
 * The reasons of its decisions are here; the nature of a worker, its fork and the lines of the log
 * are the host's. With every worker idle it sleeps without a limit.
 *
 * Each callback returns 0, or a negative value to leave the loop at once: arbiter_run() and the
 * others return that value.
 */
struct arbiter;

struct arbiter_death {
    struct child child; /* as it was; no longer in the registry */
    int status;         /* of waitpid(2) */
    bool quick;         /* it lived too short, and it did not have to stop */
    bool first_boot;    /* it was booting, and no worker has served since the start: see below */
    unsigned serving;   /* children of its kind that serve now */
    int64_t pause_ms;   /* before the next fork, 0 for none */
    uint64_t requests;  /* it had begun */
    enum reason reason;
    int64_t peak; /* bytes of its memory at most, shared ones included */
};

/* The figures of all dirty workers. Counters go on over the lives of their arbiters. */
struct dirty_figures {
    unsigned long long workers, running, waiting;
    unsigned long long answered, failed, timed_out, crashed, refused, deaths;
};

/* The part of an answer to a command that the master has to wait for. */
struct arbiter_rest {
    pid_t stack_of; /* the stacks of this worker follow the first members of `data`; 0: none */
    int fd; /* all comes from a child: its output, read to the end; the reader's; -1: none */
};

struct arbiter_host {
    pollable_wait wait;
    /* Does the work of the process between two waits (foreign signal handlers). */
    int (*between)(void *ctx);
    int (*on_signal)(void *ctx, int signo);
    /* The three duties; each is expected to call arbiter_reap(), _murder() and _manage(). */
    int (*reap)(void *ctx);
    int (*murder)(void *ctx);
    int (*manage)(void *ctx);
    /* arbiter_manage(): fork `count` children, by arbiter_fork(). */
    int (*spawn)(void *ctx, enum child_kind kind, unsigned count);
    /* Requests that wait for a worker, and are in none. NULL: there is no such place. */
    unsigned (*between_workers)(void *ctx);
    /* False: there are no dirty workers. NULL: the same. */
    bool (*dirty_figures)(void *ctx, struct dirty_figures *figures);
    /* Connections that the kernel keeps for the workers. NULL: not known. */
    unsigned (*backlog)(void *ctx);
    /* The number of workers follows the load: the decision, the number before it, and the figures.
     * NULL: nobody is interested. */
    int (*scaled)(void *ctx, enum scale_decision decision, unsigned before,
                  const struct scale_sample *sample);
    /* Send a signal to a child, by arbiter_kill(). */
    int (*kill)(void *ctx, const struct child *child, int signo);
    int (*died)(void *ctx, const struct arbiter_death *death);
    int (*stranger_died)(void *ctx, pid_t pid, int status);
    int (*ready)(void *ctx, const struct child *child);
    int (*timed_out)(void *ctx, const struct child *child, int64_t silent_ms);
    int (*slow_boot)(void *ctx, const struct child *child, int64_t booting_ms);
    /* The signs of life that a child without a slot has given, 0: none. NULL: it gives none, and
     * does not time out. */
    int64_t (*sign)(void *ctx, const struct child *child);
    int (*overdue)(void *ctx, const struct child *child);
    /* It has reached a limit that the master looks after, and waits for its turn. */
    int (*due)(void *ctx, const struct child *child);
    /* It is beyond max_rss_hard: expected to be aborted. */
    int (*too_big)(void *ctx, const struct child *child);
    /* It is beyond a limit of memory before its first request. */
    int (*born_big)(void *ctx, const struct child *child);
    /* arbiter_drain(): a second INT or QUIT came. */
    int (*hurry)(void *ctx);
    /* The system refuses a resource for the answer to a client of a port. */
    void (*cannot_answer)(void *ctx, int error);
    /* A request of the control socket, JSON: adds the answer, JSON as well, or sets `rest`. */
    int (*command)(void *ctx, struct str request, struct writer *answer, struct arbiter_rest *rest);
    /* The output of rest->fd: adds the answer. `complete` is false if it has not come to its end:
     * nobody waits for it any more. */
    int (*collected)(void *ctx, struct str output, bool complete, struct writer *answer);
};

/*
 * A boot that fails ends the server only if `first_boot` is set: no worker of any generation has
 * been ready since the start. From the first ready worker on, a worker that does not boot is forked
 * again, with the pauses of proc/backoff.h, even while no other serves: the cause (a database that
 * is down, a deployment that is under way) may be over at the next try.
 *
 *   a worker does not boot, and it is       | then
 *   ----------------------------------------+--------------------------------------------------
 *   of an older generation (HUP amid boot)  | nothing: it is not wanted any more, so there is no
 *                                           | pause either
 *   the first of a new generation           | the host restores the generation before: see
 *                                           | arbiter_restore_generation()
 *   of the present generation, after others | it is forked again; those that serve go on, also
 *   (first start, TTIN, recycling, a death) | those that it was to replace
 *   the first of all                        | `first_boot`: the host ends the server
 */

/* A worker may take this many times `timeout` to boot before it is killed. It is reported after
 * one. */
#define ARBITER_BOOT_FACTOR 10
#define ARBITER_ABORT_MS 1000 /* from SIGABRT to SIGKILL */
#define ARBITER_SLACK_MS 1000 /* beyond graceful_timeout, for a worker that keeps it by itself */
#define ARBITER_HURRY_MS 2000 /* left to the workers after a second INT */
#define ARBITER_LAST_SIGN_MS 3000 /* for a dirty arbiter to answer while the server stops */
#define ARBITER_PAUSE_MS 100      /* when the kernel has no memory to wait */
#define ARBITER_LATE_MS 1000      /* woken this much too late: the machine was suspended */
#define ARBITER_WAKES 1000        /* times that the workers' pipe is looked at within … */
#define ARBITER_WAKES_MS 1000     /* … this */

/* How often workers have written to the pipe. Times in ms of CLOCK_MONOTONIC. */
struct arbiter_wakes {
    int64_t since;
    unsigned count; /* since then */
};

/* The master's goals for one kind of children. */
struct arbiter_kind {
    struct children_goal goal;
    struct backoff backoff;
    int64_t graceful_ms; /* from the wish to stop to SIGABRT, 0: for ever */
    bool served;         /* one has been ready since the start */
};

/* See scaler.h. */
struct arbiter_scaler {
    struct pollable timer;
    unsigned room;                       /* workers for which there is memory … */
    int64_t room_at;                     /* … and when that was looked at; 0: never */
    int64_t worker_size;                 /* bytes that are expected of a worker */
    uint64_t decisions[SCALE_DECISIONS]; /* since the start */
};

struct arbiter {
    struct scoreboard board;
    struct children children;
    struct arbiter_kind kinds[CHILD_KINDS];
    uint32_t generations;       /* the highest number given: none is used twice */
    struct pollables pollables; /* the loop waits for these: pipes, and those of the host */
    struct pollable signals;
    struct pollable wake;
    int wake_pipe[2]; /* workers write to it when their slot deserves a look */
    struct arbiter_wakes wakes;
    struct pollable *on_wake; /* called, too, when they have written; borrowed, NULL: none */
    int life_pipe[2];         /* the master alone holds [1]: workers see [0] close when it dies */
    int64_t timeout_ms;       /* 0: none */
    int64_t boot_ms; /* a child may take so long to boot; 0: ARBITER_BOOT_FACTOR times timeout */
    struct recycle_limits limits;
    struct scale scale; /* the number of workers, if it follows the load */
    struct arbiter_scaler scaler;
    int64_t tick_ms;     /* run every duty at least this often; 0: only when there is cause */
    int64_t watchdog_ms; /* call between() at least this often; 0: no */
    bool draining;       /* arbiter_drain(): nothing new */
    unsigned born;       /* forked_count in the process that it is for */
    bool is_child;       /* this process is one that arbiter_fork() has forked */
    bool leaving;        /* arbiter_leave(): everything goes on, but no new clients are wanted */
    unsigned max_queue;  /* requests that wait in a worker beyond which it is full; 0: no limit */
    uint64_t forks;      /* workers forked, since the start */
    struct oom oom;
    uint64_t deaths[REASON_COUNT]; /* of workers, since the start */
    const struct arbiter_host *host;
    void *ctx;
};

/* Maps the scoreboard, opens the pipes and the signal queue. Returns 0, or -1 with errno. */
int arbiter_open(struct arbiter *arbiter, const struct arbiter_host *host, void *ctx);
void arbiter_close(struct arbiter *arbiter);

/* Whether a hook has forked this process: it is no child of arbiter_fork(). */
bool arbiter_is_stray(const struct arbiter *arbiter);

/* The loop; returns only with the value of a callback, or -1 with errno when poll fails. */
int arbiter_run(struct arbiter *arbiter);

/*
 * Forks a child; a worker has a slot of its own, any other kind none (*slot is NULL). Returns its
 * pid, 0 in the child (where the master's pipes and signals are put away), or -1 with errno
 * (EAGAIN, ENOMEM, ENOSPC: no slot). `before` and `after` bracket fork(2); after(ctx, pid) runs in
 * both processes.
 */
struct arbiter_fork_hooks {
    void (*before)(void *ctx);
    void (*after)(void *ctx, pid_t pid);
};
pid_t arbiter_fork(struct arbiter *arbiter, enum child_kind kind, uint32_t age,
                   const struct arbiter_fork_hooks *hooks, struct slot **slot);

/* A child without a slot has booted. Returns 0, or the host's negative value. */
int arbiter_ready(struct arbiter *arbiter, pid_t pid);

/* kill(2), and the phase that follows from it. Returns 0, or -1 with errno (ESRCH, EPERM). */
int arbiter_kill(struct arbiter *arbiter, pid_t pid, int signo);

/* To the workers it looks as if the master had died: for those that may not be signalled. No worker
 * is forked after that. */
void arbiter_let_go(struct arbiter *arbiter);

/* A worker that the host forked by itself: it is counted and killed, but not timed. 0, or -1 with
 * errno (ENOMEM). */
int arbiter_adopt(struct arbiter *arbiter, pid_t pid, uint32_t age);

/* It is to be replaced `lifetime_ms` from now. */
void arbiter_expire(struct arbiter *arbiter, pid_t pid, int64_t lifetime_ms);

/* It serves until a successor is ready, and is stopped then. 0, or -1 with errno: ESRCH for no
 * child, EBUSY for one that boots, or is to go already. */
int arbiter_retire(struct arbiter *arbiter, pid_t pid);

/* Takes a worker out of the registry, and its slot back, without waiting for its death. */
void arbiter_forget(struct arbiter *arbiter, pid_t pid);

int arbiter_reap(struct arbiter *arbiter);
int arbiter_murder(struct arbiter *arbiter);
int arbiter_manage(struct arbiter *arbiter);

/* A fork failed: returns the pause in ms before the next try. */
int64_t arbiter_fork_failed(struct arbiter *arbiter, enum child_kind kind);

/* A new configuration: workers forked from now on replace those of before, the ready ones first. */
void arbiter_new_generation(struct arbiter *arbiter);

/* The new generation could not boot: those of before are the present one again. */
void arbiter_restore_generation(struct arbiter *arbiter, uint32_t generation);

/*
 * Goes on for `ms` with everything but new configurations, while the status port says that the
 * server is not ready. Ends early when a signal wants to stop: returns it, else 0.
 */
int arbiter_leave(struct arbiter *arbiter, int64_t ms);

/* Sleeps, and serves pollables, as long as `busy(ctx)`, at most `limit_ms`. */
int arbiter_linger(struct arbiter *arbiter, int64_t limit_ms, bool (*busy)(void *ctx), void *ctx);

/* Waits until every worker is gone, at most `limit_ms`; signals but INT and QUIT are ignored. */
int arbiter_drain(struct arbiter *arbiter, int64_t limit_ms, bool hurried);

#endif
