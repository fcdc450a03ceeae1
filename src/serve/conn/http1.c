#include "serve/conn/http1.h"

#include "net/transport.h"
#include "serve/access/refused.h"
#include "serve/conn/conn.h"
#include "serve/conn/http1_flow.h"
#include "serve/conn/http1_private.h"
#include "serve/conn/http1_send.h"
#include "serve/conn/http2_upgrade.h"
#include "serve/conn/park.h"
#include "serve/conn/proxied.h"
#include "serve/conn/websocket.h"
#include "serve/engine/admission.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/refusal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Phases */

static enum request_phase phase_of(const struct conn *conn)
{
    return conn->request ? request_phase(conn->request) : PHASE_IDLE;
}

static __attribute__((cold, noinline)) bool fail_phase(struct engine *engine, struct conn *conn)
{
    conn_fail(engine, conn, "an illegal change of its request's phase");
    return false;
}

/* False: the connection fails. Inline, for `phase` is a constant at each call. */
static inline __attribute__((always_inline)) bool turn_to(struct engine *engine, struct conn *conn,
                                                          enum request_phase phase)
{
    static const enum metrics_activity activities[] = {
        [PHASE_IDLE] = ACTIVITY_IDLE,   [PHASE_HEAD] = ACTIVITY_HEAD,
        [PHASE_BODY] = ACTIVITY_BODY,   [PHASE_RUNNING] = ACTIVITY_RUNNING,
        [PHASE_FLUSH] = ACTIVITY_FLUSH,
    };
    if (!request_turn_to(engine, conn->request, phase))
        return fail_phase(engine, conn);
    conn_turn_to(engine, conn, activities[phase]);
    return true;
}

static bool is_reading(const struct conn *conn)
{
    return conn->state == CONN_OPEN && !conn->upgraded && phase_of(conn) <= PHASE_BODY;
}

static bool is_receiving(const struct conn *conn)
{
    return conn->state == CONN_OPEN && !conn->upgraded &&
           (phase_of(conn) == PHASE_HEAD || phase_of(conn) == PHASE_BODY);
}

/* The rest of a body is on its way that the application has not received. */
static bool is_wasting(const struct conn *conn)
{
    return conn->state == CONN_OPEN && phase_of(conn) == PHASE_FLUSH && conn->request->body.wasted;
}

/* Refusals */

static void answered(struct engine *engine, struct conn *conn);

/* A request line that is not whole has no method yet. */
static bool begins_with_head(const struct request *request)
{
    return request->head.method_len == 0 && request->input_size >= 5 &&
           memcmp(request->input, "HEAD ", 5) == 0;
}

static void send_refusal(struct engine *engine, struct request *request, int status,
                         const char *text)
{
    metrics_add(&engine->metrics->rejected[metrics_class((unsigned)status)], 1);
    request->response.no_body = begins_with_head(request);
    refusal_send(request, status, text);
    refused_log(engine, request);
}

static void refuse(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
                   const char *text)
{
    conn_because(conn, reason);
    if (!turn_to(engine, conn, PHASE_FLUSH))
        return;
    send_refusal(engine, conn->request, status, text);
    answered(engine, conn);
}

/* A whole request that the application is not bothered with. */
static void refuse_whole(struct engine *engine, struct conn *conn, enum metrics_refusal reason,
                         int status, const char *text)
{
    metrics_add(&engine->metrics->refused[reason], 1);
    refuse(engine, conn, CLOSE_REFUSED, status, text);
}

static void log_invalid(struct engine *engine, const struct conn *conn, const char *text)
{
    char peer[PEER_TEXT_SIZE];
    engine_note(engine, NOTE_WARNING, "Invalid request from ip=%s: %s",
                peer_text(&conn->peer, peer), text);
}

static enum metrics_close reason_of(const struct http1_fault *fault)
{
    if (fault->of_system)
        return CLOSE_ERROR;
    return fault->status == 414 || fault->status == 431 ? CLOSE_LIMIT : CLOSE_MALFORMED;
}

static void refuse_head(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    struct http1_fault fault = {0};
    char peer[PEER_TEXT_SIZE];
    conn->protocol->form->fault(request, &fault);
    if (fault.of_system)
        engine_note(engine, NOTE_ERROR, "Cannot read a request from ip=%s: %s",
                    peer_text(&conn->peer, peer), strerror(ENOMEM));
    else
        log_invalid(engine, conn, fault.text);
    request->body.complete = false; /* nothing that follows is known */
    refuse(engine, conn, reason_of(&fault), fault.status, fault.page);
}

