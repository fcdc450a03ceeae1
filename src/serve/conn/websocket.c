#include "serve/conn/websocket.h"

#include "base/clock.h"
#include "net/transport.h"
#include "serve/access/refused.h"
#include "serve/conn/conn.h"
#include "serve/conn/http1.h"
#include "serve/conn/http1_send.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/refusal.h"
#include "serve/request/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/*
 * The application's thread sends by itself, as HTTP/1's do, under the lock of the duplex. All else
 * is the leader's. While the application has the request it is RUNNING, then in FLUSH until the
 * close handshake is over.
 */
struct websocket {
    struct duplex duplex;
    struct request *request;
    atomic_bool unattended; /* something was queued, or the client has gone, and the leader does
                               not know */

    /* The leader's. */
    enum duplex_want want;
    char *kept; /* owned: bytes that are read and not consumed; NULL: none */
    size_t kept_size, kept_capacity;
    uint64_t out_at;   /* when its client has taken nothing for too long; 0: nothing waits */
    uint64_t drain_at; /* when it is closed, as the worker ends; 0: not at all */
    bool shut;         /* our side of the connection */
};

static struct websocket *websocket_of(const struct conn *conn)
{
    return conn->request->websocket;
}

/* The application is through with it. */
static bool is_finished(const struct websocket *ws)
{
    return request_phase(ws->request) == PHASE_FLUSH;
}

/* The connection, as its duplex needs it */

static bool link_send(void *context, const struct iovec *parts, int count)
{
    struct websocket *ws = context;
    struct request *request = ws->request;
    struct iovec copy[2];
    bool attend = false;
    assert(count <= 2);
    memcpy(copy, parts, sizeof(*parts) * (size_t)count);
    bool sent = send_parts_locked(request, copy, count, &attend) == 0;
    for (int i = 0; sent && i < count; i++)
        request->response.body_sent += parts[i].iov_len;
    if (attend || !sent)
        atomic_store(&ws->unattended, true);
    return sent;
}

static size_t link_queued(void *context)
{
    struct websocket *ws = context;
    struct outq *out = &ws->request->out;
    if (!atomic_load_explicit(&out->pending, memory_order_acquire))
        return 0;
    pthread_mutex_lock(&out->lock);
    size_t waiting = (size_t)outq_waiting(out);
    pthread_mutex_unlock(&out->lock);
    return waiting;
}

/* The events of a request, by those of its duplex. */
static unsigned request_events(unsigned events)
{
    return (events & DUPLEX_INPUT ? REQUEST_BODY : 0u) |
           (events & DUPLEX_ROOM ? REQUEST_ROOM : 0u) | (events & DUPLEX_OVER ? REQUEST_GONE : 0u);
}

/* By the leader alone: the application's calls raise nothing. */
static void link_raise(void *context, unsigned events)
{
    struct websocket *ws = context;
    events_raise(ws->request->engine, ws->request, request_events(events));
}

static void link_attend(void *context)
{
    struct websocket *ws = context;
    if (!is_finished(ws)) /* else the leader calls */
        engine_attend(ws->request->engine, ws->request);
}

static const struct duplex_link link = {link_send, link_queued, link_raise, link_attend};

/* The handshake */

/* nginx's uwsgi_pass makes a tunnel of a connection that is answered with 101; FastCGI has none. */
static bool can_upgrade(const struct conn *conn)
{
    return conn->protocol == &http1_protocol || conn->protocol == &uwsgi_protocol;
}

enum ws_handshake_result websocket_asked(const struct request *request,
                                         struct ws_handshake *handshake)
{
    if (!can_upgrade(request->conn))
        return WS_HANDSHAKE_NONE;
    return ws_handshake_read(&request->head, request->input, handshake);
}

static void refuse_to_upgrade(struct request *request, const char *problem)
{
    bool kept;
    char length[24];
    int n = snprintf(length, sizeof(length), "%zu", strlen(problem));
    response_start(request, "426 Upgrade Required", 20);
    response_field(request, STR("Connection"), STR("Upgrade"));
    response_field(request, STR("Upgrade"), STR("websocket"));
    response_field(request, STR("Sec-WebSocket-Version"), STR("13"));
    response_field(request, STR("Content-Type"), STR("text/plain"));
    response_field(request, STR("Content-Length"), (struct str){length, (size_t)n});
    response_write(request, problem, strlen(problem), NULL, &kept, true);
    response_finish(request);
}

