#include "base/clock.h"
#include "base/mem.h"
#include "serve/access/refused.h"
#include "serve/conn/http2_private.h"
#include "serve/conn/proxied.h"
#include "serve/conn/websocket.h"
#include "serve/engine/admission.h"
#include "serve/engine/limits.h"
#include "serve/request/refusal.h"
#include "serve/request/response.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DATE_LINE "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
enum { DATE_AT = sizeof("Date: ") - 1 };

/* Counts and times */

static void turn_to(struct request *request, enum request_phase phase)
{
    struct http2_conn *h2 = http2_of(request);
    enum request_phase before = request_phase(request);
    if (!request_turn_to(request->engine, request, phase)) {
        conn_fail(request->engine, request->conn, "an illegal change of its request's phase");
        return;
    }
    h2->running += (phase == PHASE_RUNNING) - (before == PHASE_RUNNING);
    h2->receiving += (phase == PHASE_HEAD || phase == PHASE_BODY) -
                     (before == PHASE_HEAD || before == PHASE_BODY);
}

/* `ms` 0: it may wait for ever. */
static void wait_from_now(struct request *request, uint32_t ms)
{
    struct http2_stream *stream = http2_stream(request);
    stream->timed = false;
    stream->at = ms > 0 ? request->engine->now_ms + ms : 0;
    http2_look_at(request, stream->at);
}

static void wait_for_input(struct request *request, uint64_t at)
{
    http2_stream(request)->in_at = at;
    http2_look_at(request, at);
}

static void forget_websocket(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    if (stream->is_websocket && request_phase(request) == PHASE_RUNNING) {
        http2_of(request)->websockets--;
        request->engine->websockets--;
    }
    stream->is_websocket = false;
    websocket_forget(request);
}

void http2_drop(struct request *request)
{
    struct http2_conn *h2 = http2_of(request);
    struct http2_stream *stream = http2_stream(request);
    enum request_phase phase = request_phase(request);
    h2->requests--;
    h2->running -= phase == PHASE_RUNNING;
    h2->receiving -= phase == PHASE_HEAD || phase == PHASE_BODY;
    if (!stream->closed)
        http2_disown(h2->session, stream->id);
    list_remove(&stream->link);
    list_remove(&stream->sending);
    forget_websocket(request);
    http2_forget_kept(request);
    http2_stream_clear(request);
    request_put(request->engine, request);
}

static void reset(struct request *request, uint32_t code)
{
    if (!http2_stream(request)->closed)
        http2_reset(http2_of(request)->session, http2_stream(request)->id, code);
}

void http2_withdraw(struct request *request)
{
    reset(request, HTTP2_REFUSED_STREAM);
    http2_drop(request);
}

/* Answers */

static void send_interims(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    while (stream->interims) {
        struct http2_interim *interim = stream->interims;
        stream->interims = interim->next;
        if (!stream->begun)
            http2_interim(http2_of(request)->session, stream->id, interim->status,
                          (struct str){interim->lines, interim->size});
        mem_free(interim);
    }
}

static bool send_head(struct request *request)
{
    const struct http2_stream *stream = http2_stream(request);
    const struct response *response = &request->response;
    bool has_body =
        !response->no_body && !(stream->whole && !request->out.head && stream->trailers.n == 0);
    char date[] = DATE_LINE;
    memcpy(date + DATE_AT, clock_date(), CLOCK_DATE_SIZE);
    const struct str lines[] = {
        response_own_fields(request),
        {date, response_has_own_date(response) ? sizeof(date) - 1 : 0},
        {response->head + response->gap, response->head_size - response->gap},
    };
    return http2_answer(http2_of(request)->session, stream->id, response->status, lines, 3,
                        has_body);
}

/* With the lock. */
static void deliver(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    send_interims(request);
    if (!stream->has_head)
        return;
    if (stream->begun) {
        http2_resume(http2_of(request)->session, stream->id);
        return;
    }
    stream->begun = true;
    if (!send_head(request))
        reset(request, HTTP2_INTERNAL_ERROR);
}

