#include "serve/dispatch/handover.h"

#include "base/clock.h"
#include "serve/conn/protocol.h"
#include "serve/conn/proxied.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Giving */

static bool is_in_file(const struct body *body)
{
    return body->spool.file >= 0;
}

static size_t bytes_without_body(const struct request *request)
{
    const struct proxied *proxied = request->conn->proxied;
    return request->head.size + (request->input_size - request->input_at) +
           (proxied ? proxied->size : 0);
}

static bool fits(const struct request *request)
{
    return is_in_file(&request->body) ||
           bytes_without_body(request) + request->body.stored <= PARCEL_BYTES_MAX;
}

/* A request in the input is no larger than that, but for much that is pipelined behind it. */
static bool may_go(const struct request *request)
{
    const struct conn *conn = request->conn;
    const struct protocol *protocol = conn->protocol;
    return !conn->tls && !conn->listener->inner && request->body.complete &&
           protocol->may_hand_over && protocol->may_hand_over(request) &&
           bytes_without_body(request) <= PARCEL_BYTES_MAX &&
           (fits(request) || !request->body.in_place);
}

static struct iovec body_piece(const struct body *body)
{
    const char *data = body->in_place ? body->in_place : body->spool.memory;
    if (is_in_file(body))
        return (struct iovec){0};
    return (struct iovec){.iov_base = (char *)data, .iov_len = (size_t)body->stored};
}

static struct iovec proxied_piece(const struct proxied *proxied)
{
    if (!proxied)
        return (struct iovec){0};
    return (struct iovec){.iov_base = (void *)proxied, .iov_len = proxied->size};
}

static struct parcel parcel_of(const struct engine *engine, const struct request *request)
{
    const struct conn *conn = request->conn;
    const struct body *body = &request->body;
    return (struct parcel){
        .label = {.listener = (uint32_t)(conn->listener - engine->listeners),
                  .ready_ns = request->ready_ns,
                  .served = conn->served,
                  .asked = request->asked,
                  .readable = conn->readable,
                  .gone = atomic_load_explicit(&conn->gone, memory_order_relaxed),
                  .file_size = is_in_file(body) ? body->stored : 0,
                  .peer = conn->peer},
        .fd = conn->io.fd,
        .file = body->spool.file,
        .pieces = {{.iov_base = request->input, .iov_len = request->head.size},
                   body_piece(body),
                   {.iov_base = request->input + request->input_at,
                    .iov_len = request->input_size - request->input_at},
                   proxied_piece(conn->proxied)},
    };
}

/* Whether it is gone; else it stays as it was, and *full says whether trying others is of use. */
static bool send_away(struct engine *engine, struct request *request, bool *full)
{
    struct body *body = &request->body;
    if ((!fits(request) || is_in_file(body)) &&
        spool_to_file(&body->spool, engine->options.tmp_dir) < 0)
        return false;
    struct parcel parcel = parcel_of(engine, request);
    *full = !exchange_send(engine->options.exchange, &parcel);
    if (*full)
        return false;
    conn_close_because(engine, request->conn,
                       CLOSE_TAKEN); /* our descriptor: the receiver has its own */
    return true;
}

/*
 * Where the queue has bounds, this worker enforces them: a waiting request goes only to a worker
 * that takes it at once.
 */
static bool has_bounds(const struct engine *engine)
{
    return engine->admits_few || engine->options.max_queue_ms > 0;
}

/* Requests that are received now will go to the first free worker. */
static bool may_share(const struct engine *engine)
{
    for (uint32_t i = 0; i < engine->listener_count; i++)
        if (atomic_load_explicit(&engine->listeners[i].tls, memory_order_relaxed))
            return false;
    return ready_empty(&engine->ready);
}

bool handover_is_hopeless(const struct engine *engine, int *look_ms)
{
    const struct exchange *exchange = engine->options.exchange;
    if (!exchange)
        return false;
    if (*look_ms < 0 || *look_ms > LOOK_ROUND_MS)
        *look_ms = LOOK_ROUND_MS;
    return !engine->replaced &&
           !atomic_load_explicit(exchange->two_masters, memory_order_relaxed) &&
           (has_bounds(engine) || may_share(engine)) &&
           exchange_least_load(exchange, engine->options.number) == EXCHANGE_STUCK;
}

