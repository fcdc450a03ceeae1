#include "serve/conn/conn.h"
#include "serve/conn/websocket_private.h"
#include "serve/engine/limits.h"
#include "serve/request/response.h"
#include "serve/request/stream.h"

#include <string.h>

/* A WebSocket as the leader sees it, whatever its way. */

/* Its connection ends with it, unless it is a stream. */
static void because(struct websocket *ws, enum metrics_close reason)
{
    if (!request_is_http2(ws->request))
        request_because(ws->request, reason);
}

void websocket_hang_up(struct websocket *ws)
{
    if (ws->want == DUPLEX_END)
        return;
    duplex_hung_up(&ws->duplex);
    ws->want = DUPLEX_END;
}

void websocket_drop_output(struct websocket *ws)
{
    struct outq *out = &ws->request->out;
    pthread_mutex_lock(&out->lock);
    ws->request->response.broken = true;
    struct part *rest = outq_clear(out);
    pthread_mutex_unlock(&out->lock);
    engine_discard(ws->request->engine, rest);
    websocket_hang_up(ws);
}

/* Times */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static bool has_output(const struct websocket *ws)
{
    return atomic_load(&ws->request->out.pending);
}

/* `taken`: the client has taken some of the output. */
static void time_output(struct websocket *ws, bool taken)
{
    const struct engine *engine = ws->request->engine;
    uint32_t ms = engine->options.send_timeout_ms;
    if (!has_output(ws) || ms == 0)
        ws->out_at = 0;
    else if (taken || ws->out_at == 0)
        ws->out_at = engine->now_ms + ms;
}

void websocket_settle(struct websocket *ws)
{
    struct request *request = ws->request;
    if ((request->response.broken || request->conn->failed) && ws->want != DUPLEX_END)
        websocket_drop_output(ws);
    atomic_store(&ws->unattended, false);
    time_output(ws, false);
    bool ended = ws->want == DUPLEX_END && !has_output(ws);
    if (ended && websocket_is_finished(ws)) {
        ws->way->close(ws);
        return;
    }
    if (ended && !ws->shut) {
        ws->shut = true;
        ws->way->shut(ws);
    }
    ws->way->settled(ws, earlier(ws->out_at, earlier(ws->drain_at, ws->duplex.deadline_ms)));
}

/* Reading */

void websocket_give(struct websocket *ws, char *data, size_t n)
{
    struct engine *engine = ws->request->engine;
    size_t used;
    ws->want = duplex_received(&ws->duplex, data, n, &used, engine->now_ms);
    if (ws->want == DUPLEX_PAUSE && used < n &&
        !websocket_keep(&engine->budget, &ws->kept, data + used, n - used))
        websocket_hang_up(ws);
}

void websocket_give_kept(struct websocket *ws)
{
    struct websocket_kept kept = ws->kept;
    if (!kept.data)
        return;
    ws->kept = (struct websocket_kept){0};
    websocket_give(ws, kept.data, kept.size);
    websocket_drop_kept(&ws->request->engine->budget, &kept);
}

/* As the duplex wants it now: reading may go on. */
static void turn_to(struct websocket *ws, enum duplex_want want)
{
    bool resumes = ws->want == DUPLEX_PAUSE && want == DUPLEX_READ;
    ws->want = want;
    if (resumes)
        ws->way->read_on(ws);
}

void websocket_attend(struct websocket *ws)
{
    if (ws->want != DUPLEX_END)
        turn_to(ws, duplex_attend(&ws->duplex, ws->request->engine->now_ms));
    websocket_settle(ws);
}

void websocket_sent(struct websocket *ws, bool taken)
{
    time_output(ws, taken);
    if (ws->want != DUPLEX_END)
        duplex_sent(&ws->duplex);
    websocket_settle(ws);
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

void websocket_drain(struct websocket *ws)
{
    struct engine *engine = ws->request->engine;
    if (websocket_is_finished(ws) || ws->want == DUPLEX_END || ws->drain_at > 0)
        return;
    ws->drain_at = engine->now_ms + drain_delay_ms(engine);
    ws->way->settled(ws, earlier(ws->out_at, earlier(ws->drain_at, ws->duplex.deadline_ms)));
}

static void close_drained(struct websocket *ws)
{
    ws->drain_at = 0;
    if (ws->want == DUPLEX_END)
        return;
    because(ws, CLOSE_DRAINED);
    duplex_drain(&ws->duplex, WS_CLOSE_RESTART, ws->request->engine->now_ms);
}

static void give_up_output(struct websocket *ws)
{
    ws->out_at = 0;
    if (!has_output(ws)) /* the application's thread has sent it */
        return;
    because(ws, CLOSE_SEND_TIMEOUT);
    websocket_drop_output(ws);
}

static bool is_due(const struct websocket *ws, uint64_t at)
{
    return at > 0 && ws->request->engine->now_ms >= at;
}

/* Bytes that arrived in time count, although they were not read in time. */
void websocket_expired(struct websocket *ws)
{
    if (ws->want == DUPLEX_READ)
        ws->way->read_on(ws);
    if (is_due(ws, ws->drain_at))
        close_drained(ws);
    if (is_due(ws, ws->out_at))
        give_up_output(ws);
    if (ws->want != DUPLEX_END && is_due(ws, ws->duplex.deadline_ms))
        turn_to(ws, duplex_expired(&ws->duplex, ws->request->engine->now_ms));
    websocket_settle(ws);
}

void websocket_cut(struct websocket *ws)
{
    struct engine *engine = ws->request->engine;
    if (ws->want != DUPLEX_END)
        duplex_drain(&ws->duplex, WS_CLOSE_RESTART, engine->now_ms);
    websocket_hang_up(ws);
    events_raise(engine, ws->request, REQUEST_DEADLINE);
    websocket_settle(ws);
}

/* Beginning, and the application's calls */

void websocket_begin_reading(struct websocket *ws)
{
    struct engine *engine = ws->request->engine;
    engine->websockets++;
    ws->want = duplex_attend(&ws->duplex, engine->now_ms);
    if (engine->drained)
        websocket_drain(ws);
    if (ws->want == DUPLEX_READ)
        ws->way->read_on(ws);
    websocket_settle(ws);
}

/* The request has turned to FLUSH. */
void websocket_answered(struct websocket *ws)
{
    ws->request->engine->websockets--;
    duplex_close(&ws->duplex, WS_CLOSE_NORMAL, STR(""));
    websocket_attend(ws);
}
