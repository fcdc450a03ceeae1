#include "serve/conn/conn.h"

#include "base/forked.h"
#include "base/mem.h"
#include "net/transport.h"
#include "serve/conn/protocol.h"
#include "serve/conn/proxied.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* States and counts */

static const bool moves[][4] = {
    /*                  HANDSHAKE OPEN LINGER CLOSED */
    [CONN_HANDSHAKE] = {0, 1, 1, 1},
    [CONN_OPEN] = {0, 0, 1, 1},
    [CONN_LINGER] = {0, 0, 0, 1},
    [CONN_CLOSED] = {0, 0, 0, 0},
};

_Static_assert((int)ACTIVITY_WEBSOCKET < METRICS_CONN_STATES, "each activity is counted");

static bool move(struct engine *engine, struct conn *conn, enum conn_state to)
{
    assert_leader(engine);
    if (!moves[conn->state][to]) {
        conn_fail(engine, conn, "an illegal change of its state");
        return false;
    }
    atomic_store_explicit(&conn->state, to, memory_order_relaxed);
    return true;
}

void conn_fail(struct engine *engine, struct conn *conn, const char *what)
{
    char peer[PEER_TEXT_SIZE];
    engine_note(engine, NOTE_ERROR, "Connection of ip=%s is closed: %s",
                peer_text(&conn->peer, peer), what);
    assert(!"a connection in an illegal state");
    if (conn->state == CONN_CLOSED)
        return;
    conn->failed = true;
    conn_because(conn, CLOSE_ERROR);
    timer_set(&engine->timers, &conn->timer, engine->now_ms);
}

void conn_turn_to(struct engine *engine, struct conn *conn, enum metrics_activity activity)
{
    metrics_drop(&engine->metrics->connections[conn->activity]);
    metrics_raise(&engine->metrics->connections[activity]);
    conn->activity = (uint8_t)activity;
}

/* Deadlines */

/* 0: none. */
static void set_deadline(struct engine *engine, struct conn *conn, uint64_t at)
{
    if (engine->drained) {
        uint64_t most = drain_limit(engine, conn);
        if (most < UINT64_MAX && (at == 0 || at > most))
            at = most;
    }
    if (at > 0)
        timer_set(&engine->timers, &conn->timer, at);
    else
        timer_cancel(&conn->timer);
}

void conn_deadline_in(struct engine *engine, struct conn *conn, uint32_t ms)
{
    set_deadline(engine, conn, engine->now_ms + ms);
}

void conn_deadline_at(struct engine *engine, struct conn *conn, uint64_t since, uint32_t ms)
{
    set_deadline(engine, conn, ms > 0 ? since + ms : 0);
}

/* Lists, each ordered by the marks */

static struct list *list_of(struct engine *engine, const struct conn *conn)
{
    if (conn->reads_on)
        return &engine->unread;
    switch (conn->activity) {
    case ACTIVITY_HEAD:
    case ACTIVITY_BODY:
    case ACTIVITY_FLUSH:
        return &engine->crowd;
    case ACTIVITY_RUNNING:
    case ACTIVITY_WEBSOCKET:
        return &engine->active;
    default:
        return &engine->idle;
    }
}

static void list_in(struct list *list, struct conn *conn)
{
    list_remove(&conn->link);
    list_push(list, &conn->link);
}

void conn_list(struct engine *engine, struct conn *conn)
{
    list_in(list_of(engine, conn), conn);
}

void conn_mark(struct engine *engine, struct conn *conn)
{
    if (conn->activity == ACTIVITY_FLUSH)
        conn->untaken = socket_untaken(conn->io.fd);
    conn->mark_ms = engine->now_ms;
    conn->gained = 0;
    conn_list(engine, conn);
}

bool conn_takes(const struct conn *conn)
{
    return socket_untaken(conn->io.fd) + PACE_BYTES <= conn->untaken;
}

void conn_gain(struct engine *engine, struct conn *conn, uint64_t n)
{
    if (n < PACE_BYTES - conn->gained)
        conn->gained += (uint32_t)n;
    else
        conn_mark(engine, conn);
}

/* Waiting */

