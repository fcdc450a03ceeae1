/*
 * A connection of HTTP/2 through the whole engine: world.h. A piece of kind 0 is sent as it is, one
 * of kind 1 is a program whose steps are frames (see steps[]), and one of kind 2 is a frame: type,
 * flags, stream, payload. Each frame that the client gets is one that HTTP/2 allows there, and an
 * answer that ends has the status and the length that the application gave it.
 */
#include "world.h"

#include "serve/conn/http2.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    FRAME_HEAD = 9,
    FRAME_MAX = 16 * 1024,
    PENDING_MAX = 256 * 1024,
    STREAMS_MAX = 4096,
    FIELDS_MAX = 64 * 1024,
    PAYLOAD_MAX = 600,
    WINDOW = 65535,
};

enum { SEND_PLAIN, SEND_STEPS, SEND_FRAME };

/* The client's side: sending */

static struct {
    bool begun;   /* the preface */
    int32_t last; /* stream */
    char pending[PENDING_MAX];
    size_t at, size; /* of the bytes that the socket has not taken */
} client;

static void put(const void *data, size_t n)
{
    if (n > PENDING_MAX - client.size)
        n = PENDING_MAX - client.size;
    memcpy(client.pending + client.size, data, n);
    client.size += n;
}

static void put_frame(uint8_t type, uint8_t flags, int32_t id, const void *payload, size_t n)
{
    const uint8_t head[FRAME_HEAD] = {
        (uint8_t)(n >> 16),  (uint8_t)(n >> 8),   (uint8_t)n,         type,       flags,
        (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    put(head, sizeof(head));
    put(payload, n);
}

static void put_preface(void)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    client.begun = true;
    put(preface, sizeof(preface) - 1);
    put_frame(NGHTTP2_SETTINGS, 0, 0, "", 0);
}

/* False when the socket does not take all of it. */
static bool flush(int fd)
{
    while (client.at < client.size) {
        ssize_t n = send(fd, client.pending + client.at, client.size - client.at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        client.at += (size_t)n;
    }
    client.at = client.size = 0;
    return true;
}

/* Steps of a program: one byte, whose upper half is the argument, and for some a second one. */

/* One of the last streams. */
static int32_t recent(unsigned argument)
{
    int32_t back = 2 * (int32_t)argument;
    return client.last > back ? client.last - back : 1;
}

/* By the static table: 2 GET, 3 POST, 4 :path, 6 http, 1 :authority, 28 content-length. */
static size_t put_fields(char *block, bool post, unsigned way, int length)
{
    size_t n = 0;
    block[n++] = post ? (char)0x83 : (char)0x82;
    block[n++] = (char)0x86;
    block[n++] = 4;
    block[n++] = 2;
    block[n++] = '/';
    block[n++] = (char)('a' + way);
    memcpy(block + n, "\1\1a", 3);
    n += 3;
    if (length >= 0) {
        memcpy(block + n, "\17\15\3", 3);
        n += 3;
        for (int digit = 100; digit > 0; digit /= 10)
            block[n++] = (char)('0' + length / digit % 10);
    }
    return n;
}

static void put_head(unsigned way, bool post, int length, uint8_t flags)
{
    char block[64];
    size_t n = put_fields(block, post, way, length);
    client.last += client.last == 0 ? 1 : 2;
    put_frame(NGHTTP2_HEADERS, flags, client.last, block, n);
}

static void step_get(unsigned argument, uint8_t more)
{
    (void)more;
    put_head(argument, false, -1, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM);
}

static void step_post(unsigned argument, uint8_t more)
{
    (void)more;
    put_head(argument, true, -1, NGHTTP2_FLAG_END_HEADERS);
}

static void step_post_length(unsigned argument, uint8_t more)
{
    put_head(argument, true, more, NGHTTP2_FLAG_END_HEADERS);
}

static void put_data(int32_t id, uint8_t n, uint8_t flags)
{
    static char data[PAYLOAD_MAX];
    put_frame(NGHTTP2_DATA, flags, id, data, n);
}

static void step_data(unsigned argument, uint8_t more)
{
    put_data(recent(argument), more, 0);
}

static void step_end(unsigned argument, uint8_t more)
{
    put_data(recent(argument), more, NGHTTP2_FLAG_END_STREAM);
}

static void step_reset(unsigned argument, uint8_t more)
{
    const uint8_t code[4] = {0, 0, 0, more};
    put_frame(NGHTTP2_RST_STREAM, 0, recent(argument), code, sizeof(code));
}

/* Of the connection, or of a stream. */
static void step_window(unsigned argument, uint8_t more)
{
    const uint8_t by[4] = {0, (uint8_t)(more >> 4), (uint8_t)(more << 4), 1};
    put_frame(NGHTTP2_WINDOW_UPDATE, 0, argument & 1 ? recent(argument / 2) : 0, by, sizeof(by));
}

static void step_settings(unsigned argument, uint8_t more)
{
    const uint8_t one[6] = {0, (uint8_t)(argument % 8), 0, 0, more, (uint8_t)(argument * more)};
    put_frame(NGHTTP2_SETTINGS, 0, 0, one, sizeof(one));
}

static void step_ping(unsigned argument, uint8_t more)
{
    put_frame(NGHTTP2_PING, argument & 1, 0, (uint8_t[8]){more}, 8);
}

static void step_priority(unsigned argument, uint8_t more)
{
    const uint8_t on[5] = {0, 0, 0, more, (uint8_t)argument};
    put_frame(NGHTTP2_PRIORITY, 0, recent(argument), on, sizeof(on));
}

static void step_trailers(unsigned argument, uint8_t more)
{
    const char field[] = {0, 1, 'x', 1, (char)('a' + more % 26)};
    put_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, recent(argument),
              field, sizeof(field));
}

static void step_begin_head(unsigned argument, uint8_t more)
{
    put_head(argument, false, -1, more & NGHTTP2_FLAG_END_STREAM);
}

static void step_continue(unsigned argument, uint8_t more)
{
    const char field[] = {0, 1, 'x', 1, (char)('a' + more % 26)};
    put_frame(NGHTTP2_CONTINUATION, more & NGHTTP2_FLAG_END_HEADERS, recent(argument), field,
              sizeof(field));
}

static void step_goaway(unsigned argument, uint8_t more)
{
    const uint8_t last[8] = {0, 0, 0, more, 0, 0, 0, (uint8_t)argument};
    put_frame(NGHTTP2_GOAWAY, 0, 0, last, sizeof(last));
}

static void step_priority_update(unsigned argument, uint8_t more)
{
    const char update[] = {0,   0,  0, (char)recent(argument), 'u', '=', (char)('0' + more % 8),
                           ',', 'i'};
    put_frame(NGHTTP2_PRIORITY_UPDATE, 0, 0, update, sizeof(update));
}

static void step_padded(unsigned argument, uint8_t more)
{
    uint8_t padded[300] = {more};
    put_frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, recent(argument), padded, 1u + more);
}

