#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The figures of one worker, in memory that it shares with the master. The engine's leader adds
 * with a relaxed load and a store, for it is the only writer (metrics_add); counters that the
 * application's threads add to stand apart and cost an atomic addition (metrics_add_shared). No
 * thread waits for another: a reader may see the parts of one event at two moments.
 */

/* Why a connection was closed. The names stand in metrics_close_name(). */
enum metrics_close {
    CLOSE_BY_CLIENT,      /* it left, or its connection broke */
    CLOSE_ANSWERED,       /* the last answer is sent: either side had said `Connection: close` */
    CLOSE_KEEPALIVE,      /* no further request within `keepalive` */
    CLOSE_HEADER_TIMEOUT, /* no whole head within `header_timeout` */
    CLOSE_BODY_TIMEOUT,   /* a body stood still */
    CLOSE_BODY_RATE,      /* a body came slower than `body_min_rate` */
    CLOSE_SEND_TIMEOUT,   /* the client took nothing of the answer for `send_timeout` */
    CLOSE_MALFORMED,      /* no valid HTTP */
    CLOSE_LIMIT,          /* valid, but beyond a limit */
    CLOSE_REFUSED,        /* answered by the engine: see enum metrics_refusal */
    CLOSE_DRAINED,        /* the worker ends */
    CLOSE_ROOM,  /* idle or slow, and `worker_connections` or the descriptors were used up */
    CLOSE_TLS,   /* its handshake or its records failed */
    CLOSE_TAKEN, /* the application talks on it itself, or a sibling serves it */
    CLOSE_ERROR, /* we could not: no memory, no descriptor, a failed system call */
    CLOSE_REASONS
};

/* Why a whole request did not reach the application. */
enum metrics_refusal {
    REFUSED_QUEUE_FULL,  /* `max_queue` */
    REFUSED_QUEUE_TIME,  /* `max_queue_time` */
    REFUSED_CONCURRENCY, /* `limit_concurrency` */
    REFUSED_BODY_SIZE,   /* `limit_request_body` */
    REFUSED_DRAINING,    /* the worker ends */
    REFUSED_CLIENT_GONE, /* `check_client` */
    REFUSED_NO_ROOM,     /* neither memory nor disk for its body */
    REFUSED_REASONS
};

enum { METRICS_LINE = 64 }; /* bytes of a cache line */

/* A connection's state, as enum conn_state has it; CLOSED is not counted. */
enum { METRICS_CONN_STATES = 8 };

/* The activities of connections: each is counted in one of these. */
enum metrics_activity {
    ACTIVITY_IDLE,    /* between requests */
    ACTIVITY_HEAD,    /* a head is incomplete */
    ACTIVITY_BODY,    /* a body is being buffered */
    ACTIVITY_RUNNING, /* a request waits for a thread, or the application runs */
    ACTIVITY_FLUSH,   /* the client has not taken all of an answer */
    ACTIVITY_LINGER,  /* it is over, but the client may still send */
    ACTIVITY_HANDSHAKE,
    ACTIVITY_WEBSOCKET, /* messages go both ways */
};

/* Answers by the first digit of their status; 0: none was sent, though the application ran. */
enum { METRICS_CLASSES = 6 };

/* Upper bounds in seconds: 1 ms … 60 s; longer times are in the last bucket. */
enum { METRICS_BOUNDS = 15, METRICS_BUCKETS = METRICS_BOUNDS + 1 };
extern const uint64_t metrics_bounds_ns[METRICS_BOUNDS];

struct histogram {
    _Atomic uint64_t buckets[METRICS_BUCKETS]; /* each on its own, not cumulative */
    _Atomic uint64_t sum_ns;
};

struct metrics {
    /* Gauges. */
    _Atomic uint32_t threads;  /* requests that can run at a time; 0: no bound */
    _Atomic uint32_t running;  /* requests that have a thread */
    _Atomic uint32_t queued;   /* requests that wait for one */
    _Atomic uint32_t draining; /* 1: the worker takes no new connection */
    _Atomic uint32_t connections[METRICS_CONN_STATES];

