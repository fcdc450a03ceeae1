#ifndef TESTS_UNIT_HTTP2_CLIENT_H
#define TESTS_UNIT_HTTP2_CLIENT_H

#include "base/str.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A client of HTTP/2 in memory, which writes down all that it is told, a line each:
 *
 *   1 :status 200 | 1 name value | 1 closed 0 with 5: hello | goaway 1 0 | pong
 */

enum { H2_STREAMS = 512, H2_SHOWN = 128, H2_FIELDS = 16, H2_ROOM = 4 * 1024 * 1024 };

struct h2_stream {
    size_t size;
    char shown[H2_SHOWN]; /* the first bytes of the body */
    const char *body;     /* of the request: NULL, or what is sent */
    size_t body_size;
    bool open; /* it does not end with that */
};

struct h2_client {
    nghttp2_session *ng;
    char *text; /* the lines */
    size_t text_size;
    FILE *log;
    struct h2_stream streams[H2_STREAMS]; /* by number / 2 */
};

static inline struct h2_stream *h2_stream(struct h2_client *client, int32_t id)
{
    return &client->streams[id / 2 % H2_STREAMS];
}

static inline int h2_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                               size_t name_size, const uint8_t *value, size_t value_size,
                               uint8_t flags, void *user)
{
    struct h2_client *client = user;
    (void)ng, (void)flags;
    fprintf(client->log, "%d %.*s %.*s\n", (int)frame->hd.stream_id, (int)name_size, name,
            (int)value_size, value);
    return 0;
}

static inline int h2_on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data,
                             size_t n, void *user)
{
    struct h2_stream *stream = h2_stream(user, id);
    (void)ng, (void)flags;
    for (size_t i = 0; i < n && stream->size + i < H2_SHOWN; i++)
        stream->shown[stream->size + i] = (char)data[i];
    stream->size += n;
    return 0;
}

static inline int h2_on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    struct h2_client *client = user;
    struct h2_stream *stream = h2_stream(client, id);
    (void)ng;
    size_t shown = stream->size < H2_SHOWN ? stream->size : H2_SHOWN;
    fprintf(client->log, "%d closed %u with %zu: %.*s\n", (int)id, code, stream->size, (int)shown,
            stream->shown);
    *stream = (struct h2_stream){0};
    return 0;
}

static inline int h2_on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_client *client = user;
    (void)ng;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        fprintf(client->log, "goaway %d %u\n", (int)frame->goaway.last_stream_id,
                frame->goaway.error_code);
    else if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK))
        fprintf(client->log, "pong\n");
    return 0;
}

static inline ssize_t h2_read(nghttp2_session *ng, int32_t id, uint8_t *out, size_t n,
                              uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_stream *stream = h2_stream(user, id);
    (void)ng, (void)source;
    if (n > stream->body_size)
        n = stream->body_size;
    memcpy(out, stream->body, n);
    stream->body += n;
    stream->body_size -= n;
    if (stream->body_size == 0 && !stream->open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)n;
}

/* One that also sends what nghttp2 holds for invalid. */
static inline void h2_open(struct h2_client *client)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    memset(client, 0, sizeof(*client));
    client->log = open_memstream(&client->text, &client->text_size);
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, h2_on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, h2_on_frame);
    nghttp2_session_client_new2(&client->ng, callbacks, client, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(client->ng, NGHTTP2_FLAG_NONE, NULL, 0);
}

static inline void h2_close(struct h2_client *client)
{
    nghttp2_session_del(client->ng);
    fclose(client->log);
    free(client->text);
}

/* The lines since this was asked last. */
static inline const char *h2_lines(struct h2_client *client)
{
    static char lines[64 * 1024];
    fflush(client->log);
    size_t n = client->text_size < sizeof(lines) ? client->text_size : sizeof(lines) - 1;
    memcpy(lines, client->text, n);
    lines[n] = '\0';
    rewind(client->log);
    return lines;
}

/*
 * A request of fields "name value" in lines. `body` NULL: without one. It stays the caller's until
 * it is sent; with `open` it does not end.
 */
static inline int32_t h2_request(struct h2_client *client, const char *lines, const char *body,
                                 size_t n, bool open)
{
    nghttp2_nv fields[H2_FIELDS];
    size_t count = 0;
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1) {
        const char *blank = memchr(lines, ' ', (size_t)(end - lines));
        fields[count++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)lines,
                                       .namelen = (size_t)(blank - lines),
                                       .value = (uint8_t *)(uintptr_t)(blank + 1),
                                       .valuelen = (size_t)(end - blank - 1)};
    }
    const nghttp2_data_provider provider = {.read_callback = h2_read};
    int32_t id =
        nghttp2_submit_request(client->ng, NULL, fields, count, body ? &provider : NULL, NULL);
    struct h2_stream *stream = h2_stream(client, id);
    *stream = (struct h2_stream){.body = body, .body_size = n, .open = open};
    return id;
}

static inline int32_t h2_get(struct h2_client *client, const char *path)
{
    char lines[512];
    snprintf(lines, sizeof(lines), ":method GET\n:scheme http\n:authority a\n:path %s\n", path);
    return h2_request(client, lines, NULL, 0, false);
}

static inline int32_t h2_post(struct h2_client *client, const char *path, const char *body,
                              size_t n)
{
    char lines[512];
    snprintf(lines, sizeof(lines), ":method POST\n:scheme http\n:authority a\n:path %s\n", path);
    return h2_request(client, lines, body, n, false);
}

/* The bytes that it has to send now, in a buffer of its own. */
static inline struct str h2_bytes(struct h2_client *client)
{
    static char bytes[H2_ROOM];
    size_t at = 0;
    const uint8_t *data;
    for (ssize_t n; at < H2_ROOM / 2 && (n = nghttp2_session_mem_send(client->ng, &data)) > 0;) {
        memcpy(bytes + at, data, (size_t)n);
        at += (size_t)n;
    }
    return (struct str){bytes, at};
}

static inline void h2_receive(struct h2_client *client, const char *data, size_t n)
{
    ssize_t used = nghttp2_session_mem_recv(client->ng, (const uint8_t *)data, n);
    if (used < 0)
        fprintf(client->log, "client error %s\n", nghttp2_strerror((int)used));
}

#endif
