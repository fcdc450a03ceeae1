#ifndef TESTS_UNIT_TOY_PROTOCOL_H
#define TESTS_UNIT_TOY_PROTOCOL_H

#include "base/mem.h"
#include "net/transport.h"
#include "serve/access/refused.h"
#include "serve/conn/conn.h"
#include "serve/conn/protocol.h"
#include "serve/engine/admission.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/refusal.h"
#include "serve/request/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A protocol of lines that has many requests on one connection at a time, each with a number:
 *
 *   client   7 GET /path            server   7 head 200 OK|Name: value|...
 *            8 PUT /path 5                   7 data 3     and three bytes
 *            8 data 5   and five bytes       7 end        or "7 cut" when it is not whole
 *            9 PUT /path ?                   7 info 103   before the head
 *            9 end
 *
 * Threads append to the session's queue, under its lock, and send what the socket takes.
 */

enum { TOY_LINE = 512, TOY_HEAD = 8 * 1024, TOY_PIECE = 16 * 1024 };

struct toy_session {
    struct engine *engine;
    struct conn *conn;
    struct outq out; /* and its lock; pending is true while something is queued */
    atomic_bool broken;
    struct list requests; /* the leader's, as all below: see struct toy_state */
    bool ended;           /* the client sends nothing more */
    bool closes;          /* no further request is taken */
    char line[TOY_LINE];
    size_t size;
    struct request *taking; /* left bytes of its body follow; NULL: they are thrown away */
    uint64_t left;
};

struct toy_state {
    struct list link;
    struct request *request;
    unsigned id;
};

_Static_assert(sizeof(struct toy_state) <= REQUEST_STATE_SIZE, "it has room in a request");

static const struct protocol toy_protocol;
static const struct stream_ops toy_stream;

static inline struct toy_state *toy_state(struct request *request)
{
    return (struct toy_state *)&request->state;
}

static inline struct toy_session *toy_session(const struct request *request)
{
    return request->conn->session;
}

/* Output, by any thread */

static inline bool toy_flush_locked(struct toy_session *session)
{
    struct part *done = NULL;
    uint64_t taken = 0;
    struct conn *conn = session->conn;
    enum outq_result result = outq_flush(&session->out, conn->io.fd, conn->tls, &done, &taken);
    if (result == OUTQ_BLOCKED)
        loop_arm(session->engine->loop, &conn->io, conn_send_interest(conn));
    if (result == OUTQ_MORE)
        loop_again(session->engine->loop, &conn->io, LOOP_WRITE);
    struct part *rest = result == OUTQ_BROKEN ? outq_clear(&session->out) : NULL;
    engine_discard(session->engine, done);
    engine_discard(session->engine, rest);
    if (result == OUTQ_BROKEN)
        session->broken = true;
    return result != OUTQ_BROKEN;
}

static inline bool toy_send(struct request *request, const char *line, const char *data, size_t n)
{
    struct toy_session *session = toy_session(request);
    char text[TOY_HEAD];
    int size = snprintf(text, sizeof(text), "%u %s\n", toy_state(request)->id, line);
    pthread_mutex_lock(&session->out.lock);
    bool sent = !session->broken && outq_copy(&session->out, text, (size_t)size) == 0 &&
                (n == 0 || outq_copy(&session->out, data, n) == 0) && toy_flush_locked(session);
    pthread_mutex_unlock(&session->out.lock);
    if (!sent)
        request->response.broken = true;
    return sent;
}

static inline bool toy_send_head(struct request *request)
{
    struct response *response = &request->response;
    char line[TOY_HEAD];
    size_t n = (size_t)snprintf(line, sizeof(line), "head %.*s|", (int)response->status_size,
                                response->head);
    for (uint32_t at = response->gap; at < response->head_size; at++) {
        if (response->head[at] == '\r')
            line[n++] = '|';
        else if (response->head[at] != '\n')
            line[n++] = response->head[at];
    }
    line[n] = '\0';
    response->sent_head = true;
    return toy_send(request, line, NULL, 0);
}

static inline bool toy_data(struct request *request, const char *data, size_t n)
{
    char line[32];
    snprintf(line, sizeof(line), "data %zu", n);
    return n == 0 || toy_send(request, line, data, n);
}

static inline bool toy_finish(struct request *request)
{
    request->response.finished = true;
    return toy_send(request, "end", NULL, 0);
}

static inline bool toy_write(struct request *request, const char *data, size_t n, void *ref,
                             bool *kept, bool last)
{
    (void)ref;
    (void)kept;
    if (!request->response.sent_head && !toy_send_head(request))
        return false;
    return toy_data(request, data, n) && (!last || toy_finish(request));
}

