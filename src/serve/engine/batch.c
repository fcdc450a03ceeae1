#include "base/clock.h"
#include "serve/engine/engine.h"

/* The requests that a step has made ready. */

void engine_ready(struct engine *engine, struct request *request)
{
    assert_leader(engine);
    request->next = NULL;
    if (engine->batch_tail) {
        engine->batch_tail->next = request;
    } else {
        engine->batch_head = request;
        engine->batch_ns = clock_ns();
    }
    engine->batch_tail = request;
    engine->batch_count++;
    request->ready_ns = engine->batch_ns;
}

struct request *engine_take_batch(struct engine *engine)
{
    assert_leader(engine);
    struct request *batch = engine->batch_head;
    engine->batch_head = engine->batch_tail = NULL;
    engine->batch_count = 0;
    return batch;
}

void engine_flush_batch(struct engine *engine)
{
    assert_leader(engine);
    if (!engine->batch_head)
        return;
    ready_push(&engine->ready, engine->batch_head, engine->batch_tail, engine->batch_count);
    engine_take_batch(engine);
}
