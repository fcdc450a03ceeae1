#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/request.h"
#include "serve/request/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Storing, by the leader */

/* The longest body that memory or a file can ever hold. */
static uint64_t most_buffered(const struct engine *engine)
{
    uint64_t disk = engine->options.client_disk;
    if (disk == 0)
        return UINT64_MAX;
    return disk / BODY_DISK_SHARE > BODY_MEMORY_MAX ? disk / BODY_DISK_SHARE : BODY_MEMORY_MAX;
}

uint64_t body_limit(const struct engine *engine)
{
    uint64_t limit = engine->options.body_max, most = most_buffered(engine);
    if (engine->options.stream_body > 0 || engine->options.at_head)
        return limit;
    if (limit == 0)
        limit = BODY_SIZE_MAX;
    return limit < most ? limit : most;
}

void body_limit_text(const struct engine *engine, char text[BODY_LIMIT_TEXT])
{
    unsigned long long limit = body_limit(engine);
    const char *whose = "without limit_request_body it is";
    if (limit == engine->options.body_max)
        whose = "limit_request_body is";
    else if (limit != BODY_SIZE_MAX)
        whose = "half of client_disk is";
    snprintf(text, BODY_LIMIT_TEXT, "Request body is too large (%s %llu)", whose, limit);
}

bool body_is_too_large(const struct request *request, uint64_t n)
{
    uint64_t max = body_limit(request->engine);
    return max > 0 && n > max;
}

/* Whether the protocol can leave the rest of a body with so many bytes to the application. */
static bool may_stream(const struct request *request, uint64_t n)
{
    uint64_t from = request->engine->options.stream_body;
    return request->stream->read && from > 0 && (n > from || n > most_buffered(request->engine));
}

enum body_progress body_no_room(struct request *request)
{
    return request->body.framing == HEAD_LENGTH && may_stream(request, UINT64_MAX) ? BODY_STREAMS
                                                                                   : BODY_NO_ROOM;
}

bool body_declare(struct request *request)
{
    struct body *body = &request->body;
    body->framing = request->head.framing;
    body->wanted = request->head.content_length;
    return !body_is_too_large(request, body->wanted);
}

static int store(struct body *body, const char *data, uint64_t n, uint64_t total, const char *dir)
{
    while (n > 0) {
        size_t room;
        char *into = spool_reserve(&body->spool, total, (size_t)n, dir, &room);
        if (!into)
            return -1;
        memcpy(into, data, room);
        spool_commit(&body->spool, room);
        body->stored += room;
        data += room;
        n -= room;
    }
    return 0;
}

enum body_progress body_store(struct request *request, const char *data, size_t n, bool ended)
{
    struct body *body = &request->body;
    if (body_is_too_large(request, body->stored + n))
        return BODY_TOO_LARGE;
    body->complete = ended;
    if (ended && body->stored == 0) {
        body->in_place = data;
        body->stored = n;
        return BODY_COMPLETE;
    }
    if (store(body, data, n, body->wanted, request->engine->options.tmp_dir) < 0)
        return BODY_NO_ROOM;
    if (ended)
        return BODY_COMPLETE;
    return may_stream(request, body->stored) ? BODY_STREAMS : BODY_PARTIAL;
}

enum body_progress body_begin_length(struct request *request, const char *data, uint64_t n)
{
    struct body *body = &request->body;
    const char *dir = request->engine->options.tmp_dir;
    if (n == body->wanted) {
        body->in_place = data;
        body->stored = n;
        body->complete = true;
        return BODY_COMPLETE;
    }
    bool streams = may_stream(request, body->wanted);
    if (!streams && body->wanted > DISK_STEP && !spool_has_room(dir, body->wanted)) {
        streams = body_no_room(request) == BODY_STREAMS;
        if (!streams)
            return BODY_NO_ROOM;
    }
    if (store(body, data, n, body->wanted, dir) < 0)
        return BODY_NO_ROOM;
    return streams ? BODY_STREAMS : BODY_PARTIAL;
}

bool body_keeps_pace(struct request *request, uint32_t rate, uint32_t window_ms)
{
    struct body *body = &request->body;
    uint64_t least = (uint64_t)rate * window_ms / 1000;
    bool enough = body->arrived >= least;
    body->arrived = 0;
    body->waited_ms = 0;
    return enough;
}

/* Reading, by the application's thread */

uint64_t body_buffered(const struct request *request, const char **at)
{
    const struct body *body = &request->body;
    *at = NULL;
    if (body->taken >= body->stored)
        return 0;
    if (body->in_place)
        *at = body->in_place + body->taken;
    else if (body->spool.file < 0)
        *at = body->spool.memory + body->taken;
    return body->stored - body->taken;
}

bool body_blocks(const struct request *request)
{
    return request->body.taken >= request->body.stored && !request->body.complete &&
           !request->body.failed;
}

static ssize_t read_stored(struct request *request, char *out, size_t n)
{
    struct body *body = &request->body;
    uint64_t left = body->stored - body->taken;
    if (n > left)
        n = (size_t)left;
    ssize_t got = (ssize_t)n;
    if (body->in_place)
        memcpy(out, body->in_place + body->taken, n);
    else
        got = spool_read(&body->spool, body->taken, out, n);
    if (got < 0)
        engine_note(request->engine, NOTE_ERROR, "Cannot read a buffered request body: %s",
                    strerror(errno));
    if (got <= 0) {
        body->failed = true;
        return -1;
    }
    body->taken += (uint64_t)got;
    return got;
}

ssize_t body_read(struct request *request, char *out, size_t n)
{
    struct body *body = &request->body;
    assert_attached();
    if (n == 0)
        return 0;
    if (body->taken < body->stored)
        return read_stored(request, out, n);
    if (body->failed)
        return -1;
    return body->complete ? 0 : request->stream->read(request, out, n);
}
