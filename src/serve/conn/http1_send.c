#include "serve/conn/http1_send.h"

#include "base/clock.h"
#include "net/transport.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static int gone(struct request *request)
{
    request->response.broken = true;
    return -1;
}

/* Errors of the system, which no client can cause. */
static bool is_of_system(int error)
{
    return error == EIO || error == ENOMEM || error == ENOBUFS || error == EMFILE ||
           error == ENFILE || error == EACCES || error == ESTALE || error == EINVAL;
}

static void log_system_error(struct engine *engine, int error)
{
    if (is_of_system(error))
        engine_note(engine, NOTE_ERROR, "An answer is cut off: %s", strerror(error));
}

/* The same with its reason: errno. */
static int failed(struct request *request)
{
    log_system_error(request->engine, errno);
    return gone(request);
}

/* Sends at once when nothing is queued before; returns bytes, 0 when the socket is full, -1 gone.
 */
static ssize_t send_now(struct request *request, struct iovec *parts, int count, bool more)
{
    struct conn *conn = request->conn;
    ssize_t n = transport_sendv(conn->io.fd, conn->tls, parts, count, more);
    if (n >= 0) {
        request->out.sent += (uint64_t)n;
        return n;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : failed(request);
}

/* With the lock: sends as much as the socket takes; *taken grows by that. */
static enum outq_result flush_now(struct request *request, uint64_t *taken)
{
    struct part *done = NULL;
    struct conn *conn = request->conn;
    enum outq_result result = outq_flush(&request->out, conn->io.fd, conn->tls, &done, taken);
    if (result == OUTQ_BROKEN)
        log_system_error(request->engine, errno);
    struct part *rest = result == OUTQ_BROKEN ? outq_clear(&request->out) : NULL;
    engine_discard(request->engine, done);
    engine_discard(request->engine, rest);
    if (result == OUTQ_BROKEN)
        gone(request);
    return result;
}

/*
 * With the lock, and the engine sends on. Needed after something was queued, as the edge that says
 * "writable" may have come in between, and nobody was interested in it.
 */
static enum outq_result flush(struct request *request, uint64_t *taken)
{
    struct conn *conn = request->conn;
    enum outq_result result = flush_now(request, taken);
    if (result == OUTQ_BLOCKED && conn->watched)
        loop_arm(request->engine->loop, &conn->io, conn_send_interest(conn));
    if (result == OUTQ_MORE && conn->watched)
        loop_again(request->engine->loop, &conn->io, LOOP_WRITE);
    return result;
}

enum outq_result http1_send_on(struct request *request, uint64_t *taken)
{
    assert_leader(request->engine);
    pthread_mutex_lock(&request->out.lock);
    enum outq_result result = flush(request, taken);
    pthread_mutex_unlock(&request->out.lock);
    return result;
}

/* With the lock: something was queued. The leader may have given the client up meanwhile: what was
 * queued before is gone, and nothing may follow it. */
static int send_queued(struct request *request)
{
    uint64_t taken = 0;
    if (request->response.broken) {
        engine_discard(request->engine, outq_clear(&request->out));
        return -1;
    }
    if (conn_watch(request->engine, request->conn) < 0)
        return gone(request);
    return flush(request, &taken) == OUTQ_BROKEN ? -1 : 0;
}

static int patience_ms(uint32_t timeout_ms)
{
    return timeout_ms > 0 && timeout_ms < INT_MAX ? (int)timeout_ms : INT_MAX;
}

/* The bytes in the socket were not taken, and the system may say for long that the socket takes
 * no more. */
static uint64_t taken_by_client(const struct request *request)
{
    return request->out.sent - socket_untaken(request->conn->io.fd);
}

/*
 * While a thread waits because there is no room, its client has to make progress as one that is to
 * keep its place: see room.c.
 */
static bool keeps_pace(struct request *request)
{
    struct response *response = &request->response;
    uint64_t now = clock_ms(), taken = taken_by_client(request);
    bool begins = response->stuck_ms == 0;
    if (!begins && now < response->stuck_ms + SILENT_MS)
        return true;
    bool enough = begins || (int64_t)(taken - response->stuck_at) >= PACE_BYTES;
    response->stuck_ms = now;
    response->stuck_at = taken;
    return enough;
}

/*
 * There is no place: this request waits for the client, and only it. If it is not its client that
 * is ahead, but neither memory nor disk takes more, the slowest of the others make room. The
 * engine's leader, who sends refusals, has no time for that.
 */
static int wait_for_client(struct request *request, bool ahead)
{
    struct engine *engine = request->engine;
    struct outq *q = &request->out;
    if (request_phase(request) != PHASE_RUNNING)
        return gone(request);
    bool briefly = store_may_be_fast(request);
    uint64_t before = briefly ? 0 : taken_by_client(request);
    int most_ms = briefly ? STREAM_FAST_MS : patience_ms(engine->options.send_timeout_ms);
    if (!ahead)
        most_ms = PARK_LOOK_MS;
    budget_publish(&engine->budget, engine->metrics); /* the leader may sleep meanwhile */
    pthread_mutex_unlock(&q->lock);
    request->blocked++;
    short events = transport_send_waits(request->conn->tls);
    int writable = engine->ops->wait(engine->app, request->conn->io.fd, events, most_ms);
    request->blocked--;
    if (writable == 0 && !ahead)
        engine_free_room(engine);
    pthread_mutex_lock(&q->lock);
    if (writable == 0 && !ahead && keeps_pace(request))
        return 0;
    if (writable == 0 && ahead && briefly) {
        request->response.slow = true;
        return 0;
    }
    bool goes_on =
        writable > 0 || (writable == 0 && ahead && taken_by_client(request) >= before + PACE_BYTES);
    if (writable == 0 && !goes_on)
        conn_because(request->conn, CLOSE_SEND_TIMEOUT);
    if (!goes_on)
        return gone(request);
    uint64_t taken = 0;
    return flush_now(request, &taken) == OUTQ_BROKEN ? -1 : 0;
}

static void skip(struct iovec *parts, int count, size_t n)
{
    for (int i = 0; i < count && n > 0; i++) {
        size_t take = n < parts[i].iov_len ? n : parts[i].iov_len;
        parts[i].iov_base = (char *)parts[i].iov_base + take;
        parts[i].iov_len -= take;
        n -= take;
    }
}

/*
 * With the lock: there is no place for the first part, so this thread waits until the client takes
 * some of what is queued, or of the part itself when nothing is. What TLS has begun to send may be
 * of all parts.
 */
static int make_place(struct request *request, struct iovec *parts, int count, bool ahead)
{
    struct outq *q = &request->out;
    if (wait_for_client(request, ahead) < 0)
        return -1;
    skip(parts, count, q->ahead);
    q->ahead = 0;
    if (q->head || parts[0].iov_len == 0)
        return 0;
    ssize_t sent = send_now(request, parts, 1, false);
    if (sent > 0)
        skip(parts, count, (size_t)sent);
    return sent < 0 ? -1 : 0;
}

/* There is no place, and this thread is not to wait. */
static int overflow(struct request *request)
{
    request->response.full = true;
    return gone(request);
}

/* With the lock: whether the leader does not know yet that it has to watch the client's pace. It
 * does of the answers that it sends itself. */
static bool needs_attention(struct request *request)
{
    struct outq *q = &request->out;
    bool needs = store_never_waits(request) && request_phase(request) == PHASE_RUNNING &&
                 !q->timed && atomic_load(&q->pending);
    q->timed |= needs;
    return needs;
}

/* With the lock. */
static int store_parts(struct request *request, struct iovec *parts, int count, int body,
                       struct held held, bool *kept)
{
    const struct held none = {0};
    for (int i = 0; i < count; i++) {
        int stored = 0;
        while (parts[i].iov_len > 0 &&
               (stored = store_part(request, &parts[i], i == body ? held : none)) < 0)
            if (store_never_waits(request)
                    ? overflow(request) < 0
                    : make_place(request, parts + i, count - i, stored == STORE_AHEAD) < 0)
                return -1;
        request->response.stuck_ms = 0;
        if (stored == 1)
            *kept = true;
    }
    return 0;
}

enum first { FIRST_ALL, FIRST_GONE, FIRST_REST };

/* Sends as much as the socket takes, unless something is queued before; the parts are the rest
 * then. */
static enum first send_first(struct request *request, struct iovec *parts, int count, bool more)
{
    size_t total = 0;
    bool pending = atomic_load_explicit(&request->out.pending, memory_order_acquire);
    if (request->response.broken) /* it was before the leader threw the queue away */
        return FIRST_GONE;
    if (pending)
        return FIRST_REST;
    request->response.slow = false;
    for (int i = 0; i < count; i++)
        total += parts[i].iov_len;
    ssize_t sent = send_now(request, parts, count, more);
    if (sent < 0)
        return FIRST_GONE;
    if ((size_t)sent == total)
        return FIRST_ALL;
    skip(parts, count, (size_t)sent);
    return FIRST_REST;
}

/* *attend: engine_attend() is to follow. */
static int store_rest(struct request *request, struct iovec *parts, int count, int body,
                      struct held held, bool *kept, bool *attend)
{
    struct outq *q = &request->out;
    pthread_mutex_lock(&q->lock);
    int result = store_parts(request, parts, count, body, held, kept);
    if (result == 0)
        result = send_queued(request);
    *attend = needs_attention(request);
    pthread_mutex_unlock(&q->lock);
    return result;
}

static int send_or_store(struct request *request, struct iovec *parts, int count, int body,
                         void *ref, bool *kept, bool more)
{
    struct held held = {ref, body < 0 ? 0 : parts[body].iov_len};
    bool attend;
    enum first first = send_first(request, parts, count, more);
    if (first != FIRST_REST)
        return first == FIRST_ALL ? 0 : -1;
    int result = store_rest(request, parts, count, body, held, kept, &attend);
    if (attend)
        engine_attend(request->engine, request);
    /* Sent parts of a long answer are not to wait for its end; the leader is not attached. */
    if (request_phase(request) == PHASE_RUNNING)
        engine_collect_parts(request->engine);
    return result;
}

int send_parts(struct request *request, struct iovec *parts, int count, int body, void *ref,
               bool *kept)
{
    return send_or_store(request, parts, count, body, ref, kept, false);
}

int send_parts_locked(struct request *request, struct iovec *parts, int count, bool *attend)
{
    const struct held none = {0};
    bool kept;
    enum first first = send_first(request, parts, count, false);
    if (first != FIRST_REST)
        return first == FIRST_ALL ? 0 : -1;
    return store_rest(request, parts, count, -1, none, &kept, attend);
}

int send_parts_more(struct request *request, struct iovec *parts, int count)
{
    bool kept;
    return send_or_store(request, parts, count, -1, NULL, &kept, true);
}

/* Sends as much as the socket takes; moves *offset and *n on. */
static int send_file_now(struct request *request, int file, off_t *offset, uint64_t *n)
{
    struct conn *conn = request->conn;
    while (*n > 0 && !atomic_load_explicit(&request->out.pending, memory_order_acquire)) {
        if (request->response.broken)
            return -1;
        ssize_t sent = transport_sendfile(conn->io.fd, conn->tls, file, *offset, *n,
                                          atomic_load(&request->out.copies));
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (sent <= 0)
            return sent < 0 ? failed(request) : gone(request);
        *offset += sent;
        *n -= (uint64_t)sent;
        request->out.sent += (uint64_t)sent;
    }
    return 0;
}

/* The disk may be slow and the client so fast that the socket is never full: detached. */
static int send_file_detached(struct request *request, int file, off_t *offset, uint64_t *n)
{
    struct engine *engine = request->engine;
    request->blocked++;
    engine_detach(engine);
    int result = send_file_now(request, file, offset, n);
    engine_attach(engine);
    request->blocked--;
    return result;
}

void send_by_copies(struct request *request)
{
    struct outq *q = &request->out;
    pthread_mutex_lock(&q->lock); /* nobody is within sendfile() */
    atomic_store(&q->copies, true);
    pthread_mutex_unlock(&q->lock);
}

/* Queues the rest of a file on a descriptor of its own, so that the application may close its. */
static int store_file(struct request *request, int file, off_t offset, uint64_t n,
                      const struct outq_framing *framing, uint16_t id)
{
    struct outq *q = &request->out;
    int own = fcntl(file, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return -1;
    pthread_mutex_lock(&q->lock);
    int result = outq_framed_file(q, own, offset, n, framing, id);
    if (result < 0)
        close(own);
    else
        result = send_queued(request);
    bool attend = needs_attention(request);
    pthread_mutex_unlock(&q->lock);
    if (attend)
        engine_attend(request->engine, request);
    return result;
}

/* There is no descriptor for it: this thread waits for the client until all of it is sent. */
static int send_file_waiting(struct request *request, int file, off_t offset, uint64_t n)
{
    struct outq *q = &request->out;
    int result = 0;
    engine_short(request->engine,
                 "Answers wait for their clients, and the slowest clients are closed");
    request->response.stuck_ms = 0;
    while (result == 0 && n > 0) {
        pthread_mutex_lock(&q->lock);
        result = wait_for_client(request, false);
        pthread_mutex_unlock(&q->lock);
        if (result == 0)
            result = send_file_now(request, file, &offset, &n);
    }
    request->response.stuck_ms = 0;
    return result;
}

int send_file(struct request *request, int file, off_t offset, uint64_t n)
{
    if (request->response.broken)
        return -1;
    int result = 0;
    if (n <= SEND_ATTACHED_MAX)
        result = send_file_now(request, file, &offset, &n);
    else if (!store_never_waits(request)) /* else the engine sends it, turn by turn */
        result = send_file_detached(request, file, &offset, &n);
    if (result < 0 || n == 0)
        return result;
    if (store_file(request, file, offset, n, NULL, 0) == 0)
        return 0;
    if (store_never_waits(request))
        return overflow(request);
    return request->response.broken ? -1 : send_file_waiting(request, file, offset, n);
}

int send_framed_file(struct request *request, int file, off_t offset, uint64_t n,
                     const struct outq_framing *framing, uint16_t id)
{
    return request->response.broken ? -1 : store_file(request, file, offset, n, framing, id);
}
