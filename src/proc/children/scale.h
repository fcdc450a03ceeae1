#ifndef PROC_CHILDREN_SCALE_H
#define PROC_CHILDREN_SCALE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How many workers the load needs. A decision from samples of the server, without a clock, a
 * process or a file, so that loads of any shape are tried without a server.
 *
 * One worker more, if for two samples every worker was busy and requests waited for longer than
 * up_wait_ms, and if it would help: the workers leave processor time unused, because some
 * processors are idle or the workers sleep.
 *
 * One worker less, if it was not needed for down_idle_ms. That time is doubled if the last one
 * that was taken away was needed again soon. There are never fewer than `least`.
 *
 * Figures of workers are in the samples, and may be false: the result is between `least` and `most`
 * whatever they are, and one step away from the last.
 */

enum {
    SCALE_WORKERS = 2048,   /* most workers */
    SCALE_MS = 200,         /* between two samples while requests run, and between two additions */
    SCALE_CLEAR_MS = 2000,  /* a queue that is run in this time is no reason for a worker more */
    SCALE_DOWN_MS = 1000,   /* between two removals */
    SCALE_PATIENCE = 16,    /* down_idle_ms is doubled up to so many times */
    SCALE_LOG_MS = 60000,   /* between two reports that a worker more is not possible */
    SCALE_SIZE_LOOKS = 256, /* see scale_size() */
};

/* Workers that use, or wait for, more of the processors are not helped by one more. */
#define SCALE_PROCESSORS_FULL 0.9

struct scale_limits {
    unsigned least, most; /* workers; most <= least: the number stays */
    int64_t up_wait_ms, down_idle_ms;
    int64_t processors_ms; /* of processor time that the server may use in a second; 0: not known */
};

struct scale_sample {
    int64_t now;       /* ms */
    unsigned ready;    /* workers that serve */
    unsigned busy;     /* of them, those that have no free thread */
    unsigned running;  /* requests in workers whose threads are counted */
    unsigned waiting;  /* requests that wait for a thread */
    unsigned threads;  /* requests that a worker runs at a time, 1 or greater */
    uint64_t begun;    /* requests begun since the start */
    double processors; /* that the workers have used since the last sample; negative: not known */
    double delayed;    /* processors that they were ready to use, and others had */
    unsigned room;     /* workers for which there is memory */
};

enum scale_decision {
    SCALE_STAY,
    SCALE_UP,
    SCALE_DOWN_IDLE,
    SCALE_DOWN_MEMORY,    /* the workers have grown: there is no memory for all of them */
    SCALE_HELD_MOST,      /* requests wait, and there are `most` workers */
    SCALE_HELD_MEMORY,    /* the same, and there is no memory for one more */
    SCALE_HELD_PROCESSOR, /* the same, and the workers use all processor time */
    SCALE_DECISIONS
};

/* In lower case, with underscores: "down_idle". */
const char *scale_decision_name(enum scale_decision decision);

struct scale {
    struct scale_limits limits;
    unsigned target;                  /* workers that there should be */
    int64_t waited_ms;                /* how long requests wait now, about */
    struct scale_sample last;         /* the sample before; now is 0 at first */
    int64_t waiting_since;            /* requests wait since then; 0: none waits */
    bool was_late;                    /* at the last sample requests waited for too long */
    int64_t changed_at, down_at;      /* the last change, the last removal */
    int64_t held_at[SCALE_DECISIONS]; /* when that was reported last */
    unsigned patience;                /* down_idle_ms is multiplied by it */
    int64_t needed_at[SCALE_WORKERS]; /* [n - 1]: when n workers were needed last */
};

/* Whether the number follows the load. */
bool scale_is_on(const struct scale *scale);

/* New limits: the target moves into them. */
void scale_limit(struct scale *scale, const struct scale_limits *limits);

/* One sample; the target may have moved by one afterwards. */
enum scale_decision scale_decide(struct scale *scale, const struct scale_sample *sample);

/* For how many workers there is memory: `limit` bytes for all, of which `used` belong to others,
 * and `each` to a worker. Without a limit (0), or if a size is not known (negative), for any
 * number. */
unsigned scale_room(int64_t limit, int64_t used, int64_t each);

/* The bytes to expect of a worker after one more look at the largest: `before` is what was
 * expected, `present` its size now. A larger one counts at once; a smaller one by a part of
 * SCALE_SIZE_LOOKS, because requests that took the memory come again. */
int64_t scale_size(int64_t before, int64_t present);

#endif
