#include "proto/http2/session.h"

#include "base/mem.h"
#include "proto/http2/frames.h"

#include <nghttp2/nghttp2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    SETTINGS_COUNT = 6,
    CONNECTION_WINDOW = 1 << 24, /* at least; each stream has its own: see on_data() */
    STREAMS_BEYOND = 4096,       /* more at a time end the connection: see on_begin_headers() */
    LISTS_MAX = 4,               /* times the limit, until a head ends the connection, */
    LIST_LEAST = 256 * 1024,     /* and bytes, at least */
    FIELDS_ON_STACK = 64,
    STATUS_SIZE = 3,
    REASON_SIZE = 80,
    RESETS_KNOWN = 128,        /* streams that we have reset, which we know */
    SETTINGS_VALUE_AT = 9 + 2, /* bytes before the first value in a frame of SETTINGS */
};

struct http2_session {
    nghttp2_session *ng;
    struct http2_events events;
    void *context;
    struct http2_settings settings;
    struct http2_head in;       /* of the stream `heading` */
    void *heading;              /* NULL: its fields are passed over */
    bool began;                 /* the first frame was sent */
    bool over;                  /* nothing more is read */
    bool leaves;                /* the client begins no more streams */
    bool torn;                  /* see http2_free() */
    struct http2_session *next; /* of those that are torn */
    uint64_t decoded;           /* bytes of fields in this turn */
    char *ahead;                /* owned; bytes of the client that are left; NULL: none */
    size_t ahead_size;
    uint64_t list_size; /* decoded bytes of the fields of a head, or of trailers */
    uint32_t streams;
    const char *violation;
    char reason[REASON_SIZE];
    uint64_t now_ms, flood_ms; /* the time, and since when these are counted */
    uint32_t resets, idle_frames;
    struct http2_frames frames;
    int32_t last_id;             /* of a request */
    int32_t known[RESETS_KNOWN]; /* see is_late() */
    uint32_t known_count;        /* may be more */
    const uint8_t *out;          /* a frame that was not copied whole */
    size_t out_size;
};

/* Memory */

static void *ng_malloc(size_t size, void *user)
{
    (void)user;
    return mem_alloc(size);
}

static void ng_free(void *block, void *user)
{
    (void)user;
    mem_free(block);
}

static void *ng_calloc(size_t count, size_t size, void *user)
{
    size_t all;
    void *block = __builtin_mul_overflow(count, size, &all) ? NULL : mem_alloc(all);
    (void)user;
    return block ? memset(block, 0, all) : NULL;
}

static void *ng_realloc(void *block, size_t size, void *user)
{
    (void)user;
    return mem_realloc(block, size);
}

static nghttp2_mem memory = {NULL, ng_malloc, ng_free, ng_calloc, ng_realloc};

/* An error of nghttp2 after which the session cannot go on: no memory, mostly. */
static void fail(struct http2_session *session, int error)
{
    session->over = true;
    if (!session->violation)
        session->violation = nghttp2_strerror(error);
}

/* Floods */