/* A worker that is alone keeps waiting requests, but not until it is killed for being stuck. */
static bool may_give(struct engine *engine)
{
    return exchange_has_others(engine->options.exchange, engine->options.number) ||
           clock_ns() > ready_since(&engine->ready) + LONE_WAIT_MS * UINT64_C(1000000);
}

int handover_give(struct engine *engine, uint32_t keep)
{
    assert_leader(engine);
    const struct exchange *exchange = engine->options.exchange;
    struct request *kept = NULL, **end = &kept;
    bool full = false;
    if (!exchange || ready_empty(&engine->ready))
        return -1;
    if (!may_give(engine))
        return LOOK_ROUND_MS;
    uint32_t most = has_bounds(engine) ? handover_takers(engine) : UINT32_MAX;
    struct request *request = ready_take(&engine->ready, may_go, keep, most);
    while (request) {
        struct request *next = request->next;
        if (full || !send_away(engine, request, &full)) {
            *end = request;
            end = &request->next;
        }
        request = next;
    }
    *end = NULL;
    ready_return(&engine->ready, kept);
    return full || has_bounds(engine) ? STANDBY_TICK_MS : -1;
}

/* Taking */

enum { INPUT_PIECES = 3, PROXIED_PIECE = 3 };

/* Sets conn->proxied. False: no memory, or other bytes. */
static bool unpack_proxied(struct engine *engine, struct conn *conn, const struct parcel *parcel)
{
    const struct iovec *piece = &parcel->pieces[PROXIED_PIECE];
    return piece->iov_len == 0 || (proxied_valid(piece->iov_base, piece->iov_len) &&
                                   proxied_adopt(engine, conn, piece->iov_base));
}

static bool unpack(struct request *request, const struct parcel *parcel)
{
    struct body *body = &request->body;
    uint32_t at = 0;
    for (int i = 0; i < INPUT_PIECES; i++) {
        const struct iovec *piece = &parcel->pieces[i];
        if (!request_reserve(request, at + piece->iov_len))
            return false;
        memcpy(request->input + at, piece->iov_base, piece->iov_len);
        at += (uint32_t)piece->iov_len;
    }
    request->input_size = at;
    request->input_at = at - (uint32_t)parcel->pieces[2].iov_len;
    body->complete = true;
    body->stored = parcel->label.spooled ? parcel->label.file_size : parcel->pieces[1].iov_len;
    if (!parcel->label.spooled)
        body->in_place = request->input + parcel->pieces[0].iov_len;
    return true;
}

/* Whether a body's file is one, and as long as its label says. */
static bool has_its_file(const struct parcel *parcel)
{
    struct stat stat;
    return parcel->file < 0 || (fstat(parcel->file, &stat) == 0 && S_ISREG(stat.st_mode) &&
                                (uint64_t)stat.st_size >= parcel->label.file_size);
}

/* The descriptors are the connection's now, or closed. False: there is no request of it. The budget
 * is not asked: a thread is free for the request, which would be lost. */
static bool adopt(struct engine *engine, const struct parcel *parcel)
{
    const struct parcel_label *label = &parcel->label;
    struct conn *conn = NULL;
    int fd = engine_renumber(parcel->fd);
    if (fd >= 0 && label->listener < engine->listener_count && has_its_file(parcel))
        conn = conn_create(engine, &engine->listeners[label->listener], fd, &label->peer);
    struct request *request = conn ? request_get(engine, conn, NULL, BUDGET_ADMITTED) : NULL;
    if (!request && parcel->file >= 0)
        close(parcel->file);
    if (!conn) {
        close(fd);
        return false;
    }
    conn->served = label->served;
    conn->readable = label->readable != 0;
    atomic_store_explicit(&conn->gone, label->gone != 0, memory_order_relaxed);
    if (request)
        request->asked = label->asked != 0;
    if (request && parcel->file >= 0)
        spool_adopt(&request->body.spool, parcel->file, label->file_size);
    if (request && !(unpack_proxied(engine, conn, parcel) && unpack(request, parcel))) {
        request_put(engine, request);
        request = NULL;
    }
    if (request && conn->protocol->adopt &&
        conn->protocol->adopt(engine, conn, request, (uint32_t)parcel->pieces[0].iov_len,
                              label->ready_ns))
        return true;
    conn_close_because(engine, conn, CLOSE_ERROR);
    return false;
}

