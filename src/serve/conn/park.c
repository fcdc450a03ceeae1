#include "serve/conn/park.h"

#include "serve/conn/conn.h"
#include "serve/engine/limits.h"

bool park(struct engine *engine, struct conn *conn)
{
    assert_leader(engine);
    conn->parked = false;
    if (conn->parked_ms >= PARK_MAX_MS || atomic_load_explicit(&conn->gone, memory_order_relaxed))
        return false;
    engine_short(engine, "Clients that send much have to wait");
    conn->parked = true;
    conn->readable = true;
    if (conn_watch(engine, conn) < 0)
        conn_close_because(engine, conn, CLOSE_ERROR);
    else /* no time-out of its own runs meanwhile */
        conn_deadline_in(engine, conn, PARK_LOOK_MS);
    return true;
}

bool park_expired(struct engine *engine, struct conn *conn)
{
    assert_leader(engine);
    if (!conn->parked || (engine->drained && engine->now_ms >= drain_requests_until(engine)))
        return false;
    conn->parked_ms += PARK_LOOK_MS;
    return true;
}

bool unpark(struct engine *engine, struct conn *conn)
{
    assert_leader(engine);
    if (!conn->parked)
        return false;
    conn->parked = false;
    conn->since_ms = engine->now_ms;
    timer_cancel(&conn->timer);
    return true;
}