/* There is more to do than this worker can, or is to, take on. */
static void refuse_overload(struct engine *engine, struct conn *conn, enum metrics_refusal reason)
{
    admission_tell(engine, reason);
    refuse_whole(engine, conn, reason, 503, ADMISSION_TEXT);
}

/* The budget is used up, and nothing of it has become free. */
static void refuse_short(struct engine *engine, struct conn *conn)
{
    engine_short(engine, "Clients that send much are refused");
    refuse_whole(engine, conn, REFUSED_NO_ROOM, 503, "The server has no room for the request");
}

static void refuse_body(struct engine *engine, struct conn *conn)
{
    char text[BODY_LIMIT_TEXT];
    body_limit_text(engine, text);
    log_invalid(engine, conn, text);
    refuse_whole(engine, conn, REFUSED_BODY_SIZE, 413, text);
}

static void refuse_for_room(struct engine *engine, struct conn *conn, int error)
{
    char peer[PEER_TEXT_SIZE];
    if (engine_may_log(&engine->room_logged_ms))
        engine_note(engine, NOTE_ERROR,
                    "Cannot buffer a request body from ip=%s: %s. Such requests are answered with "
                    "503 until tmp_upload_dir has room",
                    peer_text(&conn->peer, peer), strerror(error));
    refuse_whole(engine, conn, REFUSED_NO_ROOM, 503, "The server cannot take the request body now");
}

/* A client that has sent nothing valid yet. */
static void http1_refuse_client(struct engine *engine, struct conn *conn, enum metrics_close reason,
                                int status, const char *text)
{
    if (!conn->request)
        conn->request = request_get(engine, conn, conn->protocol->form->stream, BUDGET_REQUEST);
    if (conn->request)
        refuse(engine, conn, reason, status, text);
    else
        conn_close_because(engine, conn, reason);
}

/* To the threads */

static void wait_for_thread(struct engine *engine, struct conn *conn, uint64_t since_ms)
{
    if (!turn_to(engine, conn, PHASE_RUNNING))
        return;
    conn_deadline_at(engine, conn, since_ms, engine->options.max_queue_ms);
    conn_list(engine, conn);
    if (engine->ops->events)
        flow_begin(conn);
    engine_ready(engine, conn->request);
}

static bool upgrades(const struct conn *conn)
{
    return conn->may_upgrade && http1_state(conn->request)->upgrades;
}

static void ready(struct engine *engine, struct conn *conn)
{
    enum metrics_refusal reason;
    if (upgrades(conn) && conn->request->body.complete) {
        http2_upgrade_conn(engine, conn);
        return;
    }
    if (engine->admits_few && admission_refuses(engine, &reason))
        refuse_overload(engine, conn, reason);
    else
        wait_for_thread(engine, conn, engine->now_ms);
}

/* Bodies */

static void went_on(struct engine *engine, struct conn *conn, enum body_progress progress)
{
    const char *text;
    int status;
    switch (progress) {
    case BODY_COMPLETE:
    case BODY_STREAMS:
        ready(engine, conn);
        break;
    case BODY_PARTIAL:
        http1_await_body(engine, conn);
        break;
    case BODY_MALFORMED:
        status = conn->protocol->form->body_fault(conn->request, &text);
        log_invalid(engine, conn, text);
        refuse(engine, conn, CLOSE_MALFORMED, status, text);
        break;
    case BODY_TOO_LARGE:
        refuse_body(engine, conn);
        break;
    case BODY_NO_ROOM:
        if (errno == ENOBUFS)
            refuse_short(engine, conn);
        else
            refuse_for_room(engine, conn, errno);
        break;
    }
}

/* Heads */

/* Applies the fields of a whole head that concern the connection. False: it is refused. */
static bool apply_head(struct engine *engine, struct conn *conn)
{
    if (conn->protocol->form->apply(conn->request) == HTTP1_OK)
        return true;
    refuse_head(engine, conn);
    return false;
}