static void conn_event(struct io *io, unsigned events, void *context)
{
    struct engine *engine = context;
    struct conn *conn = list_entry(io, struct conn, io);
    if (conn->state == CONN_CLOSED)
        return;
    if (events & LOOP_GONE)
        atomic_store_explicit(&conn->gone, true, memory_order_relaxed);
    if (events & LOOP_URGENT)
        conn->urgent = true;
    /* TLS may have to read before it can write, and the other way round. */
    if (((events & LOOP_WRITE) || conn->tls) && conn->state == CONN_OPEN)
        conn->protocol->writable(engine, conn);
    if (conn->state == CONN_CLOSED)
        return;
    if (!(events & LOOP_READ) && transport_recv_waits(conn->tls) == POLLIN)
        return;
    conn->readable = true;
    if (conn->parked && !(events & LOOP_GONE))
        return; /* its timer decides: bytes that drip would put that off again and again */
    conn_read(engine, conn);
}

int conn_watch(struct engine *engine, struct conn *conn)
{
    if (conn->watched)
        return 0;
    if (loop_add(engine->loop, &conn->io, LOOP_READ | LOOP_WRITE) < 0) {
        if (engine_may_log(&engine->watch_logged_ms))
            engine_note(engine, NOTE_ERROR, "Cannot wait for a client: %s", strerror(errno));
        return -1;
    }
    conn->watched = true;
    return 0;
}

unsigned conn_send_interest(const struct conn *conn)
{
    return transport_send_waits(conn->tls) == POLLIN ? LOOP_READ | LOOP_WRITE : LOOP_WRITE;
}

static unsigned read_interest(const struct conn *conn)
{
    return transport_recv_waits(conn->tls) == POLLOUT ? LOOP_READ | LOOP_WRITE : LOOP_READ;
}

void conn_await(struct engine *engine, struct conn *conn, uint32_t timeout_ms)
{
    conn->readable = false;
    if (conn_watch(engine, conn) < 0) {
        conn_close_because(engine, conn, CLOSE_ERROR);
        return;
    }
    loop_arm(engine->loop, &conn->io, read_interest(conn));
    if (timeout_ms)
        conn_deadline_in(engine, conn, timeout_ms);
}

void conn_go_on_later(struct engine *engine, struct conn *conn)
{
    conn->reads_on = true;
    conn_list(engine, conn);
}

void conn_read_later(struct engine *engine, struct conn *conn)
{
    bool watched = conn->watched;
    conn->readable = false;
    if (conn_watch(engine, conn) < 0) {
        conn_close_because(engine, conn, CLOSE_ERROR);
    } else if (conn->tls) { /* bytes that TLS has buffered raise no event */
        conn_go_on_later(engine, conn);
    } else if (watched) {
        loop_again(engine->loop, &conn->io, LOOP_READ);
    }
}

bool conn_is_ending(const struct conn *conn)
{
    return atomic_load_explicit(&conn->gone, memory_order_relaxed) ||
           (conn->tls && tls_ended(conn->tls));
}

bool conn_has_unread(const struct conn *conn)
{
    return conn->readable || atomic_load_explicit(&conn->gone, memory_order_relaxed) ||
           (conn->tls && tls_has_unread(conn->tls));
}

/* The beginning */

/* Where the listener speaks TLS a handshake begins. False: no memory. */
static bool begin_tls(struct engine *engine, struct conn *conn)
{
    struct tls_context *context = engine_use_tls(engine, conn->listener);
    if (!context)
        return true;
    conn->tls = tls_accept(context, conn->io.fd);
    if (!conn->tls) {
        engine_drop_tls(engine, context);
        return false;
    }
    budget_force(&engine->budget, BUDGET_TLS);
    return true;
}

static void end_tls(struct engine *engine, struct conn *conn)
{
    if (!conn->tls)
        return;
    engine_drop_tls(engine, tls_free(conn->tls));
    budget_give(&engine->budget, BUDGET_TLS);
    conn->tls = NULL;
}

static struct conn *create(struct engine *engine, struct listener *listener, int fd,
                           const struct peer *peer, bool awaits_proxy)
{
    assert_leader(engine);
    struct conn *conn = mem_alloc(sizeof(*conn));
    if (!conn)
        return NULL;
    *conn = (struct conn){
        .io = {.fd = fd, .on_event = conn_event},
        .state = CONN_OPEN,
        .activity = ACTIVITY_IDLE,
        .readable = true,
        .awaits_proxy = awaits_proxy,
        .protocol = listener->protocol ? listener->protocol : engine->options.protocol,
        .listener = listener,
        .since_ms = engine->now_ms,
        .mark_ms = engine->now_ms,
        .peer = *peer,
    };
    if (!begin_tls(engine, conn)) {
        mem_free(conn);
        return NULL;
    }
    if (conn->tls || conn->awaits_proxy) {
        conn->state = CONN_HANDSHAKE;
        conn->activity = ACTIVITY_HANDSHAKE;
    }
    forked_close(fd);
    timer_init(&conn->timer);
    list_init(&conn->link);
    list_push(&engine->idle, &conn->link);
    engine->connections++;
    metrics_add(&engine->metrics->accepted, 1);
    metrics_raise(&engine->metrics->connections[conn->activity]);
    return conn;
}

