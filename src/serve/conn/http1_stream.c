#include "base/clock.h"
#include "net/transport.h"
#include "proto/http1/write.h"
#include "serve/conn/http1_private.h"
#include "serve/conn/http1_send.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/response.h"

#include <string.h>

/*
 * The answers of HTTP/1. Framing is chosen here (RFC 9112 §6.3): by the application's
 * Content-Length, chunked, or the end of the connection.
 */

_Static_assert((int)RESPONSE_GAP >= (int)HTTP1_PREFIX_MAX, "the gap has room for the prefix");

static void choose_framing(struct request *request)
{
    struct response *response = &request->response;
    const struct head *head = &request->head;
    bool modern = head->major > 1 || (head->major == 1 && head->minor >= 1);
    response->chunked =
        !response->has_length && modern && !response->no_body && !http1_state(request)->gateway;
    bool framed = response->has_length || response->chunked || response->no_body;
    /* No client takes an interim status for an answer: it would wait, and read the next one. */
    response->keep_alive = framed && response->status >= 200 &&
                           http1_state(request)->parser.keep_alive && !request->must_close &&
                           (inflow_is_whole(request) || http1_rest_is_small(request)) &&
                           request->engine->options.keepalive_ms > 0 &&
                           !atomic_load_explicit(&request->engine->draining, memory_order_relaxed);
}

/* Writes what goes before the fields into the gap; returns where the head begins. */
static char *put_prefix(struct request *request)
{
    struct response *response = &request->response;
    struct http1_prefix prefix = {
        .major = request->head.major,
        .minor = request->head.minor,
        .status = {response->head, response->status_size},
        .own = response_own_fields(request),
        .date = response_has_own_date(response) ? clock_date() : NULL,
        .connection = response->upgrade      ? HTTP1_UPGRADE
                      : response->keep_alive ? HTTP1_KEEP_ALIVE
                                             : HTTP1_CLOSE,
        .chunked = response->chunked,
    };
    if (response->bare || http1_state(request)->gateway)
        prefix.major = prefix.minor = 1; /* the head may be malformed, or tell of another hop */
    return http1_write_prefix(response->head + response->gap, &prefix);
}

/* The whole head, ready to leave. */
static struct iovec take_head(struct request *request)
{
    struct response *response = &request->response;
    choose_framing(request);
    char *begin = put_prefix(request);
    memcpy(response->head + response->head_size, "\r\n", 2);
    response->head_size += 2;
    response->sent_head = true;
    return (struct iovec){begin, (size_t)(response->head + response->head_size - begin)};
}

void http1_join(struct response *response, struct iovec *parts, int *count)
{
    size_t more = 0;
    for (int i = 1; i < *count; i++)
        more += parts[i].iov_len;
    if (*count < 2 || response->head_size + more > response->head_capacity)
        return;
    char *p = response->head + response->head_size;
    for (int i = 1; i < *count; i++) {
        memcpy(p, parts[i].iov_base, parts[i].iov_len);
        p += parts[i].iov_len;
    }
    parts[0].iov_len += more;
    *count = 1;
}

static struct iovec part_of(struct str text)
{
    return (struct iovec){(void *)text.p, text.n};
}

static bool write_body(struct request *request, const char *data, size_t n, void *ref, bool *kept,
                       bool last)
{
    struct response *response = &request->response;
    struct iovec parts[4];
    char line[HTTP1_CHUNK_LINE_MAX];
    int count = 0, body = -1;
    bool has_head = !response->sent_head;
    if (has_head)
        parts[count++] = take_head(request);
    if (n > 0) {
        if (response->chunked)
            parts[count++] = (struct iovec){line, http1_write_chunk_line(line, n)};
        body = count;
        parts[count++] = (struct iovec){(void *)data, n};
    }
    if (response->chunked && last) {
        parts[count++] = part_of(n > 0 ? HTTP1_CHUNK_END_LAST : HTTP1_LAST_CHUNK);
        response->finished = true;
    } else if (response->chunked && n > 0) {
        parts[count++] = part_of(HTTP1_CHUNK_END);
    }
    if (count == 0)
        return true;
    if (has_head && n <= OUT_COPY_MAX) {
        http1_join(response, parts, &count);
        if (count == 1)
            body = -1;
    }
    return send_parts(request, parts, count, body, ref, kept) == 0;
}