/* The application reads the body as it comes. */
static void run_at_head(struct engine *engine, struct conn *conn)
{
    enum body_progress progress = flow_begin_body(conn->request);
    if (progress == BODY_STREAMS && conn_watch(engine, conn) < 0) {
        conn_close_because(engine, conn, CLOSE_ERROR);
        return;
    }
    went_on(engine, conn, progress);
    if (progress == BODY_STREAMS && phase_of(conn) == PHASE_RUNNING)
        flow_read(engine, conn);
}

/* False: it is refused. */
static bool look_for_upgrade(struct engine *engine, struct conn *conn)
{
    const char *problem;
    enum http2_asked asked = http2_upgrade_asked(conn, &problem);
    http1_state(conn->request)->upgrades = asked == HTTP2_ASKED;
    if (asked != HTTP2_ASKED_WRONGLY)
        return true;
    log_invalid(engine, conn, problem);
    refuse(engine, conn, CLOSE_MALFORMED, 400, problem);
    return false;
}

static void head_done(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (!apply_head(engine, conn) || (conn->may_upgrade && !look_for_upgrade(engine, conn)))
        return;
    if (request->head.framing == HEAD_NO_BODY) {
        request->body.complete = true;
        ready(engine, conn);
        return;
    }
    if (!turn_to(engine, conn, PHASE_BODY))
        return;
    if (engine->options.at_head && !upgrades(conn))
        run_at_head(engine, conn);
    else
        went_on(engine, conn, http1_body_begin(request));
}

/* The rest of a request has to come in time. */
static void await_rest(struct engine *engine, struct conn *conn)
{
    conn_mark(engine, conn);
    conn_deadline_at(engine, conn, conn->served == 0 ? conn->since_ms : engine->now_ms,
                     engine->options.header_timeout_ms);
}

static void parse(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    bool begins = request_phase(request) == PHASE_IDLE;
    if (begins)
        turn_to(engine, conn, PHASE_HEAD);
    enum http1_result result = conn->protocol->form->parse(request, request->input_size);
    if (begins && (result != HTTP1_OK || request->head.framing != HEAD_NO_BODY))
        await_rest(engine, conn);
    switch (result) {
    case HTTP1_OK:
        request->input_at = request->head.size;
        head_done(engine, conn);
        break;
    case HTTP1_PARTIAL:
        break;
    case HTTP1_ERROR:
        refuse_head(engine, conn);
        break;
    }
}

static bool may_hand_over(const struct request *request)
{
    return !http1_state((struct request *)request)->parser.unfolded;
}

static bool adopt(struct engine *engine, struct conn *conn, struct request *request,
                  uint32_t head_size, uint64_t ready_ns)
{
    uint64_t since_ms = ready_ns / 1000000; /* the clock is the same in all processes */
    uint32_t most_ms = engine->options.max_queue_ms;
    conn->request = request;
    request->stream = conn->protocol->form->stream;
    if (conn->state != CONN_OPEN || !turn_to(engine, conn, PHASE_HEAD))
        return false;
    enum http1_result result = conn->protocol->form->parse_again(request, head_size);
    if (result == HTTP1_PARTIAL || (result == HTTP1_OK && request->head.size != head_size))
        return false;
    /* Ours may be stricter: a reload lies between the sender's settings and these. */
    if (result == HTTP1_ERROR) {
        refuse_head(engine, conn);
        return true;
    }
    if (!apply_head(engine, conn))
        return true;
    request->body.framing = request->head.framing;
    if (most_ms > 0 && engine->now_ms >= since_ms + most_ms) {
        refuse_overload(engine, conn, REFUSED_QUEUE_TIME);
        return true;
    }
    wait_for_thread(engine, conn, since_ms);
    request->ready_ns = ready_ns;
    return true;
}

/* Reading */

/* The client has closed or is broken: nothing of it is handed on. */
static void end_of_input(struct engine *engine, struct conn *conn)
{
    char peer[PEER_TEXT_SIZE];
    if (conn->tls && *tls_error(conn->tls)) {
        engine_note(engine, NOTE_DEBUG, "TLS with ip=%s failed: %s", peer_text(&conn->peer, peer),
                    tls_error(conn->tls));
        conn_because(conn, CLOSE_TLS);
    }
    if (phase_of(conn) == PHASE_BODY && !conn->request->body.complete)
        engine_note(engine, NOTE_DEBUG, "Request body cut short by ip=%s",
                    peer_text(&conn->peer, peer));
    conn_close(engine, conn);
}

