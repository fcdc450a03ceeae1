#include "serve/conn/duplex.h"

#include "base/mem.h"
#include "proto/websocket/utf8.h"
#include "proto/websocket/writer.h"
#include "serve/engine/limits.h"

#include <assert.h>
#include <string.h>

/* Memory: the reader's, the deflater's and that of messages, charged to the worker's budget. */

static void *resize(struct blocks *blocks, void *block, size_t old, size_t size)
{
    if (old == size)
        return block;
    if (old == 0)
        return blocks_get(blocks, size);
    if (size > 0)
        return blocks_resize(blocks, block, old, size);
    blocks_put(blocks, block, old);
    return NULL;
}

static void *charged_resize(void *owner, void *block, size_t old, size_t size)
{
    struct duplex *duplex = owner;
    size_t held = atomic_load_explicit(&duplex->held, memory_order_relaxed);
    old = blocks_round(old);
    size = blocks_round(size);
    /* The share of an answer: a message cannot go to a file. */
    if (size > old && !budget_take(duplex->budget, BUDGET_ANSWER, held, size - old))
        return NULL;
    void *resized = resize(&duplex->budget->blocks, block, old, size);
    if (size > 0 && resized == NULL) {
        if (size > old)
            budget_give(duplex->budget, size - old);
        return NULL;
    }
    if (size < old)
        budget_give(duplex->budget, old - size);
    atomic_fetch_add_explicit(&duplex->held, size - old, memory_order_relaxed);
    return resized;
}

bool duplex_init(struct duplex *duplex, const struct duplex_options *options,
                 const struct ws_deflate_terms *terms, const struct duplex_link *link, void *conn,
                 struct budget *budget, uint64_t now_ms)
{
    size_t limit = options->message_max > 0 ? options->message_max : DUPLEX_MESSAGE_MAX;
    *duplex = (struct duplex){
        .code = WS_CLOSE_ABNORMAL,
        .link = link,
        .conn = conn,
        .budget = budget,
        .options = *options,
        .terms = *terms,
        .memory = {charged_resize, duplex},
        .ping_at_ms = now_ms + options->ping_interval_ms,
    };
    ws_reader_init(&duplex->reader, limit, terms, &duplex->memory);
    duplex->deadline_ms = options->ping_interval_ms > 0 ? duplex->ping_at_ms : 0;
    return pthread_mutex_init(&duplex->lock, NULL) == 0;
}

/* The queue and the state; with the lock. */

static struct duplex_message *dequeue(struct duplex *duplex)
{
    struct duplex_message *message = duplex->head;
    duplex->head = message->next;
    duplex->waiting -= message->cost;
    message->next = NULL;
    return message;
}

static void drop_all(struct duplex *duplex)
{
    while (duplex->head != NULL)
        duplex_drop(duplex, dequeue(duplex));
}

void duplex_destroy(struct duplex *duplex)
{
    drop_all(duplex);
    ws_reader_free(&duplex->reader);
    ws_deflater_free(duplex->deflater);
    pthread_mutex_destroy(&duplex->lock);
    assert(atomic_load(&duplex->held) == 0);
}

static void duplex_move(struct duplex *duplex, enum duplex_state to)
{
    assert(to > duplex->state);
    duplex->state = to;
}

static bool send_frame(struct duplex *duplex, enum ws_opcode opcode, struct str payload)
{
    char header[WS_HEADER_OWN_MAX];
    struct iovec parts[] = {{header, ws_frame_write(header, opcode, true, false, payload.n)},
                            {(void *)(uintptr_t)payload.p, payload.n}};
    return duplex->link->send(duplex->conn, parts, payload.n > 0 ? 2 : 1);
}

/* Our close frame, once. */
static void send_close(struct duplex *duplex, uint16_t code, struct str reason)
{
    char payload[WS_CONTROL_MAX];
    if (duplex->state != DUPLEX_OPEN)
        return;
    size_t n = ws_close_write(payload, code, reason);
    send_frame(duplex, WS_CLOSE, (struct str){payload, n});
    duplex_move(duplex, DUPLEX_CLOSING);
}

static void set_end(struct duplex *duplex, uint16_t code, struct str reason)
{
    if (duplex->state == DUPLEX_ENDED)
        return;
    duplex_move(duplex, DUPLEX_ENDED);
    duplex->code = code;
    duplex->reason_size = (uint8_t)ws_utf8_cut(reason.p, reason.n, WS_REASON_MAX);
    memcpy(duplex->reason, reason.p, duplex->reason_size);
}