struct conn *conn_accept(struct engine *engine, struct listener *listener, int fd,
                         const struct peer *peer)
{
    return create(engine, listener, fd, peer, engine->options.proxy_versions != 0);
}

struct conn *conn_create(struct engine *engine, struct listener *listener, int fd,
                         const struct peer *peer)
{
    return create(engine, listener, fd, peer, false);
}

/* The client spoke HTTP as it is: so it is answered. */
static void answer_plain(struct engine *engine, struct conn *conn)
{
    char peer[PEER_TEXT_SIZE];
    engine_note(engine, NOTE_INFO, "Plain HTTP from ip=%s on a port that speaks TLS",
                peer_text(&conn->peer, peer));
    end_tls(engine, conn);
    if (move(engine, conn, CONN_OPEN))
        conn->protocol->refuse(engine, conn, CLOSE_TLS, 400,
                               "This port speaks TLS: ask for it by https://");
}

static void handshake_failed(struct engine *engine, struct conn *conn, enum tls_handshake how)
{
    char peer[PEER_TEXT_SIZE];
    metrics_add(&engine->metrics->handshakes_failed, 1);
    if (how == TLS_PLAIN_HTTP) {
        answer_plain(engine, conn);
        return;
    }
    engine_note(engine, NOTE_DEBUG, "TLS handshake with ip=%s failed: %s",
                peer_text(&conn->peer, peer), tls_error(conn->tls));
    conn_because(conn, CLOSE_TLS);
    conn->readable = true;
    conn_linger(engine, conn); /* for the alert that says why */
}

/* From now on its bytes are the protocol's. */
static void open_for_requests(struct engine *engine, struct conn *conn)
{
    if (!move(engine, conn, CONN_OPEN))
        return;
    conn_turn_to(engine, conn, ACTIVITY_IDLE);
    conn_mark(engine, conn);
    if (conn_has_unread(conn))
        conn_read(engine, conn);
    else
        conn_await(engine, conn, 0);
}

/* ALPN has chosen (RFC 7301); without it, or with another name, the listener's protocol stays. */
static void choose_protocol(struct engine *engine, struct conn *conn)
{
    struct str chosen;
    const struct protocol *const *at = engine->options.alpn;
    chosen.p = at ? tls_protocol(conn->tls, &chosen.n) : NULL;
    for (; chosen.p && *at; at++)
        if (str_eq(chosen, (struct str){(*at)->name, strlen((*at)->name)}))
            conn->protocol = *at;
}

static void handshake_done(struct engine *engine, struct conn *conn)
{
    choose_protocol(engine, conn);
    metrics_add(&engine->metrics->handshakes, 1);
    if (tls_resumed(conn->tls))
        metrics_add(&engine->metrics->handshakes_resumed, 1);
    open_for_requests(engine, conn);
}

static void handshake_tls(struct engine *engine, struct conn *conn)
{
    enum tls_handshake how = tls_handshake(conn->tls);
    conn->readable = false;
    switch (how) {
    case TLS_DONE:
        handshake_done(engine, conn);
        break;
    case TLS_WAITS:
        if (tls_paused(conn->tls))
            conn_read_later(engine, conn);
        else
            conn_await(engine, conn, 0);
        break;
    case TLS_WANTS_NAME:
        list_in(&engine->unnamed, conn);
        break;
    case TLS_GONE:
        conn_close(engine, conn);
        break;
    default:
        handshake_failed(engine, conn, how);
        break;
    }
}

static void proxy_done(struct engine *engine, struct conn *conn)
{
    conn->awaits_proxy = false;
    conn_deadline_at(engine, conn, conn->since_ms, engine->options.header_timeout_ms);
    if (conn->tls)
        handshake_tls(engine, conn);
    else
        open_for_requests(engine, conn);
}

/* The timer looks for the rest. */
static void look_later(struct engine *engine, struct conn *conn)
{
    uint32_t most_ms = engine->options.header_timeout_ms;
    uint64_t at = engine->now_ms + PROXY_LOOK_MS;
    bool last = most_ms > 0 && conn->since_ms + most_ms < at;
    set_deadline(engine, conn, last ? conn->since_ms + most_ms : at);
}