void websocket_refuse(struct request *request, enum ws_handshake_result result,
                      const struct ws_handshake *handshake)
{
    assert_attached();
    if (result == WS_HANDSHAKE_UPGRADE)
        refuse_to_upgrade(request, handshake->problem);
    else
        refusal_send(request, 400, handshake->problem);
    refused_log(request->engine, request);
}

enum response_error websocket_begin(struct request *request, struct str subprotocol)
{
    assert_attached();
    struct ws_handshake handshake;
    char accept[WS_ACCEPT_SIZE], extension[WS_EXTENSION_MAX];
    enum ws_handshake_result result = websocket_asked(request, &handshake);
    assert(result == WS_HANDSHAKE_OK);
    (void)result;
    ws_handshake_accept(handshake.key, accept);
    response_start(request, "101 Switching Protocols", 23);
    response_field(request, STR("Connection"), STR("Upgrade"));
    response_field(request, STR("Upgrade"), STR("websocket"));
    enum response_error error =
        response_field(request, STR("Sec-WebSocket-Accept"), (struct str){accept, WS_ACCEPT_SIZE});
    if (error == RESPONSE_OK && subprotocol.n > 0)
        error = response_field(request, STR("Sec-WebSocket-Protocol"), subprotocol);
    if (error == RESPONSE_OK && handshake.deflate.agreed) {
        size_t n = ws_extension_answer(&handshake.deflate, extension);
        error =
            response_field(request, STR("Sec-WebSocket-Extensions"), (struct str){extension, n});
    }
    return error;
}

static bool open_duplex(struct websocket *ws, const struct ws_deflate_terms *terms)
{
    struct engine *engine = ws->request->engine;
    struct duplex_options options = {
        .message_max = engine->options.websocket_message_max,
        .ping_interval_ms = engine->options.websocket_ping_interval_ms,
        .ping_timeout_ms = engine->options.websocket_ping_timeout_ms,
    };
    return duplex_init(&ws->duplex, &options, terms, &link, ws, &engine->budget, clock_ms());
}

static struct websocket *websocket_new(struct request *request,
                                       const struct ws_deflate_terms *terms)
{
    struct budget *budget = &request->engine->budget;
    size_t size = sizeof(struct websocket);
    struct websocket *ws = budget_alloc(budget, BUDGET_REQUEST, &size);
    if (!ws)
        return NULL;
    memset(ws, 0, sizeof(*ws));
    ws->request = request;
    if (open_duplex(ws, terms))
        return ws;
    budget_free(budget, ws, size);
    return NULL;
}

static void drop_kept(struct websocket *ws)
{
    if (ws->kept)
        budget_free(&ws->request->engine->budget, ws->kept, ws->kept_capacity);
    ws->kept = NULL;
}

static void websocket_free(struct websocket *ws)
{
    drop_kept(ws);
    duplex_destroy(&ws->duplex);
    budget_free(&ws->request->engine->budget, ws, sizeof(*ws));
}

/* Keeps bytes that were not consumed. False: no memory. */
static bool keep(struct websocket *ws, const char *data, size_t n)
{
    ws->kept_capacity = n;
    ws->kept = budget_alloc(&ws->request->engine->budget, BUDGET_ADMITTED, &ws->kept_capacity);
    if (!ws->kept)
        return false;
    ws->kept_size = n;
    memcpy(ws->kept, data, n);
    return true;
}

/* Takes the bytes that the client has sent behind its head. False: no memory. */
static bool keep_rest(struct websocket *ws)
{
    struct request *request = ws->request;
    size_t n = request->input_size - request->input_at;
    bool kept = n == 0 || keep(ws, request->input + request->input_at, n);
    if (kept)
        request->input_size = request->input_at;
    return kept;
}

