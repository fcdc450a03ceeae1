#include "serve/request/later.h"

#include "serve/engine/engine.h"
#include "serve/request/stream.h"

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
        request->stream->watch(request);
        happened |= has_left(request) ? REQUEST_GONE : 0;
    }
    if (events & REQUEST_DEADLINE)
        happened |= is_out_of_time(request) ? REQUEST_DEADLINE : 0;
    if (happened)
        engine_raise(engine, request, happened);
}
