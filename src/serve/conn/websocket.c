#include "serve/conn/websocket.h"

#include "base/clock.h"
#include "serve/access/refused.h"
#include "serve/conn/conn.h"
#include "serve/conn/http1.h"
#include "serve/conn/websocket_private.h"
#include "serve/request/refusal.h"
#include "serve/request/stream.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A WebSocket as its application sees it. */

/* The connection, as its duplex needs it */

static bool link_send(void *context, const struct iovec *parts, int count)
{
    struct websocket *ws = context;
    struct request *request = ws->request;
    struct iovec copy[2];
    bool attend = false;
    assert(count <= 2);
    memcpy(copy, parts, sizeof(*parts) * (size_t)count);
    bool sent = ws->way->send(request, copy, count, &attend) == 0;
    for (int i = 0; sent && i < count; i++)
        request->response.body_sent += parts[i].iov_len;
    if (attend || !sent)
        atomic_store(&ws->unattended, true);
    return sent;
}

static size_t link_queued(void *context)
{
    struct websocket *ws = context;
    struct outq *out = &ws->request->out;
    if (!atomic_load_explicit(&out->pending, memory_order_acquire))
        return 0;
    pthread_mutex_lock(&out->lock);
    size_t waiting = (size_t)outq_waiting(out);
    pthread_mutex_unlock(&out->lock);
    return waiting;
}

/* The events of a request, by those of its duplex. */
static unsigned request_events(unsigned events)
{
    return (events & DUPLEX_INPUT ? REQUEST_BODY : 0u) |
           (events & DUPLEX_ROOM ? REQUEST_ROOM : 0u) | (events & DUPLEX_OVER ? REQUEST_GONE : 0u);
}

/* By the leader alone: the application's calls raise nothing. */
static void link_raise(void *context, unsigned events)
{
    struct websocket *ws = context;
    events_raise(ws->request->engine, ws->request, request_events(events));
}

static void link_attend(void *context)
{
    struct websocket *ws = context;
    if (!websocket_is_finished(ws)) /* else the leader calls */
        engine_attend(ws->request->engine, ws->request);
}

static const struct duplex_link link = {link_send, link_queued, link_raise, link_attend};

/* The handshake */

/* nginx's uwsgi_pass makes a tunnel of a connection that is answered with 101; FastCGI has none. */
static bool can_upgrade(const struct request *request)
{
    const struct protocol *protocol = request->conn->protocol;
    return request_is_http2(request) || protocol == &http1_protocol || protocol == &uwsgi_protocol;
}

enum ws_handshake_result websocket_asked(const struct request *request,
                                         struct ws_handshake *handshake)
{
    if (!can_upgrade(request))
        return WS_HANDSHAKE_NONE;
    return ws_handshake_read(&request->head, request->input, handshake);
}

/* HTTP/2 has no Upgrade, which an answer with 426 has to name. */
static void refuse_to_upgrade(struct request *request, const char *problem)
{
    struct str status =
        request_is_http2(request) ? STR("400 Bad Request") : STR("426 Upgrade Required");
    bool kept;
    char length[24];
    int n = snprintf(length, sizeof(length), "%zu", strlen(problem));
    response_start(request, status.p, status.n);
    response_field(request, STR("Connection"), STR("Upgrade"));
    response_field(request, STR("Upgrade"), STR("websocket"));
    response_field(request, STR("Sec-WebSocket-Version"), STR("13"));
    response_field(request, STR("Content-Type"), STR("text/plain"));
    response_field(request, STR("Content-Length"), (struct str){length, (size_t)n});
    response_write(request, problem, strlen(problem), NULL, &kept, true);
    response_finish(request);
}

void websocket_refuse(struct request *request, enum ws_handshake_result result,
                      const struct ws_handshake *handshake)
{
    assert_attached();
    if (result == WS_HANDSHAKE_UPGRADE)
        refuse_to_upgrade(request, handshake->problem);
    else
        refusal_send(request, 400, handshake->problem);
    refused_log(request->engine, request);
}

/* RFC 6455 §4.2.2. */
static enum response_error switch_protocols(struct request *request, struct str key)
{
    char accept[WS_ACCEPT_SIZE];
    ws_handshake_accept(key, accept);
    response_start(request, "101 Switching Protocols", 23);
    response_field(request, STR("Connection"), STR("Upgrade"));
    response_field(request, STR("Upgrade"), STR("websocket"));
    return response_field(request, STR("Sec-WebSocket-Accept"),
                          (struct str){accept, WS_ACCEPT_SIZE});
}

/* RFC 8441 §5. */
static enum response_error take_stream(struct request *request)
{
    response_start(request, "200 OK", 6);
    return RESPONSE_OK;
}

enum response_error websocket_begin(struct request *request, struct str subprotocol)
{
    assert_attached();
    struct ws_handshake handshake;
    char extension[WS_EXTENSION_MAX];
    enum ws_handshake_result result = websocket_asked(request, &handshake);
    assert(result == WS_HANDSHAKE_OK);
    (void)result;
    enum response_error error =
        request_is_http2(request) ? take_stream(request) : switch_protocols(request, handshake.key);
    if (error == RESPONSE_OK && subprotocol.n > 0)
        error = response_field(request, STR("Sec-WebSocket-Protocol"), subprotocol);
    if (error == RESPONSE_OK && handshake.deflate.agreed) {
        size_t n = ws_extension_answer(&handshake.deflate, extension);
        error =
            response_field(request, STR("Sec-WebSocket-Extensions"), (struct str){extension, n});
    }
    return error;
}

