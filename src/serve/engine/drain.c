#include "serve/dispatch/handover.h"
#include "serve/engine/limits.h"

/*
 * A worker that was told to stop. It ends when its last connection is closed, and before the master
 * loses patience, which it does after graceful_timeout. A request that is not whole has
 * DRAIN_IDLE_MS, longer while its client keeps pace, but not beyond one part in DRAIN_SHARE of
 * graceful_timeout: the application has to run after that. Running requests, and answers that are
 * sent, have all of it but a margin for the end of the process.
 */

/* After the beginning of the stop; UINT64_MAX: never. */
static uint64_t after(const struct engine *engine, uint32_t ms)
{
    return engine->options.graceful_ms > 0 ? engine->stop_ms + ms : UINT64_MAX;
}

static uint64_t ends_at(const struct engine *engine)
{
    uint32_t all = engine->options.graceful_ms, margin = all / STOP_SHARE;
    return after(engine, all - (margin < STOP_MARGIN_MS ? margin : STOP_MARGIN_MS));
}

uint64_t drain_requests_until(const struct engine *engine)
{
    return after(engine, engine->options.graceful_ms / DRAIN_SHARE);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t drain_limit(const struct engine *engine, const struct conn *conn)
{
    enum conn_state state = conn->state; /* clang before 15 takes no atomic here */
    switch (state) {
    case CONN_RUNNING:
        return UINT64_MAX;
    case CONN_FLUSH:
        return ends_at(engine);
    default:
        return least(engine->now_ms + DRAIN_IDLE_MS, drain_requests_until(engine));
    }
}

void drain_last_chance(struct engine *engine, struct conn *conn)
{
    uint64_t until = drain_limit(engine, conn);
    if (conn->state == CONN_BODY) { /* from now on it has to keep pace */
        conn->request->body.timed = true;
        conn->request->body.arrived = 0;
    }
    if (until < UINT64_MAX && (conn->timer.deadline == 0 || conn->timer.deadline > until))
        timer_set(&engine->timers, &conn->timer, until);
}

/* A request that does not reach the application any more. */
static void cut_request(struct engine *engine, struct conn *conn, uint32_t *count)
{
    (*count)++;
    metrics_add(&engine->metrics->refused[REFUSED_DRAINING], 1);
    conn_cut(engine, conn, 503, "The server is stopping");
}

void drain_cut(struct engine *engine, struct conn *conn)
{
    enum conn_state state = conn->state; /* clang before 15 takes no atomic here */
    if (state == CONN_RUNNING && !ready_remove(&engine->ready, conn->request))
        return;
    conn_because(conn, CLOSE_DRAINED);
    switch (state) {
    case CONN_RUNNING:
        cut_request(engine, conn, &engine->cut.waiting);
        break;
    case CONN_HEAD:
        cut_request(engine, conn, &engine->cut.heads);
        break;
    case CONN_BODY:
        cut_request(engine, conn, &engine->cut.bodies);
        break;
    case CONN_FLUSH:
        engine->cut.answers++;
        conn_close(engine, conn);
        break;
    default:
        conn_close(engine, conn);
        break;
    }
}

void drain_expect(struct engine *engine)
{
    if (engine->stop_ms > 0)
        return;
    engine->stop_ms = engine->now_ms;
    if (engine->options.graceful_ms > 0)
        timer_set(&engine->timers, &engine->cut_off, ends_at(engine));
}

static void each_of(struct engine *engine, struct list *list,
                    void (*function)(struct engine *engine, struct conn *conn))
{
    struct list *next;
    for (struct list *l = list->next; l != list; l = next) {
        next = l->next;
        function(engine, list_entry(l, struct conn, link));
    }
}

static void each(struct engine *engine, void (*function)(struct engine *engine, struct conn *conn))
{
    each_of(engine, &engine->idle, function);
    each_of(engine, &engine->crowd, function);
    each_of(engine, &engine->unread, function);
    each_of(engine, &engine->unnamed, function);
    each_of(engine, &engine->active, function);
}

void drain_begin(struct engine *engine)
{
    drain_expect(engine);
    handover_retire(engine);
    /* Successors that listen there, too, are better off with it. */
    bool leaves_it = atomic_load(&engine->given_up) || (engine->replaced && engine->options.shared);
    if (!leaves_it)
        listeners_empty(engine);
    engine_pause(engine, PAUSE_DRAIN);
    metrics_set(&engine->metrics->draining, 1);
    each(engine, drain_last_chance);
    engine->drained = true;
}

/* The main thread had time to handle the signal, and goes on: the application has a handler of its
 * own. */
static bool is_not_meant(const struct engine *engine)
{
    return !atomic_load(&engine->draining) && list_empty(&engine->active);
}

/* A request that runs later has no time left. */
static void raise_deadline(struct engine *engine, struct conn *conn)
{
    if (engine->ops->events)
        events_raise(engine, conn->request, REQUEST_DEADLINE);
}

void drain_cut_off(struct engine *engine)
{
    if (is_not_meant(engine)) {
        engine->stop_ms = 0;
        return;
    }
    atomic_store(&engine->out_of_time, true);
    each(engine, drain_cut);
    drain_tell(engine);
    if (list_empty(&engine->active)) {
        engine_stop(engine);
        return;
    }
    each_of(engine, &engine->active, raise_deadline);
    if (engine->ops->cut_off)
        engine->ops->cut_off(engine->app);
}

void drain_tell(struct engine *engine)
{
    const struct drain_cut *cut = &engine->cut;
    if (cut->heads + cut->bodies + cut->waiting + cut->answers > 0)
        engine_note(engine, NOTE_WARNING,
                    "The worker ends, and cuts off clients that were too slow for that: %u "
                    "unfinished heads, %u unfinished bodies, %u requests that waited for a thread, "
                    "%u answers not taken",
                    cut->heads, cut->bodies, cut->waiting, cut->answers);
    engine->cut = (struct drain_cut){0};
}