/* The bytes of a header that is not whole stay in the socket. A loop that remembers no edges would
 * report them without end. */
static void await_rest(struct engine *engine, struct conn *conn)
{
    conn->readable = false;
    if (conn_watch(engine, conn) < 0)
        conn_close_because(engine, conn, CLOSE_ERROR);
    else if (!loop_remembers_edges(engine->loop))
        look_later(engine, conn);
}

/* Answers without TLS, also where TLS would have followed. */
static void refuse_proxy(struct engine *engine, struct conn *conn, int status, const char *page)
{
    end_tls(engine, conn);
    if (move(engine, conn, CONN_OPEN))
        conn->protocol->refuse(engine, conn, CLOSE_MALFORMED, status, page);
}

static void refuse_malformed(struct engine *engine, struct conn *conn, const char *why)
{
    char peer[PEER_TEXT_SIZE];
    engine_note(engine, NOTE_WARNING, "Invalid request from ip=%s: %s",
                peer_text(&conn->peer, peer), why);
    refuse_proxy(engine, conn, 400, why);
}

static void refuse_forbidden(struct engine *engine, struct conn *conn)
{
    char peer[PEER_TEXT_SIZE];
    peer_text(&conn->peer, peer);
    engine_note(engine, NOTE_WARNING,
                "Invalid request from ip=%s: Proxy request from '%s' not allowed", peer, peer);
    refuse_proxy(engine, conn, 403, "Request forbidden");
}

static void read_proxy(struct engine *engine, struct conn *conn)
{
    const char *why = NULL;
    switch (proxied_read(engine, conn, &why)) {
    case PROXIED_READ:
        proxy_done(engine, conn);
        break;
    case PROXIED_WAITS:
        conn_await(engine, conn, 0);
        break;
    case PROXIED_PARTIAL:
        await_rest(engine, conn);
        break;
    case PROXIED_GONE:
        conn_close(engine, conn);
        break;
    case PROXIED_FORBIDDEN:
        refuse_forbidden(engine, conn);
        break;
    case PROXIED_MALFORMED:
        refuse_malformed(engine, conn, why);
        break;
    case PROXIED_NO_MEMORY:
        engine_note(engine, NOTE_ERROR, "No memory for a PROXY header: connection closed");
        conn_close_because(engine, conn, CLOSE_ERROR);
        break;
    }
}

static void handshake(struct engine *engine, struct conn *conn)
{
    if (conn->timer.deadline == 0)
        conn_deadline_at(engine, conn, conn->since_ms, engine->options.header_timeout_ms);
    if (conn->awaits_proxy)
        read_proxy(engine, conn);
    else
        handshake_tls(engine, conn);
}

/* Whether the timer only looks for the rest of a PROXY header. */
static bool looks_for_proxy(const struct engine *engine, const struct conn *conn)
{
    uint32_t most_ms = engine->options.header_timeout_ms;
    return conn->awaits_proxy && (most_ms == 0 || engine->now_ms < conn->since_ms + most_ms) &&
           (!engine->drained || engine->now_ms < engine->stop_ms + DRAIN_IDLE_MS);
}

/* The end */

static void log_closed(struct engine *engine, struct conn *conn)
{
    char peer[PEER_TEXT_SIZE];
    engine_note(engine, NOTE_DEBUG, "Connection of ip=%s closed: %s", peer_text(&conn->peer, peer),
                metrics_close_name(conn->why));
}

/* A process that the application has forked may still hold a copy: close() alone would not end the
 * connection. One that another worker goes on with is not to end. */
static void close_socket(const struct conn *conn)
{
    if (conn->why != CLOSE_TAKEN && atomic_load_explicit(&forked_has_child, memory_order_relaxed))
        shutdown(conn->io.fd, SHUT_RDWR);
    forked_forget(conn->io.fd);
    close(conn->io.fd);
}

/* The number may be another file's by now. */
static void leave_socket(struct engine *engine, const struct conn *conn)
{
    if (forked_is_substitute(conn->io.fd))
        close(conn->io.fd);
    forked_forget(conn->io.fd);
    if (engine_may_log(&engine->watch_logged_ms))
        engine_note(engine, NOTE_ERROR,
                    "The application has closed a client's descriptor, which is the server's");
}

/* Without TLS's closing alert a client of TLS knows that the answer was cut short. */
static void release(struct engine *engine, struct conn *conn, bool is_ours)
{
    bool whole = conn->state != CONN_OPEN || conn->protocol->release(engine, conn);
    if (whole && is_ours && conn->tls)
        tls_shutdown(conn->tls);
    end_tls(engine, conn);
}