static void wait_for_room(struct engine *engine, struct conn *conn)
{
    if (park(engine, conn))
        return;
    if (conn->request)
        refuse_short(engine, conn);
    else
        conn_close_because(engine, conn, CLOSE_LIMIT);
}

static void go_on_with_room(struct engine *engine, struct conn *conn)
{
    if (!unpark(engine, conn))
        return;
    if (phase_of(conn) == PHASE_BODY) {
        conn->request->body.timed = false;
        http1_await_body(engine, conn);
    } else {
        conn_deadline_at(engine, conn, engine->now_ms, engine->options.header_timeout_ms);
    }
}

static bool attach_request(struct engine *engine, struct conn *conn)
{
    if (!conn->request)
        conn->request = request_get(engine, conn, conn->protocol->form->stream, BUDGET_REQUEST);
    if (conn->request)
        return true;
    if (errno == ENOBUFS) {
        wait_for_room(engine, conn);
        return false;
    }
    engine_note(engine, NOTE_ERROR, "No memory for a request: connection closed");
    conn_close_because(engine, conn, CLOSE_ERROR);
    return false;
}

/* An idle connection holds no buffer. */
static void detach_request(struct engine *engine, struct conn *conn)
{
    if (request_phase(conn->request) != PHASE_IDLE || conn->request->input_size > 0)
        return;
    request_put_unused(engine, conn->request);
    conn->request = NULL;
}

/* A body of known length may be one that the application reads as it comes. */
static void no_room(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (errno == ENOBUFS) {
        wait_for_room(engine, conn);
        return;
    }
    if (request_phase(request) == PHASE_BODY) {
        went_on(engine, conn, body_no_room(request));
        return;
    }
    conn->protocol->form->no_room(request, errno == EMSGSIZE);
    refuse_head(engine, conn);
}

static void received(struct engine *engine, struct conn *conn, size_t n)
{
    struct request *request = conn->request;
    uint64_t gained = n;
    metrics_add(&engine->metrics->bytes_in, (uint64_t)n);
    if (request_phase(request) == PHASE_BODY) {
        enum body_progress progress = http1_body_received(request, n, &gained);
        if (progress != BODY_PARTIAL || gained > 0)
            went_on(engine, conn, progress);
    } else {
        request->input_size += (uint32_t)n;
        parse(engine, conn);
    }
    if (is_receiving(conn))
        conn_gain(engine, conn, gained);
}

static void read_on(struct engine *engine, struct conn *conn)
{
    if (!attach_request(engine, conn))
        return;
    size_t taken = 0;
    do {
        size_t room;
        char *into = http1_room(conn->request, &room);
        if (!into) {
            no_room(engine, conn);
            return;
        }
        go_on_with_room(engine, conn);
        ssize_t n = transport_recv(conn->io.fd, conn->tls, into, room);
        bool paused = transport_paused(conn->tls);
        if (n < 0 && errno == EAGAIN) {
            detach_request(engine, conn);
            conn_await(engine, conn, conn->timer.deadline ? 0 : engine->options.header_timeout_ms);
            return;
        }
        if (n <= 0) {
            end_of_input(engine, conn);
            return;
        }
        received(engine, conn, (size_t)n);
        if ((size_t)n < room && !paused && !conn_is_ending(conn) && !conn->urgent) {
            /* The socket is empty: the next edge tells of more, no read has to find out. */
            if (is_receiving(conn))
                conn_await(engine, conn, 0);
            else
                conn->readable = false;
            return;
        }
        taken += n > READ_LEAST ? (size_t)n : READ_LEAST;
        if ((taken >= READ_TURN || paused) && is_reading(conn)) {
            conn_read_later(engine, conn);
            return;
        }
    } while (is_reading(conn));
}

/* The request is with the application, or waits for it. */
static void look_at_client(struct engine *engine, struct conn *conn)
{
    if (engine->options.check_client && atomic_load_explicit(&conn->gone, memory_order_relaxed))
        http1_ask(engine, conn->request);
    if (engine->ops->events)
        flow_readable(engine, conn);
}

static void waste_rest(struct engine *engine, struct conn *conn);

static void readable(struct engine *engine, struct conn *conn)
{
    if (is_reading(conn))
        read_on(engine, conn);
    else if (is_wasting(conn))
        waste_rest(engine, conn);
    else if (phase_of(conn) == PHASE_RUNNING)
        look_at_client(engine, conn);
}

/* Answers */

