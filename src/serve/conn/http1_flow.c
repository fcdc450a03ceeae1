#include "serve/conn/http1_flow.h"

#include "net/transport.h"
#include "serve/conn/http1_private.h"
#include "serve/conn/websocket.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <string.h>

/* Times */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void set_timer(struct engine *engine, struct conn *conn)
{
    const struct flow *flow = &conn->request->flow;
    uint64_t at = earlier(flow->queue_at, earlier(flow->in_at, flow->out_at));
    if (at > 0)
        timer_set(&engine->timers, &conn->timer, at);
    else
        timer_cancel(&conn->timer);
}

static bool is_coming(struct request *request)
{
    return request->inflow.used && inflow_state(request) == INFLOW_GOES_ON;
}

/* Bytes of the body have come. Without a rate none of the time before counts. */
static void time_input(struct engine *engine, struct request *request)
{
    if (inflow_least_rate(engine) > 0)
        return;
    inflow_waited(request, true);
    request->flow.in_at = engine->now_ms + BODY_TIMEOUT_MS;
}

/* Its end */

static void because(struct request *request, enum metrics_close why)
{
    if (request->flow.why == CLOSE_BY_CLIENT)
        request->flow.why = (uint8_t)why;
}

/* The log has a line about what the client did wrong. */
static void note_failure(struct engine *engine, const struct conn *conn)
{
    char peer[PEER_TEXT_SIZE], text[BODY_LIMIT_TEXT];
    if (body_failure(conn->request, text) > 0)
        engine_note(engine, NOTE_WARNING, "Invalid request from ip=%s: %s",
                    peer_text(&conn->peer, peer), text);
    else
        engine_note(engine, NOTE_DEBUG, "Request body cut short by ip=%s",
                    peer_text(&conn->peer, peer));
}

/* No more of the body is read. */
static void end_input(struct engine *engine, struct conn *conn)
{
    static const enum metrics_close reasons[] = {
        [INFLOW_CUT] = CLOSE_BY_CLIENT,
        [INFLOW_MALFORMED] = CLOSE_MALFORMED,
        [INFLOW_TOO_LARGE] = CLOSE_LIMIT,
        [INFLOW_TOO_SLOW] = CLOSE_BODY_TIMEOUT,
    };
    enum inflow_end end = inflow_state(conn->request);
    conn->request->flow.in_at = 0;
    set_timer(engine, conn);
    if (end != INFLOW_WHOLE) {
        note_failure(engine, conn);
        because(conn->request, reasons[end]);
    }
    events_raise(engine, conn->request, REQUEST_BODY);
}

/* The client has closed or reset its connection, or half of it. */
static void client_left(struct engine *engine, struct conn *conn, bool broken)
{
    atomic_store_explicit(&conn->gone, true, memory_order_relaxed);
    if (broken)
        conn->request->response.broken = true;
    events_raise(engine, conn->request, REQUEST_GONE | (broken ? REQUEST_ROOM : 0));
}

/* Beginning */

static enum body_progress complete_in_place(struct body *body, const char *data, size_t n)
{
    body->in_place = data;
    body->stored = n;
    body->complete = true;
    return BODY_COMPLETE;
}

static enum body_progress begin_length(struct request *request)
{
    size_t there = request->input_size - request->input_at;
    const char *data = request->input + request->input_at;
    uint64_t wanted = request->body.wanted;
    if (there >= wanted) {
        request->input_at += (uint32_t)wanted;
        return complete_in_place(&request->body, data, (size_t)wanted);
    }
    request->input_at = request->input_size;
    return inflow_open(request, data, there, wanted - there) ? BODY_STREAMS : BODY_NO_ROOM;
}

static enum body_progress begin_chunks(struct request *request)
{
    const struct http1_form *form = http1_form_of(request);
    char *data = request->input + request->input_at;
    size_t consumed, produced, there = request->input_size - request->input_at;
    form->begin_body(request);
    enum chunked_result result = form->decode(request, data, there, &consumed, &produced);
    request->input_at += (uint32_t)consumed;
    if (result == CHUNKED_ERROR)
        return BODY_MALFORMED;
    if (body_is_too_large(request, produced))
        return BODY_TOO_LARGE;
    if (result == CHUNKED_DONE)
        return complete_in_place(&request->body, data, produced);
    return inflow_open(request, data, produced, READ_AHEAD) ? BODY_STREAMS : BODY_NO_ROOM;
}