static void calm(struct http2_session *session, const char *why)
{
    if (session->over)
        return;
    session->over = true;
    session->violation = why;
    nghttp2_session_terminate_session(session->ng, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void begin_window(struct http2_session *session)
{
    if (session->now_ms - session->flood_ms < HTTP2_FLOOD_MS)
        return;
    session->flood_ms = session->now_ms;
    session->resets = session->idle_frames = 0;
}

static void count_reset(struct http2_session *session)
{
    begin_window(session);
    if (++session->resets > HTTP2_RESETS_MAX)
        calm(session, "too many streams were reset");
}

static void count_idle_frame(struct http2_session *session)
{
    begin_window(session);
    if (++session->idle_frames > HTTP2_IDLE_FRAMES)
        calm(session, "too many frames without a request");
}

/* Frames that cost work, and neither begin a request nor bring bytes of one. */
static bool is_idle_frame(const struct http2_frames *frames)
{
    switch (http2_frames_type(frames)) {
    case NGHTTP2_DATA:
        return http2_frames_length(frames) == 0 &&
               !(http2_frames_flags(frames) & NGHTTP2_FLAG_END_STREAM);
    case NGHTTP2_HEADERS:
    case NGHTTP2_RST_STREAM: /* counted by itself */
    case NGHTTP2_WINDOW_UPDATE:
        return false;
    default: /* nghttp2 passes over types that it does not know */
        return true;
    }
}

/* DATA of padding alone: nghttp2 opens the window again by itself. */
static bool is_padding(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_DATA && frame->hd.length > 0 &&
           frame->hd.length == frame->data.padlen && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
}

/* Streams */

static void *owner_of(struct http2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session->ng, id);
}

static struct str str_of(const uint8_t *p, size_t n)
{
    return (struct str){(const char *)p, n};
}

static void end_with(struct http2_session *session, uint32_t code)
{
    nghttp2_session_terminate_session(session->ng, code);
}

/*
 * A frame for a stream that the client has ended itself. Others may have been on their way when we
 * reset their stream, and are passed over (RFC 9113 §5.1).
 */
static bool is_late(struct http2_session *session, int32_t id)
{
    if (id > session->last_id || id % 2 == 0 || session->known_count > RESETS_KNOWN ||
        nghttp2_session_find_stream(session->ng, id))
        return false;
    for (uint32_t i = 0; i < session->known_count; i++)
        if (session->known[i] == id)
            return false;
    return true;
}

/* Little DATA for a stream that we have reset, or answered before its end. */
static bool is_wasted(struct http2_session *session, int32_t id)
{
    return http2_frames_length(&session->frames) < HTTP2_LEAST_DATA && !owner_of(session, id);
}

/* nghttp2 passes over these. */
static void look_at_frame(struct http2_session *session)
{
    uint8_t type = http2_frames_type(&session->frames);
    int32_t id = http2_frames_id(&session->frames);
    if (type == NGHTTP2_DATA && is_wasted(session, id))
        count_idle_frame(session);
    if ((type == NGHTTP2_DATA || type == NGHTTP2_HEADERS) && is_late(session, id))
        end_with(session, NGHTTP2_STREAM_CLOSED);
    if (type == NGHTTP2_PRIORITY && (id == 0 || http2_frames_loop(&session->frames)))
        end_with(session, NGHTTP2_PROTOCOL_ERROR);
}

static bool is_request(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

/*
 * nghttp2 would end the connection because of a stream beyond the limit, which is an error of that
 * stream alone (RFC 9113 §5.1.2): so it knows a higher limit than the client.
 */
static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http2_session *session = user;
    int32_t id = frame->hd.stream_id;
    session->heading = NULL;
    session->list_size = 0;
    if (!is_request(frame))
        return 0;
    session->last_id = id;
    session->in = (struct http2_head){.limits = session->settings.limits,
                                      .list_max = session->settings.header_list_size};
    if (session->streams < session->settings.streams && !session->over)
        session->heading = session->events.begin(session->context, id, &session->in);
    if (!session->heading) {
        http2_reset(session, id, HTTP2_REFUSED_STREAM);
        return 0;
    }
    session->streams++;
    return nghttp2_session_set_stream_user_data(ng, id, session->heading);
}

static bool make_room(struct http2_session *session, size_t n)
{
    struct http2_head *in = &session->in;
    if (in->fault != HTTP2_NO_FAULT || in->capacity - in->size >= n)
        return true;
    if (session->events.grow(session->heading, in, n))
        return true;
    in->fault = HTTP2_NO_MEMORY;
    return false;
}

/* A few bytes name fields that are long: what is decoded costs, be it passed over or not. */
static bool is_bomb(struct http2_session *session, size_t n)
{
    uint64_t most = (uint64_t)session->settings.header_list_size * LISTS_MAX;
    session->list_size += n;
    session->decoded += n;
    if (session->list_size <= (most > LIST_LEAST ? most : LIST_LEAST))
        return false;
    calm(session, "header fields that are far too long");
    return true;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    struct http2_session *session = user;
    (void)ng, (void)flags;
    if (is_bomb(session, name_size + value_size))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!session->heading || !is_request(frame))
        return 0;
    if (make_room(session, name_size + value_size))
        http2_head_add(&session->in, str_of(name, name_size), str_of(value, value_size));
    return 0;
}

