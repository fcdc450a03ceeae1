#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

/*
 * When no further connection can be had, the one that deserves it least makes room. Deserving is
 * progress: a client's mark is the moment at which it last completed PACE_BYTES of its request or
 * of its answer, was answered, or came. So bytes that drip do not count, in either direction, and
 * a client that does PACE_BYTES in SILENT_MS is never closed, nor is one whose request runs.
 * A client gains nothing by coming again: a new connection has SILENT_MS, as all others.
 */

static struct conn *first(const struct list *list)
{
    return list_empty(list) ? NULL : list_entry(list->next, struct conn, link);
}

/* A client that has had an answer, and sends no further request, has nothing to lose. */
static uint32_t grace_ms(const struct conn *conn)
{
    return conn->activity == ACTIVITY_IDLE && conn->served > 0 ? 0 : SILENT_MS;
}

static struct conn *first_stale(const struct engine *engine, const struct list *list)
{
    struct conn *conn = first(list);
    return conn && conn->mark_ms + grace_ms(conn) <= engine->now_ms ? conn : NULL;
}

/* The sockets know of it, and the engine not yet: for answers see conn_takes(), and for requests it
 * had no time to read. */
static bool has_progress(const struct conn *conn)
{
    if (conn->parked) /* it wants more than there is */
        return false;
    if (conn->activity == ACTIVITY_FLUSH)
        return conn_takes(conn);
    return socket_unread(conn->io.fd) >= PACE_BYTES;
}

static struct conn *slowest(struct engine *engine)
{
    for (int tries = 0; tries < ROOM_TRIES; tries++) {
        struct conn *conn = first_stale(engine, &engine->crowd);
        if (!conn || !has_progress(conn))
            return conn;
        conn_mark(engine, conn);
    }
    return NULL;
}

static struct conn *least_deserving(struct engine *engine)
{
    struct conn *idle = first_stale(engine, &engine->idle), *slow = slowest(engine);
    if (!idle || !slow)
        return idle ? idle : slow;
    return slow->mark_ms + ROOM_LEAD_MS < idle->mark_ms ? slow : idle;
}

/* The client of an unfinished request is answered, as far as its socket takes that at once. */
static void evict(struct engine *engine, struct conn *conn)
{
    conn_cut(engine, conn, CLOSE_ROOM, 408, "The request did not arrive in time");
}

bool engine_make_room(struct engine *engine)
{
    assert_leader(engine);
    struct conn *conn = least_deserving(engine);
    if (conn)
        evict(engine, conn);
    return conn;
}

void room_free(struct engine *engine)
{
    assert_leader(engine);
    atomic_store(&engine->room_wanted, false);
    struct conn *conn = slowest(engine);
    if (conn)
        evict(engine, conn);
}

static bool speaks_tls(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->listener_count; i++)
        if (atomic_load_explicit(&engine->listeners[i].tls, memory_order_relaxed))
            return true;
    return false;
}

/* As many connections as worker_connections allows. */
static bool is_full(const struct engine *engine)
{
    return engine->connections >= engine->options.worker_connections;
}

bool engine_has_place(struct engine *engine)
{
    return !is_full(engine) && (!speaks_tls(engine) || budget_has(&engine->budget, BUDGET_TLS));
}

void engine_make_way(struct engine *engine)
{
    bool full = is_full(engine);
    engine->evicted += engine_make_room(engine);
    if (!full) {
        engine_short(engine, "Idle and slow clients are closed to make room for new ones");
        return;
    }
    if (!engine_may_log(&engine->full_logged_ms))
        return;
    engine_note(engine, NOTE_WARNING,
                "worker_connections (%u) is used up: %u connections were closed to make room for "
                "new ones, idle and slow clients first",
                engine->options.worker_connections, engine->evicted);
    engine->evicted = 0;
}

bool engine_has_room(struct engine *engine)
{
    assert_leader(engine);
    return engine_has_place(engine) || least_deserving(engine);
}

/* When the first of a list may be closed, or `most`. */
static uint64_t stale_at(const struct list *list, uint64_t most)
{
    const struct conn *conn = first(list);
    uint64_t at = conn ? conn->mark_ms + grace_ms(conn) : most;
    return at < most ? at : most;
}

void engine_wait_for_room(struct engine *engine)
{
    uint64_t now = engine->now_ms;
    uint64_t at = stale_at(&engine->crowd, stale_at(&engine->idle, now + SILENT_MS));
    engine_pause_for(engine, PAUSE_FULL, at > now ? (uint32_t)(at - now) : 1);
    if (!is_full(engine))
        engine_short(engine, "New clients wait");
    else if (engine_may_log(&engine->wait_logged_ms))
        engine_note(
            engine, NOTE_WARNING,
            "worker_connections (%u) is used up, and no client is idle or slow: new ones wait",
            engine->options.worker_connections);
}
