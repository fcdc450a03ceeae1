#include "serve/engine/host.h"

#include "base/clock.h"
#include "serve/access/refused.h"
#include "serve/engine/limits.h"
#include "serve/request/refusal.h"
#include "serve/request/stream.h"

void host_leave_engine(struct engine *engine)
{
    /* In this order for all to see: the stand-by falls asleep, then looks whether requests run. */
    atomic_fetch_add(&engine->metrics->running, 1);
    if (!atomic_load(&engine->standby_awake))
        standby_arm(engine);
}

/* The client has gone. */
static void skip(struct engine *engine, struct request *request)
{
    request->response.status = 499; /* as nginx has it */
    request->response.skipped = true;
    request->response.broken = true;
    refused_log(engine, request);
}

/* The application is through with it. */
static void complete(struct engine *engine, struct request *request)
{
    deadline_end(&engine->deadlines, &request->deadline);
    atomic_fetch_sub_explicit(&engine->metrics->running, 1, memory_order_relaxed);
    request->ended_ns = clock_ns();
}

static enum run_result run(struct engine *engine, struct request *request)
{
    if (engine->deadlines.timeout_ms > 0)
        deadline_begin(&engine->deadlines, &request->deadline, request->begun_ns / 1000000);
    return engine->ops->run(engine->app, request);
}

static void settle(struct engine *engine, struct request *request)
{
    if (!events_settle(engine, request))
        return;
    complete(engine, request);
    engine_put_back(engine, request);
}

void host_run_one(struct engine *engine, struct request *request)
{
    assert_attached();
    request->begun_ns = clock_ns();
    if (engine->options.check_client && request->stream->is_gone(request)) {
        skip(engine, request);
    } else if (run(engine, request) == RUN_LATER) {
        settle(engine, request);
        return;
    }
    if (request->events.used)
        events_forget(engine, request);
    complete(engine, request);
    if (engine->options.threads > 1) {
        bool slow = request->ended_ns - request->begun_ns > SLOW_REQUEST_NS;
        if (atomic_load_explicit(&engine->slow, memory_order_relaxed) != slow)
            atomic_store_explicit(&engine->slow, slow, memory_order_relaxed);
    }
    engine_put_back(engine, request);
}

/* The application has no answer for a request whose body has failed. */
static void refuse_failed(struct request *request)
{
    char text[BODY_LIMIT_TEXT];
    int status = request->response.started ? 0 : body_failure(request, text);
    if (status > 0)
        refusal_send(request, status, text);
}

/* The thread that finishes a request may have led for a moment, and does not go on to lead. */
void engine_finish(struct engine *engine, struct request *request)
{
    assert_attached();
    refuse_failed(request);
    if (!events_end(engine, request))
        return;
    complete(engine, request);
    engine_put_back(engine, request);
    engine_wake_host(engine);
}

static void give(struct engine *engine, struct request *request, unsigned due)
{
    if (due & REQUEST_DEADLINE)
        deadline_reported(&engine->deadlines, request->deadline.serial);
    engine->ops->events(engine->app, request, due);
    settle(engine, request);
}

void host_give_events(struct engine *engine)
{
    unsigned due, most = atomic_load(&engine->ready.due_count);
    struct request *request;
    while (most-- > 0 && (request = events_next(engine, &due))) {
        if (!atomic_load(&engine->standby_awake))
            standby_arm(engine);
        give(engine, request, due);
    }
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

/* The work that a signal has left; it may have stopped the engine. */
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
        if (engine_has_events(engine))
            host_give_events(engine);
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
