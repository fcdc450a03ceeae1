#include "serve/request/inflow.h"

#include "base/clock.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/request.h"
#include "serve/request/response.h"

#include <string.h>

/* Beginning */

static bool is_too_large(const struct request *request, uint64_t n)
{
    uint64_t max = body_limit(request->engine);
    return max > 0 && n > max;
}

/* A window for the bytes that came with the head, and at most `left` others. */
static bool try_window(struct request *request, size_t there, uint64_t left, size_t most)
{
    struct inflow *inflow = &request->inflow;
    size_t size = left < most - (there < most ? there : most) ? there + (size_t)left : most;
    if (size < there)
        size = there;
    inflow->data = budget_alloc(request->out.budget, BUDGET_REQUEST, &size);
    inflow->capacity = size;
    inflow->used = inflow->data;
    return inflow->used;
}

/* A small one when the budget is short. */
static bool open_window(struct request *request, const char *data, size_t there, uint64_t left)
{
    struct inflow *inflow = &request->inflow;
    if (!try_window(request, there, left, READ_AHEAD) &&
        !try_window(request, there, left, BODY_LEAST))
        return false;
    memcpy(inflow->data, data, there);
    inflow->size = there;
    request->body.stored = there;
    return true;
}

static enum inflow_begin begin_length(struct request *request)
{
    struct body *body = &request->body;
    uint32_t there = request->input_size - request->input_at;
    const char *data = request->input + request->input_at;
    body->wanted = request->head.content_length;
    if (is_too_large(request, body->wanted))
        return INFLOW_LARGE;
    if (there >= body->wanted) {
        body->in_place = data;
        body->stored = body->wanted;
        body->complete = true;
        request->input_at += (uint32_t)body->wanted;
        return INFLOW_COMPLETE;
    }
    if (!open_window(request, data, there, body->wanted - there))
        return INFLOW_NO_ROOM;
    request->input_at += there;
    return INFLOW_STREAMS;
}

static enum inflow_begin begin_chunks(struct request *request)
{
    struct body *body = &request->body;
    char *data = request->input + request->input_at;
    size_t consumed, produced, there = request->input_size - request->input_at;
    chunked_init(&body->chunked, request->engine->options.limits.field_size,
                 request->engine->options.limits.fields);
    enum chunked_result result = chunked_decode(&body->chunked, data, there, &consumed, &produced);
    request->input_at += (uint32_t)consumed;
    if (result == CHUNKED_ERROR)
        return INFLOW_INVALID;
    if (is_too_large(request, produced))
        return INFLOW_LARGE;
    if (result == CHUNKED_DONE) {
        body->in_place = data;
        body->stored = produced;
        body->complete = true;
        return INFLOW_COMPLETE;
    }
    return open_window(request, data, produced, READ_AHEAD) ? INFLOW_STREAMS : INFLOW_NO_ROOM;
}

enum inflow_begin inflow_begin(struct request *request)
{
    struct body *body = &request->body;
    body->framing = request->head.framing;
    bool expects = request->head.expect_continue && request->input_at == request->input_size;
    enum inflow_begin result =
        body->framing == HEAD_CHUNKED ? begin_chunks(request) : begin_length(request);
    body->continue_due = expects && result == INFLOW_STREAMS;
    return result;
}

/* Reading, by the leader */

/* With the lock: room behind `size`, as much as can be had at little cost. */
static size_t make_room(struct inflow *inflow)
{
    if (inflow->at == inflow->size) {
        inflow->at = inflow->size = 0;
    } else if (inflow->size == inflow->capacity && inflow->at >= inflow->capacity / 2) {
        inflow->size -= inflow->at;
        memmove(inflow->data, inflow->data + inflow->at, inflow->size);
        inflow->at = 0;
    }
    return inflow->capacity - inflow->size;
}

char *inflow_room(struct request *request, size_t *room)
{
    struct inflow *inflow = &request->inflow;
    const struct body *body = &request->body;
    char *into = NULL;
    pthread_mutex_lock(&inflow->lock);
    if (inflow->end == INFLOW_GOES_ON) {
        *room = make_room(inflow);
        inflow->full = *room == 0;
        into = inflow->full ? NULL : inflow->data + inflow->size;
    }
    pthread_mutex_unlock(&inflow->lock);
    if (into && body->framing == HEAD_LENGTH && *room > body->wanted - body->stored)
        *room = (size_t)(body->wanted - body->stored);
    return into;
}

/* With the lock. The application waits no longer. */
static void stop_waiting(struct inflow *inflow)
{
    if (inflow->wanted)
        inflow->waited_ms += clock_ms() - inflow->wanted_ms;
    inflow->wanted = false;
}

