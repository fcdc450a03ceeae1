#include "base/metrics.h"

#define MS ((uint64_t)1000000)

const uint64_t metrics_bounds_ns[METRICS_BOUNDS] = {
    MS,       MS * 5 / 2, MS * 5,    MS * 10,   MS * 25,    MS * 50,    MS * 100,   MS * 250,
    MS * 500, MS * 1000,  MS * 2500, MS * 5000, MS * 10000, MS * 30000, MS * 60000,
};

/* The counters are one row of numbers from `accepted` on, the padding between them included. */
enum {
    COUNTERS_AT = offsetof(struct metrics, accepted) / sizeof(uint64_t),
    COUNTERS_END = sizeof(struct metrics) / sizeof(uint64_t),
};

_Static_assert(offsetof(struct metrics, accepted) % sizeof(uint64_t) == 0, "a row of numbers");

/* A number that runs backwards, or is beyond all bounds, is not believed: the last one stands. */
static void accept_counter(_Atomic uint64_t *accepted, uint64_t n)
{
    if (n <= METRICS_COUNTER_MAX && n > atomic_load_explicit(accepted, memory_order_relaxed))
        atomic_store_explicit(accepted, n, memory_order_relaxed);
}

static void accept_gauge(_Atomic uint32_t *accepted, const _Atomic uint32_t *gauge)
{
    metrics_set(accepted, metrics_level(gauge));
}

void metrics_accept(struct metrics *accepted, const struct metrics *worker)
{
    _Atomic uint64_t *to = (_Atomic uint64_t *)accepted;
    const _Atomic uint64_t *from = (const _Atomic uint64_t *)worker;

    accept_gauge(&accepted->threads, &worker->threads);
    accept_gauge(&accepted->running, &worker->running);
    accept_gauge(&accepted->queued, &worker->queued);
    accept_gauge(&accepted->draining, &worker->draining);
    for (unsigned i = 0; i < METRICS_CONN_STATES; i++)
        accept_gauge(&accepted->connections[i], &worker->connections[i]);
    for (size_t i = COUNTERS_AT; i < COUNTERS_END; i++)
        accept_counter(&to[i], atomic_load_explicit(&from[i], memory_order_relaxed));
}

uint64_t metrics_plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void metrics_fold(struct metrics *totals, const struct metrics *dead)
{
    _Atomic uint64_t *to = (_Atomic uint64_t *)totals;
    const _Atomic uint64_t *from = (const _Atomic uint64_t *)dead;

    for (size_t i = COUNTERS_AT; i < COUNTERS_END; i++) {
        uint64_t sum = metrics_plus(atomic_load_explicit(&to[i], memory_order_relaxed),
                                    atomic_load_explicit(&from[i], memory_order_relaxed));

        atomic_store_explicit(&to[i], sum, memory_order_relaxed);
    }
}

static void sum_gauge(_Atomic uint32_t *to, const _Atomic uint32_t *from)
{
    metrics_set(to, atomic_load_explicit(to, memory_order_relaxed) + metrics_level(from));
}

void metrics_sum(struct metrics *totals, const struct metrics *worker)
{
    sum_gauge(&totals->threads, &worker->threads);
    sum_gauge(&totals->running, &worker->running);
    sum_gauge(&totals->queued, &worker->queued);
    sum_gauge(&totals->draining, &worker->draining);
    for (unsigned i = 0; i < METRICS_CONN_STATES; i++)
        sum_gauge(&totals->connections[i], &worker->connections[i]);
    metrics_fold(totals, worker);
}

const char *metrics_state_name(unsigned state)
{
    static const char *const names[METRICS_CONN_STATES] = {
        "idle", "head", "body", "running", "flush", "linger", "handshake", "websocket",
    };
    return names[state];
}

const char *metrics_close_name(enum metrics_close reason)
{
    static const char *const names[CLOSE_REASONS] = {
        [CLOSE_BY_CLIENT] = "client",
        [CLOSE_ANSWERED] = "answered",
        [CLOSE_KEEPALIVE] = "keepalive",
        [CLOSE_HEADER_TIMEOUT] = "header_timeout",
        [CLOSE_BODY_TIMEOUT] = "body_timeout",
        [CLOSE_BODY_RATE] = "body_rate",
        [CLOSE_SEND_TIMEOUT] = "send_timeout",
        [CLOSE_MALFORMED] = "malformed",
        [CLOSE_LIMIT] = "limit",
        [CLOSE_REFUSED] = "refused",
        [CLOSE_DRAINED] = "drained",
        [CLOSE_ROOM] = "room",
        [CLOSE_TLS] = "tls",
        [CLOSE_TAKEN] = "taken",
        [CLOSE_ERROR] = "error",
    };
    return names[reason];
}

const char *metrics_refusal_name(enum metrics_refusal reason)
{
    static const char *const names[REFUSED_REASONS] = {
        [REFUSED_QUEUE_FULL] = "queue_full",   [REFUSED_QUEUE_TIME] = "queue_time",
        [REFUSED_CONCURRENCY] = "concurrency", [REFUSED_BODY_SIZE] = "body_size",
        [REFUSED_DRAINING] = "draining",       [REFUSED_CLIENT_GONE] = "client_gone",
        [REFUSED_NO_ROOM] = "no_room",
    };
    return names[reason];
}
