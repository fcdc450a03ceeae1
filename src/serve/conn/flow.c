#include "serve/conn/flow.h"

#include "net/transport.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <errno.h>

/* Times */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void set_timer(struct engine *engine, struct conn *conn)
{
    const struct flow *flow = &conn->request->flow;
    uint64_t at = earlier(flow->queue_at, earlier(flow->in_at, flow->out_at));
    if (at > 0)
        timer_set(&engine->timers, &conn->timer, at);
    else
        timer_cancel(&conn->timer);
}

static bool is_coming(struct request *request)
{
    return request->inflow.used && inflow_state(request) == INFLOW_GOES_ON;
}

/* Bytes a second that a body has to keep up while the application waits for it; 0: any. */
static uint32_t least_rate(const struct engine *engine)
{
    uint32_t rate = engine->options.body_min_rate;
    return rate == 0 && engine->drained ? BODY_RATE : rate;
}

/* When to look next, or 0 when the body is too slow now. */
static uint64_t look_at_pace(struct engine *engine, struct request *request)
{
    uint64_t rate = least_rate(engine), most = rate > 0 ? BODY_WINDOW_MS : BODY_TIMEOUT_MS;
    uint64_t waited_ms = inflow_waited(request, false);
    if (waited_ms < most)
        return engine->now_ms + most - waited_ms;
    if (rate == 0 || request->inflow.arrived < rate * most / 1000)
        return 0;
    inflow_waited(request, true);
    return engine->now_ms + most;
}

/* Bytes have come. Without a rate none of the time before counts. */
static void time_input(struct engine *engine, struct request *request)
{
    if (least_rate(engine) > 0)
        return;
    inflow_waited(request, true);
    request->flow.in_at = engine->now_ms + BODY_TIMEOUT_MS;
}

/* Its end */

static void because(struct request *request, enum metrics_close why)
{
    if (request->flow.why == CLOSE_BY_CLIENT)
        request->flow.why = (uint8_t)why;
}

/* The log has a line about what the client did wrong. */
static void note_failure(struct engine *engine, const struct conn *conn)
{
    char peer[PEER_TEXT_SIZE];
    const char *text;
    if (body_failure(conn->request, &text) > 0)
        engine_note(engine, NOTE_WARNING, "Invalid request from ip=%s: %s",
                    peer_text(&conn->peer, peer), text);
    else
        engine_note(engine, NOTE_DEBUG, "Request body cut short by ip=%s",
                    peer_text(&conn->peer, peer));
}

/* No more of the body is read. */
static void end_input(struct engine *engine, struct conn *conn)
{
    static const enum metrics_close reasons[] = {
        [INFLOW_CUT] = CLOSE_BY_CLIENT,
        [INFLOW_MALFORMED] = CLOSE_MALFORMED,
        [INFLOW_TOO_LARGE] = CLOSE_LIMIT,
        [INFLOW_TOO_SLOW] = CLOSE_BODY_TIMEOUT,
    };
    enum inflow_end end = inflow_state(conn->request);
    conn->request->flow.in_at = 0;
    set_timer(engine, conn);
    if (end != INFLOW_WHOLE) {
        note_failure(engine, conn);
        because(conn->request, reasons[end]);
    }
    events_raise(engine, conn->request, REQUEST_BODY);
}

/* The client has closed or reset its connection, or half of it. */
static void client_left(struct engine *engine, struct conn *conn, bool broken)
{
    atomic_store_explicit(&conn->gone, true, memory_order_relaxed);
    if (broken)
        conn->request->response.broken = true;
    events_raise(engine, conn->request, REQUEST_GONE | (broken ? REQUEST_ROOM : 0));
}

/* Reading */

static void await(struct engine *engine, struct conn *conn)
{
    bool writes = transport_recv_waits(conn->tls) == POLLOUT;
    conn->readable = false;
    loop_arm(engine->loop, &conn->io, writes ? LOOP_READ | LOOP_WRITE : LOOP_READ);
    if (conn->request->flow.in_at == 0)
        conn->request->flow.in_at = look_at_pace(engine, conn->request);
    set_timer(engine, conn);
}

/* TLS has read ahead, and it is the turn of others. */
static void read_on_later(struct engine *engine, struct conn *conn)
{
    list_remove(&conn->link);
    list_push(&engine->unread, &conn->link);
    set_timer(engine, conn);
}

static void cut_short(struct engine *engine, struct conn *conn, bool broken)
{
    inflow_fail(conn->request, INFLOW_CUT);
    client_left(engine, conn, broken);
    end_input(engine, conn);
}

/* n bytes have come; whether reading goes on. */
static bool received(struct engine *engine, struct conn *conn, size_t n)
{
    struct request *request = conn->request;
    metrics_add(&engine->metrics->bytes_in, n);
    bool goes_on = inflow_received(request, n);
    if (goes_on)
        time_input(engine, request);
    if (!goes_on)
        end_input(engine, conn);
    else if (inflow_is_due(request))
        events_raise(engine, request, REQUEST_BODY);
    return goes_on;
}

