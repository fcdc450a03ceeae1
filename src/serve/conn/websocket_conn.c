#include "net/transport.h"
#include "serve/conn/conn.h"
#include "serve/conn/http1_send.h"
#include "serve/conn/websocket.h"
#include "serve/conn/websocket_private.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <sys/socket.h>

/* A WebSocket on a connection of its own. The application's thread sends by itself, as HTTP/1's do.
 */

static struct websocket *websocket_of(const struct conn *conn)
{
    return conn->request->websocket;
}

/* Its way */

static enum response_error switch_protocols(struct request *request)
{
    enum response_error error = response_finish(request);
    if (error == RESPONSE_OK)
        request_shrink(request);
    return error;
}

static int send_frame(struct request *request, struct iovec *parts, int count, bool *attend)
{
    return send_parts_locked(request, parts, count, attend);
}

/* Whether the socket may have more at once. */
static bool take(struct websocket *ws, size_t *taken)
{
    char data[DUPLEX_READ_SIZE];
    struct engine *engine = ws->request->engine;
    struct conn *conn = ws->request->conn;
    ssize_t n = transport_recv(conn->io.fd, conn->tls, data, sizeof(data));
    bool paused = transport_paused(conn->tls);
    if (n < 0 && errno == EAGAIN) {
        conn_await(engine, conn, 0);
        return false;
    }
    if (n <= 0) {
        websocket_hang_up(ws);
        return false;
    }
    metrics_add(&engine->metrics->bytes_in, (uint64_t)n);
    websocket_give(ws, data, (size_t)n);
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
    if (*taken < DUPLEX_READ_TURN && !paused)
        return true;
    conn_read_later(engine, conn);
    return false;
}

static void read_on(struct websocket *ws)
{
    size_t taken = 0;
    websocket_give_kept(ws);
    while (ws->want == DUPLEX_READ && take(ws, &taken))
        ;
}

static void set_timer(struct websocket *ws, uint64_t at_ms)
{
    struct conn *conn = ws->request->conn;
    if (at_ms > 0)
        timer_set(&ws->request->engine->timers, &conn->timer, at_ms);
    else
        timer_cancel(&conn->timer);
}

/* The application may still have the request. */
static void shut_down(struct websocket *ws)
{
    struct conn *conn = ws->request->conn;
    if (conn->tls)
        tls_shutdown(conn->tls);
    shutdown(conn->io.fd, SHUT_WR);
}

/* Bytes that were not read would make close() a reset, which may overtake our close frame. */
static void close_finished(struct websocket *ws)
{
    struct engine *engine = ws->request->engine;
    struct conn *conn = ws->request->conn;
    bool broken = ws->request->response.broken;
    conn_because(conn, CLOSE_ANSWERED);
    if (broken || conn->failed || conn_is_ending(conn) || !conn_has_unread(conn))
        conn_close(engine, conn);
    else
        conn_linger(engine, conn);
}

const struct websocket_way websocket_conn_way = {
    .open = switch_protocols,
    .send = send_frame,
    .read_on = read_on,
    .settled = set_timer,
    .shut = shut_down,
    .close = close_finished,
};

/* Its connection */

static void readable(struct engine *engine, struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    (void)engine;
    if (ws->want == DUPLEX_READ)
        read_on(ws);
    websocket_settle(ws);
}

static void attend(struct engine *engine, struct request *request)
{
    (void)engine;
    websocket_attend(request->websocket);
}

static void writable(struct engine *engine, struct conn *conn)
{
    struct websocket *ws = websocket_of(conn);
    uint64_t taken = 0;
    (void)engine;
    if (atomic_load(&ws->request->out.pending))
        http1_send_on(ws->request, &taken);
    websocket_sent(ws, taken > 0);
}

static void expired(struct engine *engine, struct conn *conn)
{
    (void)engine;
    websocket_expired(websocket_of(conn));
}

static void drain(struct engine *engine, struct conn *conn)
{
    (void)engine;
    websocket_drain(websocket_of(conn));
}

static bool cut(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
                const char *text)
{
    struct websocket *ws = websocket_of(conn);
    (void)status;
    (void)text;
    conn_because(conn, reason);
    if (websocket_is_finished(ws)) {
        conn_close(engine, conn);
        return true;
    }
    websocket_cut(ws);
    return false;
}

void websocket_open(struct engine *engine, struct conn *conn)
{
    conn->protocol = &websocket_protocol;
    conn_turn_to(engine, conn, ACTIVITY_WEBSOCKET);
    conn_list(engine, conn);
    websocket_begin_reading(websocket_of(conn));
}

static void answered(struct engine *engine, struct request *request)
{
    struct conn *conn = request->conn;
    request_turn_to(engine, request, PHASE_FLUSH);
    conn_turn_to(engine, conn, ACTIVITY_FLUSH);
    conn_mark(engine, conn);
    websocket_answered(request->websocket);
}

static bool release(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (!request) /* it was to linger, and cannot */
        return true;
    struct websocket *ws = request->websocket;
    bool whole = !ws->shut && !request->response.broken;
    if (!websocket_is_finished(ws))
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