static void (*const steps[])(unsigned argument, uint8_t more) = {
    step_get,      step_post,     step_post_length,     step_data,
    step_end,      step_reset,    step_window,          step_settings,
    step_ping,     step_priority, step_trailers,        step_begin_head,
    step_continue, step_goaway,   step_priority_update, step_padded,
};

static void put_steps(const uint8_t *data, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        steps[data[i] & 15u](data[i] >> 4, data[i + 1]);
}

static ssize_t http2_client_send(int fd, unsigned kind, const void *data, size_t n)
{
    const uint8_t *bytes = data;
    if (!flush(fd))
        return -1;
    if (kind != SEND_PLAIN && !client.begun)
        put_preface();
    if (kind == SEND_PLAIN)
        put(data, n);
    else if (kind == SEND_STEPS)
        put_steps(bytes, n);
    else if (n >= 3)
        put_frame(bytes[0], bytes[1], bytes[2], bytes + 3, n - 3);
    client.begun = true;
    flush(fd);
    return (ssize_t)n;
}

static void http2_client_end(int fd)
{
    if (!flush(fd))
        world.may_be_cut = true;
    shutdown(fd, SHUT_WR);
}

/* The client's side: receiving */

struct stream {
    int32_t id;
    int status; /* 0: no head has come */
    bool ended, reset;
    uint64_t body;
};

static struct {
    struct stream streams[STREAMS_MAX];
    size_t count;
    nghttp2_hd_inflater *inflater;
    char block[FIELDS_MAX];
    size_t block_size;
    uint8_t flags; /* of the head whose block this is */
} got;

static struct stream *find(int32_t id)
{
    require(id > 0 && id % 2 == 1);
    for (size_t i = got.count; i-- > 0;)
        if (got.streams[i].id == id)
            return &got.streams[i];
    require(got.count < STREAMS_MAX);
    got.streams[got.count] = (struct stream){.id = id};
    return &got.streams[got.count++];
}

