#include "serve/conn/http1_private.h"

#include "base/clock.h"
#include "net/transport.h"
#include "proto/http1/write.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/response.h"

#include <errno.h>
#include <string.h>

/* Receiving, by the leader */

/* Room for raw bytes behind the head, in the place of those that are decoded. */
static char *room_in_input(struct request *request, size_t *room)
{
    enum request_phase phase = request_phase(request);
    if ((phase == PHASE_BODY || phase == PHASE_RUNNING) && request->input_at == request->input_size)
        request->input_at = request->input_size = request->head.size;
    if (request->input_size == request->input_capacity && !request_grow(request, BUDGET_REQUEST))
        return NULL;
    *room = request->input_capacity - request->input_size;
    return request->input + request->input_size;
}

/* No more raw bytes than the body that they may become has room for. */
static char *room_for_chunks(struct request *request, size_t *room)
{
    char *into = room_in_input(request, room);
    if (into &&
        !spool_reserve(&request->body.spool, 0, *room, request->engine->options.tmp_dir, room))
        return NULL;
    return into;
}

char *http1_room(struct request *request, size_t *room)
{
    struct body *body = &request->body;
    if (request_phase(request) != PHASE_BODY)
        return room_in_input(request, room);
    if (body->framing == HEAD_UNTIL_END)
        return room_for_chunks(request, room);
    uint64_t left = body->wanted - body->stored;
    size_t want = left < SIZE_MAX ? (size_t)left : SIZE_MAX;
    return spool_reserve(&body->spool, body->wanted, want, request->engine->options.tmp_dir, room);
}

/* Decodes at most `limit` raw bytes that stand in the input; the body bytes are at *data. */
static enum chunked_result decode_input(struct request *request, size_t limit, char **data,
                                        size_t *produced)
{
    size_t consumed, raw = request->input_size - request->input_at;
    *data = request->input + request->input_at;
    enum chunked_result result = http1_form_of(request)->decode(
        request, *data, raw < limit ? raw : limit, &consumed, produced);
    request->input_at += (uint32_t)consumed;
    return result;
}

static enum body_progress store_chunks(struct request *request)
{
    char *data;
    size_t produced;
    enum chunked_result result = decode_input(request, SIZE_MAX, &data, &produced);
    if (result == CHUNKED_ERROR)
        return BODY_MALFORMED;
    return body_store(request, data, produced, result == CHUNKED_DONE);
}

/* Takes the bytes that came with the head, of a body with a length. */
static enum body_progress begin_length(struct request *request)
{
    uint64_t there = request->input_size - request->input_at, wanted = request->body.wanted;
    const char *data = request->input + request->input_at;
    uint64_t n = there < wanted ? there : wanted;
    enum body_progress progress = body_begin_length(request, data, n);
    if (progress != BODY_NO_ROOM)
        request->input_at += (uint32_t)n;
    return progress;
}

enum body_progress http1_body_begin(struct request *request)
{
    struct body *body = &request->body;
    bool chunked = request->head.framing == HEAD_UNTIL_END;
    if (!body_declare(request))
        return BODY_TOO_LARGE;
    bool expects = request->head.expect_continue && request->input_at == request->input_size;
    if (chunked)
        http1_form_of(request)->begin_body(request);
    enum body_progress progress = chunked ? store_chunks(request) : begin_length(request);
    if (expects && progress == BODY_PARTIAL)
        http1_go_on(request);
    body->continue_due = expects && progress == BODY_STREAMS;
    return progress;
}

static enum body_progress store_received(struct request *request, size_t n)
{
    struct body *body = &request->body;
    if (body->framing == HEAD_UNTIL_END) {
        request->input_size += (uint32_t)n;
        return store_chunks(request);
    }
    spool_commit(&body->spool, n);
    body->stored += n;
    body->complete = body->stored == body->wanted;
    return body->complete ? BODY_COMPLETE : BODY_PARTIAL;
}