enum response_error websocket_accept(struct request *request)
{
    assert_attached();
    struct engine *engine = request->engine;
    struct ws_handshake handshake;
    assert(engine->ops->events);
    websocket_asked(request, &handshake);
    struct websocket *ws = websocket_new(request, &handshake.deflate);
    if (!ws)
        return RESPONSE_NO_MEMORY;
    if (!keep_rest(ws)) {
        websocket_free(ws);
        return RESPONSE_NO_MEMORY;
    }
    request->stream->watch(request);
    enum response_error error = response_finish(request);
    if (error != RESPONSE_OK) {
        websocket_free(ws);
        return error;
    }
    deadline_end(&engine->deadlines, &request->deadline);
    request_shrink(request);
    request->response.body_sent = 0;
    request->websocket = ws;
    engine_attend(engine, request);
    return RESPONSE_OK;
}

/* The application */

void websocket_ask(struct request *request, unsigned events)
{
    assert_attached();
    struct engine *engine = request->engine;
    events_want(engine, request, events);
    unsigned happened = request_events(duplex_pending(&request->websocket->duplex));
    if (atomic_load(&engine->out_of_time))
        happened |= REQUEST_DEADLINE;
    if (events & happened)
        engine_raise(engine, request, events & happened);
}

bool websocket_room(const struct request *request)
{
    assert_attached();
    return duplex_pending(&request->websocket->duplex) & DUPLEX_ROOM;
}

enum duplex_next websocket_next(struct request *request, struct duplex_message **message)
{
    assert_attached();
    return duplex_next(&request->websocket->duplex, message);
}

void websocket_drop(struct request *request, struct duplex_message *message)
{
    assert_attached();
    duplex_drop(&request->websocket->duplex, message);
}

enum duplex_sent websocket_send(struct request *request, bool text, struct str payload)
{
    assert_attached();
    struct websocket *ws = request->websocket;
    enum duplex_sent sent = duplex_send(&ws->duplex, text, payload);
    if (atomic_load_explicit(&ws->unattended, memory_order_relaxed))
        engine_attend(request->engine, request);
    return sent;
}

void websocket_close(struct request *request, uint16_t code, struct str reason)
{
    assert_attached();
    duplex_close(&request->websocket->duplex, code, reason);
}

uint16_t websocket_code(const struct request *request, struct str *reason)
{
    const struct duplex *duplex = &request->websocket->duplex;
    *reason = (struct str){duplex->reason, duplex->reason_size};
    return duplex->code;
}

/* The end */

static void hang_up(struct websocket *ws)
{
    if (ws->want == DUPLEX_END)
        return;
    duplex_hung_up(&ws->duplex);
    ws->want = DUPLEX_END;
}

/* The client takes nothing, or will get nothing more. */
static void drop_output(struct engine *engine, struct websocket *ws)
{
    struct outq *out = &ws->request->out;
    pthread_mutex_lock(&out->lock);
    ws->request->response.broken = true;
    struct part *rest = outq_clear(out);
    pthread_mutex_unlock(&out->lock);
    engine_discard(engine, rest);
    hang_up(ws);
}

/* Bytes that were not read would make close() a reset, which may overtake our close frame. */
static void close_finished(struct engine *engine, struct conn *conn)
{
    bool broken = websocket_of(conn)->request->response.broken;
    conn_because(conn, CLOSE_ANSWERED);
    if (broken || conn->failed || conn_is_ending(conn) || !conn_has_unread(conn))
        conn_close(engine, conn);
    else
        conn_linger(engine, conn);
}

/* All is sent. The application may still have the request. */
static void shut_down(struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    if (ws->shut)
        return;
    ws->shut = true;
    if (conn->tls)
        tls_shutdown(conn->tls);
    shutdown(conn->io.fd, SHUT_WR);
}

/* Times */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void set_timer(struct engine *engine, struct conn *conn)
{
    const struct websocket *ws = websocket_of(conn);
    uint64_t at = earlier(ws->out_at, earlier(ws->drain_at, ws->duplex.deadline_ms));
    if (at > 0)
        timer_set(&engine->timers, &conn->timer, at);
    else
        timer_cancel(&conn->timer);
}

