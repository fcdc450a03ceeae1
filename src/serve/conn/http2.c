#include "serve/conn/http2.h"

#include "base/mem.h"
#include "net/transport.h"
#include "serve/conn/http2_private.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The connection: bytes in, bytes out, times, and the end. */

static bool is_empty(const struct http2_conn *h2)
{
    return list_empty(&h2->streams);
}

/* Sending */

static void break_off(struct http2_conn *h2)
{
    if (h2->broken)
        return;
    h2->broken = h2->ended = true;
    http2_abandon(h2, true);
}

static void drop_rest(struct http2_conn *h2)
{
    if (h2->rest) {
        budget_give(&h2->engine->budget, h2->rest_capacity);
        mem_free(h2->rest);
    }
    h2->rest = NULL;
    h2->out_at = 0;
}

/* The client did not take these: they come first. */
static bool keep_rest(struct http2_conn *h2, const char *data, size_t n)
{
    h2->rest = mem_alloc(n);
    if (!h2->rest)
        return false;
    memcpy(h2->rest, data, n);
    budget_force(&h2->engine->budget, n);
    h2->rest_at = 0;
    h2->rest_size = h2->rest_capacity = n;
    return true;
}

static void sent(struct http2_conn *h2, size_t n)
{
    uint32_t ms = h2->engine->options.send_timeout_ms;
    metrics_add(&h2->engine->metrics->bytes_out, n);
    h2->out_at = ms > 0 ? h2->engine->now_ms + ms : 0;
}