/* The client has send_timeout to take something, and as long again after that. */
static void time_output(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    if (stream->timed && stream->at > 0)
        return;
    wait_from_now(request, request->engine->options.send_timeout_ms);
    stream->taken = 0;
    stream->timed = true;
}

void http2_deliver(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    if (stream->closed)
        return;
    pthread_mutex_lock(&request->out.lock);
    bool pending = request->out.head || stream->waits;
    deliver(request);
    pthread_mutex_unlock(&request->out.lock);
    if (pending && !http2_stream(request)->is_websocket)
        time_output(request);
    if ((pending || request_phase(request) == PHASE_FLUSH) && list_empty(&stream->sending))
        list_push(&http2_of(request)->sending, &stream->sending);
}

void http2_refuse(struct request *request, int status, const char *text)
{
    struct engine *engine = request->engine;
    metrics_add(&engine->metrics->rejected[metrics_class((unsigned)status)], 1);
    http2_forget_kept(request);
    turn_to(request, PHASE_FLUSH);
    refusal_send(request, status, text);
    refused_log(engine, request);
    time_output(request);
    http2_deliver(request);
}

static void refuse_whole(struct request *request, enum metrics_refusal reason, int status,
                         const char *text)
{
    metrics_add(&request->engine->metrics->refused[reason], 1);
    http2_refuse(request, status, text);
}

static void throw_answer_away(struct request *request)
{
    struct engine *engine = request->engine;
    request->response.broken = true;
    list_remove(&http2_stream(request)->sending);
    pthread_mutex_lock(&request->out.lock);
    struct part *rest = outq_clear(&request->out);
    pthread_mutex_unlock(&request->out.lock);
    engine_discard(engine, rest);
    if (request->inflow.used && inflow_state(request) == INFLOW_GOES_ON)
        inflow_fail(request, INFLOW_CUT, 0, NULL);
    events_raise(engine, request, REQUEST_GONE | REQUEST_ROOM | REQUEST_BODY);
}

void http2_request_answered(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    struct http2_conn *h2 = http2_of(request);
    turn_to(request, PHASE_FLUSH);
    h2->websockets -= stream->is_websocket;
    if (stream->is_websocket)
        websocket_answered(request->websocket);
    if (stream->closed || h2->broken) {
        http2_drop(request);
        return;
    }
    if (stream->is_websocket)
        return;
    if (!request->response.finished || request->response.broken)
        reset(request, HTTP2_INTERNAL_ERROR);
    stream->in_at = 0;
    time_output(request);
    http2_deliver(request);
}

/* To the threads */

static void refuse_overload(struct request *request, enum metrics_refusal reason)
{
    admission_tell(request->engine, reason);
    refuse_whole(request, reason, 503, ADMISSION_TEXT);
}

void http2_ready(struct request *request)
{
    struct engine *engine = request->engine;
    enum metrics_refusal reason;
    if (engine->admits_few && admission_refuses(engine, &reason)) {
        refuse_overload(request, reason);
        return;
    }
    turn_to(request, PHASE_RUNNING);
    wait_from_now(request, engine->options.max_queue_ms);
    engine_ready(engine, request);
}

/* Bodies */

static void tell_invalid(struct request *request, const char *text)
{
    char peer[PEER_TEXT_SIZE];
    engine_note(request->engine, NOTE_WARNING, "Invalid request from ip=%s: %s",
                peer_text(request_peer(request), peer), text);
}

static void refuse_too_large(struct request *request)
{
    char text[BODY_LIMIT_TEXT];
    body_limit_text(request->engine, text);
    tell_invalid(request, text);
    refuse_whole(request, REFUSED_BODY_SIZE, 413, text);
}

