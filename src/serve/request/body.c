#include "base/clock.h"
#include "net/transport.h"
#include "serve/conn/conn.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/request.h"
#include "serve/request/response.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
enum { INTERIM_SIZE = sizeof(interim) - 1 };

void body_send_continue(struct request *request)
{
    struct conn *conn = request->conn;
    /* A socket that cannot take 25 bytes before anything was answered has no reader. */
    ssize_t sent = conn->tls ? tls_send_aside(conn->tls, interim, INTERIM_SIZE)
                             : socket_send(conn->io.fd, interim, INTERIM_SIZE);
    if (sent < 0 && errno != EAGAIN)
        request->response.broken = true;
}

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
    if (engine->options.stream_body > 0)
        return limit;
    if (limit == 0)
        limit = BODY_SIZE_MAX;
    return limit < most ? limit : most;
}

static bool may_stream(const struct request *request, uint64_t n)
{
    uint64_t from = request->engine->options.stream_body;
    return from > 0 && (n > from || n > most_buffered(request->engine));
}

enum body_progress body_no_room(struct request *request)
{
    bool streams = request->engine->options.stream_body > 0 && request->body.framing == HEAD_LENGTH;
    return streams ? BODY_STREAMS : BODY_NO_ROOM;
}

static int store(struct body *body, const char *data, size_t n, uint64_t total, const char *dir)
{
    while (n > 0) {
        size_t room;
        char *into = spool_reserve(&body->spool, total, n, dir, &room);
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

/* Decodes at most `limit` raw bytes that stand in the input; the body bytes are at *data. */
static enum chunked_result decode_input(struct request *request, size_t limit, char **data,
                                        size_t *produced)
{
    size_t consumed, raw = request->input_size - request->input_at;
    *data = request->input + request->input_at;
    enum chunked_result result = chunked_decode(&request->body.chunked, *data,
                                                raw < limit ? raw : limit, &consumed, produced);
    request->input_at += (uint32_t)consumed;
    return result;
}

static bool is_too_large(const struct request *request, uint64_t n)
{
    uint64_t max = body_limit(request->engine);
    return max > 0 && n > max;
}

static enum body_progress store_chunks(struct request *request)
{
    struct body *body = &request->body;
    char *data;
    size_t produced;
    enum chunked_result result = decode_input(request, SIZE_MAX, &data, &produced);
    if (result == CHUNKED_ERROR)
        return BODY_MALFORMED;
    if (is_too_large(request, body->stored + produced))
        return BODY_TOO_LARGE;
    body->complete = result == CHUNKED_DONE;
    if (body->complete && body->stored == 0) {
        body->in_place = data;
        body->stored = produced;
        return BODY_COMPLETE;
    }
    if (store(body, data, produced, 0, request->engine->options.tmp_dir) < 0)
        return BODY_NO_ROOM;
    if (body->complete)
        return BODY_COMPLETE;
    return may_stream(request, body->stored) ? BODY_STREAMS : BODY_PARTIAL;
}

static enum body_progress begin_length(struct request *request)
{
    struct body *body = &request->body;
    uint32_t there = request->input_size - request->input_at;
    const char *data = request->input + request->input_at;
    body->wanted = request->head.content_length;
    if (there >= body->wanted) {
        body->in_place = data;
        body->stored = body->wanted;
        body->complete = true;
        request->input_at += (uint32_t)body->wanted;
        return BODY_COMPLETE;
    }
    bool streams = may_stream(request, body->wanted);
    const char *dir = request->engine->options.tmp_dir;
    if (!streams && body->wanted > DISK_STEP && !spool_has_room(dir, body->wanted))
        return body_no_room(request);
    if (store(body, data, there, body->wanted, dir) < 0)
        return BODY_NO_ROOM;
    request->input_at += there;
    return streams ? BODY_STREAMS : BODY_PARTIAL;
}

enum body_progress body_begin(struct request *request)
{
    struct body *body = &request->body;
    body->framing = request->head.framing;
    if (body->framing == HEAD_LENGTH && is_too_large(request, request->head.content_length))
        return BODY_TOO_LARGE;
    if (body->framing == HEAD_CHUNKED)
        chunked_init(&body->chunked, request->engine->options.limits.field_size,
                     request->engine->options.limits.fields);
    bool expects = request->head.expect_continue && request->input_at == request->input_size;
    enum body_progress progress =
        body->framing == HEAD_CHUNKED ? store_chunks(request) : begin_length(request);
    if (expects && progress == BODY_PARTIAL)
        body_send_continue(request);
    body->continue_due = expects && progress == BODY_STREAMS;
    return progress;
}

enum body_progress body_received(struct request *request, size_t n)
{
    struct body *body = &request->body;
    body->arrived += n;
    if (body->framing == HEAD_CHUNKED) {
        request->input_size += (uint32_t)n;
        return store_chunks(request);
    }
    spool_commit(&body->spool, n);
    body->stored += n;
    body->complete = body->stored == body->wanted;
    return body->complete ? BODY_COMPLETE : BODY_PARTIAL;
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

static ssize_t fail(struct body *body)
{
    body->failed = true;
    return -1;
}

/*
 * Waits until there is something to read: more than 0; 0 when the client is too slow. It holds a
 * thread, so there always is a least rate. Time counts only while we wait: the application may be
 * slow to read.
 */
static int wait_for_client(struct request *request)
{
    struct engine *engine = request->engine;
    struct body *body = &request->body;
    int fd = request->conn->io.fd;
    short events = transport_recv_waits(request->conn->tls);
    uint32_t rate = engine->options.body_min_rate;
    uint64_t before = clock_ms();
    int ready = engine->ops->wait(engine->app, fd, events, BODY_WINDOW_MS - (int)body->waited_ms);
    uint64_t waited = body->waited_ms + (clock_ms() - before);
    if (ready == 0 || waited >= BODY_WINDOW_MS)
        return ready < 0 ? -1 : body_keeps_pace(request, rate ? rate : BODY_RATE, BODY_WINDOW_MS);
    body->waited_ms = (uint32_t)waited;
    return ready;
}

/* Waits for bytes of a body that streams. */
static ssize_t receive(struct request *request, char *out, size_t n)
{
    struct body *body = &request->body;
    if (body->continue_due) {
        body->continue_due = false;
        response_interim(request, interim, INTERIM_SIZE); /* others may be queued before it */
    }
    for (;;) {
        ssize_t got = transport_recv(request->conn->io.fd, request->conn->tls, out, n);
        if (got > 0) {
            body->arrived += (uint64_t)got;
            metrics_add_shared(&request->engine->metrics->bytes_in_shared, (uint64_t)got);
            return got;
        }
        if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
            return fail(body);
        int ready = wait_for_client(request);
        if (ready == 0)
            conn_because(request->conn, CLOSE_BODY_RATE);
        if (ready <= 0)
            return fail(body);
    }
}

static ssize_t stream_length(struct request *request, char *out, size_t n)
{
    struct body *body = &request->body;
    uint64_t left = body->wanted - body->taken;
    ssize_t got = receive(request, out, n < left ? n : (size_t)left);
    if (got < 0)
        return -1;
    body->taken += (uint64_t)got;
    body->complete = body->taken == body->wanted;
    return got;
}

static ssize_t stream_chunks(struct request *request, char *out, size_t n)
{
    struct body *body = &request->body;
    while (!body->complete) {
        if (request->input_at == request->input_size) {
            size_t room;
            char *into = request_room(request, &room);
            ssize_t got = into ? receive(request, into, room < n ? room : n) : fail(body);
            if (got < 0)
                return -1;
            request->input_size += (uint32_t)got;
        }
        char *data;
        size_t produced;
        enum chunked_result result = decode_input(request, n, &data, &produced);
        if (result == CHUNKED_ERROR)
            return fail(body);
        if (is_too_large(request, body->taken + produced)) {
            body->too_large = true;
            conn_because(request->conn, CLOSE_LIMIT);
            return fail(body);
        }
        body->complete = result == CHUNKED_DONE;
        memcpy(out, data, produced);
        body->taken += produced;
        if (produced > 0)
            return (ssize_t)produced;
    }
    return 0;
}

ssize_t body_read(struct request *request, char *out, size_t n)
{
    struct body *body = &request->body;
    if (n == 0)
        return 0;
    if (body->taken < body->stored) {
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
        if (got <= 0)
            return fail(body);
        body->taken += (uint64_t)got;
        return got;
    }
    if (body->failed)
        return -1;
    if (body->complete)
        return 0;
    return body->framing == HEAD_LENGTH ? stream_length(request, out, n)
                                        : stream_chunks(request, out, n);
}