/* How many bytes left; 0: the socket takes none now; -1: it is broken. */
static ssize_t send_some(struct http2_conn *h2, const char *data, size_t n)
{
    struct conn *conn = h2->conn;
    const struct iovec part = {(void *)(uintptr_t)data, n};
    ssize_t left = transport_sendv(conn->io.fd, conn->tls, &part, 1, false);
    if (left < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    sent(h2, (size_t)left);
    return left;
}

static ssize_t send_rest(struct http2_conn *h2)
{
    ssize_t left = send_some(h2, h2->rest + h2->rest_at, h2->rest_size - h2->rest_at);
    if (left > 0)
        h2->rest_at += (size_t)left;
    if (left > 0 && h2->rest_at >= h2->rest_size)
        drop_rest(h2);
    return left;
}

/* What the session has to say next. *over: nothing. */
static ssize_t send_new(struct http2_conn *h2, bool *over)
{
    char out[HTTP2_SEND_SIZE];
    size_t n = http2_send(h2->session, out, sizeof(out));
    *over = n == 0;
    if (n == 0)
        return 0;
    ssize_t left = send_some(h2, out, n);
    if (left >= 0 && (size_t)left < n && !keep_rest(h2, out + left, n - (size_t)left))
        return -1;
    if (left == 0 && h2->out_at == 0)
        sent(h2, 0);
    return left;
}

/* Sends until there is nothing more, the socket is full, or it is the turn of others. */
static void send_on(struct http2_conn *h2)
{
    struct conn *conn = h2->conn;
    size_t turn = 0;
    bool over = false;
    while (!h2->broken) {
        ssize_t left = h2->rest ? send_rest(h2) : send_new(h2, &over);
        if (over)
            break;
        if (left < 0)
            break_off(h2);
        if (left == 0)
            loop_arm(h2->engine->loop, &conn->io, conn_send_interest(conn));
        if (left <= 0)
            return;
        turn += (size_t)left;
        if (turn >= SEND_TURN) {
            loop_again(h2->engine->loop, &conn->io, LOOP_WRITE);
            break;
        }
    }
    if (turn > 0)
        conn_gain(h2->engine, conn, turn);
    if (!h2->rest)
        h2->out_at = 0;
}

/* Activity and times */

static void turn(struct http2_conn *h2)
{
    struct conn *conn = h2->conn;
    enum metrics_activity activity = ACTIVITY_IDLE;
    if (h2->running > h2->websockets)
        activity = ACTIVITY_RUNNING;
    else if (h2->websockets > 0)
        activity = ACTIVITY_WEBSOCKET;
    else if (h2->receiving > 0)
        activity = ACTIVITY_BODY;
    else if (!is_empty(h2) || h2->rest)
        activity = ACTIVITY_FLUSH;
    if (conn->activity == activity)
        return;
    conn_turn_to(h2->engine, conn, activity);
    conn_mark(h2->engine, conn);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* A client that has not had a request answered is new. While bytes wait for the socket,
 * send_timeout counts. */
static void time_idleness(struct http2_conn *h2)
{
    const struct engine_options *options = &h2->engine->options;
    uint32_t ms = options->keepalive_ms > 0 ? options->keepalive_ms : HTTP2_IDLE_MS;
    if (!is_empty(h2) || h2->rest)
        h2->idle_at = 0;
    else if (h2->idle_at == 0 && h2->conn->served > 0)
        h2->idle_at = h2->engine->now_ms + ms;
    else if (h2->idle_at == 0 && options->header_timeout_ms > 0)
        h2->idle_at = h2->conn->since_ms + options->header_timeout_ms;
}

static void time_head(struct http2_conn *h2)
{
    uint32_t ms = h2->engine->options.header_timeout_ms;
    if (!http2_awaits_head(h2->session) || h2->keeping > 0)
        h2->head_at = 0;
    else if (h2->head_at == 0 && ms > 0)
        h2->head_at = h2->engine->now_ms + ms;
}

static void set_timer(struct http2_conn *h2)
{
    struct engine *engine = h2->engine;
    time_idleness(h2);
    time_head(h2);
    uint64_t at = earlier(earlier(h2->idle_at, h2->head_at), earlier(h2->out_at, h2->end_at));
    at = earlier(earlier(at, h2->room_at), is_empty(h2) ? 0 : h2->next_at);
    if (at == 0)
        conn_deadline_at(engine, h2->conn, 0, 0);
    else
        conn_deadline_in(engine, h2->conn,
                         at > engine->now_ms ? (uint32_t)(at - engine->now_ms) : 0);
}

/* The end */

static void log_violation(struct http2_conn *h2)
{
    const char *why = http2_violation(h2->session);
    char peer[PEER_TEXT_SIZE];
    if (!why || h2->logged)
        return;
    h2->logged = h2->ended = true;
    conn_because(h2->conn, CLOSE_MALFORMED);
    engine_note(h2->engine, NOTE_WARNING, "Invalid request from ip=%s: HTTP/2: %s",
                peer_text(&h2->conn->peer, peer), why);
}

/* No stream is left, and no other begins. */
static void end_connection(struct http2_conn *h2, enum metrics_close reason)
{
    struct conn *conn = h2->conn;
    if (!h2->ending)
        http2_end(h2->session);
    h2->ending = true;
    send_on(h2);
    conn_because(conn, reason);
    if (h2->logged && !h2->rest) /* it is to read why */
        conn_linger(h2->engine, conn);
    else if (h2->broken || h2->rest || atomic_load_explicit(&conn->gone, memory_order_relaxed))
        conn_close(h2->engine, conn);
    else
        conn_linger(h2->engine, conn);
}

/* The first step of GOAWAY. */
static void announce_end(struct http2_conn *h2)
{
    if (h2->announced)
        return;
    h2->announced = true;
    h2->end_at = h2->engine->now_ms + HTTP2_END_MS;
    http2_announce_end(h2->session);
}

/* The certificate was renewed since the handshake. */
static bool is_outdated(const struct conn *conn)
{
    return conn->tls && tls_context_of(conn->tls) !=
                            atomic_load_explicit(&conn->listener->tls, memory_order_relaxed);
}

/* The second step of GOAWAY: clients know of the end now, or have had the time to. */
static void take_no_more(struct http2_conn *h2)
{
    h2->end_at = 0;
    if (h2->ending)
        return;
    h2->ending = true;
    http2_end(h2->session);
    send_on(h2);
}

/* A client that does not take what it makes us say, or whose bodies have no room, has to wait. */
static bool may_go_on(const struct http2_conn *h2)
{
    return !h2->ended && h2->keeping == 0 && !(h2->rest && http2_is_full(h2->session));
}

static bool may_read(const struct http2_conn *h2)
{
    return may_go_on(h2) && !http2_has_more(h2->session);
}

static void read_on(struct http2_conn *h2)
{
    if (!h2->unread || !may_go_on(h2))
        return;
    h2->unread = false;
    if (http2_has_more(h2->session))
        conn_go_on_later(h2->engine, h2->conn);
    else
        conn_read_later(h2->engine, h2->conn);
}

/* At the end of all that the leader does for it; it may be closed after this. */
static void settle(struct engine *engine, struct conn *conn)
{
    struct http2_conn *h2 = conn->session;
    if (conn->state != CONN_OPEN)
        return;
    list_remove(&h2->unsent.link);
    if (is_outdated(conn) && !h2->ended)
        announce_end(h2);
    send_on(h2);
    if (h2->ended && !h2->rest && !http2_wants_write(h2->session))
        http2_abandon_unsent(h2);
    if (h2->announced && h2->ponged)
        take_no_more(h2);
    log_violation(h2);
    if (h2->logged && !h2->broken && !is_empty(h2))
        break_off(h2);
    turn(h2);
    bool ends = h2->ended || h2->ending || conn->failed;
    if (is_empty(h2) && (ends || http2_is_over(h2->session)) && (!h2->rest || h2->broken))
        end_connection(h2, h2->announced ? CLOSE_DRAINED : CLOSE_ANSWERED);
    else
        set_timer(h2);
    if (conn->state == CONN_OPEN)
        read_on(h2);
    (void)engine;
}

/* Bodies without room */

/* Other bodies could not go on meanwhile. */
static void time_anew(struct request *request)
{
    request->body.timed = false;
    request->body.arrived = 0;
    http2_body_went_on(request, BODY_PARTIAL);
}

static void look_for_room(struct http2_conn *h2)
{
    struct list *next;
    bool waits = h2->keeping > 0;
    for (struct list *l = h2->streams.next; l != &h2->streams; l = next) {
        struct http2_stream *stream = list_entry(l, struct http2_stream, link);
        enum body_progress progress;
        next = l->next;
        if (stream->kept && http2_store_kept(stream->request, &progress))
            http2_body_went_on(stream->request, progress);
        else if (!stream->kept && request_phase(stream->request) == PHASE_BODY)
            time_anew(stream->request);
    }
    h2->room_at = waits ? h2->engine->now_ms + PARK_LOOK_MS : 0;
}

/* Reading */

static struct http2_conn *make(struct engine *engine, struct conn *conn)
{
    const struct http2_settings *settings = &engine->options.http2;
    struct http2_conn *h2 = mem_alloc(sizeof(*h2));
    if (!h2)
        return NULL;
    *h2 = (struct http2_conn){.engine = engine, .conn = conn};
    list_init(&h2->streams);
    list_init(&h2->sending);
    list_init(&h2->unsent.link);
    h2->unsent.conn = conn;
    h2->session = http2_new(settings, &http2_conn_events, h2);
    if (h2->session)
        return h2;
    mem_free(h2);
    return NULL;
}

bool http2_open(struct engine *engine, struct conn *conn)
{
    if (conn->session)
        return true;
    if (conn_watch(engine, conn) < 0)
        return false;
    conn->session = make(engine, conn);
    if (!conn->session) {
        engine_note(engine, NOTE_ERROR, "No memory for HTTP/2: connection closed");
        return false;
    }
    budget_force(&engine->budget, HTTP2_SESSION);
    return true;
}

static void end_of_input(struct http2_conn *h2, bool broken)
{
    h2->ended = true;
    if (broken)
        break_off(h2);
    else
        http2_abandon(h2, false);
}

static void receive(struct http2_conn *h2, const char *data, size_t n)
{
    if (!http2_receive(h2->session, data, n, h2->engine->now_ms))
        h2->ended = true;
}

/* Whether the socket may have more at once. */
static bool take(struct http2_conn *h2, size_t *taken)
{
    char data[HTTP2_READ_SIZE];
    struct engine *engine = h2->engine;
    struct conn *conn = h2->conn;
    ssize_t n = transport_recv(conn->io.fd, conn->tls, data, sizeof(data));
    bool paused = transport_paused(conn->tls);
    if (n < 0 && errno == EAGAIN) {
        conn_await(engine, conn, 0);
        return false;
    }
    if (n <= 0) {
        end_of_input(h2, n < 0);
        return false;
    }
    metrics_add(&engine->metrics->bytes_in, (uint64_t)n);
    conn_gain(engine, conn, (uint64_t)n);
    receive(h2, data, (size_t)n);
    if ((size_t)n < sizeof(data) && !paused && !conn_is_ending(conn) && !conn->urgent) {
        conn_await(engine, conn, 0);
        return false;
    }
    *taken += (size_t)n;
    if (*taken < HTTP2_READ_TURN && !paused)
        return true;
    conn_read_later(engine, conn);
    return false;
}

static void readable(struct engine *engine, struct conn *conn)
{
    size_t taken = 0;
    if (!http2_open(engine, conn)) {
        conn_close_because(engine, conn, CLOSE_ERROR);
        return;
    }
    struct http2_conn *h2 = conn->session;
    if (h2->keeping > 0 && conn_is_ending(conn))
        look_for_room(h2);
    if (may_go_on(h2) && http2_has_more(h2->session))
        receive(h2, "", 0);
    while (conn->state == CONN_OPEN && may_read(h2) && take(h2, &taken))
        ;
    if (conn->state != CONN_OPEN)
        return;
    h2->unread = !may_read(h2);
    settle(engine, conn);
}

static void writable(struct engine *engine, struct conn *conn)
{
    struct http2_conn *h2 = conn->session;
    if (h2 && (h2->rest || h2->unread || http2_wants_write(h2->session)))
        settle(engine, conn);
}

/* Requests */

static void send_later(struct engine *engine, struct conn *conn)
{
    struct http2_conn *h2 = conn->session;
    engine_send_later(engine, &h2->unsent);
}

static void answered(struct engine *engine, struct request *request)
{
    struct conn *conn = request->conn;
    http2_request_answered(request);
    send_later(engine, conn);
}

static void attend(struct engine *engine, struct request *request)
{
    http2_credit(request);
    http2_deliver(request);
    http2_websocket_attend(request);
    send_later(engine, request->conn);
}

/* Times that are over */

static void look_at_streams(struct http2_conn *h2)
{
    struct list *next;
    uint64_t at = 0;
    for (struct list *l = h2->streams.next; l != &h2->streams; l = next) {
        next = l->next;
        at = earlier(at, http2_request_expired(list_entry(l, struct http2_stream, link)->request));
    }
    h2->next_at = at;
}

static bool is_due(const struct http2_conn *h2, uint64_t at)
{
    return at > 0 && h2->engine->now_ms >= at;
}

static void give_up_client(struct http2_conn *h2, enum metrics_close reason)
{
    conn_because(h2->conn, reason);
    break_off(h2);
}

/* The socket tells late that the client takes some of what it holds. */
static void look_at_output(struct http2_conn *h2)
{
    h2->out_at = 0;
    if (!conn_takes(h2->conn)) {
        give_up_client(h2, CLOSE_SEND_TIMEOUT);
        return;
    }
    conn_mark(h2->engine, h2->conn);
    sent(h2, 0);
}

/* Whether one of its own times was over. */
static bool look_at_times(struct http2_conn *h2)
{
    bool due = true;
    if (is_due(h2, h2->end_at))
        take_no_more(h2);
    else if (is_due(h2, h2->out_at) && h2->rest)
        look_at_output(h2);
    else if (is_due(h2, h2->room_at))
        look_for_room(h2);
    else if (is_due(h2, h2->head_at))
        give_up_client(h2, CLOSE_HEADER_TIMEOUT);
    else if (!is_empty(h2) && is_due(h2, h2->next_at))
        look_at_streams(h2);
    else
        due = false;
    return due;
}

static void expired(struct engine *engine, struct conn *conn)
{
    struct http2_conn *h2 = conn->session;
    if (!h2) {
        conn_close_because(engine, conn, engine->drained ? CLOSE_DRAINED : CLOSE_HEADER_TIMEOUT);
        return;
    }
    if (look_at_times(h2)) {
        settle(engine, conn);
        return;
    }
    if (engine->drained)
        drain_cut(engine, conn);
    else if (is_empty(h2) && is_due(h2, h2->idle_at))
        end_connection(h2, conn->served > 0 ? CLOSE_KEEPALIVE : CLOSE_HEADER_TIMEOUT);
    else
        settle(engine, conn);
}

static void drain_websockets(struct http2_conn *h2)
{
    for (struct list *l = h2->streams.next; l != &h2->streams; l = l->next) {
        const struct http2_stream *stream = list_entry(l, struct http2_stream, link);
        if (stream->is_websocket)
            websocket_drain(stream->request->websocket);
    }
}

/* The caller sets the timer, and goes on with the connection. */
static void drain(struct engine *engine, struct conn *conn)
{
    struct http2_conn *h2 = conn->session;
    (void)engine;
    if (!h2 || h2->ended)
        return;
    announce_end(h2);
    drain_websockets(h2);
    send_on(h2);
    set_timer(h2);
}

static void refuse(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
                   const char *text)
{
    (void)status;
    (void)text;
    conn_close_because(engine, conn, reason);
}

/* Streams that no application has are refused; the applications of the others are informed. */
static void cut_streams(struct http2_conn *h2, int status, const char *text)
{
    struct engine *engine = h2->engine;
    struct list *next;
    for (struct list *l = h2->streams.next; l != &h2->streams; l = next) {
        next = l->next;
        struct request *request = list_entry(l, struct http2_stream, link)->request;
        enum request_phase phase = request_phase(request);
        bool runs = phase == PHASE_RUNNING && !ready_remove(&engine->ready, request);
        if (phase == PHASE_HEAD)
            http2_withdraw(request);
        else if (!runs && phase != PHASE_FLUSH)
            http2_refuse(request, status, text);
        else if (runs && http2_stream(request)->is_websocket)
            websocket_cut(request->websocket);
        else if (runs && engine->ops->events)
            events_raise(engine, request, REQUEST_DEADLINE);
    }
}

static bool cut(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
                const char *text)
{
    struct http2_conn *h2 = conn->session;
    if (h2) {
        engine_flush_batch(engine);
        cut_streams(h2, status, text);
        if (!h2->ending)
            http2_end(h2->session);
        h2->ending = true;
        send_on(h2);
        if (h2->running > 0)
            return false;
    }
    conn_close_because(engine, conn, reason);
    return true;
}

static bool release(struct engine *engine, struct conn *conn)
{
    struct http2_conn *h2 = conn->session;
    if (!h2)
        return true;
    bool whole = is_empty(h2) && !h2->broken && !h2->rest;
    while (!is_empty(h2))
        http2_drop(list_entry(h2->streams.next, struct http2_stream, link)->request);
    list_remove(&h2->unsent.link);
    drop_rest(h2);
    http2_free(h2->session);
    budget_give(&engine->budget, HTTP2_SESSION);
    mem_free(h2);
    conn->session = NULL;
    return whole;
}

const struct protocol http2_protocol = {
    .name = "h2",
    .readable = readable,
    .writable = writable,
    .answered = answered,
    .attend = attend,
    .flush = settle,
    .expired = expired,
    .drain = drain,
    .refuse = refuse,
    .cut = cut,
    .release = release,
};
