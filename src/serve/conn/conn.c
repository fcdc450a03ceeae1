#include "serve/conn/conn.h"

#include "base/forked.h"
#include "base/mem.h"
#include "net/transport.h"
#include "serve/access/refused.h"
#include "serve/engine/admission.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/refusal.h"
#include "serve/request/send.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const unsigned char moves[][8] = {
    /*                   IDLE HEAD BODY RUNNING FLUSH LINGER HANDSHAKE CLOSED */
    [CONN_IDLE] = {0, 1, 0, 0, 0, 0, 0, 1},      [CONN_HEAD] = {0, 0, 1, 1, 1, 0, 0, 1},
    [CONN_BODY] = {0, 0, 0, 1, 1, 0, 0, 1},      [CONN_RUNNING] = {1, 0, 0, 0, 1, 1, 0, 1},
    [CONN_FLUSH] = {1, 0, 0, 0, 0, 1, 0, 1},     [CONN_LINGER] = {0, 0, 0, 0, 0, 0, 0, 1},
    [CONN_HANDSHAKE] = {1, 0, 0, 0, 1, 1, 0, 1}, [CONN_CLOSED] = {0, 0, 0, 0, 0, 0, 0, 0},
};

_Static_assert((int)CONN_CLOSED < METRICS_CONN_STATES, "each state is counted");

static void conn_move(struct engine *engine, struct conn *conn, enum conn_state to)
{
    if (!moves[conn->state][to])
        abort();
    metrics_drop(&engine->metrics->connections[conn->state]);
    if (to != CONN_CLOSED) /* not counted */
        metrics_raise(&engine->metrics->connections[to]);
    atomic_store_explicit(&conn->state, to, memory_order_relaxed);
}

static bool is_draining(const struct engine *engine)
{
    return engine->drained;
}

/* 0: none. */
static void set_deadline(struct engine *engine, struct conn *conn, uint64_t at)
{
    if (is_draining(engine)) {
        uint64_t most = drain_limit(engine, conn);
        if (most < UINT64_MAX && (at == 0 || at > most))
            at = most;
    }
    if (at > 0)
        timer_set(&engine->timers, &conn->timer, at);
    else
        timer_cancel(&conn->timer);
}

static void deadline_in(struct engine *engine, struct conn *conn, uint32_t ms)
{
    set_deadline(engine, conn, engine->now_ms + ms);
}

/* The same for a time-out of the settings, where 0 is none. */
static void deadline_at(struct engine *engine, struct conn *conn, uint64_t since, uint32_t ms)
{
    set_deadline(engine, conn, ms > 0 ? since + ms : 0);
}

static void list_in(struct list *list, struct conn *conn)
{
    list_remove(&conn->link);
    list_push(list, &conn->link);
}

/* Each list is ordered by the marks. */
static void mark_in(struct engine *engine, struct conn *conn, struct list *list)
{
    conn->mark_ms = engine->now_ms;
    conn->gained = 0;
    list_in(list, conn);
}

void conn_mark(struct engine *engine, struct conn *conn)
{
    enum conn_state state = conn->state; /* clang before 15 takes no atomic here */
    switch (state) {
    case CONN_FLUSH:
        conn->untaken = socket_untaken(conn->io.fd);
        mark_in(engine, conn, &engine->crowd);
        break;
    case CONN_HEAD:
    case CONN_BODY:
        mark_in(engine, conn, &engine->crowd);
        break;
    case CONN_RUNNING:
        mark_in(engine, conn, &engine->active);
        break;
    default:
        mark_in(engine, conn, &engine->idle);
        break;
    }
}

bool conn_takes(const struct conn *conn)
{
    return socket_untaken(conn->io.fd) + PACE_BYTES <= conn->untaken;
}

/* So many bytes of a request came, or of an answer went. */
static void gain(struct engine *engine, struct conn *conn, uint64_t n)
{
    if (n < PACE_BYTES - conn->gained)
        conn->gained += (uint32_t)n;
    else
        conn_mark(engine, conn);
}

static void flush(struct engine *engine, struct conn *conn);

/* The loop that does not tell a half-close has told that there is something to read. */
static bool has_left(const struct conn *conn, unsigned events)
{
    return events & LOOP_GONE || ((events & LOOP_READ) && socket_peer(conn->io.fd) != PEER_THERE);
}