static void refuse_for_room(struct request *request, int error)
{
    struct engine *engine = request->engine;
    if (error == ENOBUFS)
        engine_short(engine, "Clients that send much are refused");
    else if (engine_may_log(&engine->room_logged_ms))
        engine_note(engine, NOTE_ERROR,
                    "Cannot buffer a request body: %s. Such requests are answered with 503 until "
                    "tmp_upload_dir has room",
                    strerror(error));
    refuse_whole(request, REFUSED_NO_ROOM, 503, "The server cannot take the request body now");
}

/* What a body has to keep up; 0: nothing. */
static void await_body(struct request *request)
{
    struct body *body = &request->body;
    if (inflow_least_rate(request->engine) == 0) {
        wait_from_now(request, BODY_TIMEOUT_MS);
    } else if (!body->timed) {
        body->timed = true;
        wait_from_now(request, BODY_WINDOW_MS);
    }
}

void http2_body_went_on(struct request *request, enum body_progress progress)
{
    switch (progress) {
    case BODY_COMPLETE:
        http2_ready(request);
        break;
    case BODY_TOO_LARGE:
        refuse_too_large(request);
        break;
    case BODY_NO_ROOM:
        refuse_for_room(request, errno);
        break;
    default:
        await_body(request);
        break;
    }
}

void http2_credit(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    if (!request->inflow.used || stream->closed)
        return;
    uint64_t taken = request->body.stored - inflow_waiting(request);
    http2_consume(http2_of(request)->session, stream->id, (size_t)(taken - stream->credited));
    stream->credited = taken;
}

/* The application reads the body as it comes: the window that clients know is as large as this. */
static void run_at_head(struct request *request)
{
    const struct body *body = &request->body;
    uint64_t most = body->framing == HEAD_LENGTH ? body->wanted : READ_AHEAD;
    if (!inflow_open(request, "", 0, most) ||
        request->inflow.capacity < (most < READ_AHEAD ? most : READ_AHEAD)) {
        refuse_for_room(request, errno);
        return;
    }
    request->body.continue_due = request->head.expect_continue;
    wait_for_input(request, inflow_look(request->engine, request));
    http2_ready(request);
}

static void body_follows(struct request *request)
{
    turn_to(request, PHASE_BODY);
    if (!body_declare(request)) {
        refuse_too_large(request);
    } else if (request->engine->options.at_head) {
        run_at_head(request);
    } else {
        if (request->head.expect_continue)
            http2_interim(http2_of(request)->session, http2_stream(request)->id, 100, STR(""));
        await_body(request);
    }
}

/* For an application that reads it as it comes. False: no more of it is wanted. */
static bool pass_on(struct request *request, const char *data, size_t n)
{
    if (!inflow_put(request, data, n)) {
        reset(request, HTTP2_INTERNAL_ERROR);
        return false;
    }
    bool goes_on = inflow_add(request, n, 0, false);
    if (goes_on && inflow_least_rate(request->engine) == 0) {
        inflow_waited(request, true);
        wait_for_input(request, request->engine->now_ms + BODY_TIMEOUT_MS);
    }
    events_raise(request->engine, request, REQUEST_BODY);
    return goes_on;
}

static void store_body(struct request *request, const char *data, size_t n)
{
    struct body *body = &request->body;
    enum body_progress progress = BODY_NO_ROOM;
    uint64_t before = body->stored;
    body->arrived += n;
    errno = ENOBUFS;
    if (!http2_stream(request)->kept)
        progress = body_store(request, data, n, false);
    size_t stored = (size_t)(body->stored - before);
    if (progress != BODY_NO_ROOM || errno != ENOBUFS ||
        !http2_keep(request, data + stored, n - stored))
        http2_body_went_on(request, progress);
}

static void on_data(void *owner, const char *data, size_t n)
{
    struct request *request = owner;
    struct http2_session *session = http2_of(request)->session;
    if (request->head.websocket) {
        http2_websocket_data(request, data, n);
        return;
    }
    if (request_phase(request) == PHASE_RUNNING && request->inflow.used &&
        inflow_state(request) == INFLOW_GOES_ON) {
        if (pass_on(request, data, n))
            http2_credit(request);
        return;
    }
    if (request_phase(request) == PHASE_BODY)
        store_body(request, data, n);
    http2_consume(session, http2_stream(request)->id, n);
}