/* The number of pseudo fields; the status is put into *status. */
static size_t read_block(int *status)
{
    const uint8_t *in = (const uint8_t *)got.block;
    size_t left = got.block_size, pseudo = 0;
    for (int flags = 0; !(flags & NGHTTP2_HD_INFLATE_FINAL);) {
        nghttp2_nv field;
        ssize_t n = nghttp2_hd_inflate_hd2(got.inflater, &field, &flags, in, left, 1);
        require(n >= 0 && (size_t)n <= left);
        in += n;
        left -= (size_t)n;
        if (!(flags & NGHTTP2_HD_INFLATE_EMIT))
            continue;
        require(field.namelen > 0);
        pseudo += field.name[0] == ':';
        if (field.name[0] == ':') {
            require(field.namelen == 7 && memcmp(field.name, ":status", 7) == 0);
            require(field.valuelen == 3);
            *status = atoi((const char *)field.value);
        }
    }
    require(left == 0);
    nghttp2_hd_inflate_end_headers(got.inflater);
    return pseudo;
}

static void take_head(struct stream *stream)
{
    int status = 0;
    size_t pseudo = read_block(&status);
    bool ended = got.flags & NGHTTP2_FLAG_END_STREAM;
    require(!stream->ended && !stream->reset);
    require(pseudo == (stream->status == 0));
    require(stream->status > 0 || (status >= 100 && status <= 599));
    require(stream->status == 0 || ended); /* trailers */
    require(status >= 200 || stream->status > 0 || !ended);
    if (stream->status == 0 && status >= 200)
        stream->status = status;
    stream->ended = ended;
}

static void take_fields(const uint8_t *frame, int32_t id, size_t n)
{
    if (frame[3] == NGHTTP2_HEADERS) {
        got.block_size = 0;
        got.flags = frame[4];
    }
    require(got.block_size + n <= FIELDS_MAX);
    memcpy(got.block + got.block_size, frame + FRAME_HEAD, n);
    got.block_size += n;
    if (frame[4] & NGHTTP2_FLAG_END_HEADERS)
        take_head(find(id));
}

static void take_data(struct stream *stream, uint8_t flags, size_t n)
{
    require(stream->status > 0 && !stream->ended && !stream->reset);
    stream->body += n;
    stream->ended = flags & NGHTTP2_FLAG_END_STREAM;
}

static void take_frame(const uint8_t *frame, size_t n)
{
    int32_t id = (int32_t)((uint32_t)(frame[5] & 0x7f) << 24 | (uint32_t)frame[6] << 16 |
                           (uint32_t)frame[7] << 8 | frame[8]);
    switch (frame[3]) {
    case NGHTTP2_DATA:
        take_data(find(id), frame[4], n);
        break;
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
        take_fields(frame, id, n);
        break;
    case NGHTTP2_RST_STREAM:
        require(n == 4 && !find(id)->reset);
        find(id)->reset = true;
        break;
    case NGHTTP2_SETTINGS:
        require(id == 0 && n % 6 == 0);
        break;
    case NGHTTP2_PING:
        require(id == 0 && n == 8);
        break;
    case NGHTTP2_GOAWAY:
        require(id == 0 && n >= 8);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        require(n == 4);
        break;
    default:
        require(!"a frame that a server sends");
    }
}

static void check_answers(void)
{
    for (size_t i = 0; i < world.answer_count; i++) {
        const struct answer *answer = &world.answers[i];
        const struct stream *stream = find(answer->stream);
        if (!answer->checked || answer->given_up || !stream->ended || stream->status >= 400)
            continue;
        require(stream->status == answer->status);
        require(stream->body == (answer->head ? 0 : answer->body));
    }
}

static void check_frames(void)
{
    const uint8_t *at = (const uint8_t *)world.output, *end = at + world.output_size;
    require(nghttp2_hd_inflate_new(&got.inflater) == 0);
    got.count = 0;
    require(at == end || world.output_size < 4 || at[3] == NGHTTP2_SETTINGS);
    while (at < end) {
        size_t left = (size_t)(end - at);
        size_t n = left < FRAME_HEAD ? 0 : (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
        require(n <= FRAME_MAX);
        if (left < FRAME_HEAD + n) {
            require(world.may_be_cut || world.invalid > 0);
            break;
        }
        take_frame(at, n);
        at += FRAME_HEAD + n;
    }
    nghttp2_hd_inflate_del(got.inflater);
    check_answers();
}

static const struct wire http2 = {
    .send = http2_client_send,
    .recv = plain_recv,
    .end = http2_client_end,
    .protocol = &http2_protocol,
    .streams = true,
    .check = check_frames,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    world_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    client.begun = false;
    client.last = 0;
    client.at = client.size = 0;
    if (size >= 2)
        world_run(&http2, NULL, input, size);
    return 0;
}