/* The request is with the application, or waits for it. */
static void running_event(struct engine *engine, struct conn *conn, unsigned events)
{
    if (engine->options.check_client && (events & LOOP_GONE))
        admission_ask(engine, conn->request);
    if (!engine->ops->events || !has_left(conn, events))
        return;
    atomic_store_explicit(&conn->gone, true, memory_order_relaxed);
    events_raise(engine, conn->request, REQUEST_GONE);
}

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
    /* TLS may have to read what lets it write on, and the other way round. */
    if (((events & LOOP_WRITE) || conn->tls) && conn->request &&
        atomic_load(&conn->request->out.pending))
        flush(engine, conn);
    if (conn->state == CONN_CLOSED)
        return;
    if (!(events & LOOP_READ) && transport_recv_waits(conn->tls) == POLLIN)
        return;
    conn->readable = true;
    if (conn->parked && !(events & LOOP_GONE))
        return; /* its timer decides: bytes that drip would put that off again and again */
    if (conn->state != CONN_RUNNING && conn->state != CONN_FLUSH)
        conn_read(engine, conn);
    else if (conn->state == CONN_RUNNING)
        running_event(engine, conn, events);
}

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
    conn->state = CONN_HANDSHAKE;
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

struct conn *conn_create(struct engine *engine, struct listener *listener, int fd,
                         const struct peer *peer)
{
    struct conn *conn = mem_alloc(sizeof(*conn));
    if (!conn)
        return NULL;
    *conn = (struct conn){
        .io = {.fd = fd, .on_event = conn_event},
        .state = CONN_IDLE,
        .readable = true,
        .listener = listener,
        .since_ms = engine->now_ms,
        .mark_ms = engine->now_ms,
        .peer = *peer,
    };
    if (!begin_tls(engine, conn)) {
        mem_free(conn);
        return NULL;
    }
    forked_close(fd);
    timer_init(&conn->timer);
    list_init(&conn->link);
    list_push(&engine->idle, &conn->link);
    engine->connections++;
    metrics_add(&engine->metrics->accepted, 1);
    metrics_raise(&engine->metrics->connections[conn->state]);
    return conn;
}

