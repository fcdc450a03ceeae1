#include "serve/engine/host.h"

#include "base/clock.h"
#include "serve/access/refused.h"
#include "serve/engine/limits.h"
#include "serve/request/stream.h"

void host_leave_engine(struct engine *engine)
{
    /* In this order for all to see: the stand-by falls asleep, then looks who runs. */
    atomic_fetch_add(&engine->metrics->running, 1);
    if (!atomic_load(&engine->standby_awake))
        standby_arm(engine);
}

/* Nobody waits for the answer. */
static void skip(struct engine *engine, struct request *request)
{
    request->response.status = 499; /* as nginx has it */
    request->response.skipped = true;
    request->response.broken = true;
    refused_log(engine, request);
}

static void run(struct engine *engine, struct request *request)
{
    if (engine->deadlines.timeout_ms > 0)
        deadline_begin(&engine->deadlines, &request->deadline, request->begun_ns / 1000000);
    engine->ops->run(engine->app, request);
    deadline_end(&engine->deadlines, &request->deadline);
}

void host_run_one(struct engine *engine, struct request *request)
{
    assert_attached();
    request->begun_ns = clock_ns();
    if (engine->options.check_client && request->stream->is_gone(request))
        skip(engine, request);
    else
        run(engine, request);
    atomic_fetch_sub_explicit(&engine->metrics->running, 1, memory_order_relaxed);
    request->ended_ns = clock_ns();
    if (engine->options.threads > 1) {
        bool slow = request->ended_ns - request->begun_ns > SLOW_REQUEST_NS;
        if (atomic_load_explicit(&engine->slow, memory_order_relaxed) != slow)
            atomic_store_explicit(&engine->slow, slow, memory_order_relaxed);
    }
    engine_finish(engine, request);
}

static struct request *wait_for_one(struct engine *engine, bool main_thread)
{
    engine_detach(engine);
    struct request *request = engine_take(engine, main_thread);
    if (request) {
        ready_claim(&engine->ready, request);
        host_leave_engine(engine); /* attaching may take as long as another thread pleases */
    }
    engine_attach(engine);
    if (request && !ready_keep(&engine->ready, request)) {
        atomic_fetch_sub_explicit(&engine->metrics->running, 1, memory_order_relaxed);
        request = NULL;
    }
    engine_collect(engine);
    return request;
}

/* What a signal left to do; it may have stopped the engine. */
static void look_after_signals(struct engine *engine)
{
    if (atomic_exchange(&engine->interrupted, false) && !engine->ops->interrupted(engine->app))
        engine_drain(engine);
}

void host_run(struct engine *engine, bool main_thread)
{
    while (!atomic_load(&engine->stopped)) {
        if (main_thread)
            look_after_signals(engine);
        if (atomic_load(&engine->stopped))
            break;
        struct request *request = engine_poll(engine);
        if (request)
            host_leave_engine(engine);
        else
            request = wait_for_one(engine, main_thread);
        if (request)
            host_run_one(engine, request);
        /* There may be requests as long as clients send them. */
        if (engine_has_garbage(engine))
            engine_collect(engine);
    }
    engine_collect(engine);
}
