#include "base/clock.h"
#include "base/mem.h"
#include "serve/conn/http1_private.h"
#include "serve/conn/http1_send.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/response.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The answers of FastCGI: the lines of CGI (RFC 3875 §6.2) and the body, cut into records. A
 * refusal of bytes that begin no request is answered in HTTP, for their sender speaks that if it
 * speaks anything.
 */

enum {
    RECORD_MAX = 65528, /* bytes of content: the most that is a multiple of eight */
    RECORDS_AT_ONCE = 8,
    FILE_PIECE = 65536,
};

#define STATUS "Status: "
#define DATE "\r\nDate: "

enum { STATUS_SIZE = sizeof(STATUS) - 1, DATE_SIZE = sizeof(DATE) - 1 };

_Static_assert((int)FRAME_HEADER_SIZE == FASTCGI_HEADER_SIZE, "records frame files");
_Static_assert(RESPONSE_GAP >= FASTCGI_HEADER_SIZE + STATUS_SIZE + DATE_SIZE + CLOCK_DATE_SIZE + 4,
               "the gap has room for the first lines");

static uint16_t id_of(struct request *request)
{
    return http1_state(request)->fastcgi.records.id;
}

/* Whether the body is as long as its Content-Length says. */
static bool is_whole(const struct response *response)
{
    return response->no_body || !response->has_length || response->body_sent == response->length;
}

static void choose_end(struct request *request)
{
    struct response *response = &request->response;
    response->keep_alive = http1_state(request)->parser.keep_alive && !request->must_close &&
                           inflow_is_whole(request) && request->engine->options.keepalive_ms > 0 &&
                           !atomic_load_explicit(&request->engine->draining, memory_order_relaxed);
}

/* Appends to a text that is written from its front on. */
static char *put(char *p, struct str text)
{
    memmove(p, text.p, text.n);
    return p + text.n;
}

/* Writes what goes before the fields into the gap; returns where the head begins. */
static char *put_prefix(struct request *request)
{
    struct response *response = &request->response;
    struct str status = {response->head, response->status_size};
    struct str own = response_own_fields(request);
    bool dated = response_has_own_date(response);
    size_t size = STATUS_SIZE + status.n + 2 + own.n + (dated ? DATE_SIZE + CLOCK_DATE_SIZE : 0);
    char *begin = response->head + response->gap - size;
    char *p = put(begin + STATUS_SIZE, status); /* first: it stands in the same memory */
    memcpy(begin, STATUS, STATUS_SIZE);
    if (dated) {
        p = put(p, STR(DATE));
        p = put(p, (struct str){clock_date(), CLOCK_DATE_SIZE});
    }
    p = put(p, STR("\r\n"));
    put(p, own);
    return begin;
}

/* The whole head, with room for the header of a record before it. */
static struct iovec take_head(struct request *request)
{
    struct response *response = &request->response;
    choose_end(request);
    char *begin = put_prefix(request);
    memcpy(response->head + response->head_size, "\r\n", 2);
    response->head_size += 2;
    response->sent_head = true;
    return (struct iovec){begin, (size_t)(response->head + response->head_size - begin)};
}

/* The gateway would use the connection again, of which it cannot be told that it ends: it must not
 * have time to send another request. */
static bool ends_early(struct request *request)
{
    return http1_state(request)->parser.keep_alive && !request->response.keep_alive;
}

static size_t put_end(struct request *request, char end[FASTCGI_END_SIZE])
{
    bool last = ends_early(request) && request->conn->listener->local;
    return fastcgi_end(end, id_of(request), last);
}

/* Over TCP the end of the connection leaves in one packet with that of the request. */
static bool send_end(struct request *request, struct iovec *parts, int count)
{
    if (send_parts_more(request, parts, count) < 0)
        return false;
    if (!atomic_load(&request->out.pending))
        shutdown(request->conn->io.fd, SHUT_WR);
    return true;
}

static bool send_all(struct request *request, struct iovec *parts, int count, bool ends)
{
    const struct conn *conn = request->conn;
    bool kept;
    if (count == 0)
        return true;
    if (ends && ends_early(request) && !conn->listener->local && !conn->tls)
        return send_end(request, parts, count);
    return send_parts(request, parts, count, -1, NULL, &kept) == 0;
}

/* Head and body in one record, with the records of the end behind them. */
static bool send_small(struct request *request, struct iovec head, const char *data, size_t n,
                       bool ends)
{
    char end[FASTCGI_END_SIZE];
    struct iovec parts[3];
    int count = 0;
    char *begin = (char *)head.iov_base - FASTCGI_HEADER_SIZE;
    fastcgi_stdout(begin, id_of(request), (uint16_t)(head.iov_len + n));
    parts[count++] = (struct iovec){begin, FASTCGI_HEADER_SIZE + head.iov_len};
    if (n > 0)
        parts[count++] = (struct iovec){(void *)data, n};
    if (ends) {
        parts[count++] = (struct iovec){end, put_end(request, end)};
    }
    if (n <= OUT_COPY_MAX)
        http1_join(&request->response, parts, &count);
    return send_all(request, parts, count, ends);
}

