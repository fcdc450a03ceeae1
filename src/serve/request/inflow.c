#include "serve/request/inflow.h"

#include "base/clock.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/request.h"

#include <stdio.h>
#include <string.h>

/* A window for n bytes that are there and `left` others, of `most` bytes if they are fewer. */
static bool try_window(struct request *request, size_t n, uint64_t left, size_t most)
{
    struct inflow *inflow = &request->inflow;
    size_t size = n >= most || left >= most - n ? most : n + (size_t)left;
    if (size < n)
        size = n;
    inflow->data = budget_alloc(request->out.budget, BUDGET_REQUEST, &size);
    inflow->capacity = size;
    inflow->used = inflow->data;
    return inflow->used;
}

bool inflow_open(struct request *request, const char *data, size_t n, uint64_t left)
{
    assert_leader(request->engine);
    struct inflow *inflow = &request->inflow;
    if (!try_window(request, n, left, READ_AHEAD) && !try_window(request, n, left, BODY_LEAST))
        return false;
    memcpy(inflow->data, data, n);
    inflow->size = n;
    request->body.stored = n;
    return true;
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
    assert_leader(request->engine);
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

bool inflow_put(struct request *request, const char *data, size_t n)
{
    struct inflow *inflow = &request->inflow;
    pthread_mutex_lock(&inflow->lock);
    if (inflow->capacity - inflow->size < n && inflow->data) {
        inflow->size -= inflow->at;
        memmove(inflow->data, inflow->data + inflow->at, inflow->size);
        inflow->at = 0;
    }
    bool fits = inflow->data && inflow->capacity - inflow->size >= n;
    if (fits)
        memcpy(inflow->data + inflow->size, data, n);
    pthread_mutex_unlock(&inflow->lock);
    return fits;
}

size_t inflow_waiting(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    pthread_mutex_lock(&inflow->lock);
    size_t n = inflow->size - inflow->at;
    inflow->full = n > inflow->capacity / 2;
    pthread_mutex_unlock(&inflow->lock);
    return n;
}

/* With the lock. The application waits no longer. */
static void stop_waiting(struct inflow *inflow)
{
    if (inflow->wanted)
        inflow->waited_ms += clock_ms() - inflow->wanted_ms;
    inflow->wanted = false;
}

bool inflow_add(struct request *request, size_t n, size_t rest, bool ended)
{
    assert_leader(request->engine);
    struct inflow *inflow = &request->inflow;
    request->body.stored += n;
    inflow->arrived += n;
    if (body_is_too_large(request, request->body.stored)) {
        inflow_fail(request, INFLOW_TOO_LARGE, 413, NULL);
        return false;
    }
    pthread_mutex_lock(&inflow->lock);
    if (n > 0 || ended)
        stop_waiting(inflow);
    inflow->size += n;
    inflow->rest = rest;
    inflow->end = ended ? INFLOW_WHOLE : INFLOW_GOES_ON;
    pthread_mutex_unlock(&inflow->lock);
    return !ended;
}

void inflow_fail(struct request *request, enum inflow_end why, int status, const char *text)
{
    assert_leader(request->engine);
    struct inflow *inflow = &request->inflow;
    pthread_mutex_lock(&inflow->lock);
    stop_waiting(inflow);
    inflow->end = why;
    inflow->status = status;
    inflow->text = text;
    pthread_mutex_unlock(&inflow->lock);
}

uint64_t inflow_waited(struct request *request, bool begins_anew)
{
    assert_leader(request->engine);
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

uint32_t inflow_least_rate(const struct engine *engine)
{
    uint32_t rate = engine->options.body_min_rate;
    return rate == 0 && engine->drained ? BODY_RATE : rate;
}

uint64_t inflow_look(struct engine *engine, struct request *request)
{
    uint64_t rate = inflow_least_rate(engine), most = rate > 0 ? BODY_WINDOW_MS : BODY_TIMEOUT_MS;
    uint64_t waited_ms = inflow_waited(request, false);
    if (waited_ms < most)
        return engine->now_ms + most - waited_ms;
    if (rate == 0 || request->inflow.arrived < rate * most / 1000)
        return 0;
    inflow_waited(request, true);
    return engine->now_ms + most;
}

/* Out of line: request_next() would save its locals for each request. */
__attribute__((noinline)) void inflow_clear(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    if (inflow->data)
        budget_free(request->out.budget, inflow->data, inflow->capacity);
    pthread_mutex_t lock = inflow->lock;
    *inflow = (struct inflow){.lock = lock};
}

/* The bytes that have come */

enum inflow_end inflow_state(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    pthread_mutex_lock(&inflow->lock);
    enum inflow_end end = inflow->end;
    pthread_mutex_unlock(&inflow->lock);
    return end;
}

bool inflow_is_whole(struct request *request)
{
    return request->inflow.used ? inflow_state(request) == INFLOW_WHOLE : request->body.complete;
}

bool inflow_is_due(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    pthread_mutex_lock(&inflow->lock);
    bool is = inflow->at < inflow->size || inflow->end != INFLOW_GOES_ON;
    pthread_mutex_unlock(&inflow->lock);
    return is;
}

int body_failure(struct request *request, char text[BODY_LIMIT_TEXT])
{
    struct inflow *inflow = &request->inflow;
    if (!inflow->used)
        return 0;
    pthread_mutex_lock(&inflow->lock);
    int status = inflow->status;
    const char *constant = inflow->text;
    pthread_mutex_unlock(&inflow->lock);
    if (status > 0 && constant)
        snprintf(text, BODY_LIMIT_TEXT, "%s", constant);
    else if (status > 0)
        body_limit_text(request->engine, text);
    return status;
}
