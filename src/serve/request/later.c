#include "serve/request/later.h"

#include "serve/conn/conn.h"
#include "serve/engine/engine.h"

/* That the client leaves is seen by the loop alone. Its input may have ended long ago. */
static void watch(struct request *request)
{
    struct engine *engine = request->engine;
    struct conn *conn = request->conn;
    pthread_mutex_lock(&request->out.lock); /* the answer may need the loop, too */
    if (conn_watch(engine, conn) == 0)
        loop_arm(engine->loop, &conn->io, LOOP_READ);
    else
        request->response.broken = true;
    pthread_mutex_unlock(&request->out.lock);
}

static bool has_left(const struct request *request)
{
    return atomic_load_explicit(&request->conn->gone, memory_order_relaxed) ||
           request->response.broken;
}

static bool is_out_of_time(struct request *request)
{
    struct engine *engine = request->engine;
    return atomic_load(&engine->out_of_time) ||
           deadline_is_unheard(&engine->deadlines, &request->deadline);
}

void request_ask(struct request *request, unsigned events)
{
    struct engine *engine = request->engine;
    unsigned happened = 0;
    events_want(engine, request, events);
    if (events & REQUEST_GONE) {
        watch(request);
        happened |= has_left(request) ? REQUEST_GONE : 0;
    }
    if (events & REQUEST_DEADLINE)
        happened |= is_out_of_time(request) ? REQUEST_DEADLINE : 0;
    if (happened)
        engine_raise(engine, request, happened);
}