/* nghttp2 would pass over such a field. */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                             size_t name_size, const uint8_t *value, size_t value_size,
                             uint8_t flags, void *user)
{
    (void)ng, (void)frame, (void)name, (void)name_size, (void)value, (void)value_size;
    (void)flags, (void)user;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void head_is_whole(struct http2_session *session, bool ended)
{
    void *stream = session->heading;
    if (make_room(session, session->in.cookie_bytes))
        http2_head_finish(&session->in, ended);
    session->heading = NULL;
    if (session->in.fault != HTTP2_NO_FAULT) /* each is decoded in vain */
        count_reset(session);
    session->events.head(stream, &session->in, ended);
}

static void frame_with_end(struct http2_session *session, const nghttp2_frame *frame)
{
    void *stream = owner_of(session, frame->hd.stream_id);
    if (stream && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        session->events.ended(stream);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http2_session *session = user;
    (void)ng;
    if (is_request(frame)) {
        if (session->heading)
            head_is_whole(session, frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    } else if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) {
        if (is_padding(frame))
            count_idle_frame(session);
        frame_with_end(session, frame);
    } else if (frame->hd.type == NGHTTP2_RST_STREAM) {
        count_reset(session);
    } else if (frame->hd.type == NGHTTP2_WINDOW_UPDATE) {
        if (frame->window_update.window_size_increment < HTTP2_LEAST_WINDOW)
            count_idle_frame(session);
    } else if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        session->events.ponged(session->context);
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        session->leaves = true;
    }
    return 0;
}

/*
 * What a stream has taken, or waits for it, is bounded by its own window: a stream that is not read
 * must not hold up the others.
 */
static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
                   void *user)
{
    struct http2_session *session = user;
    void *stream = owner_of(session, id);
    (void)flags;
    if (stream)
        session->events.data(stream, (const char *)data, n);
    return nghttp2_session_consume_connection(ng, n);
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    struct http2_session *session = user;
    void *stream = owner_of(session, id);
    (void)ng;
    if (!stream)
        return 0;
    session->streams--;
    if (session->heading == stream)
        session->heading = NULL;
    session->events.closed(stream, code);
    return 0;
}

/* nghttp2 has found an error of the connection, and says which. */
static void note_violation(struct http2_session *session, const nghttp2_goaway *frame)
{
    if (frame->error_code == NGHTTP2_NO_ERROR || session->violation)
        return;
    const char *blank = frame->opaque_data_len > 0 ? " " : "";
    snprintf(session->reason, sizeof(session->reason), "%s%s%.*s",
             nghttp2_http2_strerror(frame->error_code), blank, (int)frame->opaque_data_len,
             (const char *)frame->opaque_data);
    session->violation = session->reason;
    session->over = true;
}

static void note_reset(struct http2_session *session, int32_t id, uint32_t code)
{
    if (session->known_count < RESETS_KNOWN)
        session->known[session->known_count] = id;
    session->known_count++;
    if (code != NGHTTP2_NO_ERROR)
        count_reset(session);
}

/* The client need not send the rest of a request that is answered (RFC 9113 §8.1). */
static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http2_session *session = user;
    uint8_t type = frame->hd.type;
    int32_t id = frame->hd.stream_id;
    if (type == NGHTTP2_RST_STREAM)
        note_reset(session, id, frame->rst_stream.error_code);
    if (type == NGHTTP2_GOAWAY)
        note_violation(session, &frame->goaway);
    if ((type == NGHTTP2_DATA || type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        nghttp2_session_get_stream_remote_close(ng, id) == 0)
        http2_reset(session, id, HTTP2_NO_ERROR);
    return 0;
}

static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *out, size_t n, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    struct http2_session *session = user;
    void *stream = owner_of(session, id);
    enum http2_more more = HTTP2_MORE;
    (void)ng, (void)source;
    ssize_t got = stream ? session->events.read(stream, (char *)out, n, &more) : -1;
    if (got < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (more != HTTP2_MORE)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (got == 0)
        return NGHTTP2_ERR_DEFERRED;
    if (more == HTTP2_TRAILERS)
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return got;
}

/* A session */

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
}

static bool open_session(struct http2_session *session)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return false;
    set_callbacks(callbacks);
    if (nghttp2_option_new(&option) != 0) {
        nghttp2_session_callbacks_del(callbacks);
        return false;
    }
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
    int result = nghttp2_session_server_new3(&session->ng, callbacks, session, option, &memory);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return result == 0;
}