/* Ends it, answering with a close frame if none was sent. Without the lock. */
static enum duplex_want end_with(struct duplex *duplex, uint16_t answer, uint16_t code,
                                 struct str reason)
{
    pthread_mutex_lock(&duplex->lock);
    send_close(duplex, answer, code == WS_CLOSE_ABNORMAL ? reason : (struct str){"", 0});
    set_end(duplex, code, reason);
    pthread_mutex_unlock(&duplex->lock);
    duplex->deadline_ms = 0;
    duplex->link->raise(duplex->conn, DUPLEX_INPUT | DUPLEX_ROOM | DUPLEX_OVER);
    return DUPLEX_END;
}

/* Their code is 1006, as no close frame of theirs has come. */
static enum duplex_want end_failed(struct duplex *duplex)
{
    enum ws_error error = (enum ws_error)duplex->failure;
    const char *text = ws_error_text(error);
    return end_with(duplex, ws_error_code(error), WS_CLOSE_ABNORMAL,
                    (struct str){text, strlen(text)});
}

/* A violation, or no memory: duplex_attend() ends it. */
static enum duplex_want fail(struct duplex *duplex, enum ws_error error)
{
    pthread_mutex_lock(&duplex->lock);
    duplex->failure = (uint8_t)error;
    pthread_mutex_unlock(&duplex->lock);
    return DUPLEX_PAUSE;
}

/* Reading */

static struct duplex_message *message_new(struct duplex *duplex, struct str payload)
{
    struct ws_buffer taken;
    bool is_taken = ws_reader_take(&duplex->reader, &taken);
    size_t size = sizeof(struct duplex_message) + (is_taken ? 0 : payload.n);
    struct duplex_message *message = charged_resize(duplex, NULL, 0, size);
    if (message == NULL) {
        ws_buffer_free(&taken);
        return NULL;
    }
    *message = (struct duplex_message){.cost = size + taken.capacity, .taken = taken};
    message->payload = (struct str){is_taken ? taken.data : (char *)(message + 1), payload.n};
    if (!is_taken)
        memcpy(message + 1, payload.p, payload.n);
    return message;
}

/* With the lock. False: the application has left. */
static bool enqueue(struct duplex *duplex, struct duplex_message *message)
{
    if (duplex->left)
        return false;
    if (duplex->head != NULL)
        duplex->tail->next = message;
    else
        duplex->head = message;
    duplex->tail = message;
    duplex->waiting += message->cost;
    duplex->paused = duplex->waiting >= DUPLEX_READ_AHEAD;
    return true;
}

static enum duplex_want deliver(struct duplex *duplex, bool text, struct str payload)
{
    struct duplex_message *message = message_new(duplex, payload);
    if (message == NULL)
        return fail(duplex, WS_NO_MEMORY);
    message->text = text;
    pthread_mutex_lock(&duplex->lock);
    bool queued = enqueue(duplex, message);
    bool paused = duplex->paused;
    pthread_mutex_unlock(&duplex->lock);
    if (queued)
        duplex->link->raise(duplex->conn, DUPLEX_INPUT);
    else
        duplex_drop(duplex, message);
    return paused ? DUPLEX_PAUSE : DUPLEX_READ;
}

/* At once, or the last one when the client takes output again (RFC 6455 §5.5.3). */
static enum duplex_want pong(struct duplex *duplex, struct str payload)
{
    pthread_mutex_lock(&duplex->lock);
    if (duplex->state == DUPLEX_OPEN && duplex->link->queued(duplex->conn) <= DUPLEX_QUEUED) {
        send_frame(duplex, WS_PONG, payload);
    } else {
        duplex->pong_due = true;
        duplex->pong_size = (uint8_t)payload.n;
        memcpy(duplex->pong, payload.p, payload.n);
    }
    pthread_mutex_unlock(&duplex->lock);
    return DUPLEX_READ;
}

static enum duplex_want take_event(struct duplex *duplex, enum ws_event event, struct str payload)
{
    switch (event) {
    case WS_EVENT_TEXT:
    case WS_EVENT_BINARY:
        return deliver(duplex, event == WS_EVENT_TEXT, payload);
    case WS_EVENT_PING:
        return pong(duplex, payload);
    case WS_EVENT_CLOSE:
        return end_with(duplex, duplex->reader.code, duplex->reader.code, payload);
    case WS_EVENT_FAILED:
        return fail(duplex, (enum ws_error)duplex->reader.error);
    default:
        return DUPLEX_READ;
    }
}