static bool add(struct request *request, size_t produced, size_t rest, enum inflow_end end)
{
    struct inflow *inflow = &request->inflow;
    request->body.stored += produced;
    if (end <= INFLOW_WHOLE && is_too_large(request, request->body.stored))
        end = INFLOW_TOO_LARGE;
    pthread_mutex_lock(&inflow->lock);
    if (produced > 0 || end != INFLOW_GOES_ON)
        stop_waiting(inflow);
    inflow->size += end == INFLOW_TOO_LARGE ? 0 : produced;
    inflow->rest = rest;
    inflow->end = end;
    pthread_mutex_unlock(&inflow->lock);
    return end == INFLOW_GOES_ON;
}

static bool add_chunks(struct request *request, char *data, size_t n)
{
    size_t consumed, produced;
    enum chunked_result result =
        chunked_decode(&request->body.chunked, data, n, &consumed, &produced);
    if (result == CHUNKED_ERROR)
        return add(request, 0, 0, INFLOW_MALFORMED);
    memmove(data + produced, data + consumed, n - consumed);
    return add(request, produced, n - consumed,
               result == CHUNKED_DONE ? INFLOW_WHOLE : INFLOW_GOES_ON);
}

bool inflow_received(struct request *request, size_t n)
{
    struct inflow *inflow = &request->inflow;
    const struct body *body = &request->body;
    inflow->arrived += n;
    if (body->framing == HEAD_CHUNKED)
        return add_chunks(request, inflow->data + inflow->size, n);
    return add(request, n, 0, body->stored + n == body->wanted ? INFLOW_WHOLE : INFLOW_GOES_ON);
}

void inflow_fail(struct request *request, enum inflow_end why)
{
    add(request, 0, 0, why);
}

uint64_t inflow_waited(struct request *request, bool begins_anew)
{
    struct inflow *inflow = &request->inflow;
    uint64_t now = clock_ms();
    pthread_mutex_lock(&inflow->lock);
    if (begins_anew) {
        inflow->waited_ms = inflow->arrived = 0;
        inflow->wanted_ms = now;
    }
    uint64_t waited_ms = inflow->waited_ms + (inflow->wanted ? now - inflow->wanted_ms : 0);
    pthread_mutex_unlock(&inflow->lock);
    return waited_ms;
}

bool inflow_give_rest(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    if (inflow->rest == 0)
        return true;
    if (!request_reserve(request, request->input_size + inflow->rest))
        return false;
    memcpy(request->input + request->input_size, inflow->data + inflow->size, inflow->rest);
    request->input_size += (uint32_t)inflow->rest;
    inflow->rest = 0;
    return true;
}

void inflow_clear(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    if (inflow->data)
        budget_free(request->out.budget, inflow->data, inflow->capacity);
    pthread_mutex_t lock = inflow->lock;
    *inflow = (struct inflow){.lock = lock};
}

/* Taking, by the application */

enum inflow_end inflow_state(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    pthread_mutex_lock(&inflow->lock);
    enum inflow_end end = inflow->end;
    pthread_mutex_unlock(&inflow->lock);
    return end;
}

bool inflow_is_due(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    pthread_mutex_lock(&inflow->lock);
    bool is = inflow->at < inflow->size || inflow->end != INFLOW_GOES_ON;
    pthread_mutex_unlock(&inflow->lock);
    return is;
}

bool inflow_want(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    if (!inflow->used)
        return true;
    body_continue(request);
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

/* With the lock: what body_take() gives. */
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

ssize_t body_take(struct request *request, char *out, size_t n)
{
    struct inflow *inflow = &request->inflow;
    if (!inflow->used)
        return body_read(request, out, n);
    body_continue(request);
    pthread_mutex_lock(&inflow->lock);
    ssize_t got = take(inflow, out, n);
    bool reads_on = inflow->full && inflow->size - inflow->at <= inflow->capacity / 2;
    if (reads_on)
        inflow->full = false;
    pthread_mutex_unlock(&inflow->lock);
    if (reads_on)
        engine_attend(request->engine, request);
    return got;
}

int body_failure(struct request *request, const char **text)
{
    enum inflow_end end = request->inflow.used ? inflow_state(request) : INFLOW_WHOLE;
    switch (end) {
    case INFLOW_MALFORMED:
        *text = chunked_error_text(&request->body.chunked);
        return chunked_error_status(&request->body.chunked);
    case INFLOW_TOO_LARGE:
        *text = "Request body is too large";
        return 413;
    case INFLOW_TOO_SLOW:
        *text = "The request body did not arrive in time";
        return 408;
    default:
        return 0;
    }
}
