#include "serve/conn/protocol.h"
#include "serve/dispatch/handover.h"
#include "serve/engine/engine.h"

/* A worker drains: the times are in drain_time.c. */

void drain_last_chance(struct engine *engine, struct conn *conn)
{
    assert_leader(engine);
    uint64_t until = drain_limit(engine, conn);
    if (conn->state == CONN_OPEN)
        conn->protocol->drain(engine, conn);
    if (until < UINT64_MAX && (conn->timer.deadline == 0 || conn->timer.deadline > until))
        timer_set(&engine->timers, &conn->timer, until);
}

void drain_cut(struct engine *engine, struct conn *conn)
{
    assert_leader(engine);
    struct drain_cut *cut = &engine->cut;
    uint32_t *counts[METRICS_CONN_STATES] = {
        [ACTIVITY_HEAD] = &cut->heads,
        [ACTIVITY_BODY] = &cut->bodies,
        [ACTIVITY_RUNNING] = &cut->waiting,
        [ACTIVITY_FLUSH] = &cut->answers,
    };
    uint8_t was = conn->activity;
    if (!conn_cut(engine, conn, CLOSE_DRAINED, 503, "The server is stopping") || !counts[was])
        return;
    (*counts[was])++;
    if (was != ACTIVITY_FLUSH) /* a request that does not reach the application any more */
        metrics_add(&engine->metrics->refused[REFUSED_DRAINING], 1);
}

void drain_expect(struct engine *engine)
{
    assert_leader(engine);
    if (engine->stop_ms > 0)
        return;
    engine->stop_ms = engine->now_ms;
    if (engine->options.graceful_ms > 0)
        timer_set(&engine->timers, &engine->cut_off, drain_ends_at(engine));
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
    assert_leader(engine);
    drain_expect(engine);
    handover_retire(engine);
    engine->has_heirs = handover_has_heirs(engine);
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

void drain_cut_off(struct engine *engine)
{
    assert_leader(engine);
    if (is_not_meant(engine)) {
        engine->stop_ms = 0;
        return;
    }
    atomic_store(&engine->out_of_time, true);
    each(engine, drain_cut);
    drain_log(engine);
    if (list_empty(&engine->active)) {
        engine_stop(engine);
        return;
    }
    if (engine->ops->cut_off)
        engine->ops->cut_off(engine->app);
}

void drain_log(struct engine *engine)
{
    assert_leader(engine);
    const struct drain_cut *cut = &engine->cut;
    if (cut->heads + cut->bodies + cut->waiting + cut->answers > 0)
        engine_note(engine, NOTE_WARNING,
                    "The worker ends, and cuts off clients that were too slow for that: %u "
                    "unfinished heads, %u unfinished bodies, %u requests that waited for a thread, "
                    "%u answers not taken",
                    cut->heads, cut->bodies, cut->waiting, cut->answers);
    engine->cut = (struct drain_cut){0};
}
