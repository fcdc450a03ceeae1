#include "base/clock.h"
#include "base/mem.h"
#include "serve/conn/http2_private.h"
#include "serve/conn/protocol.h"
#include "serve/engine/limits.h"
#include "serve/request/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* An answer on its way from the application's thread to the session, through request->out. */

static bool is_running(const struct request *request)
{
    return request_phase(request) == PHASE_RUNNING;
}

/*
 * The leader is to send it: this thread, if no other leads. The leader's own answers are refusals,
 * which it delivers itself. `last`: the request is put back soon, and a thread goes on to lead.
 */
static void have_sent(struct request *request, bool last)
{
    struct engine *engine = request->engine;
    if (!is_running(request))
        return;
    if (!last || !engine_lead(engine)) {
        engine_attend(engine, request);
        return;
    }
    request->conn->protocol->attend(engine, request);
    engine_yield(engine);
}

static bool result_of(const struct request *request)
{
    return !request->response.broken;
}

/* With the lock. */
static void put_head(struct request *request)
{
    request->response.sent_head = true;
    http2_stream(request)->has_head = true;
}

/* With the lock: the answer is complete, unless it is shorter than declared. */
static bool put_end(struct request *request)
{
    struct response *response = &request->response;
    bool whole =
        response->no_body || !response->has_length || response->body_sent == response->length;
    http2_stream(request)->whole = whole;
    return whole;
}

static bool overflow(struct request *request)
{
    request->response.full = true;
    request->response.broken = true;
    return false;
}

/*
 * With the lock: there is no room for more. The leader sends meanwhile, and gives the client up if
 * that takes too long: see http2_request_expired().
 */
static bool wait_for_client(struct request *request)
{
    struct engine *engine = request->engine;
    if (store_never_waits(request) || !is_running(request))
        return overflow(request);
    budget_publish(&engine->budget, engine->metrics);
    http2_stream(request)->waits = true;
    pthread_mutex_unlock(&request->out.lock);
    have_sent(request, false);
    engine_collect_parts(engine);
    request->blocked++;
    int result = engine->ops->wait(engine->app, -1, 0, HTTP2_WAIT_MS);
    request->blocked--;
    pthread_mutex_lock(&request->out.lock);
    http2_stream(request)->waits = false;
    if (result < 0)
        request->response.broken = true;
    return !request->response.broken;
}

/* With the lock. Whether the client is one that takes a stream as fast as it is made is not to be
 * seen by one of many streams. */
static bool put_bytes(struct request *request, const struct iovec *part, struct held held,
                      bool *kept)
{
    int stored;
    request->response.slow = true;
    while ((stored = store_part(request, part, held)) < 0)
        if (!wait_for_client(request))
            return false;
    if (stored == 1)
        *kept = true;
    return true;
}

static bool write_body(struct request *request, const char *data, size_t n, void *ref, bool *kept,
                       bool last)
{
    struct response *response = &request->response;
    const struct iovec part = {(void *)(uintptr_t)data, n};
    const struct held held = {ref, n};
    bool stored = true;
    pthread_mutex_lock(&request->out.lock);
    if (!response->sent_head)
        put_head(request);
    if (n > 0 && !response->broken)
        stored = put_bytes(request, &part, held, kept);
    if (last && stored)
        response->finished = put_end(request);
    pthread_mutex_unlock(&request->out.lock);
    have_sent(request, last);
    return stored && result_of(request);
}

static int queue_file(struct request *request, int file, off_t offset, uint64_t n)
{
    int own = fcntl(file, F_DUPFD_CLOEXEC, 0);
    if (own < 0 || outq_file(&request->out, own, offset, n) == 0)
        return own < 0 ? -1 : 0;
    close(own);
    return -1;
}

static bool write_file(struct request *request, int file, off_t offset, uint64_t n)
{
    bool stored = true;
    pthread_mutex_lock(&request->out.lock);
    if (!request->response.sent_head)
        put_head(request);
    while (n > 0 && stored && queue_file(request, file, offset, n) < 0)
        stored = wait_for_client(request);
    pthread_mutex_unlock(&request->out.lock);
    have_sent(request, false);
    return stored && result_of(request);
}

static bool finish(struct request *request)
{
    pthread_mutex_lock(&request->out.lock);
    put_end(request);
    pthread_mutex_unlock(&request->out.lock);
    have_sent(request, true);
    return result_of(request);
}

/* With the lock. */
static void append(struct http2_stream *stream, struct http2_interim *interim)
{
    struct http2_interim **end = &stream->interims;
    while (*end)
        end = &(*end)->next;
    *end = interim;
}

static bool interim(struct request *request, int status, struct str fields)
{
    struct http2_interim *interim = mem_alloc(sizeof(*interim) + fields.n);
    if (!interim)
        return false;
    *interim = (struct http2_interim){.status = status, .size = fields.n};
    memcpy(interim->lines, fields.p, fields.n);
    pthread_mutex_lock(&request->out.lock);
    append(http2_stream(request), interim);
    pthread_mutex_unlock(&request->out.lock);
    have_sent(request, false);
    return result_of(request);
}

static void go_on(struct request *request)
{
    interim(request, 100, STR(""));
}

static bool is_gone(struct request *request)
{
    return request->response.broken || socket_peer(request->conn->io.fd) == PEER_GONE;
}

/* The leader reads all the time. */
static void watch(struct request *request)
{
    (void)request;
}

/* The other streams go on. */
static void interrupt(struct request *request, bool both)
{
    if (both)
        request->response.broken = true;
}

static void share(struct request *request)
{
    (void)request;
}

static bool set_trailers(struct request *request, struct str lines)
{
    struct http2_stream *stream = http2_stream(request);
    char *copy = mem_alloc(lines.n + 1);
    if (!copy)
        return false;
    memcpy(copy, lines.p, lines.n);
    pthread_mutex_lock(&request->out.lock);
    mem_free((char *)(uintptr_t)stream->trailers.p);
    stream->trailers = (struct str){copy, lines.n};
    pthread_mutex_unlock(&request->out.lock);
    return true;
}

void http2_stream_clear(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    while (stream->interims) {
        struct http2_interim *next = stream->interims->next;
        mem_free(stream->interims);
        stream->interims = next;
    }
    mem_free((char *)(uintptr_t)stream->trailers.p);
    stream->trailers = (struct str){NULL, 0};
    websocket_drop_kept(&request->engine->budget, &stream->early);
}

const struct stream_ops http2_stream_ops = {
    .http2 = true,
    .write = write_body,
    .file = write_file,
    .finish = finish,
    .interim = interim,
    .trailers = set_trailers,
    .go_on = go_on,
    .is_gone = is_gone,
    .watch = watch,
    .interrupt = interrupt,
    .share = share,
};