/* The number of streams comes first: see announce_streams(). */
static bool submit_settings(struct http2_session *session)
{
    const struct http2_settings *settings = &session->settings;
    uint32_t most = settings->header_list_size;
    nghttp2_settings_entry entries[SETTINGS_COUNT] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings->streams + STREAMS_BEYOND},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings->window},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, settings->frame_size},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, settings->websockets},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, most},
    };
    size_t count = most > 0 ? SETTINGS_COUNT : SETTINGS_COUNT - 1;
    uint32_t all = settings->window > CONNECTION_WINDOW ? settings->window : CONNECTION_WINDOW;
    return nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, entries, count) == 0 &&
           nghttp2_session_set_local_window_size(session->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)all) ==
               0;
}

struct http2_session *http2_new(const struct http2_settings *settings,
                                const struct http2_events *events, void *context)
{
    struct http2_session *session = mem_alloc(sizeof(*session));
    if (!session)
        return NULL;
    *session = (struct http2_session){.events = *events, .context = context, .settings = *settings};
    http2_frames_init(&session->frames);
    if (open_session(session) && submit_settings(session))
        return session;
    http2_free(session);
    return NULL;
}

bool http2_upgrade(struct http2_session *session, const uint8_t *settings, size_t size,
                   bool is_head, void *stream)
{
    if (nghttp2_session_upgrade2(session->ng, settings, size, is_head, NULL) != 0 ||
        nghttp2_session_set_stream_user_data(session->ng, 1, stream) != 0)
        return false;
    session->last_id = 1;
    session->streams++;
    return true;
}

static _Atomic(struct http2_session *) torn;

/*
 * When nghttp2 (1.52 at least) has no memory to queue the first bytes of a body, it frees a frame
 * to which its stream still points, and would free it again: such a session is kept for ever.
 */
static void keep_torn(struct http2_session *session)
{
    session->next = atomic_load(&torn);
    while (!atomic_compare_exchange_weak(&torn, &session->next, session))
        ;
}

void http2_free(struct http2_session *session)
{
    mem_free(session->ahead);
    session->ahead = NULL;
    if (session->torn) {
        keep_torn(session);
        return;
    }
    nghttp2_session_del(session->ng);
    mem_free(session);
}

/* Receiving and sending */

static const char *reason_of(ssize_t error)
{
    return error == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? "it does not begin as HTTP/2 does"
                                                 : nghttp2_strerror((int)error);
}

static uint32_t code_of(ssize_t error)
{
    switch (error) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        return NGHTTP2_PROTOCOL_ERROR;
    case NGHTTP2_ERR_NOMEM:
        return NGHTTP2_INTERNAL_ERROR;
    default: /* more of something than nghttp2 keeps */
        return NGHTTP2_ENHANCE_YOUR_CALM;
    }
}

static void feed(struct http2_session *session, const char *data, size_t n)
{
    if (n == 0 || session->over)
        return;
    ssize_t used = nghttp2_session_mem_recv(session->ng, (const uint8_t *)data, n);
    if (used >= 0 || session->over)
        return;
    session->over = true;
    session->violation = reason_of(used);
    end_with(session, code_of(used));
}

/* Frames that are looked at when nghttp2 knows all that was before them. */
static bool is_of_interest(const struct http2_frames *frames)
{
    uint8_t type = http2_frames_type(frames);
    return type == NGHTTP2_DATA || type == NGHTTP2_HEADERS || type == NGHTTP2_PRIORITY;
}

static bool may_read(const struct http2_session *session)
{
    return !session->over && !(session->leaves && session->streams == 0);
}

/* How many of the bytes; more than fields enough for one turn stay. */
static size_t take_frames(struct http2_session *session, const char *data, size_t n)
{
    size_t fed = 0, at = 0;
    bool found;
    session->decoded = 0;
    while (at < n && !session->over && session->decoded < HTTP2_DECODE_TURN) {
        at += http2_frames_next(&session->frames, data + at, n - at, &found);
        if (found && is_idle_frame(&session->frames))
            count_idle_frame(session);
        if (!found || !is_of_interest(&session->frames))
            continue;
        feed(session, data + fed, at - fed);
        fed = at;
        look_at_frame(session);
    }
    feed(session, data + fed, at - fed);
    return at;
}