static inline bool toy_file(struct request *request, int file, off_t offset, uint64_t n)
{
    char piece[TOY_PIECE];
    if (!request->response.sent_head && !toy_send_head(request))
        return false;
    while (n > 0) {
        ssize_t got = pread(file, piece, n < sizeof(piece) ? (size_t)n : sizeof(piece), offset);
        if (got <= 0 || !toy_data(request, piece, (size_t)got))
            return false;
        offset += got;
        n -= (uint64_t)got;
    }
    return true;
}

static inline bool toy_interim(struct request *request, int status, struct str fields)
{
    char line[TOY_LINE];
    snprintf(line, sizeof(line), "info %d %.*s", status, (int)fields.n, fields.p);
    line[strcspn(line, "\r\n")] = '\0';
    return toy_send(request, line, NULL, 0);
}

static inline void toy_go_on(struct request *request)
{
    toy_send(request, "info 100", NULL, 0);
}

static inline bool toy_is_gone(struct request *request)
{
    return toy_session(request)->broken || socket_peer(request->conn->io.fd) == PEER_GONE;
}

static inline void toy_watch(struct request *request)
{
    (void)request; /* the leader reads all the time */
}

static inline void toy_interrupt(struct request *request, bool both)
{
    shutdown(request->conn->io.fd, both ? SHUT_RDWR : SHUT_RD);
}

static inline void toy_share(struct request *request)
{
    (void)request;
}

static const struct stream_ops toy_stream = {
    .write = toy_write,
    .file = toy_file,
    .finish = toy_finish,
    .interim = toy_interim,
    .go_on = toy_go_on,
    .is_gone = toy_is_gone,
    .watch = toy_watch,
    .interrupt = toy_interrupt,
    .share = toy_share,
};

/* Requests, by the leader as all below */

static inline struct request *toy_find(struct toy_session *session, unsigned id)
{
    for (struct list *l = session->requests.next; l != &session->requests; l = l->next)
        if (list_entry(l, struct toy_state, link)->id == id)
            return list_entry(l, struct toy_state, link)->request;
    return NULL;
}

/* What the connection does is what its busiest request does. */
static inline void toy_turn(struct toy_session *session)
{
    enum metrics_activity activity = ACTIVITY_IDLE;
    for (struct list *l = session->requests.next; l != &session->requests; l = l->next) {
        struct request *request = list_entry(l, struct toy_state, link)->request;
        bool runs = request_phase(request) == PHASE_RUNNING;
        if (activity != ACTIVITY_RUNNING)
            activity = runs ? ACTIVITY_RUNNING : ACTIVITY_BODY;
    }
    if (activity == ACTIVITY_IDLE && session->out.head)
        activity = ACTIVITY_FLUSH;
    if (session->conn->activity == activity)
        return;
    conn_turn_to(session->engine, session->conn, activity);
    conn_mark(session->engine, session->conn);
    if (activity == ACTIVITY_BODY)
        conn_deadline_in(session->engine, session->conn, BODY_TIMEOUT_MS);
}

static inline void toy_put(struct toy_session *session, struct request *request)
{
    if (session->taking == request)
        session->taking = NULL;
    list_remove(&toy_state(request)->link);
    request_put(session->engine, request);
}

/* The queue is empty, and no request is left: the connection waits, or ends. */
static inline void toy_settle(struct toy_session *session)
{
    struct engine *engine = session->engine;
    struct conn *conn = session->conn;
    bool draining = atomic_load(&engine->draining);
    toy_turn(session);
    if (!list_empty(&session->requests) || (session->out.head && !session->broken))
        return;
    if (session->broken || session->ended || session->closes || draining)
        conn_close_because(engine, conn, CLOSE_ANSWERED);
    else
        conn_deadline_in(engine, conn, engine->options.keepalive_ms);
}

static inline void toy_refuse_one(struct request *request, int status, const char *text)
{
    struct toy_session *session = toy_session(request);
    struct engine *engine = session->engine;
    metrics_add(&engine->metrics->rejected[metrics_class((unsigned)status)], 1);
    request_turn_to(engine, request, PHASE_FLUSH);
    refusal_send(request, status, text);
    refused_log(engine, request);
    toy_put(session, request);
}

static inline void toy_ready(struct request *request)
{
    struct engine *engine = request->engine;
    enum metrics_refusal reason;
    if (engine->admits_few && admission_refuses(engine, &reason)) {
        admission_tell(engine, reason);
        metrics_add(&engine->metrics->refused[reason], 1);
        toy_refuse_one(request, 503, ADMISSION_TEXT);
        return;
    }
    request_turn_to(engine, request, PHASE_RUNNING);
    conn_deadline_at(engine, request->conn, engine->now_ms, engine->options.max_queue_ms);
    engine_ready(engine, request);
}