static void on_ended(void *owner)
{
    struct request *request = owner;
    struct http2_stream *stream = http2_stream(request);
    if (request->head.websocket) {
        http2_websocket_ended(request);
    } else if (request_phase(request) == PHASE_BODY && stream->kept) {
        stream->in_ended = true;
    } else if (request_phase(request) == PHASE_BODY) {
        http2_body_went_on(request, body_store(request, NULL, 0, true));
    } else if (request_phase(request) == PHASE_RUNNING && request->inflow.used) {
        stream->in_at = 0;
        inflow_add(request, 0, 0, true);
        events_raise(request->engine, request, REQUEST_BODY);
    }
}

/* Heads */

static void add_stream(struct http2_conn *h2, struct request *request, int32_t id)
{
    struct http2_stream *stream = http2_stream(request);
    *stream = (struct http2_stream){.request = request, .id = id};
    list_init(&stream->link);
    list_init(&stream->sending);
    list_push(&h2->streams, &stream->link);
    h2->requests++;
}

bool http2_take_request(struct http2_conn *h2, struct request *request, const uint8_t *settings,
                        size_t size)
{
    bool is_head = str_eq(request_method(request), STR("HEAD"));
    if (!http2_upgrade(h2->session, settings, size, is_head, request))
        return false;
    add_stream(h2, request, 1);
    request->stream = &http2_stream_ops;
    request->must_close = false;
    h2->receiving++;
    return true;
}

/* A reset gives a client its stream back, but not the thread that runs the request. */
static bool has_too_many(const struct http2_conn *h2)
{
    return h2->requests >= (uint64_t)h2->engine->options.http2.streams * HTTP2_REQUESTS_EACH;
}

static void *on_begin(void *context, int32_t id, struct http2_head *in)
{
    struct http2_conn *h2 = context;
    struct engine *engine = h2->engine;
    if (has_too_many(h2))
        return NULL;
    struct request *request = request_get(engine, h2->conn, &http2_stream_ops, BUDGET_REQUEST);
    if (!request) {
        engine_short(engine, "HTTP/2 streams are refused");
        return NULL;
    }
    add_stream(h2, request, id);
    turn_to(request, PHASE_HEAD);
    in->head = &request->head;
    in->data = request->input;
    in->capacity = request->input_capacity;
    return request;
}

static bool on_grow(void *owner, struct http2_head *in, size_t n)
{
    struct request *request = owner;
    request->input_size = in->size;
    while (request->input_capacity - in->size < n)
        if (!request_grow(request, BUDGET_REQUEST))
            return false;
    in->data = request->input;
    in->capacity = request->input_capacity;
    return true;
}

/* The fields of proxies, and :scheme, count if forwarded_allow_ips has the other end. */
static enum http2_fault apply_forwarded(struct request *request, const struct http2_head *in)
{
    static const enum http2_fault faults[] = {
        [FORWARDED_OK] = HTTP2_NO_FAULT,
        [FORWARDED_CONTRADICTION] = HTTP2_CONTRADICTORY_SCHEME,
        [FORWARDED_NO_FIELD] = HTTP2_REFUSED_FIELD,
    };
    const struct engine_options *options = &request->engine->options;
    bool trusted = proxied_is_from(request->conn, options->trust);
    bool https = trusted && in->has_scheme ? in->https : proxied_is_https(request->conn);
    uint32_t culprit;
    return faults[forwarded_apply(options->forwarded, &request->head, request->input, trusted,
                                  https, &culprit)];
}

