#include "base/mem.h"
#include "serve/conn/http2_private.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <string.h>

/*
 * Bodies that the budget has no room for, as park.h has it for protocols with one request at a
 * time. The bytes that were read already are kept beside the budget. They are no more than one
 * read, because nothing is read from the connection until there is room.
 */

/* False: no memory. */
static bool append(struct request *request, const char *data, size_t n)
{
    struct http2_stream *stream = http2_stream(request);
    char *kept = mem_realloc(stream->kept, stream->kept_size + n);
    if (!kept)
        return false;
    memcpy(kept + stream->kept_size, data, n);
    stream->kept = kept;
    stream->kept_size += (uint32_t)n;
    budget_force(&request->engine->budget, n);
    return true;
}

bool http2_keep(struct request *request, const char *data, size_t n)
{
    struct http2_conn *h2 = http2_of(request);
    struct http2_stream *stream = http2_stream(request);
    bool waits = stream->kept;
    if (!append(request, data, n))
        return false;
    if (waits)
        return true;
    engine_short(h2->engine, "Clients that send much have to wait");
    stream->at = 0;
    stream->kept_until = h2->engine->now_ms + PARK_MAX_MS;
    h2->keeping++;
    h2->conn->parked = true;
    h2->room_at = h2->engine->now_ms + PARK_LOOK_MS;
    return true;
}

void http2_forget_kept(struct request *request)
{
    struct http2_conn *h2 = http2_of(request);
    struct http2_stream *stream = http2_stream(request);
    if (!stream->kept)
        return;
    budget_give(&h2->engine->budget, stream->kept_size);
    mem_free(stream->kept);
    stream->kept = NULL;
    stream->kept_size = 0;
    h2->keeping--;
    h2->conn->parked = h2->keeping > 0;
}

/* As the connection is not read, it is not to be seen whether a client that has ended is there. */
static bool may_wait(const struct http2_conn *h2, const struct http2_stream *stream)
{
    const struct engine *engine = h2->engine;
    bool drained = engine->drained && engine->now_ms >= drain_requests_until(engine);
    return !drained && engine->now_ms < stream->kept_until &&
           !atomic_load_explicit(&h2->conn->gone, memory_order_relaxed);
}

/* Bytes that found no room stay. */
static enum body_progress store(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    uint64_t before = request->body.stored;
    enum body_progress progress = body_store(request, stream->kept, stream->kept_size, false);
    uint32_t stored = (uint32_t)(request->body.stored - before);
    stream->kept_size -= stored;
    memmove(stream->kept, stream->kept + stored, stream->kept_size);
    budget_give(&request->engine->budget, stored);
    return progress;
}

bool http2_store_kept(struct request *request, enum body_progress *progress)
{
    struct http2_stream *stream = http2_stream(request);
    *progress = store(request);
    if (*progress == BODY_NO_ROOM && errno == ENOBUFS && may_wait(http2_of(request), stream))
        return false;
    int error = errno;
    http2_forget_kept(request);
    if (*progress == BODY_PARTIAL && stream->in_ended)
        *progress = body_store(request, NULL, 0, true);
    errno = error;
    return true;
}