/* Some records of the n bytes; returns how many bytes are left, or -1. */
static ssize_t send_some(struct request *request, const char *data, size_t n, bool ends)
{
    char headers[RECORDS_AT_ONCE][FASTCGI_HEADER_SIZE], end[FASTCGI_END_SIZE];
    struct iovec parts[2 * RECORDS_AT_ONCE + 1];
    int count = 0;
    for (int i = 0; i < RECORDS_AT_ONCE && n > 0; i++) {
        size_t size = n < RECORD_MAX ? n : RECORD_MAX;
        fastcgi_stdout(headers[i], id_of(request), (uint16_t)size);
        parts[count++] = (struct iovec){headers[i], FASTCGI_HEADER_SIZE};
        parts[count++] = (struct iovec){(void *)data, size};
        data += size;
        n -= size;
    }
    if (ends && n == 0) {
        parts[count++] = (struct iovec){end, put_end(request, end)};
    }
    return send_all(request, parts, count, ends && n == 0) ? (ssize_t)n : -1;
}

static bool send_records(struct request *request, const char *data, size_t n, bool ends)
{
    size_t at = 0;
    do {
        ssize_t left = send_some(request, n > 0 ? data + at : NULL, n - at, ends);
        if (left < 0)
            return false;
        at = n - (size_t)left;
    } while (at < n);
    return true;
}

/* What the client does not take at once is copied: the bytes become many parts. */
static bool write_body(struct request *request, const char *data, size_t n, void *ref, bool *kept,
                       bool last)
{
    struct response *response = &request->response;
    if (id_of(request) == 0)
        return http1_stream.write(request, data, n, ref, kept, last);
    bool ends = last && is_whole(response);
    struct iovec head = {0};
    if (!response->sent_head)
        head = take_head(request);
    response->finished |= ends;
    if (head.iov_len > 0 && head.iov_len + n <= RECORD_MAX)
        return send_small(request, head, data, n, ends);
    return send_records(request, head.iov_base, head.iov_len, false) &&
           send_records(request, data, n, ends);
}

static bool finish(struct request *request)
{
    struct response *response = &request->response;
    if (!is_whole(response))
        return true; /* the proxy sees it by the missing end */
    response->finished = true;
    return send_records(request, NULL, 0, true);
}

/* The disk may be slow: detached. */
static ssize_t read_file(struct request *request, int file, char *out, size_t n, off_t offset)
{
    ssize_t got;
    request->blocked++;
    engine_detach(request->engine);
    do
        got = pread(file, out, n, offset);
    while (got < 0 && errno == EINTR);
    engine_attach(request->engine);
    request->blocked--;
    return got;
}

static bool write_pieces(struct request *request, int file, off_t offset, uint64_t n, char *piece)
{
    while (n > 0) {
        size_t want = n < FILE_PIECE ? (size_t)n : FILE_PIECE;
        ssize_t got = read_file(request, file, piece, want, offset);
        if (got <= 0 || !write_body(request, piece, (size_t)got, NULL, NULL, false)) {
            request->response.broken = true;
            return false;
        }
        offset += got;
        n -= (uint64_t)got;
    }
    return true;
}

static bool write_copies(struct request *request, int file, off_t offset, uint64_t n)
{
    char *piece = mem_alloc(FILE_PIECE);
    if (!piece)
        request->response.broken = true;
    bool sent = piece && write_pieces(request, file, offset, n, piece);
    mem_free(piece);
    return sent;
}

static bool write_head(struct request *request)
{
    if (request->response.sent_head)
        return true;
    struct iovec head = take_head(request);
    return send_records(request, head.iov_base, head.iov_len, false);
}

/* A small file leaves in one record with the head; copies serve also when descriptors are short. */
static bool write_file(struct request *request, int file, off_t offset, uint64_t n)
{
    static const struct outq_framing records = {.piece = RECORD_MAX, .header = fastcgi_stdout};
    if (n == 0)
        return write_head(request);
    if (n <= FILE_PIECE)
        return write_copies(request, file, offset, n);
    if (!write_head(request))
        return false;
    return send_framed_file(request, file, offset, n, &records, id_of(request)) == 0 ||
           (!request->response.broken && write_copies(request, file, offset, n));
}

/* Gateways take no interim answers, nor do they wait for "100 Continue". */
static bool interim(struct request *request, int status, struct str fields)
{
    (void)request, (void)status, (void)fields;
    return true;
}

static void go_on(struct request *request)
{
    (void)request;
}

const struct stream_ops fastcgi_stream = {
    .write = write_body,
    .file = write_file,
    .finish = finish,
    .interim = interim,
    .go_on = go_on,
    .read = http1_body_read,
    .is_gone = http1_is_gone,
    .watch = http1_watch,
    .interrupt = http1_interrupt,
    .share = send_by_copies,
};