static void head_is_whole(struct request *request, bool ended)
{
    if (!ended && !request->head.websocket) {
        body_follows(request);
        return;
    }
    if (request->head.framing == HEAD_LENGTH)
        body_declare(request);
    request->body.complete = true;
    http2_ready(request);
}

static void on_head(void *owner, const struct http2_head *in, bool ended)
{
    struct request *request = owner;
    enum http2_fault fault = in->fault;
    http2_of(request)->head_at = 0;
    request->input_size = request->input_at = in->size;
    request_charge_fields(request);
    if (fault == HTTP2_NO_FAULT)
        fault = apply_forwarded(request, in);
    if (fault == HTTP2_NO_FAULT) {
        head_is_whole(request, ended);
        return;
    }
    tell_invalid(request, http2_fault_text(fault));
    http2_refuse(request, http2_fault_status(fault), http2_fault_text(fault));
}

/* Sending, and the end of a stream */

static bool has_room(const struct request *request)
{
    return outq_waiting(&request->out) <= OUT_LOW;
}

static enum http2_more end_of(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    if (!stream->whole || request->out.head)
        return HTTP2_MORE;
    if (stream->trailers.n == 0)
        return HTTP2_END;
    return http2_trailers(http2_of(request)->session, stream->id, stream->trailers) ? HTTP2_TRAILERS
                                                                                    : HTTP2_MORE;
}

static void websocket_left(struct request *request, size_t n, bool empty)
{
    if (empty && request_phase(request) == PHASE_RUNNING)
        list_remove(&http2_stream(request)->sending);
    if (n > 0)
        websocket_sent(request->websocket, true);
}

static ssize_t on_read(void *owner, char *out, size_t n, enum http2_more *more)
{
    struct request *request = owner;
    struct http2_stream *stream = http2_stream(request);
    struct part *done = NULL;
    pthread_mutex_lock(&request->out.lock);
    ssize_t got = outq_take(&request->out, out, n, &done);
    *more = end_of(request);
    bool room = has_room(request), empty = !request->out.head && !stream->waits;
    pthread_mutex_unlock(&request->out.lock);
    engine_discard(request->engine, done);
    if (got < 0) {
        engine_note(request->engine, NOTE_ERROR, "An answer is cut off: %s", strerror(errno));
        return -1;
    }
    if (stream->is_websocket) {
        websocket_left(request, (size_t)got, empty);
        return got;
    }
    stream->taken += (uint32_t)got;
    if (request_phase(request) != PHASE_RUNNING)
        return got;
    if (empty) {
        stream->at = 0;
        list_remove(&stream->sending);
    }
    if (got > 0 && room)
        events_raise(request->engine, request, REQUEST_ROOM);
    return got;
}

/* Taken from the queue, if no thread has it yet. */
static bool is_withdrawn(struct request *request)
{
    struct engine *engine = request->engine;
    engine_flush_batch(engine);
    return ready_remove(&engine->ready, request);
}

static void on_closed(void *owner, uint32_t code)
{
    struct request *request = owner;
    struct http2_stream *stream = http2_stream(request);
    stream->closed = true;
    stream->at = stream->in_at = 0;
    bool waits = !stream->begun && request_phase(request) == PHASE_RUNNING;
    if (request_phase(request) != PHASE_RUNNING || (waits && is_withdrawn(request))) {
        http2_drop(request);
        return;
    }
    if (stream->is_websocket) {
        http2_websocket_gone(request);
        return;
    }
    pthread_mutex_lock(&request->out.lock);
    bool sent = code == HTTP2_NO_ERROR && stream->whole && !request->out.head;
    pthread_mutex_unlock(&request->out.lock);
    if (!sent)
        throw_answer_away(request);
}

static void on_pong(void *context)
{
    struct http2_conn *h2 = context;
    h2->ponged = true;
}

const struct http2_events http2_conn_events = {
    .begin = on_begin,
    .grow = on_grow,
    .head = on_head,
    .data = on_data,
    .ended = on_ended,
    .closed = on_closed,
    .read = on_read,
    .ponged = on_pong,
};