static bool write_text(struct request *request, struct str text)
{
    struct iovec part = part_of(text);
    bool kept;
    return send_parts(request, &part, 1, -1, NULL, &kept) == 0;
}

static bool write_file(struct request *request, int file, off_t offset, uint64_t n)
{
    struct response *response = &request->response;
    struct iovec parts[2];
    char line[HTTP1_CHUNK_LINE_MAX];
    int count = 0;
    bool kept;
    if (!response->sent_head)
        parts[count++] = take_head(request);
    if (n > 0 && response->chunked)
        parts[count++] = (struct iovec){line, http1_write_chunk_line(line, n)};
    if (count > 0 && (n > 0 ? send_parts_more(request, parts, count)
                            : send_parts(request, parts, count, -1, NULL, &kept)) < 0)
        return false;
    if (n > 0 && send_file(request, file, offset, n) < 0)
        return false;
    return n == 0 || !response->chunked || write_text(request, HTTP1_CHUNK_END);
}

static bool write_trailers(struct request *request)
{
    struct iovec parts[] = {
        part_of(STR("0\r\n")),
        part_of(request->response.trailers),
        part_of(STR("\r\n")),
    };
    bool kept;
    return send_parts(request, parts, 3, -1, NULL, &kept) == 0;
}

static bool finish(struct request *request)
{
    const struct response *response = &request->response;
    if (!response->chunked)
        return true;
    return response->trailers.n > 0 ? write_trailers(request)
                                    : write_text(request, HTTP1_LAST_CHUNK);
}

static bool interim(struct request *request, int status, struct str fields)
{
    char line[HTTP1_INTERIM_MAX];
    if (http1_state(request)->gateway)
        return true;
    struct iovec parts[] = {
        {line, http1_write_interim(line, status)},
        part_of(fields),
        part_of(STR("\r\n")),
    };
    bool kept;
    return send_parts(request, parts, 3, -1, NULL, &kept) == 0;
}

/* Whether the client is there */

/* HTTP/1.0 and gateways have no interim responses, and the closing of a Unix socket shows by
 * itself. */
static bool can_ask(struct request *request)
{
    const struct head *head = &request->head;
    bool modern = head->major > 1 || (head->major == 1 && head->minor >= 1);
    return modern && !request->asked && !http1_state(request)->gateway &&
           request->conn->peer.family != AF_UNIX;
}

static void ask(struct request *request)
{
    request->asked = true;
    http1_go_on(request);
}

bool http1_is_gone(struct request *request)
{
    int fd = request->conn->io.fd;
    enum socket_peer peer = socket_peer(fd);
    if (peer == PEER_SILENT && can_ask(request)) {
        ask(request);
        peer = socket_peer(fd);
    }
    return peer == PEER_GONE;
}

void http1_ask(struct engine *engine, struct request *request)
{
    assert_leader(engine);
    if (can_ask(request) && socket_peer(request->conn->io.fd) == PEER_SILENT)
        ready_while_waiting(&engine->ready, request, ask);
}

/* The loop alone sees it. The client's input may have ended long ago. */
void http1_watch(struct request *request)
{
    struct engine *engine = request->engine;
    struct conn *conn = request->conn;
    pthread_mutex_lock(&request->out.lock); /* the answer may need the loop, too */
    if (conn_watch(engine, conn) == 0)
        loop_arm(engine->loop, &conn->io, LOOP_READ);
    else
        request->response.broken = true;
    pthread_mutex_unlock(&request->out.lock);
}

void http1_interrupt(struct request *request, bool both)
{
    shutdown(request->conn->io.fd, both ? SHUT_RDWR : SHUT_RD);
}

const struct stream_ops http1_stream = {
    .write = write_body,
    .file = write_file,
    .finish = finish,
    .interim = interim,
    .go_on = http1_go_on,
    .read = http1_body_read,
    .is_gone = http1_is_gone,
    .watch = http1_watch,
    .interrupt = http1_interrupt,
    .share = send_by_copies,
};
