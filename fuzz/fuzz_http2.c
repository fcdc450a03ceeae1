/*
 * HTTP/2: any frames, whole or in pieces: heads lie inside their buffers and have no control
 * characters; each stream that begins is closed once or freed with the session; what is sent is
 * bounded. The first byte chooses the size of the pieces, the second the answers.
 */
#include "proto/http2/session.h"
#include "proto/octet.h"

#include <stdlib.h>
#include <string.h>

enum { SETTINGS = 2, STREAMS = 8, ANSWER = 20 * 1000, OUT = 16 * 1024, SENT_MAX = 4 << 20 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

struct world;

struct stream {
    struct world *world;
    int32_t id; /* 0: free */
    struct head head;
    char *data;
    size_t sent;
    bool answered;
};

struct world {
    struct http2_session *session;
    struct stream streams[STREAMS];
    uint8_t choice;
};

static void *on_begin(void *context, int32_t id, struct http2_head *in)
{
    struct world *world = context;
    for (int i = 0; i < STREAMS; i++) {
        struct stream *stream = &world->streams[i];
        if (stream->id)
            continue;
        *stream = (struct stream){.world = world, .id = id, .data = malloc(1)};
        in->head = &stream->head;
        in->data = stream->data;
        return stream;
    }
    return NULL;
}

static bool on_grow(void *owner, struct http2_head *in, size_t n)
{
    struct stream *stream = owner;
    char *data = malloc(in->size + n + 1);
    memcpy(data, stream->data, in->size);
    free(stream->data);
    in->data = stream->data = data;
    in->capacity = in->size + (uint32_t)n;
    return true;
}

static void check(const struct http2_head *in, uint32_t at, uint32_t n)
{
    require(at <= in->size && n <= in->size - at);
    for (uint32_t i = 0; i < n; i++)
        require(octet_is(in->data[at + i], OCTET_VALUE));
}

static void answer(struct stream *stream)
{
    struct str lines = STR("A: b\r\nConnection: close\r\n");
    if (stream->answered || (stream->world->choice & 1))
        return;
    stream->answered = true;
    http2_interim(stream->world->session, stream->id, 103, lines);
    http2_answer(stream->world->session, stream->id, 200, &lines, 1, stream->world->choice & 2);
}

static void on_head(void *owner, const struct http2_head *in, bool ended)
{
    struct stream *stream = owner;
    const struct head *head = in->head;
    if (in->fault == HTTP2_NO_FAULT) {
        check(in, head->method, head->method_len);
        check(in, head->target, head->target_len);
        check(in, head->path, head->path_len);
        check(in, head->query, head->query_len);
        for (uint32_t i = 0; i < head->field_count; i++) {
            check(in, head->fields[i].name, head->fields[i].name_len);
            check(in, head->fields[i].value, head->fields[i].value_len);
        }
    }
    if (ended)
        answer(stream);
}

static void on_data(void *owner, const char *data, size_t n)
{
    struct stream *stream = owner;
    (void)data;
    http2_consume(stream->world->session, stream->id, n);
}

static void on_ended(void *owner)
{
    answer(owner);
}

static void on_closed(void *owner, uint32_t code)
{
    struct stream *stream = owner;
    (void)code;
    require(stream->id != 0);
    head_free(&stream->head);
    free(stream->data);
    *stream = (struct stream){0};
}

static ssize_t on_read(void *owner, char *out, size_t n, enum http2_more *more)
{
    struct stream *stream = owner;
    if (n > ANSWER - stream->sent)
        n = ANSWER - stream->sent;
    memset(out, 'x', n);
    stream->sent += n;
    if (stream->sent == ANSWER)
        *more = HTTP2_END;
    return (ssize_t)n;
}

static void on_pong(void *context)
{
    (void)context;
}

static const struct http2_events events = {
    .begin = on_begin,
    .grow = on_grow,
    .head = on_head,
    .data = on_data,
    .ended = on_ended,
    .closed = on_closed,
    .read = on_read,
    .ponged = on_pong,
};

static size_t drain(struct world *world)
{
    static char out[OUT];
    size_t n, all = 0;
    while ((n = http2_send(world->session, out, sizeof(out))) > 0)
        all += n;
    return all;
}

static void play(const char *data, size_t size, size_t piece, uint8_t choice)
{
    static const struct http1_limits limits = {
        .request_line = 200, .fields = 10, .field_size = 100};
    static const struct http2_settings settings = {.streams = 4,
                                                   .window = 1000,
                                                   .frame_size = 16384,
                                                   .header_list_size = 500,
                                                   .limits = &limits};
    static const struct str preface = STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    struct world world = {.choice = choice};
    size_t sent = 0;
    world.session = http2_new(&settings, &events, &world);
    bool reads = http2_receive(world.session, preface.p, preface.n, 0);
    for (size_t at = 0; at < size && reads; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        reads = http2_receive(world.session, data + at, n, 0);
        sent += drain(&world);
    }
    sent += drain(&world);
    require(sent <= SENT_MAX + size * 16);
    http2_free(world.session);
    for (int i = 0; i < STREAMS; i++)
        if (world.streams[i].id)
            on_closed(&world.streams[i], 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < SETTINGS)
        return 0;
    const char *frames = (const char *)data + SETTINGS;
    size_t n = size - SETTINGS, piece = (size_t)data[0] + 1;
    play(frames, n, piece, data[1]);
    play(frames, n, n + 1, data[1]);
    return 0;
}