void flow_read(struct engine *engine, struct conn *conn)
{
    size_t room;
    char *into;
    while (is_coming(conn->request) && (into = inflow_room(conn->request, &room))) {
        ssize_t n = transport_recv(conn->io.fd, conn->tls, into, room);
        bool paused = transport_paused(conn->tls);
        if (n < 0 && errno == EAGAIN) {
            await(engine, conn);
            return;
        }
        if (n <= 0) {
            cut_short(engine, conn, n < 0);
            return;
        }
        if (!received(engine, conn, (size_t)n))
            return;
        if (paused) {
            read_on_later(engine, conn);
            return;
        }
        if ((size_t)n < room && !conn->urgent &&
            !atomic_load_explicit(&conn->gone, memory_order_relaxed)) {
            await(engine, conn);
            return;
        }
    }
    set_timer(engine, conn);
}

static bool has_unread(const struct conn *conn)
{
    return conn->readable || atomic_load_explicit(&conn->gone, memory_order_relaxed) ||
           (conn->tls && tls_has_unread(conn->tls));
}

void flow_begin(struct conn *conn)
{
    conn->request->flow = (struct flow){.queue_at = conn->timer.deadline};
}

/* Events */

/* The loop that does not tell a half-close has told that there is something to read. */
static bool has_left(const struct conn *conn, unsigned events)
{
    return events & LOOP_GONE || ((events & LOOP_READ) && socket_peer(conn->io.fd) != PEER_THERE);
}

void flow_event(struct engine *engine, struct conn *conn, unsigned events)
{
    bool coming = is_coming(conn->request);
    if (coming)
        flow_read(engine, conn);
    if (coming ? events & LOOP_GONE : has_left(conn, events))
        client_left(engine, conn, false);
}

static void time_output(struct engine *engine, struct request *request)
{
    uint32_t ms = engine->options.send_timeout_ms;
    request->flow.out_at = ms > 0 ? engine->now_ms + ms : 0;
}

void flow_attend(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    if (is_coming(request) && has_unread(conn))
        flow_read(engine, conn);
    if (atomic_load(&request->out.pending))
        time_output(engine, request);
    set_timer(engine, conn);
}

void flow_sent(struct engine *engine, struct conn *conn, enum outq_result result, uint64_t taken)
{
    struct request *request = conn->request;
    if (result == OUTQ_BROKEN)
        client_left(engine, conn, true);
    if (result == OUTQ_BROKEN || result == OUTQ_EMPTY)
        request->flow.out_at = 0;
    else if (taken > 0)
        time_output(engine, request);
    set_timer(engine, conn);
    if (result == OUTQ_EMPTY || (taken > 0 && outq_waiting(&request->out) <= OUT_LOW))
        events_raise(engine, request, REQUEST_ROOM);
}

/* Times are over */

static void look_at_input(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    request->flow.in_at = is_coming(request) ? look_at_pace(engine, request) : 0;
    if (request->flow.in_at == 0 && is_coming(request)) {
        because(request, least_rate(engine) > 0 ? CLOSE_BODY_RATE : CLOSE_BODY_TIMEOUT);
        inflow_fail(request, INFLOW_TOO_SLOW);
        end_input(engine, conn);
    }
}

/* The client takes nothing: the rest of the answer is thrown away. */
static void give_up_output(struct engine *engine, struct conn *conn)
{
    struct outq *out = &conn->request->out;
    because(conn->request, CLOSE_SEND_TIMEOUT);
    pthread_mutex_lock(&out->lock);
    conn->request->response.broken = true;
    struct part *rest = outq_clear(out);
    pthread_mutex_unlock(&out->lock);
    engine_discard(engine, rest);
    client_left(engine, conn, true);
}

static void look_at_output(struct engine *engine, struct conn *conn)
{
    conn->request->flow.out_at = 0;
    if (atomic_load(&conn->request->out.pending)) /* else the application's thread has sent it */
        give_up_output(engine, conn);
}

bool flow_expired(struct engine *engine, struct conn *conn)
{
    struct flow *flow = &conn->request->flow;
    uint64_t now = engine->now_ms;
    if (flow->queue_at > 0 && now >= flow->queue_at) {
        flow->queue_at = 0;
        return true;
    }
    if (flow->in_at > 0 && now >= flow->in_at)
        look_at_input(engine, conn);
    if (flow->out_at > 0 && now >= flow->out_at)
        look_at_output(engine, conn);
    set_timer(engine, conn);
    return false;
}

void flow_end(struct conn *conn)
{
    struct request *request = conn->request;
    request->flow.in_at = request->flow.out_at = 0;
    timer_cancel(&conn->timer);
    if (request->inflow.used)
        request->body.complete = inflow_state(request) == INFLOW_WHOLE && inflow_give_rest(request);
    if (request->flow.why != CLOSE_BY_CLIENT)
        conn_because(conn, request->flow.why);
}