void conn_close(struct engine *engine, struct conn *conn)
{
    if (conn->state == CONN_CLOSED) { /* its descriptor may be another's by now */
        conn_fail(engine, conn, "it is closed twice");
        return;
    }
    if (engine->options.debug)
        log_closed(engine, conn);
    bool removed = !conn->watched || loop_remove(engine->loop, &conn->io) == 0;
    bool is_ours = removed && !forked_is_substitute(conn->io.fd);
    release(engine, conn, is_ours);
    move(engine, conn, CONN_CLOSED);
    metrics_drop(&engine->metrics->connections[conn->activity]);
    metrics_add(&engine->metrics->closed[conn->why], 1);
    if (is_ours)
        close_socket(conn);
    else
        leave_socket(engine, conn);
    timer_unlink(&conn->timer);
    list_remove(&conn->link);
    proxied_free(engine, conn);
    engine->connections--;
    if (removed) /* else never freed: events may still come for it, see loop_remove() */
        list_push(&engine->dead, &conn->link);
}

void conn_close_because(struct engine *engine, struct conn *conn, enum metrics_close reason)
{
    conn_because(conn, reason);
    conn_close(engine, conn);
}

bool conn_cut(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
              const char *text)
{
    if (conn->state == CONN_OPEN)
        return conn->protocol->cut(engine, conn, reason, status, text);
    conn_close_because(engine, conn, reason);
    return true;
}

void conn_linger(struct engine *engine, struct conn *conn)
{
    if (conn->failed) {
        conn_close(engine, conn);
        return;
    }
    release(engine, conn, true);
    if (conn_watch(engine, conn) < 0 || shutdown(conn->io.fd, SHUT_WR) < 0) {
        conn_close(engine, conn);
        return;
    }
    if (!move(engine, conn, CONN_LINGER))
        return;
    conn_turn_to(engine, conn, ACTIVITY_LINGER);
    conn_mark(engine, conn);
    conn->since_ms = engine->now_ms;
    conn_deadline_in(engine, conn, LINGER_IDLE_MS);
    if (conn->readable)
        conn_read(engine, conn);
    else
        loop_arm(engine->loop, &conn->io, LOOP_READ);
}

static void read_lingering(struct engine *engine, struct conn *conn)
{
    char waste[WASTE_SIZE];
    size_t left = READ_TURN;
    ssize_t n = socket_recv(conn->io.fd, waste, sizeof(waste));
    while (n == (ssize_t)sizeof(waste) && (left -= sizeof(waste)) > 0)
        n = socket_recv(conn->io.fd, waste, sizeof(waste));
    uint32_t total_ms = engine->drained ? DRAIN_IDLE_MS : LINGER_TOTAL_MS;
    bool in_time = engine->now_ms < conn->since_ms + total_ms;
    if (left == 0 && in_time) {
        conn_deadline_in(engine, conn, LINGER_IDLE_MS);
        conn_read_later(engine, conn);
        return;
    }
    bool ended = n == 0 || (n > 0 && conn_is_ending(conn)); /* of both the loop tells once */
    if (ended || (n < 0 && errno != EAGAIN) || !in_time) {
        conn_close(engine, conn);
        return;
    }
    conn->readable = false;
    loop_arm(engine->loop, &conn->io, LOOP_READ);
    conn_deadline_in(engine, conn, LINGER_IDLE_MS);
}

/* Events */

void conn_read(struct engine *engine, struct conn *conn)
{
    enum conn_state state = conn->state; /* clang before 15 takes no atomic here */
    assert_leader(engine);
    switch (state) {
    case CONN_OPEN:
        conn->protocol->readable(engine, conn);
        break;
    case CONN_HANDSHAKE:
        handshake(engine, conn);
        break;
    case CONN_LINGER:
        read_lingering(engine, conn);
        break;
    case CONN_CLOSED:
        break;
    }
}

void conn_expired(struct engine *engine, struct conn *conn)
{
    if (conn->failed)
        conn_cut(engine, conn, CLOSE_ERROR, 500, "");
    else if (conn->state == CONN_OPEN)
        conn->protocol->expired(engine, conn);
    else if (looks_for_proxy(engine, conn))
        conn_read(engine, conn);
    else if (engine->drained)
        conn_close_because(engine, conn, CLOSE_DRAINED);
    else /* one that lingers was closed for another reason */
        conn_close_because(engine, conn,
                           conn->state == CONN_HANDSHAKE ? CLOSE_HEADER_TIMEOUT : CLOSE_ANSWERED);
}