/* No descriptor is free, if there was anything to take at all. */
static void no_descriptors(struct engine *engine)
{
    int error = errno;
    if (exchange_is_empty(engine->options.exchange) || engine_make_room(engine))
        return;
    if (engine_may_log(&engine->take_logged_ms))
        engine_note(engine, NOTE_ERROR, "Cannot take a request from another worker: %s",
                    strerror(error));
    engine_pause_for(engine, PAUSE_ERROR, ACCEPT_PAUSE_MS);
}

/* Whether the budget has as much as a request may occupy. One that never has is not asked. */
static bool has_memory(const struct engine *engine)
{
    const size_t most = (size_t)2 * PARCEL_BYTES_MAX; /* while the input grows, both sizes of it */
    return budget_has(&engine->budget, most) || !budget_allows(&engine->budget, most);
}

/* False: waiting requests are left to the other workers until there is place here. */
static bool has_place(struct engine *engine)
{
    bool has_room = engine_has_room(engine);
    if (has_room && has_memory(engine))
        return true;
    if (has_room) {
        engine_short(engine, "Requests from other workers wait");
        engine_pause_for(engine, PAUSE_ERROR, ACCEPT_PAUSE_MS);
    } else {
        engine_wait_for_room(engine);
    }
    atomic_store_explicit(&engine->parcels, false, memory_order_relaxed);
    return false;
}

/* Lost, or never one: another worker may send anything, as fast as it likes. */
static void note_broken(struct engine *engine)
{
    if (engine_may_log(&engine->broken_logged_ms))
        engine_note(engine, NOTE_ERROR, "Cannot go on with a request from another worker");
}

bool handover_take_ready(struct engine *engine)
{
    assert_leader(engine);
    struct parcel parcel;
    char bytes[PARCEL_BYTES_MAX];
    /* A stopped worker runs nothing more: requests that come now are for the others. */
    if (!engine->options.exchange || atomic_load(&engine->stopped) || !has_place(engine))
        return false;
    enum exchange_result result = exchange_receive(engine->options.exchange, &parcel, bytes);
    bool adopted = result == EXCHANGE_PARCEL && adopt(engine, &parcel);
    if (result == EXCHANGE_EMPTY && engine_is_lost(errno))
        engine_lose(engine, "recvmsg", errno);
    if (result == EXCHANGE_EMPTY)
        atomic_store_explicit(&engine->parcels, false, memory_order_relaxed);
    if (result == EXCHANGE_NO_ROOM)
        no_descriptors(engine);
    if (result == EXCHANGE_BROKEN || (result == EXCHANGE_PARCEL && !adopted))
        note_broken(engine);
    if (adopted && engine->connections > engine->options.worker_connections)
        engine_make_way(engine);
    return adopted;
}

void handover_take_back(struct engine *engine)
{
    if (!has_bounds(engine) || exchange_is_empty(engine->options.exchange))
        return;
    while (handover_take_ready(engine))
        ;
}

struct request *handover_take(struct engine *engine)
{
    uint64_t ours_ns = ready_since(&engine->ready);
    if (ours_ns > 0 && exchange_since(engine->options.exchange) > ours_ns)
        return NULL;
    if (!handover_take_ready(engine))
        return NULL;
    atomic_store_explicit(&engine->slow, true, memory_order_relaxed); /* as it waited so long */
    return engine_take_batch(engine);
}