    /* The budget of clients: copies, see budget_publish(). */
    _Atomic uint64_t memory;  /* bytes of buffers */
    _Atomic uint64_t spooled; /* bytes in files */
    _Atomic uint32_t files;   /* descriptors beside those of connections */

    /* Counters, the leader's. Everything from here on is added to the totals of the server when
     * the worker has died. */
    char apart[METRICS_LINE]; /* counters of different threads are in different cache lines */
    _Atomic uint64_t accepted;
    _Atomic uint64_t responses[METRICS_CLASSES]; /* of the application */
    _Atomic uint64_t refused[REFUSED_REASONS];
    _Atomic uint64_t rejected[METRICS_CLASSES]; /* answered by the engine, by class */
    _Atomic uint64_t closed[CLOSE_REASONS];
    _Atomic uint64_t bytes_in, bytes_out;
    _Atomic uint64_t handshakes, handshakes_failed, handshakes_resumed; /* TLS; resumed of those */
    struct histogram wait;     /* from whole request to thread */
    struct histogram duration; /* of the application's run */
    struct histogram front;    /* from X-Request-Start to whole request */

    /* Counters that any thread adds to. */
    char apart_too[METRICS_LINE];
    _Atomic uint64_t bytes_in_shared;
    _Atomic uint64_t request_timeouts; /* `request_timeout` */
    char end[METRICS_LINE];
};

static inline void metrics_add(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, before + n, memory_order_relaxed);
}

static inline void metrics_add_shared(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* A gauge with one writer. */
static inline void metrics_set(_Atomic uint32_t *gauge, uint32_t value)
{
    atomic_store_explicit(gauge, value, memory_order_relaxed);
}

static inline void metrics_raise(_Atomic uint32_t *gauge)
{
    metrics_set(gauge, atomic_load_explicit(gauge, memory_order_relaxed) + 1);
}

static inline void metrics_drop(_Atomic uint32_t *gauge)
{
    metrics_set(gauge, atomic_load_explicit(gauge, memory_order_relaxed) - 1);
}

/* The index into counters by class of a status. */
static inline unsigned metrics_class(unsigned status)
{
    return status / 100 < METRICS_CLASSES ? status / 100 : 0;
}

static inline void metrics_observe(struct histogram *histogram, uint64_t ns)
{
    unsigned i = 0;

    while (i < METRICS_BOUNDS && ns > metrics_bounds_ns[i])
        i++;
    metrics_add(&histogram->buckets[i], 1);
    metrics_add(&histogram->sum_ns, ns);
}

/*
 * A worker may write anything into its figures, or into those of others. So a reader uses the
 * figures that it has accepted: counters that only grow and have a bound, and gauges up to a bound
 * that lets those of 4096 workers be added up.
 */
#define METRICS_COUNTER_MAX (UINT64_C(1) << 56) /* in ns: two years of one thread */
#define METRICS_GAUGE_MAX ((UINT32_C(1) << 20) - 1)

static inline uint32_t metrics_level(const _Atomic uint32_t *gauge)
{
    uint32_t n = atomic_load_explicit(gauge, memory_order_relaxed);

    return n < METRICS_GAUGE_MAX ? n : METRICS_GAUGE_MAX;
}

/* Brings `accepted`, all zero at first, up to date. Only this may be given to the next two. */
void metrics_accept(struct metrics *accepted, const struct metrics *worker);

/* Adds the counters of a worker that has died to the totals, whose only writer this is. */
void metrics_fold(struct metrics *totals, const struct metrics *dead);

/* Adds gauges and counters: for a sum over the workers that live. */
void metrics_sum(struct metrics *totals, const struct metrics *worker);

/* The sum of two counters; the highest number where it is more. */
uint64_t metrics_plus(uint64_t a, uint64_t b);

/* A label's value, as Prometheus shows it. */
const char *metrics_state_name(unsigned state); /* NULL: there is no such state */
const char *metrics_close_name(enum metrics_close reason);
const char *metrics_refusal_name(enum metrics_refusal reason);

#endif