enum duplex_want duplex_received(struct duplex *duplex, char *data, size_t size, size_t *consumed,
                                 uint64_t now_ms)
{
    enum duplex_want want = duplex_attend(duplex, now_ms);
    *consumed = 0;
    duplex->pinged = false;
    while (want == DUPLEX_READ && *consumed < size) {
        struct str payload;
        size_t used;
        enum ws_event event =
            ws_reader_next(&duplex->reader, data + *consumed, size - *consumed, &used, &payload);
        *consumed += used;
        want = take_event(duplex, event, payload);
        if (want != DUPLEX_READ) /* or the application has made room by now */
            want = duplex_attend(duplex, now_ms);
    }
    return want;
}

void duplex_hung_up(struct duplex *duplex)
{
    pthread_mutex_lock(&duplex->lock);
    set_end(duplex, WS_CLOSE_ABNORMAL, (struct str){"", 0});
    pthread_mutex_unlock(&duplex->lock);
    duplex->deadline_ms = 0;
    duplex->link->raise(duplex->conn, DUPLEX_INPUT | DUPLEX_ROOM | DUPLEX_OVER);
}

/* Time */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_deadline(struct duplex *duplex, bool closing, uint64_t now_ms)
{
    if (closing) {
        if (duplex->closing_at_ms == 0)
            duplex->closing_at_ms = now_ms + DUPLEX_CLOSE_MS;
        return duplex->closing_at_ms;
    }
    if (duplex->options.ping_interval_ms == 0)
        return 0;
    if (duplex->pinged && duplex->options.ping_timeout_ms > 0)
        return earlier(duplex->ping_at_ms, duplex->pinged_ms + duplex->options.ping_timeout_ms);
    return duplex->ping_at_ms;
}

enum duplex_want duplex_attend(struct duplex *duplex, uint64_t now_ms)
{
    pthread_mutex_lock(&duplex->lock);
    enum duplex_state state = duplex->state;
    bool failing = duplex->failure != WS_NO_ERROR;
    bool answered = duplex->head == NULL && !duplex->answering;
    bool paused = duplex->paused;
    pthread_mutex_unlock(&duplex->lock);
    if (state == DUPLEX_ENDED)
        return DUPLEX_END;
    if (failing && answered)
        return end_failed(duplex);
    duplex->deadline_ms = next_deadline(duplex, failing || state == DUPLEX_CLOSING, now_ms);
    return failing || paused ? DUPLEX_PAUSE : DUPLEX_READ;
}

static void ping(struct duplex *duplex, uint64_t now_ms)
{
    char count[4];
    duplex->ping_at_ms = now_ms + duplex->options.ping_interval_ms;
    if (duplex->pinged)
        return;
    duplex->pinged = true;
    duplex->pinged_ms = now_ms;
    memcpy(count, &duplex->pings, sizeof(count));
    duplex->pings++;
    pthread_mutex_lock(&duplex->lock);
    if (duplex->state == DUPLEX_OPEN)
        send_frame(duplex, WS_PING, (struct str){count, sizeof(count)});
    pthread_mutex_unlock(&duplex->lock);
}

static bool is_silent(const struct duplex *duplex, uint64_t now_ms)
{
    uint32_t most_ms = duplex->options.ping_timeout_ms;
    return duplex->pinged && most_ms > 0 && now_ms >= duplex->pinged_ms + most_ms;
}

/* The close handshake, or the answers before a violation is reported, took too long. */
static enum duplex_want end_late(struct duplex *duplex)
{
    if (duplex->failure != WS_NO_ERROR)
        return end_failed(duplex);
    duplex_hung_up(duplex);
    return DUPLEX_END;
}

enum duplex_want duplex_expired(struct duplex *duplex, uint64_t now_ms)
{
    enum duplex_want want = duplex_attend(duplex, now_ms);
    if (want == DUPLEX_END)
        return want;
    if (duplex->closing_at_ms != 0 && now_ms >= duplex->closing_at_ms)
        return end_late(duplex);
    if (want == DUPLEX_PAUSE) /* its answer is not read */
        duplex->pinged_ms = now_ms;
    if (is_silent(duplex, now_ms))
        return end_with(duplex, WS_CLOSE_INTERNAL, WS_CLOSE_ABNORMAL,
                        STR("keepalive ping timeout"));
    if (duplex->options.ping_interval_ms > 0 && now_ms >= duplex->ping_at_ms)
        ping(duplex, now_ms);
    return duplex_attend(duplex, now_ms);
}

void duplex_sent(struct duplex *duplex)
{
    pthread_mutex_lock(&duplex->lock);
    bool room = duplex->link->queued(duplex->conn) <= DUPLEX_QUEUED / 2;
    bool raise = room && duplex->full;
    if (room && duplex->pong_due && duplex->state == DUPLEX_OPEN) {
        duplex->pong_due = false;
        send_frame(duplex, WS_PONG, (struct str){duplex->pong, duplex->pong_size});
    }
    duplex->full = duplex->full && !room;
    pthread_mutex_unlock(&duplex->lock);
    if (raise)
        duplex->link->raise(duplex->conn, DUPLEX_ROOM);
}