/* `taken`: the client has taken some of the output. */
static void time_output(struct engine *engine, struct websocket *ws, bool taken)
{
    uint32_t ms = engine->options.send_timeout_ms;
    if (!atomic_load(&ws->request->out.pending) || ms == 0)
        ws->out_at = 0;
    else if (taken || ws->out_at == 0)
        ws->out_at = engine->now_ms + ms;
}

/* At the end of all that the leader does for it; it may be closed after this. */
static void settle(struct engine *engine, struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    if ((ws->request->response.broken || conn->failed) && ws->want != DUPLEX_END)
        drop_output(engine, ws);
    atomic_store(&ws->unattended, false);
    time_output(engine, ws, false);
    bool ended = ws->want == DUPLEX_END && !atomic_load(&ws->request->out.pending);
    if (ended && is_finished(ws)) {
        close_finished(engine, conn);
        return;
    }
    if (ended)
        shut_down(conn);
    set_timer(engine, conn);
}

/* Reading */

static void give(struct engine *engine, struct websocket *ws, char *data, size_t n)
{
    size_t used;
    ws->want = duplex_received(&ws->duplex, data, n, &used, engine->now_ms);
    if (ws->want == DUPLEX_PAUSE && used < n && !keep(ws, data + used, n - used))
        hang_up(ws);
}

static void give_kept(struct engine *engine, struct websocket *ws)
{
    char *data = ws->kept;
    size_t n = ws->kept_size, capacity = ws->kept_capacity;
    if (!data)
        return;
    ws->kept = NULL;
    give(engine, ws, data, n);
    budget_free(&engine->budget, data, capacity);
}

/* Whether the socket may have more at once. */
static bool take(struct engine *engine, struct conn *conn, size_t *taken)
{
    char data[DUPLEX_READ_SIZE];
    struct websocket *ws = websocket_of(conn);
    ssize_t n = transport_recv(conn->io.fd, conn->tls, data, sizeof(data));
    bool paused = transport_paused(conn->tls);
    if (n < 0 && errno == EAGAIN) {
        conn_await(engine, conn, 0);
        return false;
    }
    if (n <= 0) {
        hang_up(ws);
        return false;
    }
    metrics_add(&engine->metrics->bytes_in, (uint64_t)n);
    give(engine, ws, data, (size_t)n);
    bool is_all = (size_t)n < sizeof(data) && !paused && !conn_is_ending(conn) && !conn->urgent;
    if (is_all)
        conn->readable = false;
    if (ws->want != DUPLEX_READ)
        return false;
    if (is_all) {
        conn_await(engine, conn, 0);
        return false;
    }
    *taken += (size_t)n;
    if (*taken < READ_TURN && !paused)
        return true;
    conn_read_later(engine, conn);
    return false;
}

static void read_on(struct engine *engine, struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    size_t taken = 0;
    give_kept(engine, ws);
    while (ws->want == DUPLEX_READ && take(engine, conn, &taken))
        ;
}

static void readable(struct engine *engine, struct conn *conn)
{
    if (websocket_of(conn)->want == DUPLEX_READ)
        read_on(engine, conn);
    settle(engine, conn);
}

/* As the duplex wants it now: reading may go on. */
static void turn_to(struct engine *engine, struct conn *conn, enum duplex_want want)
{
    struct websocket *ws = websocket_of(conn);
    bool resumes = ws->want == DUPLEX_PAUSE && want == DUPLEX_READ;
    ws->want = want;
    if (resumes)
        read_on(engine, conn);
}

/* The application has done something. */
static void go_on(struct engine *engine, struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    if (ws->want != DUPLEX_END)
        turn_to(engine, conn, duplex_attend(&ws->duplex, engine->now_ms));
    settle(engine, conn);
}

static void attend(struct engine *engine, struct request *request)
{
    go_on(engine, request->conn);
}

static void writable(struct engine *engine, struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    uint64_t taken = 0;
    if (atomic_load(&ws->request->out.pending))
        http1_send_on(ws->request, &taken);
    time_output(engine, ws, taken > 0);
    if (ws->want != DUPLEX_END)
        duplex_sent(&ws->duplex);
    settle(engine, conn);
}

/* Deadlines, and the end of the worker */