enum body_progress flow_begin_body(struct request *request)
{
    if (!body_declare(request))
        return BODY_TOO_LARGE;
    bool expects = request->head.expect_continue && request->input_at == request->input_size;
    enum body_progress progress =
        request->body.framing == HEAD_LENGTH ? begin_length(request) : begin_chunks(request);
    request->body.continue_due = expects && progress == BODY_STREAMS;
    return progress;
}

/* Reading */

static void await(struct engine *engine, struct conn *conn)
{
    bool writes = transport_recv_waits(conn->tls) == POLLOUT;
    conn->readable = false;
    loop_arm(engine->loop, &conn->io, writes ? LOOP_READ | LOOP_WRITE : LOOP_READ);
    if (conn->request->flow.in_at == 0)
        conn->request->flow.in_at = inflow_look(engine, conn->request);
    set_timer(engine, conn);
}

static void cut_short(struct engine *engine, struct conn *conn, bool broken)
{
    inflow_fail(conn->request, INFLOW_CUT, 0, NULL);
    client_left(engine, conn, broken);
    end_input(engine, conn);
}

static bool add_chunks(struct request *request, char *data, size_t n)
{
    const struct http1_form *form = http1_form_of(request);
    size_t consumed, produced;
    enum chunked_result result = form->decode(request, data, n, &consumed, &produced);
    if (result == CHUNKED_ERROR) {
        const char *text;
        int status = form->body_fault(request, &text);
        inflow_fail(request, INFLOW_MALFORMED, status, text);
        return false;
    }
    memmove(data + produced, data + consumed, n - consumed);
    return inflow_add(request, produced, n - consumed, result == CHUNKED_DONE);
}

/* n bytes stand where inflow_room() said; false when they are the last that are read. */
static bool add(struct request *request, size_t n)
{
    const struct inflow *inflow = &request->inflow;
    const struct body *body = &request->body;
    if (body->framing == HEAD_LENGTH)
        return inflow_add(request, n, 0, body->stored + n == body->wanted);
    return add_chunks(request, inflow->data + inflow->size, n);
}

/* n bytes have come, the framing of a body among them; whether reading goes on. */
static bool received(struct engine *engine, struct conn *conn, size_t n)
{
    struct request *request = conn->request;
    uint64_t before = request->body.stored;
    metrics_add(&engine->metrics->bytes_in, n);
    bool goes_on = add(request, n);
    if (goes_on && request->body.stored > before)
        time_input(engine, request);
    if (!goes_on)
        end_input(engine, conn);
    else if (inflow_is_due(request))
        events_raise(engine, request, REQUEST_BODY);
    return goes_on;
}

void flow_read(struct engine *engine, struct conn *conn)
{
    size_t room;
    char *into;
    while (is_coming(conn->request) && (into = inflow_room(conn->request, &room))) {
        ssize_t n = transport_recv(conn->io.fd, conn->tls, into, room);
        bool paused = transport_paused(conn->tls);
        if (n < 0 && errno == EAGAIN) {
            await(engine, conn);
            return;
        }
        if (n <= 0) {
            cut_short(engine, conn, n < 0);
            return;
        }
        if (!received(engine, conn, (size_t)n))
            return;
        if (paused) {
            set_timer(engine, conn);
            conn_read_later(engine, conn);
            return;
        }
        if ((size_t)n < room && !conn->urgent &&
            !atomic_load_explicit(&conn->gone, memory_order_relaxed)) {
            await(engine, conn);
            return;
        }
    }
    set_timer(engine, conn);
}

void flow_begin(struct conn *conn)
{
    conn->request->flow = (struct flow){.queue_at = conn->timer.deadline};
}

void flow_readable(struct engine *engine, struct conn *conn)
{
    bool comes = is_coming(conn->request);
    if (comes)
        flow_read(engine, conn);
    /* A loop that does not say that the client has half-closed says that there is something. */
    if (atomic_load_explicit(&conn->gone, memory_order_relaxed) ||
        (!comes && socket_peer(conn->io.fd) != PEER_THERE))
        client_left(engine, conn, false);
}

/* Sending */

static void time_output(struct engine *engine, struct request *request)
{
    uint32_t ms = engine->options.send_timeout_ms;
    request->flow.out_at = ms > 0 ? engine->now_ms + ms : 0;
    request->flow.untaken = socket_untaken(request->conn->io.fd);
}