int conn_watch(struct engine *engine, struct conn *conn)
{
    if (conn->watched)
        return 0;
    if (loop_add(engine->loop, &conn->io, LOOP_READ | LOOP_WRITE) < 0) {
        if (engine_may_tell(&engine->watch_told_ms))
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

/* A client of TLS takes what was cut short for whole when it is told that nothing more comes. */
static void say_goodbye(struct conn *conn)
{
    if (conn->tls && (!conn->request || conn->request->response.finished ||
                      conn->state == CONN_IDLE || conn->state == CONN_HEAD))
        tls_shutdown(conn->tls);
}

static void tell_closed(struct engine *engine, struct conn *conn)
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
static void tell_stolen(struct engine *engine, const struct conn *conn)
{
    forked_forget(conn->io.fd);
    if (engine_may_tell(&engine->watch_told_ms))
        engine_note(engine, NOTE_ERROR,
                    "The application has closed a client's descriptor, which is the server's");
}

void conn_close(struct engine *engine, struct conn *conn)
{
    if (engine->options.debug)
        tell_closed(engine, conn);
    bool is_ours = !conn->watched || loop_remove(engine->loop, &conn->io) == 0;
    if (is_ours)
        say_goodbye(conn);
    end_tls(engine, conn);
    conn_move(engine, conn, CONN_CLOSED);
    metrics_add(&engine->metrics->closed[conn->why], 1);
    if (is_ours)
        close_socket(conn);
    else
        tell_stolen(engine, conn);
    timer_unlink(&conn->timer);
    list_remove(&conn->link);
    if (conn->request)
        request_put(engine, conn->request);
    conn->request = NULL;
    engine->connections--;
    if (!is_ours)
        return; /* never freed: events may still come for it, see loop_remove() */
    conn->next_dead = engine->dead;
    engine->dead = conn;
}

static void close_because(struct engine *engine, struct conn *conn, enum metrics_close reason)
{
    conn_because(conn, reason);
    conn_close(engine, conn);
}

void conn_cut(struct engine *engine, struct conn *conn, int status, const char *text)
{
    conn_move(engine, conn, CONN_FLUSH); /* from now on the answer is the leader's */
    refusal_send_last(conn->request, status, text);
    conn_close(engine, conn);
}

/* Our side is done: what the client is still sending must not make the kernel reset our answer
 * away. */
static void linger(struct engine *engine, struct conn *conn)
{
    say_goodbye(conn);
    end_tls(engine, conn);
    if (conn_watch(engine, conn) < 0 || shutdown(conn->io.fd, SHUT_WR) < 0) {
        conn_close(engine, conn);
        return;
    }
    if (conn->request)
        request_put(engine, conn->request);
    conn->request = NULL;
    conn_move(engine, conn, CONN_LINGER);
    mark_in(engine, conn, &engine->idle);
    conn->since_ms = engine->now_ms;
    deadline_in(engine, conn, LINGER_IDLE_MS);
    if (conn->readable)
        conn_read(engine, conn);
    else
        loop_arm(engine->loop, &conn->io, LOOP_READ);
}

static bool is_reading(const struct conn *conn)
{
    return conn->state == CONN_IDLE || conn->state == CONN_HEAD || conn->state == CONN_BODY;
}

/* There is more to read, but this client has had its turn. */
static void read_on_later(struct engine *engine, struct conn *conn)
{
    bool told = conn->watched;
    conn->readable = false;
    if (conn_watch(engine, conn) < 0)
        close_because(engine, conn, CLOSE_ERROR);
    else if (conn->tls) /* what TLS has read already no event will tell of */
        list_in(&engine->unread, conn);
    else if (told)
        loop_again(engine->loop, &conn->io, LOOP_READ);
}

/* The next read, or the one after it, gives the end of what the client sends. */
static bool is_ending(const struct conn *conn)
{
    return atomic_load_explicit(&conn->gone, memory_order_relaxed) ||
           (conn->tls && tls_ended(conn->tls));
}

static void read_lingering(struct engine *engine, struct conn *conn)
{
    char waste[WASTE_SIZE];
    size_t left = READ_TURN;
    ssize_t n = socket_recv(conn->io.fd, waste, sizeof(waste));
    while (n == (ssize_t)sizeof(waste) && (left -= sizeof(waste)) > 0)
        n = socket_recv(conn->io.fd, waste, sizeof(waste));
    uint32_t total_ms = is_draining(engine) ? DRAIN_IDLE_MS : LINGER_TOTAL_MS;
    bool in_time = engine->now_ms < conn->since_ms + total_ms;
    if (left == 0 && in_time) {
        deadline_in(engine, conn, LINGER_IDLE_MS);
        read_on_later(engine, conn);
        return;
    }
    bool ended = n == 0 || (n > 0 && is_ending(conn)); /* of both the loop tells once */
    if (ended || (n < 0 && errno != EAGAIN) || !in_time) {
        conn_close(engine, conn);
        return;
    }
    conn->readable = false;
    loop_arm(engine->loop, &conn->io, LOOP_READ);
    deadline_in(engine, conn, LINGER_IDLE_MS);
}

/* Waits for the client. */
static void await(struct engine *engine, struct conn *conn, uint32_t timeout_ms)
{
    conn->readable = false;
    if (conn_watch(engine, conn) < 0) {
        close_because(engine, conn, CLOSE_ERROR);
        return;
    }
    loop_arm(engine->loop, &conn->io, read_interest(conn));
    if (timeout_ms)
        deadline_in(engine, conn, timeout_ms);
}

static void refuse(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
                   const char *text)
{
    conn_because(conn, reason);
    metrics_add(&engine->metrics->rejected[metrics_class(status)], 1);
    conn->close_after = true;
    conn_move(engine, conn, CONN_FLUSH);
    refusal_send(conn->request, status, text);
    refused_log(engine, conn->request);
    conn_answered(engine, conn);
}

/* A whole request that the application is not bothered with. */
static void refuse_whole(struct engine *engine, struct conn *conn, enum metrics_refusal reason,
                         int status, const char *text)
{
    metrics_add(&engine->metrics->refused[reason], 1);
    refuse(engine, conn, CLOSE_REFUSED, status, text);
}

static void tell_invalid(struct engine *engine, const struct conn *conn, const char *text)
{
    char peer[PEER_TEXT_SIZE];
    engine_note(engine, NOTE_WARNING, "Invalid request from ip=%s: %s",
                peer_text(&conn->peer, peer), text);
}

static void refuse_head(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    char text[512], peer[PEER_TEXT_SIZE];
    bool no_memory = request->head.error == HTTP1_NO_MEMORY;
    http1_error_text(&request->head, request->input, text, sizeof(text));
    if (no_memory)
        engine_note(engine, NOTE_ERROR, "Cannot read a request from ip=%s: %s",
                    peer_text(&conn->peer, peer), strerror(ENOMEM));
    else
        tell_invalid(engine, conn, text);
    http1_error_page_text(&request->head, request->input, text, sizeof(text));
    int status = http1_error_status(request->head.error);
    enum metrics_close reason = CLOSE_MALFORMED;
    if (no_memory)
        reason = CLOSE_ERROR;
    else if (status == 414 || status == 431)
        reason = CLOSE_LIMIT;
    refuse(engine, conn, reason, status, text);
}

/* There is more to do than this worker can, or is to, take on. */
static void refuse_overload(struct engine *engine, struct conn *conn, enum metrics_refusal reason)
{
    if (engine_may_tell(&engine->overload_told_ms))
        engine_note(engine, NOTE_WARNING, "Requests are refused with 503 (%s)",
                    metrics_refusal_name(reason));
    refuse_whole(engine, conn, reason, 503, "The server has too much to do");
}

static void wait_for_thread(struct engine *engine, struct conn *conn, uint64_t since_ms)
{
    conn_move(engine, conn, CONN_RUNNING);
    deadline_at(engine, conn, since_ms, engine->options.max_queue_ms);
    list_in(&engine->active, conn);
    engine_ready(engine, conn->request);
}

static void ready(struct engine *engine, struct conn *conn)
{
    enum metrics_refusal reason;
    if (engine->admits_few && admission_refuses(engine, &reason))
        refuse_overload(engine, conn, reason);
    else
        wait_for_thread(engine, conn, engine->now_ms);
}

/* The budget is used up, and nothing of it has become free. */
static void refuse_short(struct engine *engine, struct conn *conn)
{
    engine_short(engine, "Clients that send much are refused");
    refuse_whole(engine, conn, REFUSED_NO_ROOM, 503, "The server has no room for the request");
}

static void refuse_body(struct engine *engine, struct conn *conn)
{
    char text[128];
    unsigned long long limit = body_limit(engine);
    const char *whose = "without limit_request_body it is";
    if (limit == engine->options.body_max)
        whose = "limit_request_body is";
    else if (limit != BODY_SIZE_MAX)
        whose = "half of client_disk is";
    snprintf(text, sizeof(text), "Request body is too large (%s %llu)", whose, limit);
    tell_invalid(engine, conn, text);
    refuse_whole(engine, conn, REFUSED_BODY_SIZE, 413, text);
}

static void refuse_for_room(struct engine *engine, struct conn *conn, int error)
{
    char peer[PEER_TEXT_SIZE];
    if (engine_may_tell(&engine->room_told_ms))
        engine_note(engine, NOTE_ERROR,
                    "Cannot buffer a request body from ip=%s: %s. Such requests are answered with "
                    "503 until tmp_upload_dir has room",
                    peer_text(&conn->peer, peer), strerror(error));
    refuse_whole(engine, conn, REFUSED_NO_ROOM, 503, "The server cannot take the request body now");
}

/* What a body has to keep up; 0: nothing. */
static uint32_t body_rate(const struct engine *engine)
{
    uint32_t rate = engine->options.body_min_rate;
    return rate == 0 && is_draining(engine) ? BODY_RATE : rate;
}

static uint32_t body_window_ms(const struct engine *engine)
{
    return is_draining(engine) ? DRAIN_IDLE_MS : BODY_WINDOW_MS;
}

/* A least rate leaves no room for a pause of BODY_TIMEOUT_MS. */
static void await_body(struct engine *engine, struct conn *conn)
{
    struct body *body = &conn->request->body;
    if (body_rate(engine) == 0) {
        deadline_in(engine, conn, BODY_TIMEOUT_MS);
    } else if (!body->timed) {
        body->timed = true;
        deadline_in(engine, conn, body_window_ms(engine));
    }
}

/* Its window is over: whether it gets another one. */
static bool body_goes_on(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (!request->body.timed ||
        !body_keeps_pace(request, body_rate(engine), body_window_ms(engine)))
        return false;
    return !is_draining(engine) || engine->now_ms < drain_requests_until(engine);
}

static void went_on(struct engine *engine, struct conn *conn, enum body_progress progress)
{
    const char *text;
    switch (progress) {
    case BODY_COMPLETE:
    case BODY_STREAMS:
        ready(engine, conn);
        break;
    case BODY_PARTIAL:
        await_body(engine, conn);
        break;
    case BODY_MALFORMED:
        text = chunked_error_text(&conn->request->body.chunked);
        tell_invalid(engine, conn, text);
        refuse(engine, conn, CLOSE_MALFORMED, chunked_error_status(&conn->request->body.chunked),
               text);
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

/* May its header fields say how the request reached it (forwarded_allow_ips)? */
static bool is_trusted(const struct engine *engine, const struct conn *conn)
{
    return conn->listener->local || conn->listener->inner ||
           trust_has(engine->options.trust, conn->peer.address,
                     conn->peer.family == AF_INET6 ? 16 : 4);
}

static void head_done(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (forwarded_apply(engine->options.forwarded, &request->head, request->input,
                        is_trusted(engine, conn), conn->tls) != HTTP1_OK) {
        refuse_head(engine, conn);
        return;
    }
    if (request->head.framing == HEAD_NO_BODY) {
        request->body.complete = true;
        ready(engine, conn);
        return;
    }
    conn_move(engine, conn, CONN_BODY);
    went_on(engine, conn, body_begin(request));
}

static void parse(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (conn->state == CONN_IDLE) {
        conn_move(engine, conn, CONN_HEAD);
        mark_in(engine, conn, &engine->crowd);
        deadline_at(engine, conn, conn->served == 0 ? conn->since_ms : engine->now_ms,
                    engine->options.header_timeout_ms);
    }
    enum http1_result result =
        http1_parse(&request->head, request->input, request->input_size, &engine->options.limits);
    request_charge_fields(request);
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

bool conn_adopt(struct engine *engine, struct conn *conn, uint32_t head_size, uint64_t ready_ns)
{
    struct request *request = conn->request;
    uint64_t since_ms = ready_ns / 1000000; /* the clock is the same in all processes */
    uint32_t most_ms = engine->options.max_queue_ms;
    if (conn->state != CONN_IDLE)
        return false;
    conn_move(engine, conn, CONN_HEAD);
    enum http1_result result =
        http1_parse(&request->head, request->input, head_size, &engine->options.limits);
    request_charge_fields(request);
    if (result == HTTP1_PARTIAL || (result == HTTP1_OK && request->head.size != head_size))
        return false;
    /* Ours may be stricter: a reload lies between the sender's settings and these. */
    if (result == HTTP1_ERROR ||
        forwarded_apply(engine->options.forwarded, &request->head, request->input,
                        is_trusted(engine, conn), false) != HTTP1_OK) {
        refuse_head(engine, conn);
        return true;
    }
    request->body.framing = request->head.framing;
    if (most_ms > 0 && engine->now_ms >= since_ms + most_ms) {
        refuse_overload(engine, conn, REFUSED_QUEUE_TIME);
        return true;
    }
    wait_for_thread(engine, conn, since_ms);
    request->ready_ns = ready_ns;
    return true;
}

/* The client has closed or is broken: nothing of it is handed on. */
static void end_of_input(struct engine *engine, struct conn *conn)
{
    if (conn->tls && *tls_error(conn->tls)) {
        char peer[PEER_TEXT_SIZE];
        engine_note(engine, NOTE_DEBUG, "TLS with ip=%s failed: %s", peer_text(&conn->peer, peer),
                    tls_error(conn->tls));
        conn_because(conn, CLOSE_TLS);
    }
    if (conn->state == CONN_BODY && !conn->request->body.complete) {
        char peer[PEER_TEXT_SIZE];
        engine_note(engine, NOTE_DEBUG, "Request body cut short by ip=%s",
                    peer_text(&conn->peer, peer));
    }
    conn_close(engine, conn);
}

/* It waits, and no time-out of its own runs meanwhile. */
static void park_on(struct engine *engine, struct conn *conn)
{
    conn->parked = true;
    conn->readable = true;
    if (conn_watch(engine, conn) < 0)
        close_because(engine, conn, CLOSE_ERROR);
    else
        deadline_in(engine, conn, PARK_LOOK_MS);
}

/*
 * The budget has no room for what this client wants to send, which is more than many others want:
 * nothing is read from it until there is room, for PARK_MAX_MS at most. A client that has closed
 * its side does not wait: as its bytes are not read, it cannot be seen whether it has gone.
 */
static void park(struct engine *engine, struct conn *conn)
{
    bool waits =
        conn->parked_ms < PARK_MAX_MS && !atomic_load_explicit(&conn->gone, memory_order_relaxed);
    conn->parked = false;
    if (!waits && conn->request) {
        refuse_short(engine, conn);
    } else if (!waits) {
        close_because(engine, conn, CLOSE_LIMIT);
    } else {
        engine_short(engine, "Clients that send much have to wait");
        park_on(engine, conn);
    }
}

/* There is room again: its time-outs begin anew. */
static void unpark(struct engine *engine, struct conn *conn)
{
    if (!conn->parked)
        return;
    conn->parked = false;
    conn->since_ms = engine->now_ms;
    timer_cancel(&conn->timer);
    if (conn->state == CONN_HEAD || conn->state == CONN_IDLE)
        deadline_at(engine, conn, engine->now_ms, engine->options.header_timeout_ms);
    if (conn->state == CONN_BODY) {
        conn->request->body.timed = false;
        await_body(engine, conn);
    }
}

static bool attach_request(struct engine *engine, struct conn *conn)
{
    if (!conn->request)
        conn->request = request_get(engine, conn, BUDGET_REQUEST);
    if (conn->request)
        return true;
    if (errno == ENOBUFS) {
        park(engine, conn);
        return false;
    }
    engine_note(engine, NOTE_ERROR, "No memory for a request: connection closed");
    close_because(engine, conn, CLOSE_ERROR);
    return false;
}

/* An idle connection holds no buffer. */
static void detach_request(struct engine *engine, struct conn *conn)
{
    if (conn->state != CONN_IDLE || conn->request->input_size > 0)
        return;
    request_put(engine, conn->request);
    conn->request = NULL;
}

/* A body of known length may be one that the application reads as it comes. */
static void no_room(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (errno == ENOBUFS) {
        park(engine, conn);
        return;
    }
    if (conn->state == CONN_BODY) {
        went_on(engine, conn, body_no_room(request));
        return;
    }
    bool too_long = errno == EMSGSIZE;
    request->head.error = too_long ? HTTP1_HEAD_TOO_LONG : HTTP1_NO_MEMORY;
    refuse_head(engine, conn);
}

/* What stands in the socket or in TLS, and no event will tell of. */
static bool has_unread(const struct conn *conn)
{
    return conn->readable || atomic_load_explicit(&conn->gone, memory_order_relaxed) ||
           (conn->tls && tls_has_unread(conn->tls));
}

/* The client spoke HTTP as it is: so it is answered, unless there is no room for that. */
static void answer_plain(struct engine *engine, struct conn *conn)
{
    char peer[PEER_TEXT_SIZE];
    engine_note(engine, NOTE_INFO, "Plain HTTP from ip=%s on a port that speaks TLS",
                peer_text(&conn->peer, peer));
    end_tls(engine, conn);
    conn->request = request_get(engine, conn, BUDGET_REQUEST);
    if (conn->request)
        refuse(engine, conn, CLOSE_TLS, 400, "This port speaks TLS: ask for it by https://");
    else
        close_because(engine, conn, CLOSE_TLS);
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
    linger(engine, conn); /* for the alert that says why */
}

static void handshake_done(struct engine *engine, struct conn *conn)
{
    metrics_add(&engine->metrics->handshakes, 1);
    if (tls_resumed(conn->tls))
        metrics_add(&engine->metrics->handshakes_resumed, 1);
    conn_move(engine, conn, CONN_IDLE);
    mark_in(engine, conn, &engine->idle);
    if (has_unread(conn))
        conn_read(engine, conn);
    else
        await(engine, conn, 0);
}

static void handshake(struct engine *engine, struct conn *conn)
{
    if (conn->timer.deadline == 0)
        deadline_at(engine, conn, conn->since_ms, engine->options.header_timeout_ms);
    enum tls_handshake how = tls_handshake(conn->tls);
    conn->readable = false;
    switch (how) {
    case TLS_DONE:
        handshake_done(engine, conn);
        break;
    case TLS_WAITS:
        if (tls_paused(conn->tls))
            read_on_later(engine, conn);
        else
            await(engine, conn, 0);
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

void conn_read(struct engine *engine, struct conn *conn)
{
    if (conn->state == CONN_LINGER || conn->state == CONN_HANDSHAKE) {
        if (conn->state == CONN_LINGER)
            read_lingering(engine, conn);
        else
            handshake(engine, conn);
        return;
    }
    if (!attach_request(engine, conn))
        return;
    size_t taken = 0;
    while (is_reading(conn)) {
        struct request *request = conn->request;
        size_t room;
        char *into = request_room(request, &room);
        if (!into) {
            no_room(engine, conn);
            return;
        }
        unpark(engine, conn);
        ssize_t n = transport_recv(conn->io.fd, conn->tls, into, room);
        bool paused = transport_paused(conn->tls);
        if (n < 0 && errno == EAGAIN) {
            detach_request(engine, conn);
            await(engine, conn, conn->timer.deadline ? 0 : engine->options.header_timeout_ms);
            return;
        }
        if (n <= 0) {
            end_of_input(engine, conn);
            return;
        }
        metrics_add(&engine->metrics->bytes_in, (uint64_t)n);
        if (conn->state == CONN_BODY) {
            went_on(engine, conn, body_received(request, (size_t)n));
        } else {
            request->input_size += (uint32_t)n;
            parse(engine, conn);
        }
        if (conn->state == CONN_HEAD || conn->state == CONN_BODY)
            gain(engine, conn, (uint64_t)n);
        if ((size_t)n < room && !paused && !is_ending(conn) && !conn->urgent) {
            /* The socket is empty: the next edge tells of more, no read has to find out. */
            if (conn->state == CONN_HEAD || conn->state == CONN_BODY)
                await(engine, conn, 0);
            else
                conn->readable = false;
            return;
        }
        taken += n > READ_LEAST ? (size_t)n : READ_LEAST;
        if ((taken >= READ_TURN || paused) && is_reading(conn)) {
            read_on_later(engine, conn);
            return;
        }
    }
}

static void flush(struct engine *engine, struct conn *conn)
{
    struct outq *out = &conn->request->out;
    struct part *done = NULL;
    uint64_t taken = 0;
    pthread_mutex_lock(&out->lock);
    enum outq_result result = outq_flush(out, conn->io.fd, conn->tls, &done, &taken);
    if (result == OUTQ_BLOCKED)
        loop_arm(engine->loop, &conn->io, conn_send_interest(conn));
    if (result == OUTQ_MORE)
        loop_again(engine->loop, &conn->io, LOOP_WRITE);
    if (result == OUTQ_BROKEN) {
        send_tell(engine, errno);
        conn->request->response.broken = true;
    }
    struct part *rest = result == OUTQ_BROKEN ? outq_clear(out) : NULL;
    pthread_mutex_unlock(&out->lock);
    engine_discard(engine, done);
    engine_discard(engine, rest);
    if (conn->state != CONN_FLUSH)
        return;
    if (result == OUTQ_BROKEN)
        conn_close(engine, conn);
    else if (result == OUTQ_EMPTY)
        conn_answered(engine, conn);
    else if (taken > 0) {
        deadline_at(engine, conn, engine->now_ms, engine->options.send_timeout_ms);
        gain(engine, conn, taken);
    }
}

/* The answer is sent and the connection stays: the next request may be here already. */
static void next_request(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    request_next(engine, request);
    conn->parked_ms = 0;
    conn_move(engine, conn, CONN_IDLE);
    mark_in(engine, conn, &engine->idle);
    timer_set(&engine->timers, &conn->timer, engine->now_ms + engine->options.keepalive_ms);
    if (request->input_size > 0)
        parse(engine, conn);
    if (conn->state == CONN_IDLE)
        detach_request(engine, conn);
    if (!is_reading(conn))
        return;
    if (has_unread(conn))
        conn_read(engine, conn);
    else
        await(engine, conn, 0);
    if (conn->state == CONN_IDLE && is_draining(engine))
        drain_last_chance(engine, conn);
}

/*
 * Bytes of the client that we did not take would make close() a reset. Who wanted to go on may have
 * sent the next request already, of which the loop has not told us yet.
 */
static bool may_have_unread(const struct conn *conn)
{
    const struct request *request = conn->request;
    return !request->body.complete || request->head.error != HTTP1_NO_ERROR ||
           request->input_at < request->input_size || conn->readable ||
           (request->head.keep_alive && socket_has_data(conn->io.fd)) ||
           (conn->tls && tls_has_unread(conn->tls));
}

static void close_answered(struct engine *engine, struct conn *conn)
{
    conn_because(conn, CLOSE_ANSWERED);
    if (may_have_unread(conn))
        linger(engine, conn);
    else
        conn_close(engine, conn);
}

void conn_answered(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    struct response *response = &request->response;
    if (response->broken) {
        conn_close(engine, conn);
        return;
    }
    if (atomic_load(&request->out.pending)) {
        if (conn->state != CONN_FLUSH)
            conn_move(engine, conn, CONN_FLUSH);
        conn_mark(engine, conn);
        if (conn_watch(engine, conn) < 0) {
            close_because(engine, conn, CLOSE_ERROR);
            return;
        }
        loop_arm(engine->loop, &conn->io, conn_send_interest(conn));
        deadline_at(engine, conn, engine->now_ms, engine->options.send_timeout_ms);
        return;
    }
    if (response->keep_alive && response->finished && !conn->close_after && request->body.complete)
        next_request(engine, conn);
    else
        close_answered(engine, conn);
}

/* A request that did not come whole in time gets no answer, but a line in the access log. */
static void log_expired(struct engine *engine, struct conn *conn)
{
    if (conn->state != CONN_HEAD && conn->state != CONN_BODY)
        return;
    conn->request->response.status = 408;
    refused_log(engine, conn->request);
}

/* What the client failed to do in time. */
static enum metrics_close fault_of(const struct conn *conn)
{
    enum conn_state state = conn->state; /* clang before 15 takes no atomic here */
    switch (state) {
    case CONN_HANDSHAKE:
    case CONN_IDLE:
        return conn->served == 0 ? CLOSE_HEADER_TIMEOUT : CLOSE_KEEPALIVE;
    case CONN_HEAD:
        return CLOSE_HEADER_TIMEOUT;
    case CONN_BODY:
        return conn->request->body.timed ? CLOSE_BODY_RATE : CLOSE_BODY_TIMEOUT;
    case CONN_FLUSH:
        return CLOSE_SEND_TIMEOUT;
    default: /* lingering: it was closed for another reason */
        return CLOSE_ANSWERED;
    }
}

void conn_expired(struct engine *engine, struct conn *conn)
{
    if (conn->state == CONN_RUNNING) {
        if (ready_remove(&engine->ready, conn->request))
            refuse_overload(engine, conn, REFUSED_QUEUE_TIME);
        return;
    }
    if (conn->parked && !(is_draining(engine) && engine->now_ms >= drain_requests_until(engine))) {
        conn->parked_ms += PARK_LOOK_MS;
        conn_read(engine, conn);
        return;
    }
    if (conn->state == CONN_BODY && body_goes_on(engine, conn)) {
        deadline_in(engine, conn, body_window_ms(engine));
        return;
    }
    if (conn->state == CONN_FLUSH && conn_takes(conn)) {
        conn_mark(engine, conn);
        deadline_at(engine, conn, engine->now_ms, engine->options.send_timeout_ms);
        return;
    }
    if (is_draining(engine)) {
        drain_cut(engine, conn);
        return;
    }
    log_expired(engine, conn);
    close_because(engine, conn, fault_of(conn));
}