/* Where clients come back to other workers, a few at a time, so that not all come at once. */
static uint64_t drain_delay_ms(struct engine *engine)
{
    uint64_t every_us = engine->has_heirs ? WEBSOCKET_DRAIN_EVERY_US : WEBSOCKET_STOP_EVERY_US;
    uint64_t most_us = (uint64_t)engine->options.graceful_ms * 1000 / WEBSOCKET_DRAIN_SHARE;
    if (most_us > 0 && every_us * engine->websockets > most_us)
        every_us = most_us / engine->websockets;
    return engine->websockets_closed++ * every_us / 1000;
}

static void drain(struct engine *engine, struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    if (is_finished(ws) || ws->want == DUPLEX_END)
        return;
    ws->drain_at = engine->now_ms + drain_delay_ms(engine);
    set_timer(engine, conn);
}

static void close_drained(struct engine *engine, struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    ws->drain_at = 0;
    if (ws->want == DUPLEX_END)
        return;
    conn_because(conn, CLOSE_DRAINED);
    duplex_drain(&ws->duplex, WS_CLOSE_RESTART, engine->now_ms);
}

static void give_up_output(struct engine *engine, struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    ws->out_at = 0;
    if (!atomic_load(&ws->request->out.pending)) /* the application's thread has sent it */
        return;
    conn_because(conn, CLOSE_SEND_TIMEOUT);
    drop_output(engine, ws);
}

static bool is_due(uint64_t at, const struct engine *engine)
{
    return at > 0 && engine->now_ms >= at;
}

/* Bytes that arrived in time count, although they were not read in time. */
static void expired(struct engine *engine, struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    if (ws->want == DUPLEX_READ)
        read_on(engine, conn);
    if (is_due(ws->drain_at, engine))
        close_drained(engine, conn);
    if (is_due(ws->out_at, engine))
        give_up_output(engine, conn);
    if (ws->want != DUPLEX_END && is_due(ws->duplex.deadline_ms, engine))
        turn_to(engine, conn, duplex_expired(&ws->duplex, engine->now_ms));
    settle(engine, conn);
}

static bool cut(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
                const char *text)
{
    struct websocket *ws = websocket_of(conn);
    (void)status;
    (void)text;
    conn_because(conn, reason);
    if (is_finished(ws)) {
        conn_close(engine, conn);
        return true;
    }
    if (ws->want != DUPLEX_END)
        duplex_drain(&ws->duplex, WS_CLOSE_RESTART, engine->now_ms);
    hang_up(ws);
    events_raise(engine, ws->request, REQUEST_DEADLINE);
    settle(engine, conn);
    return false;
}

/* Beginning, and the application's calls */

void websocket_open(struct engine *engine, struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    conn->protocol = &websocket_protocol;
    conn_turn_to(engine, conn, ACTIVITY_WEBSOCKET);
    conn_list(engine, conn);
    engine->websockets++;
    ws->want = duplex_attend(&ws->duplex, engine->now_ms);
    if (engine->drained)
        drain(engine, conn);
    if (ws->want == DUPLEX_READ)
        read_on(engine, conn);
    settle(engine, conn);
}

void websocket_forget(struct request *request)
{
    struct websocket *ws = request->websocket;
    request->websocket = NULL;
    if (ws)
        websocket_free(ws);
}

static void answered(struct engine *engine, struct request *request)
{
    struct conn *conn = request->conn;
    engine->websockets--;
    request_turn_to(engine, request, PHASE_FLUSH);
    conn_turn_to(engine, conn, ACTIVITY_FLUSH);
    conn_mark(engine, conn);
    duplex_close(&request->websocket->duplex, WS_CLOSE_NORMAL, STR(""));
    go_on(engine, conn);
}

static bool release(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (!request) /* it was to linger, and cannot */
        return true;
    struct websocket *ws = request->websocket;
    bool whole = !ws->shut && !request->response.broken;
    if (!is_finished(ws))
        engine->websockets--;
    conn->request = NULL;
    websocket_forget(request);
    request_put(engine, request);
    return whole;
}

const struct protocol websocket_protocol = {
    .name = "websocket",
    .readable = readable,
    .writable = writable,
    .answered = answered,
    .attend = attend,
    .expired = expired,
    .drain = drain,
    .cut = cut,
    .release = release,
};
