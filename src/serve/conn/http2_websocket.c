#include "serve/conn/http2_private.h"
#include "serve/request/store.h"

/*
 * A WebSocket on a stream of HTTP/2 (RFC 8441). Its frames wait for the session in request->out, as
 * an answer does. The client may send as much ahead as the window of its stream has room for: the
 * room is given back when the frames are consumed.
 */

static struct http2_session *session_of(const struct websocket *ws)
{
    return http2_of(ws->request)->session;
}

/* Its way */

static enum response_error open(struct request *request)
{
    request_shrink(request);
    return response_open(request);
}

/* With the lock. A frame that is not whole breaks the stream. */
static bool store(struct request *request, const struct iovec *parts, int count)
{
    for (int i = 0; i < count; i++)
        if (store_part(request, &parts[i], (struct held){0}) < 0)
            return false;
    return true;
}

static int send_frame(struct request *request, struct iovec *parts, int count, bool *attend)
{
    pthread_mutex_lock(&request->out.lock);
    if (!request->response.broken && !store(request, parts, count)) {
        request->response.full = true;
        request->response.broken = true;
    }
    pthread_mutex_unlock(&request->out.lock);
    *attend = true;
    return request->response.broken ? -1 : 0;
}

static void read_on(struct websocket *ws)
{
    const struct http2_stream *stream = http2_stream(ws->request);
    size_t before = ws->kept.size;
    websocket_give_kept(ws);
    if (!stream->closed && ws->kept.size < before)
        http2_consume(session_of(ws), stream->id, before - ws->kept.size);
    if (stream->in_ended && ws->want == DUPLEX_READ)
        websocket_hang_up(ws);
}

static void settled(struct websocket *ws, uint64_t at_ms)
{
    struct http2_stream *stream = http2_stream(ws->request);
    stream->at = at_ms;
    http2_look_at(ws->request, at_ms);
    if (stream->closed)
        return;
    http2_resume(session_of(ws), stream->id);
    bool sends = stream->whole || atomic_load(&ws->request->out.pending);
    if (sends && !ws->request->response.broken && list_empty(&stream->sending))
        list_push(&http2_of(ws->request)->sending, &stream->sending);
}

/* A reset is a WebSocket's end without a close frame (RFC 8441 §5). */
static void shut(struct websocket *ws)
{
    struct http2_stream *stream = http2_stream(ws->request);
    if (stream->closed)
        return;
    if (ws->request->response.broken) {
        http2_reset(session_of(ws), stream->id, HTTP2_CANCEL);
        return;
    }
    pthread_mutex_lock(&ws->request->out.lock);
    stream->whole = true;
    pthread_mutex_unlock(&ws->request->out.lock);
}

/* The session closes the stream when the end has left. */
static void close_stream(struct websocket *ws)
{
    if (!ws->shut)
        shut(ws);
    ws->shut = true;
    settled(ws, 0);
}

const struct websocket_way http2_websocket_way = {
    .open = open,
    .send = send_frame,
    .read_on = read_on,
    .settled = settled,
    .shut = shut,
    .close = close_stream,
};

/* Its stream */

static void begin(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    struct websocket *ws = request->websocket;
    stream->is_websocket = true;
    stream->at = 0;
    ws->kept = stream->early;
    stream->early = (struct websocket_kept){0};
    http2_of(request)->websockets++;
    websocket_begin_reading(ws);
}

void http2_websocket_attend(struct request *request)
{
    if (http2_stream(request)->is_websocket)
        websocket_attend(request->websocket);
    else if (request->websocket)
        begin(request);
}

static void keep(struct request *request, struct websocket_kept *kept, const char *data, size_t n)
{
    const struct http2_stream *stream = http2_stream(request);
    if (!websocket_keep(&request->engine->budget, kept, data, n))
        http2_reset(http2_of(request)->session, stream->id, HTTP2_INTERNAL_ERROR);
}

void http2_websocket_data(struct request *request, const char *data, size_t n)
{
    struct http2_stream *stream = http2_stream(request);
    struct websocket *ws = stream->is_websocket ? request->websocket : NULL;
    bool is_over = ws ? ws->want == DUPLEX_END : request_phase(request) != PHASE_RUNNING;
    if (is_over) {
        http2_consume(http2_of(request)->session, stream->id, n);
        return;
    }
    keep(request, ws ? &ws->kept : &stream->early, data, n);
    if (!ws || ws->want != DUPLEX_READ)
        return;
    read_on(ws);
    websocket_settle(ws);
}

void http2_websocket_ended(struct request *request)
{
    struct http2_stream *stream = http2_stream(request);
    stream->in_ended = true;
    if (!stream->is_websocket) /* begin() sees it, unless the handshake is refused */
        return;
    struct websocket *ws = request->websocket;
    if (ws->want == DUPLEX_READ)
        read_on(ws);
    websocket_settle(ws);
}

void http2_websocket_gone(struct request *request)
{
    struct websocket *ws = request->websocket;
    websocket_drop_output(ws);
    websocket_settle(ws);
}