/* Times are over */

/* Its client sends too slowly. */
static void give_up_body(struct request *request)
{
    struct body *body = &request->body;
    uint32_t rate = inflow_least_rate(request->engine);
    if (body->timed && body_keeps_pace(request, rate, BODY_WINDOW_MS)) {
        wait_from_now(request, BODY_WINDOW_MS);
        return;
    }
    turn_to(request, PHASE_FLUSH);
    request->response.status = 408;
    refused_log(request->engine, request);
    reset(request, HTTP2_CANCEL);
}

/* Its client takes too little: PACE_BYTES, or all that there was. */
static void give_up_answer(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    if (stream->taken >= PACE_BYTES) {
        time_output(request);
        return;
    }
    if (request_phase(request) == PHASE_RUNNING)
        throw_answer_away(request);
    reset(request, HTTP2_CANCEL);
}

static void look_at_input(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    if (inflow_state(request) != INFLOW_GOES_ON) {
        stream->in_at = 0;
        return;
    }
    wait_for_input(request, inflow_look(request->engine, request));
    if (stream->in_at > 0)
        return;
    inflow_fail(request, INFLOW_TOO_SLOW, 408, "The request body did not arrive in time");
    events_raise(request->engine, request, REQUEST_BODY);
}

static void expired(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    bool waits_for_thread = request_phase(request) == PHASE_RUNNING && !stream->timed;
    stream->at = 0;
    if (request_phase(request) == PHASE_BODY)
        give_up_body(request);
    else if (!waits_for_thread)
        give_up_answer(request);
    else if (is_withdrawn(request))
        refuse_overload(request, REFUSED_QUEUE_TIME);
}

uint64_t http2_request_expired(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    uint64_t now = request->engine->now_ms;
    if (stream->is_websocket) {
        if (stream->at > 0 && now >= stream->at)
            websocket_expired(request->websocket);
        return stream->at;
    }
    if (stream->in_at > 0 && now >= stream->in_at)
        look_at_input(request);
    if (stream->at > 0 && now >= stream->at)
        expired(request);
    if (stream->in_at > 0 && (stream->at == 0 || stream->in_at < stream->at))
        return stream->in_at;
    return stream->at;
}

/* The client has gone */

static void abandon(struct request *request, bool broken)
{
    enum request_phase phase = request_phase(request);
    char peer[PEER_TEXT_SIZE];
    if (phase == PHASE_HEAD || phase == PHASE_BODY) {
        engine_note(request->engine, NOTE_DEBUG, "Request body cut short by ip=%s",
                    peer_text(request_peer(request), peer));
        http2_drop(request);
    } else if (http2_stream(request)->is_websocket && phase == PHASE_RUNNING && broken) {
        http2_websocket_gone(request);
    } else if (request->head.websocket && !broken) {
        http2_websocket_ended(request);
    } else if (phase == PHASE_RUNNING && broken) {
        throw_answer_away(request);
    } else if (phase == PHASE_RUNNING) {
        if (request->inflow.used && inflow_state(request) == INFLOW_GOES_ON)
            inflow_fail(request, INFLOW_CUT, 0, NULL);
        events_raise(request->engine, request, REQUEST_GONE | REQUEST_BODY);
    } else if (broken) {
        http2_drop(request);
    }
}

void http2_abandon(struct http2_conn *h2, bool broken)
{
    struct list *next;
    atomic_store_explicit(&h2->conn->gone, true, memory_order_relaxed);
    for (struct list *l = h2->streams.next; l != &h2->streams; l = next) {
        next = l->next;
        abandon(list_entry(l, struct http2_stream, link)->request, broken);
    }
}

void http2_abandon_unsent(struct http2_conn *h2)
{
    while (!list_empty(&h2->sending)) {
        struct list *first = h2->sending.next;
        list_remove(first);
        abandon(list_entry(first, struct http2_stream, sending)->request, true);
    }
}