static void keep_ahead(struct http2_session *session, const char *data, size_t n)
{
    if (n == 0 || session->over)
        return;
    char *ahead = mem_realloc(session->ahead, session->ahead_size + n);
    if (!ahead) {
        fail(session, NGHTTP2_ERR_NOMEM);
        return;
    }
    memcpy(ahead + session->ahead_size, data, n);
    session->ahead = ahead;
    session->ahead_size += n;
}

static void drop_ahead(struct http2_session *session, size_t n)
{
    session->ahead_size -= n;
    memmove(session->ahead, session->ahead + n, session->ahead_size);
    if (session->ahead_size > 0 && !session->over)
        return;
    mem_free(session->ahead);
    session->ahead = NULL;
    session->ahead_size = 0;
}

bool http2_receive(struct http2_session *session, const char *data, size_t n, uint64_t now_ms)
{
    session->now_ms = now_ms;
    if (session->ahead) {
        keep_ahead(session, data, n);
        drop_ahead(session, take_frames(session, session->ahead, session->ahead_size));
    } else {
        size_t used = take_frames(session, data, n);
        keep_ahead(session, data + used, n - used);
    }
    return may_read(session);
}

bool http2_has_more(const struct http2_session *session)
{
    return session->ahead;
}

/* The first frame that is sent names fewer streams than nghttp2 allows. */
static void announce_streams(struct http2_session *session, char *first)
{
    uint32_t n = session->settings.streams;
    unsigned char value[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
                              (unsigned char)(n >> 8), (unsigned char)n};
    memcpy(first + SETTINGS_VALUE_AT, value, sizeof(value));
    session->began = true;
}

static bool next_frame(struct http2_session *session)
{
    if (session->out_size > 0)
        return true;
    ssize_t n = nghttp2_session_mem_send(session->ng, &session->out);
    if (n < 0) {
        session->torn = n == NGHTTP2_ERR_NOMEM;
        fail(session, (int)n);
    }
    session->out_size = n > 0 ? (size_t)n : 0;
    return n > 0;
}

size_t http2_send(struct http2_session *session, char *out, size_t room)
{
    size_t at = 0;
    while (at < room && next_frame(session)) {
        size_t n = session->out_size < room - at ? session->out_size : room - at;
        memcpy(out + at, session->out, n);
        if (!session->began)
            announce_streams(session, out);
        session->out += n;
        session->out_size -= n;
        at += n;
    }
    return at;
}

bool http2_is_full(const struct http2_session *session)
{
    return nghttp2_session_get_outbound_queue_size(session->ng) > HTTP2_OUTBOUND_MAX;
}

bool http2_wants_write(const struct http2_session *session)
{
    return session->out_size > 0 || nghttp2_session_want_write(session->ng);
}

bool http2_is_over(const struct http2_session *session)
{
    return !may_read(session) && !http2_wants_write(session);
}

bool http2_awaits_head(const struct http2_session *session)
{
    return http2_frames_await_head(&session->frames);
}

const char *http2_violation(const struct http2_session *session)
{
    return session->violation;
}

/* Answers */

/* Those of a connection of HTTP/1 (RFC 9113 §8.2.2). */
static bool is_forbidden(struct str name)
{
    return str_ieq(name, STR("connection")) || str_ieq(name, STR("keep-alive")) ||
           str_ieq(name, STR("proxy-connection")) || str_ieq(name, STR("transfer-encoding")) ||
           str_ieq(name, STR("upgrade"));
}

struct fields {
    nghttp2_nv *all;
    size_t count;
};

static void put_field(struct fields *fields, struct str name, struct str value)
{
    fields->all[fields->count++] = (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.p,
        .namelen = name.n,
        .value = (uint8_t *)(uintptr_t)value.p,
        .valuelen = value.n,
    };
}

static size_t count_lines(struct str lines)
{
    size_t count = 0;
    const char *at = lines.p, *end = lines.p + lines.n;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
        count++;
        at++;
    }
    return count;
}

static void put_lines(struct fields *fields, struct str lines)
{
    const char *at = lines.p, *end = lines.p + lines.n;
    while (at < end) {
        const char *colon = memchr(at, ':', (size_t)(end - at));
        const char *cr = colon ? memchr(colon, '\r', (size_t)(end - colon)) : NULL;
        if (!cr)
            return;
        struct str name = {at, (size_t)(colon - at)};
        if (!is_forbidden(name))
            put_field(fields, name, str_trim((struct str){colon + 1, (size_t)(cr - colon - 1)}));
        at = cr + 2;
    }
}