/* Out of line: most events find nothing that is queued. */
__attribute__((noinline)) static void send_on(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    uint64_t taken = 0;
    enum outq_result result = http1_send_on(request, &taken);
    if (request_phase(request) == PHASE_RUNNING && engine->ops->events)
        flow_sent(engine, conn, result, taken);
    if (request_phase(request) != PHASE_FLUSH)
        return;
    if (result == OUTQ_BROKEN)
        conn_close(engine, conn);
    else if (result == OUTQ_EMPTY)
        answered(engine, conn);
    else if (taken > 0) {
        conn_deadline_at(engine, conn, engine->now_ms, engine->options.send_timeout_ms);
        conn_gain(engine, conn, taken);
    }
}

static void writable(struct engine *engine, struct conn *conn)
{
    if (conn->request && atomic_load(&conn->request->out.pending))
        send_on(engine, conn);
}

/* The answer is sent and the connection stays: the next request may be here already. */
static void next_request(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (!turn_to(engine, conn, PHASE_IDLE))
        return;
    request_next(engine, request);
    conn->parked_ms = 0;
    conn_mark(engine, conn);
    timer_set(&engine->timers, &conn->timer, engine->now_ms + engine->options.keepalive_ms);
    if (request->input_size > 0)
        parse(engine, conn);
    if (conn->activity == ACTIVITY_IDLE && !conn->upgraded)
        detach_request(engine, conn);
    if (!is_reading(conn))
        return;
    if (conn_has_unread(conn))
        conn_read(engine, conn);
    else
        conn_await(engine, conn, 0);
    if (conn->state == CONN_OPEN && conn->activity == ACTIVITY_IDLE && engine->drained)
        drain_last_chance(engine, conn);
}

static void await_waste(struct engine *engine, struct conn *conn)
{
    if (!is_wasting(conn)) {
        if (request_phase(conn->request) != PHASE_FLUSH && !turn_to(engine, conn, PHASE_FLUSH))
            return;
        conn->request->body.wasted = true;
        conn_mark(engine, conn);
        conn_deadline_in(engine, conn, http1_body_window_ms(engine));
    }
    conn_await(engine, conn, 0);
}

static void waste_rest(struct engine *engine, struct conn *conn)
{
    switch (http1_waste_rest(engine, conn)) {
    case REST_WHOLE:
        next_request(engine, conn);
        break;
    case REST_COMES:
        await_waste(engine, conn);
        break;
    case REST_CUT:
        conn_close(engine, conn);
        break;
    }
}

static void close_answered(struct engine *engine, struct conn *conn)
{
    conn_because(conn, CLOSE_ANSWERED);
    if (http1_may_have_unread(conn))
        conn_linger(engine, conn);
    else
        conn_close(engine, conn);
}

static void send_rest(struct engine *engine, struct conn *conn)
{
    if (request_phase(conn->request) != PHASE_FLUSH)
        turn_to(engine, conn, PHASE_FLUSH);
    conn_mark(engine, conn);
    if (conn_watch(engine, conn) < 0) {
        conn_close_because(engine, conn, CLOSE_ERROR);
        return;
    }
    loop_arm(engine->loop, &conn->io, conn_send_interest(conn));
    conn_deadline_at(engine, conn, engine->now_ms, engine->options.send_timeout_ms);
}

/* A body that the end of the connection ends, and that has not come to its end. */
static bool looks_whole(const struct response *response)
{
    return response->sent_head && !response->finished && !response->chunked &&
           !response->has_length && !response->no_body && !response->upgrade;
}

/* TLS shows it by the missing alert. */
static void close_cut_short(struct engine *engine, struct conn *conn)
{
    if (!conn->tls)
        socket_reset_at_close(conn->io.fd);
    conn_close_because(engine, conn, CLOSE_ANSWERED);
}

static void answered(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    const struct response *response = &request->response;
    if (request_phase(request) == PHASE_RUNNING && engine->ops->events)
        flow_end(conn);
    if (response->broken || conn->failed)
        conn_close(engine, conn);
    else if (atomic_load(&request->out.pending))
        send_rest(engine, conn);
    else if (http1_keeps(request) && request->body.complete)
        next_request(engine, conn);
    else if (http1_keeps(request) && http1_rest_is_small(request))
        waste_rest(engine, conn);
    else if (looks_whole(response))
        close_cut_short(engine, conn);
    else
        close_answered(engine, conn);
}