enum body_progress http1_body_received(struct request *request, size_t n, uint64_t *gained)
{
    struct body *body = &request->body;
    uint64_t before = body->stored;
    enum body_progress progress = store_received(request, n);
    *gained = body->stored - before;
    body->arrived += *gained;
    return progress;
}

/* All of them, or none. 0, or -1 with errno. */
static int send_aside(const struct conn *conn, struct str bytes)
{
    if (conn->tls)
        return tls_send_aside(conn->tls, bytes.p, bytes.n);
    ssize_t sent = socket_send(conn->io.fd, bytes.p, bytes.n);
    if (sent >= 0 && (size_t)sent < bytes.n) /* the rest would not follow */
        errno = EPIPE;
    return sent == (ssize_t)bytes.n ? 0 : -1;
}

bool http1_send_aside(struct request *request, struct str bytes)
{
    return send_aside(request->conn, bytes) == 0;
}

void http1_go_on(struct request *request)
{
    /* A socket that cannot take 25 bytes before anything was answered has no reader. */
    if (send_aside(request->conn, HTTP1_CONTINUE) < 0 && errno != EAGAIN)
        request->response.broken = true;
}

/* Its pace */

uint32_t http1_body_window_ms(const struct engine *engine)
{
    return engine->drained ? DRAIN_IDLE_MS : BODY_WINDOW_MS;
}

/* A least rate leaves no room for a pause of BODY_TIMEOUT_MS. */
void http1_await_body(struct engine *engine, struct conn *conn)
{
    struct body *body = &conn->request->body;
    if (inflow_least_rate(engine) == 0) {
        conn_deadline_in(engine, conn, BODY_TIMEOUT_MS);
    } else if (!body->timed) {
        body->timed = true;
        conn_deadline_in(engine, conn, http1_body_window_ms(engine));
    }
}

bool http1_body_goes_on(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (!request->body.timed ||
        !body_keeps_pace(request, inflow_least_rate(engine), http1_body_window_ms(engine)))
        return false;
    return !engine->drained || engine->now_ms < drain_requests_until(engine);
}

/* Reading, by the application's thread */

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
        response_interim(request, 100, STR("")); /* others may be queued before it */
    }
    for (;;) {
        ssize_t got = transport_recv(request->conn->io.fd, request->conn->tls, out, n);
        if (got > 0) {
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

static ssize_t read_length(struct request *request, char *out, size_t n)
{
    struct body *body = &request->body;
    uint64_t left = body->wanted - body->taken;
    ssize_t got = receive(request, out, n < left ? n : (size_t)left);
    if (got < 0)
        return -1;
    body->arrived += (uint64_t)got;
    body->taken += (uint64_t)got;
    body->complete = body->taken == body->wanted;
    return got;
}

/* Raw bytes, of which none are there. */
static bool receive_chunks(struct request *request, size_t n)
{
    size_t room;
    char *into = http1_room(request, &room);
    ssize_t got = into ? receive(request, into, room < n ? room : n) : fail(&request->body);
    if (got > 0)
        request->input_size += (uint32_t)got;
    return got >= 0;
}

static ssize_t read_chunks(struct request *request, char *out, size_t n)
{
    struct body *body = &request->body;
    while (!body->complete) {
        if (request->input_at == request->input_size && !receive_chunks(request, n))
            return -1;
        char *data;
        size_t produced;
        enum chunked_result result = decode_input(request, n, &data, &produced);
        if (result == CHUNKED_ERROR)
            return fail(body);
        if (body_is_too_large(request, body->taken + produced)) {
            body->too_large = true;
            conn_because(request->conn, CLOSE_LIMIT);
            return fail(body);
        }
        body->complete = result == CHUNKED_DONE;
        memcpy(out, data, produced);
        body->arrived += produced;
        body->taken += produced;
        if (produced > 0)
            return (ssize_t)produced;
    }
    return 0;
}

ssize_t http1_body_read(struct request *request, char *out, size_t n)
{
    return request->body.framing == HEAD_LENGTH ? read_length(request, out, n)
                                                : read_chunks(request, out, n);
}