typedef int (*submit_fields)(struct http2_session *session, int32_t id,
                             const struct fields *fields);

/* nghttp2 copies the fields, and folds the case of their names. `status` 0: trailers. */
static bool with_fields(struct http2_session *session, int32_t id, int status,
                        const struct str lines[], size_t parts, submit_fields submit)
{
    nghttp2_nv few[FIELDS_ON_STACK];
    char digits[STATUS_SIZE];
    struct fields fields = {few, 0};
    size_t most = 1;
    for (size_t i = 0; i < parts; i++)
        most += count_lines(lines[i]);
    if (most > FIELDS_ON_STACK && !(fields.all = mem_alloc(most * sizeof(*fields.all))))
        return false;
    if (status > 0) {
        for (int i = STATUS_SIZE - 1; i >= 0; i--, status /= 10)
            digits[i] = (char)('0' + status % 10);
        put_field(&fields, STR(":status"), (struct str){digits, STATUS_SIZE});
    }
    for (size_t i = 0; i < parts; i++)
        put_lines(&fields, lines[i]);
    int result = submit(session, id, &fields);
    if (fields.all != few)
        mem_free(fields.all);
    return result == 0;
}

static int submit_with_body(struct http2_session *session, int32_t id, const struct fields *fields)
{
    const nghttp2_data_provider provider = {.read_callback = read_body};
    return nghttp2_submit_response(session->ng, id, fields->all, fields->count, &provider);
}

static int submit_alone(struct http2_session *session, int32_t id, const struct fields *fields)
{
    return nghttp2_submit_response(session->ng, id, fields->all, fields->count, NULL);
}

static int submit_interim(struct http2_session *session, int32_t id, const struct fields *fields)
{
    return nghttp2_submit_headers(session->ng, NGHTTP2_FLAG_NONE, id, NULL, fields->all,
                                  fields->count, NULL);
}

static int submit_trailers(struct http2_session *session, int32_t id, const struct fields *fields)
{
    return nghttp2_submit_trailer(session->ng, id, fields->all, fields->count);
}

bool http2_answer(struct http2_session *session, int32_t id, int status, const struct str lines[],
                  size_t parts, bool body)
{
    return with_fields(session, id, status, lines, parts, body ? submit_with_body : submit_alone);
}

bool http2_interim(struct http2_session *session, int32_t id, int status, struct str lines)
{
    return with_fields(session, id, status, &lines, 1, submit_interim);
}

bool http2_trailers(struct http2_session *session, int32_t id, struct str lines)
{
    return with_fields(session, id, 0, &lines, 1, submit_trailers);
}

/* What nghttp2 has no memory for ends the session at the next http2_send(). */
void http2_resume(struct http2_session *session, int32_t id)
{
    nghttp2_session_resume_data(session->ng, id);
}

void http2_consume(struct http2_session *session, int32_t id, size_t n)
{
    int result = nghttp2_session_consume_stream(session->ng, id, n);
    if (nghttp2_is_fatal(result))
        fail(session, result);
}

void http2_disown(struct http2_session *session, int32_t id)
{
    if (session->heading && session->heading == owner_of(session, id))
        session->heading = NULL;
    if (nghttp2_session_set_stream_user_data(session->ng, id, NULL) == 0)
        session->streams--;
}

/* A stream that cannot be reset would stay for ever. */
void http2_reset(struct http2_session *session, int32_t id, uint32_t code)
{
    int result = nghttp2_submit_rst_stream(session->ng, NGHTTP2_FLAG_NONE, id, code);
    if (nghttp2_is_fatal(result))
        fail(session, result);
}

void http2_announce_end(struct http2_session *session)
{
    nghttp2_submit_shutdown_notice(session->ng);
    nghttp2_submit_ping(session->ng, NGHTTP2_FLAG_NONE, NULL);
}

void http2_end(struct http2_session *session)
{
    nghttp2_submit_goaway(session->ng, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session->ng), NGHTTP2_NO_ERROR,
                          NULL, 0);
}