void flow_attend(struct engine *engine, struct request *request)
{
    struct conn *conn = request->conn;
    if (request->websocket) {
        websocket_open(engine, conn);
        return;
    }
    if (is_coming(request) && conn_has_unread(conn))
        flow_read(engine, conn);
    if (atomic_load(&request->out.pending))
        time_output(engine, request);
    set_timer(engine, conn);
}

static bool waits_little(struct request *request)
{
    struct outq *out = &request->out;
    pthread_mutex_lock(&out->lock);
    bool little = outq_waiting(out) <= OUT_LOW;
    pthread_mutex_unlock(&out->lock);
    return little;
}

void flow_sent(struct engine *engine, struct conn *conn, enum outq_result result, uint64_t taken)
{
    struct request *request = conn->request;
    if (result == OUTQ_BROKEN)
        client_left(engine, conn, true);
    if (result == OUTQ_BROKEN || result == OUTQ_EMPTY)
        request->flow.out_at = 0;
    else if (taken > 0)
        time_output(engine, request);
    set_timer(engine, conn);
    if (result == OUTQ_EMPTY || (taken > 0 && waits_little(request)))
        events_raise(engine, request, REQUEST_ROOM);
}

/* Times are over */

static void look_at_input(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    request->flow.in_at = is_coming(request) ? inflow_look(engine, request) : 0;
    if (request->flow.in_at == 0 && is_coming(request)) {
        because(request, inflow_least_rate(engine) > 0 ? CLOSE_BODY_RATE : CLOSE_BODY_TIMEOUT);
        inflow_fail(request, INFLOW_TOO_SLOW, 408, "The request body did not arrive in time");
        end_input(engine, conn);
    }
}

/* The client takes nothing: the rest of the answer is thrown away. The socket is shut now, for the
 * application may not hear of it for long. */
static void give_up_output(struct engine *engine, struct conn *conn)
{
    struct outq *out = &conn->request->out;
    because(conn->request, CLOSE_SEND_TIMEOUT);
    pthread_mutex_lock(&out->lock);
    conn->request->response.broken = true;
    struct part *rest = outq_clear(out);
    pthread_mutex_unlock(&out->lock);
    engine_discard(engine, rest);
    request_interrupt(conn->request, true);
    client_left(engine, conn, true);
}

/* The system reports a socket as writable only when much of its buffer is empty. */
static bool takes_some(const struct request *request)
{
    return socket_untaken(request->conn->io.fd) + PACE_BYTES <= request->flow.untaken;
}

static void look_at_output(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    request->flow.out_at = 0;
    if (!atomic_load(&request->out.pending)) /* the application's thread has sent it */
        return;
    if (takes_some(request))
        time_output(engine, request);
    else
        give_up_output(engine, conn);
}

bool flow_expired(struct engine *engine, struct conn *conn)
{
    struct flow *flow = &conn->request->flow;
    uint64_t now = engine->now_ms;
    if (flow->queue_at > 0 && now >= flow->queue_at) {
        flow->queue_at = 0;
        set_timer(engine, conn); /* it may run already */
        return true;
    }
    if (flow->in_at > 0 && now >= flow->in_at)
        look_at_input(engine, conn);
    if (flow->out_at > 0 && now >= flow->out_at)
        look_at_output(engine, conn);
    set_timer(engine, conn);
    return false;
}

/* Bytes of the next request go behind the head of this one. False: no memory. */
static bool give_rest(struct request *request)
{
    struct inflow *inflow = &request->inflow;
    if (inflow->rest == 0)
        return true;
    if (!request_reserve(request, request->input_size + inflow->rest))
        return false;
    memcpy(request->input + request->input_size, inflow->data + inflow->size, inflow->rest);
    request->input_size += (uint32_t)inflow->rest;
    return true;
}

/* Out of line, as it is rare. */
__attribute__((noinline)) void flow_end(struct conn *conn)
{
    struct request *request = conn->request;
    request->flow.in_at = request->flow.out_at = 0;
    timer_cancel(&conn->timer);
    if (request->inflow.used)
        request->body.complete = inflow_state(request) == INFLOW_WHOLE && give_rest(request);
    if (request->flow.why != CLOSE_BY_CLIENT)
        conn_because(conn, request->flow.why);
}