void duplex_drain(struct duplex *duplex, uint16_t code, uint64_t now_ms)
{
    pthread_mutex_lock(&duplex->lock);
    send_close(duplex, code, (struct str){"", 0});
    pthread_mutex_unlock(&duplex->lock);
    duplex_attend(duplex, now_ms);
}

/* The application */

/* With the lock. Whether reading goes on, which it did not. */
static bool make_room(struct duplex *duplex)
{
    if (!duplex->paused || duplex->waiting > DUPLEX_READ_AHEAD / 2)
        return false;
    duplex->paused = false;
    return true;
}

enum duplex_next duplex_next(struct duplex *duplex, struct duplex_message **message)
{
    enum duplex_next next;
    bool attend = false;
    pthread_mutex_lock(&duplex->lock);
    if (duplex->head != NULL) {
        *message = dequeue(duplex);
        attend = make_room(duplex);
        duplex->answering = true;
        next = DUPLEX_MESSAGE;
    } else {
        attend = duplex->answering && duplex->failure != WS_NO_ERROR;
        duplex->answering = false;
        next = duplex->state == DUPLEX_ENDED ? DUPLEX_GONE : DUPLEX_NOTHING;
    }
    pthread_mutex_unlock(&duplex->lock);
    if (attend)
        duplex->link->attend(duplex->conn);
    return next;
}

unsigned duplex_pending(struct duplex *duplex)
{
    unsigned events = 0;
    pthread_mutex_lock(&duplex->lock);
    if (duplex->head != NULL || duplex->state == DUPLEX_ENDED)
        events |= DUPLEX_INPUT;
    if (!duplex->full)
        events |= DUPLEX_ROOM;
    if (duplex->state == DUPLEX_ENDED)
        events |= DUPLEX_OVER;
    pthread_mutex_unlock(&duplex->lock);
    return events;
}

void duplex_drop(struct duplex *duplex, struct duplex_message *message)
{
    struct ws_buffer taken = message->taken;
    charged_resize(duplex, message, message->cost - taken.capacity, 0);
    ws_buffer_free(&taken);
}

static struct ws_deflater *deflater_for(struct duplex *duplex, size_t size)
{
    if (!duplex->terms.agreed || size < DUPLEX_DEFLATE_LEAST)
        return NULL;
    if (duplex->deflater == NULL)
        duplex->deflater = ws_deflater_new(&duplex->memory, duplex->terms.server_window,
                                           duplex->terms.server_takeover);
    return duplex->deflater; /* without memory for one, the message is sent as it is */
}

static enum duplex_sent send_piece(struct duplex *duplex, const struct ws_piece *piece)
{
    struct iovec parts[] = {{(void *)(uintptr_t)piece->header, piece->header_size},
                            {(void *)(uintptr_t)piece->payload.p, piece->payload.n}};
    pthread_mutex_lock(&duplex->lock);
    bool sent = duplex->state == DUPLEX_OPEN &&
                duplex->link->send(duplex->conn, parts, piece->payload.n > 0 ? 2 : 1);
    if (sent && piece->last && duplex->link->queued(duplex->conn) > DUPLEX_QUEUED)
        duplex->full = true;
    bool full = duplex->full;
    pthread_mutex_unlock(&duplex->lock);
    if (!sent)
        return DUPLEX_CLOSED;
    return full ? DUPLEX_FULL : DUPLEX_SENT;
}

enum duplex_sent duplex_send(struct duplex *duplex, bool text, struct str payload)
{
    char room[DUPLEX_DEFLATE_ROOM];
    struct ws_writer writer;
    struct ws_piece piece;
    enum duplex_sent sent;
    ws_writer_begin(&writer, text ? WS_TEXT : WS_BINARY, payload, deflater_for(duplex, payload.n));
    do {
        ws_writer_next(&writer, room, sizeof(room), &piece);
        sent = send_piece(duplex, &piece);
    } while (sent != DUPLEX_CLOSED && !piece.last);
    return sent;
}

void duplex_close(struct duplex *duplex, uint16_t code, struct str reason)
{
    pthread_mutex_lock(&duplex->lock);
    send_close(duplex, code, reason);
    duplex->left = true;
    duplex->answering = false;
    duplex->paused = false;
    drop_all(duplex);
    pthread_mutex_unlock(&duplex->lock);
    duplex->link->attend(duplex->conn);
}