static inline void toy_went_on(struct request *request, enum body_progress progress)
{
    char text[BODY_LIMIT_TEXT];
    switch (progress) {
    case BODY_PARTIAL:
        break;
    case BODY_COMPLETE:
        toy_ready(request);
        break;
    case BODY_TOO_LARGE:
        body_limit_text(request->engine, text);
        metrics_add(&request->engine->metrics->refused[REFUSED_BODY_SIZE], 1);
        toy_refuse_one(request, 413, text);
        break;
    default:
        toy_refuse_one(request, 503, "no room");
        break;
    }
}

/* Fills the neutral head: "GET /path" stands in the input. */
static inline bool toy_head(struct request *request, const char *method, const char *path,
                            const char *length)
{
    struct head *head = &request->head;
    uint32_t m = (uint32_t)strlen(method), p = (uint32_t)strlen(path);
    if (!request_reserve(request, m + p + 1))
        return false;
    memcpy(request->input, method, m);
    request->input[m] = ' ';
    memcpy(request->input + m + 1, path, p);
    request->input_size = request->input_at = head->size = m + 1 + p;
    head->method_len = m;
    head->target = head->path = m + 1;
    head->target_len = head->path_len = p;
    head->query = head->size;
    head->major = 2;
    if (length) {
        head->framing = *length == '?' ? HEAD_UNTIL_END : HEAD_LENGTH;
        head->content_length = strtoull(length, NULL, 10);
    }
    return true;
}

static inline void toy_begin(struct toy_session *session, unsigned id, const char *method,
                             const char *path, const char *length)
{
    struct engine *engine = session->engine;
    struct request *request = request_get(engine, session->conn, &toy_stream, BUDGET_REQUEST);
    if (!request || !toy_head(request, method, path, length)) {
        session->closes = true;
        return;
    }
    *toy_state(request) = (struct toy_state){.request = request, .id = id};
    list_init(&toy_state(request)->link);
    list_push(&session->requests, &toy_state(request)->link);
    request_turn_to(engine, request, PHASE_HEAD);
    if (!length) {
        request->body.complete = true;
        toy_ready(request);
        return;
    }
    request_turn_to(engine, request, PHASE_BODY);
    if (!body_declare(request))
        toy_went_on(request, BODY_TOO_LARGE);
}

static inline void toy_line(struct toy_session *session, char *line)
{
    char *at = line;
    unsigned id = (unsigned)strtoul(strtok_r(line, " ", &at), NULL, 10);
    const char *word = strtok_r(NULL, " ", &at), *first = strtok_r(NULL, " ", &at);
    struct request *request = toy_find(session, id);
    if (word && !strcmp(word, "data") && first) {
        session->taking = request;
        session->left = strtoull(first, NULL, 10);
    } else if (word && !strcmp(word, "end")) {
        if (request && request_phase(request) == PHASE_BODY)
            toy_went_on(request, body_store(request, NULL, 0, true));
    } else if (word && first && !request && !session->closes) {
        toy_begin(session, id, word, first, strtok_r(NULL, " ", &at));
    }
}

/* Bytes of a body: stored, as the buffer that they stand in is used again. */
static inline size_t toy_take(struct toy_session *session, const char *data, size_t n)
{
    struct request *request = session->taking;
    if (n > session->left)
        n = (size_t)session->left;
    session->left -= n;
    if (!request || request_phase(request) != PHASE_BODY)
        return n;
    struct body *body = &request->body;
    body->arrived += n;
    enum body_progress progress = body_store(request, data, n, false);
    if (progress == BODY_PARTIAL && body->framing == HEAD_LENGTH && body->stored >= body->wanted)
        progress = body_store(request, NULL, 0, true);
    toy_went_on(request, progress);
    return n;
}

static inline void toy_bytes(struct toy_session *session, const char *data, size_t n)
{
    while (n > 0) {
        size_t used = 1;
        if (session->left > 0) {
            used = toy_take(session, data, n);
        } else if (*data != '\n' && session->size < TOY_LINE - 1) {
            session->line[session->size++] = *data;
        } else {
            session->line[session->size] = '\0';
            session->size = 0;
            toy_line(session, session->line);
        }
        data += used;
        n -= used;
    }
}