static bool open_duplex(struct websocket *ws, const struct ws_deflate_terms *terms)
{
    struct engine *engine = ws->request->engine;
    struct duplex_options options = {
        .message_max = engine->options.websocket_message_max,
        .ping_interval_ms = engine->options.websocket_ping_interval_ms,
        .ping_timeout_ms = engine->options.websocket_ping_timeout_ms,
    };
    return duplex_init(&ws->duplex, &options, terms, &link, ws, &engine->budget, clock_ms());
}

static struct websocket *websocket_new(struct request *request,
                                       const struct ws_deflate_terms *terms)
{
    struct budget *budget = &request->engine->budget;
    size_t size = sizeof(struct websocket);
    struct websocket *ws = budget_alloc(budget, BUDGET_REQUEST, &size);
    if (!ws)
        return NULL;
    memset(ws, 0, sizeof(*ws));
    ws->request = request;
    ws->way = request_is_http2(request) ? &http2_websocket_way : &websocket_conn_way;
    if (open_duplex(ws, terms))
        return ws;
    budget_free(budget, ws, size);
    return NULL;
}

void websocket_drop_kept(struct budget *budget, struct websocket_kept *kept)
{
    if (kept->data)
        budget_free(budget, kept->data, kept->capacity);
    *kept = (struct websocket_kept){0};
}

/* Doubles it at least: pieces are copied a few times, however small. */
static bool grow(struct budget *budget, struct websocket_kept *kept, size_t n)
{
    size_t capacity = kept->size + n;
    if (capacity < 2 * (size_t)kept->capacity)
        capacity = 2 * (size_t)kept->capacity;
    char *data = budget_alloc(budget, BUDGET_ADMITTED, &capacity);
    if (!data)
        return false;
    if (kept->size > 0)
        memcpy(data, kept->data, kept->size);
    uint32_t size = kept->size;
    websocket_drop_kept(budget, kept);
    *kept = (struct websocket_kept){data, size, (uint32_t)capacity};
    return true;
}

bool websocket_keep(struct budget *budget, struct websocket_kept *kept, const char *data, size_t n)
{
    if (kept->capacity - kept->size < n && !grow(budget, kept, n))
        return false;
    memcpy(kept->data + kept->size, data, n);
    kept->size += (uint32_t)n;
    return true;
}

static void websocket_free(struct websocket *ws)
{
    struct budget *budget = &ws->request->engine->budget;
    websocket_drop_kept(budget, &ws->kept);
    duplex_destroy(&ws->duplex);
    budget_free(budget, ws, sizeof(*ws));
}

void websocket_forget(struct request *request)
{
    struct websocket *ws = request->websocket;
    request->websocket = NULL;
    if (ws)
        websocket_free(ws);
}

/* Takes the bytes that the client has sent behind its head. False: no memory. */
static bool keep_rest(struct websocket *ws)
{
    struct request *request = ws->request;
    size_t n = request->input_size - request->input_at;
    bool kept = n == 0 || websocket_keep(&request->engine->budget, &ws->kept,
                                         request->input + request->input_at, n);
    if (kept)
        request->input_size = request->input_at;
    return kept;
}

enum response_error websocket_accept(struct request *request)
{
    assert_attached();
    struct engine *engine = request->engine;
    struct ws_handshake handshake;
    assert(engine->ops->events);
    websocket_asked(request, &handshake);
    struct websocket *ws = websocket_new(request, &handshake.deflate);
    if (!ws)
        return RESPONSE_NO_MEMORY;
    if (!keep_rest(ws)) {
        websocket_free(ws);
        return RESPONSE_NO_MEMORY;
    }
    request->stream->watch(request);
    enum response_error error = ws->way->open(request);
    if (error != RESPONSE_OK) {
        websocket_free(ws);
        return error;
    }
    deadline_end(&engine->deadlines, &request->deadline);
    request->response.body_sent = 0;
    request->websocket = ws;
    engine_attend(engine, request);
    return RESPONSE_OK;
}

/* The application */

void websocket_ask(struct request *request, unsigned events)
{
    assert_attached();
    struct engine *engine = request->engine;
    events_want(engine, request, events);
    unsigned happened = request_events(duplex_pending(&request->websocket->duplex));
    if (atomic_load(&engine->out_of_time))
        happened |= REQUEST_DEADLINE;
    if (events & happened)
        engine_raise(engine, request, events & happened);
}

bool websocket_room(const struct request *request)
{
    assert_attached();
    return duplex_pending(&request->websocket->duplex) & DUPLEX_ROOM;
}

enum duplex_next websocket_next(struct request *request, struct duplex_message **message)
{
    assert_attached();
    return duplex_next(&request->websocket->duplex, message);
}

void websocket_drop(struct request *request, struct duplex_message *message)
{
    assert_attached();
    duplex_drop(&request->websocket->duplex, message);
}

enum duplex_sent websocket_send(struct request *request, bool text, struct str payload)
{
    assert_attached();
    struct websocket *ws = request->websocket;
    enum duplex_sent sent = duplex_send(&ws->duplex, text, payload);
    if (atomic_load_explicit(&ws->unattended, memory_order_relaxed))
        engine_attend(request->engine, request);
    return sent;
}

void websocket_close(struct request *request, uint16_t code, struct str reason)
{
    assert_attached();
    duplex_close(&request->websocket->duplex, code, reason);
}

uint16_t websocket_code(const struct request *request, struct str *reason)
{
    const struct duplex *duplex = &request->websocket->duplex;
    *reason = (struct str){duplex->reason, duplex->reason_size};
    return duplex->code;
}
