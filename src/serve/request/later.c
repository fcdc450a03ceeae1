#include "serve/request/later.h"

#include "base/clock.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/response.h"
#include "serve/request/stream.h"

#include <string.h>

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

/* The body */

/* Behind other interim answers that are queued. */
static void send_continue(struct request *request)
{
    struct body *body = &request->body;
    if (!body->continue_due)
        return;
    body->continue_due = false;
    response_interim(request, 100, STR(""));
}

static bool wants_body(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    if (!inflow->used)
        return true;
    send_continue(request);
    pthread_mutex_lock(&inflow->lock);
    bool due = inflow->at < inflow->size || inflow->end != INFLOW_GOES_ON;
    if (!due && !inflow->wanted) {
        inflow->wanted = true;
        inflow->wanted_ms = clock_ms();
    }
    pthread_mutex_unlock(&inflow->lock);
    return due;
}

size_t body_available(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    const char *at;
    if (!inflow->used)
        return (size_t)body_buffered(request, &at);
    pthread_mutex_lock(&inflow->lock);
    size_t n = inflow->size - inflow->at;
    pthread_mutex_unlock(&inflow->lock);
    return n;
}

/* With the lock: the result of body_take(). */
static ssize_t take(struct inflow *inflow, char *out, size_t n)
{
    size_t left = inflow->size - inflow->at;
    if (left == 0 && inflow->end == INFLOW_GOES_ON)
        return BODY_NOT_YET;
    if (left == 0)
        return inflow->end == INFLOW_WHOLE ? BODY_END : BODY_FAILED;
    if (n > left)
        n = left;
    memcpy(out, inflow->data + inflow->at, n);
    inflow->at += n;
    return (ssize_t)n;
}

/* With the lock: an answer may take long after the last byte of the body was taken. */
static void drop_used_up(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    if (inflow->end == INFLOW_GOES_ON || inflow->at < inflow->size || inflow->rest > 0)
        return;
    if (inflow->data)
        budget_free(request->out.budget, inflow->data, inflow->capacity);
    inflow->data = NULL;
}

ssize_t body_take(struct request *request, char *out, size_t n)
{
    assert_attached();
    struct inflow *inflow = &request->inflow;
    if (!inflow->used)
        return body_read(request, out, n);
    send_continue(request);
    pthread_mutex_lock(&inflow->lock);
    ssize_t got = take(inflow, out, n);
    bool reads_on = inflow->full && inflow->size - inflow->at <= inflow->capacity / 2;
    if (reads_on)
        inflow->full = false;
    drop_used_up(request);
    pthread_mutex_unlock(&inflow->lock);
    if (reads_on)
        engine_attend(request->engine, request);
    return got;
}

/* Output, and the client */

/* Bytes of the answer that its client has not taken; none when it has left. */
static uint64_t waiting(struct request *request)
{
    struct outq *q = &request->out;
    if (request->response.broken || !atomic_load_explicit(&q->pending, memory_order_acquire))
        return 0;
    pthread_mutex_lock(&q->lock);
    uint64_t n = outq_waiting(q);
    pthread_mutex_unlock(&q->lock);
    return n;
}

bool response_room(struct request *request)
{
    assert_attached();
    return waiting(request) < OUT_HIGH;
}

void request_ask(struct request *request, unsigned events)
{
    assert_attached();
    struct engine *engine = request->engine;
    unsigned happened = 0;
    events_want(engine, request, events);
    if (events & REQUEST_GONE) {
        request->stream->watch(request);
        happened |= has_left(request) ? REQUEST_GONE : 0;
    }
    if (events & REQUEST_BODY)
        happened |= wants_body(request) ? REQUEST_BODY : 0;
    if (events & REQUEST_ROOM)
        happened |= waiting(request) <= OUT_LOW ? REQUEST_ROOM : 0;
    if (events & REQUEST_DEADLINE)
        happened |= is_out_of_time(request) ? REQUEST_DEADLINE : 0;
    if (happened)
        engine_raise(engine, request, happened);
}