static inline bool toy_open(struct engine *engine, struct conn *conn)
{
    struct toy_session *session = conn->session ? conn->session : mem_alloc(sizeof(*session));
    if (!session)
        return false;
    if (conn->session)
        return true;
    memset(session, 0, sizeof(*session));
    session->engine = engine;
    session->conn = conn;
    outq_init(&session->out, &engine->budget);
    list_init(&session->requests);
    conn->session = session;
    return conn_watch(engine, conn) == 0;
}

static inline void toy_readable(struct engine *engine, struct conn *conn)
{
    char piece[TOY_PIECE];
    if (!toy_open(engine, conn)) {
        conn_close_because(engine, conn, CLOSE_ERROR);
        return;
    }
    struct toy_session *session = conn->session;
    ssize_t n = 0;
    while (!session->ended &&
           (n = transport_recv(conn->io.fd, conn->tls, piece, sizeof(piece))) > 0)
        toy_bytes(session, piece, (size_t)n);
    session->ended |= n == 0 || errno != EAGAIN;
    if (!session->ended)
        conn_await(engine, conn, 0);
    for (struct list *l = session->requests.next, *next; session->ended && l != &session->requests;
         l = next) {
        next = l->next; /* no more of its body comes */
        struct request *request = list_entry(l, struct toy_state, link)->request;
        if (request_phase(request) == PHASE_BODY)
            toy_put(session, request);
    }
    toy_settle(session);
}

static inline void toy_writable(struct engine *engine, struct conn *conn)
{
    struct toy_session *session = conn->session;
    (void)engine;
    if (!session)
        return;
    pthread_mutex_lock(&session->out.lock);
    if (session->out.head)
        toy_flush_locked(session);
    pthread_mutex_unlock(&session->out.lock);
    toy_settle(session);
}

static inline void toy_answered(struct engine *engine, struct request *request)
{
    struct toy_session *session = toy_session(request);
    (void)engine;
    if (!request->response.finished)
        toy_send(request, "cut", NULL, 0);
    toy_put(session, request);
    toy_settle(session);
}

static inline bool toy_cut(struct engine *engine, struct conn *conn, enum metrics_close reason,
                           int status, const char *text)
{
    struct toy_session *session = conn->session;
    bool runs = false;
    if (session)
        session->closes = true;
    for (struct list *l = session ? session->requests.next : NULL, *next;
         session && l != &session->requests; l = next) {
        next = l->next;
        struct request *request = list_entry(l, struct toy_state, link)->request;
        if (request_phase(request) != PHASE_RUNNING || ready_remove(&engine->ready, request))
            toy_refuse_one(request, status, text);
        else
            runs = true;
    }
    if (!runs)
        conn_close_because(engine, conn, reason);
    return !runs;
}

/* What waits for a thread has waited too long; else nothing has happened for as long. */
static inline void toy_expired(struct engine *engine, struct conn *conn)
{
    struct toy_session *session = conn->session;
    bool waited = false;
    if (engine->drained) {
        drain_cut(engine, conn);
        return;
    }
    for (struct list *l = session ? session->requests.next : NULL, *next;
         session && l != &session->requests; l = next) {
        next = l->next;
        struct request *request = list_entry(l, struct toy_state, link)->request;
        if (request_phase(request) != PHASE_RUNNING || !ready_remove(&engine->ready, request))
            continue;
        metrics_add(&engine->metrics->refused[REFUSED_QUEUE_TIME], 1);
        toy_refuse_one(request, 503, ADMISSION_TEXT);
        waited = true;
    }
    if (waited)
        toy_settle(session);
    else if (conn->activity == ACTIVITY_IDLE)
        conn_close_because(engine, conn, CLOSE_KEEPALIVE);
}

static inline void toy_drain(struct engine *engine, struct conn *conn)
{
    (void)engine;
    (void)conn;
}

static inline void toy_refuse(struct engine *engine, struct conn *conn, enum metrics_close reason,
                              int status, const char *text)
{
    (void)status;
    (void)text;
    conn_close_because(engine, conn, reason);
}

static inline bool toy_release(struct engine *engine, struct conn *conn)
{
    struct toy_session *session = conn->session;
    bool whole = !session || list_empty(&session->requests);
    if (!session)
        return true;
    while (!list_empty(&session->requests))
        toy_put(session, list_entry(session->requests.next, struct toy_state, link)->request);
    engine_discard(engine, outq_clear(&session->out));
    outq_destroy(&session->out);
    mem_free(session);
    conn->session = NULL;
    return whole;
}

static const struct protocol toy_protocol = {
    .name = "toy",
    .readable = toy_readable,
    .writable = toy_writable,
    .answered = toy_answered,
    .expired = toy_expired,
    .drain = toy_drain,
    .refuse = toy_refuse,
    .cut = toy_cut,
    .release = toy_release,
};

#endif