static void request_answered(struct engine *engine, struct request *request)
{
    answered(engine, request->conn);
}

/* Deadlines, and the end */

/* A request that did not come whole in time gets no answer, but a line in the access log. */
static void log_expired(struct engine *engine, struct conn *conn)
{
    if (!is_receiving(conn))
        return;
    conn->request->response.status = 408;
    refused_log(engine, conn->request);
}

/* Names the part that the client did not send in time. */
static enum metrics_close fault_of(const struct conn *conn)
{
    switch (phase_of(conn)) {
    case PHASE_IDLE:
        return conn->served == 0 ? CLOSE_HEADER_TIMEOUT : CLOSE_KEEPALIVE;
    case PHASE_HEAD:
        return CLOSE_HEADER_TIMEOUT;
    case PHASE_BODY:
        return conn->request->body.timed ? CLOSE_BODY_RATE : CLOSE_BODY_TIMEOUT;
    default:
        return CLOSE_SEND_TIMEOUT;
    }
}

static void expired(struct engine *engine, struct conn *conn)
{
    if (phase_of(conn) == PHASE_RUNNING) {
        if (engine->ops->events && !flow_expired(engine, conn))
            return;
        if (ready_remove(&engine->ready, conn->request))
            refuse_overload(engine, conn, REFUSED_QUEUE_TIME);
        return;
    }
    if (park_expired(engine, conn)) {
        readable(engine, conn);
        return;
    }
    if (phase_of(conn) == PHASE_BODY && http1_body_goes_on(engine, conn)) {
        conn_deadline_in(engine, conn, http1_body_window_ms(engine));
        return;
    }
    if (is_wasting(conn)) {
        conn_close_because(engine, conn, CLOSE_BODY_TIMEOUT);
        return;
    }
    if (phase_of(conn) == PHASE_FLUSH && conn_takes(conn)) {
        conn_mark(engine, conn);
        conn_deadline_at(engine, conn, engine->now_ms, engine->options.send_timeout_ms);
        return;
    }
    if (engine->drained) {
        drain_cut(engine, conn);
        return;
    }
    log_expired(engine, conn);
    conn_close_because(engine, conn, fault_of(conn));
}

/* From now on a body has to keep pace. */
static void drain(struct engine *engine, struct conn *conn)
{
    if (is_wasting(conn))
        conn_deadline_in(engine, conn, DRAIN_IDLE_MS);
    if (phase_of(conn) != PHASE_BODY)
        return;
    conn->request->body.timed = true;
    conn->request->body.arrived = 0;
}

static void answer_last(struct engine *engine, struct conn *conn, int status, const char *text)
{
    if (!turn_to(engine, conn, PHASE_FLUSH)) /* from now on the answer is the leader's */
        return;
    send_refusal(engine, conn->request, status, text);
    http1_waste_unread(conn);
}

static bool cut(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
                const char *text)
{
    bool runs = phase_of(conn) == PHASE_RUNNING;
    if (runs && !ready_remove(&engine->ready, conn->request)) {
        if (engine->ops->events) /* it has no time left */
            events_raise(engine, conn->request, REQUEST_DEADLINE);
        return false;
    }
    conn_because(conn, reason);
    if (runs || is_receiving(conn))
        answer_last(engine, conn, status, text);
    conn_close(engine, conn);
    return true;
}

static bool release(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (!request)
        return true;
    bool whole = request->response.finished || request_phase(request) <= PHASE_HEAD;
    conn->request = NULL;
    websocket_forget(request);
    request_put(engine, request);
    return whole;
}

#define ONE_AFTER_THE_OTHER                                                                        \
    .readable = readable, .writable = writable, .answered = request_answered,                      \
    .attend = flow_attend, .expired = expired, .drain = drain, .refuse = http1_refuse_client,      \
    .cut = cut, .release = release, .may_hand_over = may_hand_over, .adopt = adopt

const struct protocol http1_protocol = {
    .name = "http/1.1",
    .form = &http1_form,
    ONE_AFTER_THE_OTHER,
};

const struct protocol uwsgi_protocol = {
    .name = "uwsgi",
    .form = &uwsgi_form,
    ONE_AFTER_THE_OTHER,
};

const struct protocol fastcgi_protocol = {
    .name = "fastcgi",
    .form = &fastcgi_form,
    ONE_AFTER_THE_OTHER,
};
