#include "serve/request/response.h"

#include "base/clock.h"
#include "base/mem.h"
#include "proto/scan.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/send.h"

#include <assert.h>
#include <string.h>

/*
 * The head's buffer. Fields are appended behind a gap; when the head is sent, what goes before them
 * (and depends on them) is written into the end of the gap, so that all leaves in one piece:
 *
 *   | status text | ...    HTTP/1.1 200 OK.Server..Date..Connection.. | fields | CRLF body |
 *   0             status_size                                         gap
 */
enum { PREFIX_MAX = 160 }; /* without the status and options.own_fields */

enum { FIELD_KEEP, FIELD_DROP, FIELD_INVALID_LENGTH };

/* Why nothing can be sent any more. */
static enum response_error failure(const struct request *request)
{
    return request->response.full ? RESPONSE_FULL : RESPONSE_GONE;
}

static bool reserve(struct request *request, size_t more)
{
    struct response *response = &request->response;
    size_t need = (size_t)response->head_size + more;
    if (need <= response->head_capacity)
        return true;
    if (need > UINT32_MAX / 2)
        return false;
    uint32_t capacity = response->head_capacity;
    while (capacity < need)
        capacity *= 2;
    char *head = mem_realloc(response->head, capacity);
    if (!head)
        return false;
    budget_force(request->out.budget, capacity - response->head_capacity);
    response->head = head;
    response->head_capacity = capacity;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_value(const char *p, size_t n)
{
    return scan_value(p, p, p + n) == p + n;
}

static bool is_token(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!octet_is(p[i], OCTET_TOKEN))
            return false;
    return n > 0;
}

enum response_error response_start(struct request *request, const char *status, size_t n)
{
    struct response *response = &request->response;
    if (n < 3 || !is_digit(status[0]) || !is_digit(status[1]) || !is_digit(status[2]) ||
        status[0] == '0' || (n > 3 && status[3] != ' '))
        return RESPONSE_BAD_STATUS;
    if (!is_value(status, n))
        return RESPONSE_BAD_VALUE;
    uint32_t gap = PREFIX_MAX + (uint32_t)request->engine->options.own_fields.n;
    response->head_size = 0;
    if (!reserve(request, n + 1 + gap))
        return RESPONSE_NO_MEMORY;
    memcpy(response->head, status, n);
    if (n == 3) /* the space is there also when no reason follows (RFC 9112 §4) */
        response->head[n++] = ' ';
    response->status_size = (uint32_t)n;
    response->gap = response->head_size = (uint32_t)n + gap;
    response->status =
        (uint16_t)((status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0'));
    response->started = true;
    response->has_length = false;
    response->upgrade = false;
    return RESPONSE_OK;
}

static bool parse_length(struct str value, uint64_t *length)
{
    uint64_t n = 0;
    for (size_t i = 0; i < value.n; i++)
        if (!is_digit(value.p[i]) || __builtin_mul_overflow(n, (uint64_t)10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(value.p[i] - '0'), &n))
            return false;
    *length = n;
    return value.n > 0;
}

/* Fields that frame the message or are the server's own. */
static int special_field(struct response *response, struct str name, struct str value)
{
    switch (name.n) {
    case 2:
        return str_ieq(name, STR("te")) ? FIELD_DROP : FIELD_KEEP;
    case 4:
        return str_ieq(name, STR("date")) ? FIELD_DROP : FIELD_KEEP;
    case 6:
        return str_ieq(name, STR("server")) ? FIELD_DROP : FIELD_KEEP;
    case 7:
        if (str_ieq(name, STR("upgrade")))
            return str_ieq(value, STR("websocket")) ? FIELD_KEEP : FIELD_DROP;
        return str_ieq(name, STR("trailer")) ? FIELD_DROP : FIELD_KEEP;
    case 8:
        return str_ieq(name, STR("trailers")) ? FIELD_DROP : FIELD_KEEP;
    case 10:
        if (str_ieq(name, STR("connection"))) {
            response->upgrade |= str_ieq(value, STR("upgrade"));
            return FIELD_DROP;
        }
        return str_ieq(name, STR("keep-alive")) ? FIELD_DROP : FIELD_KEEP;
    case 14:
        if (!str_ieq(name, STR("content-length")))
            return FIELD_KEEP;
        response->has_length = parse_length(value, &response->length);
        return response->has_length ? FIELD_KEEP : FIELD_INVALID_LENGTH;
    case 17:
        return str_ieq(name, STR("transfer-encoding")) ? FIELD_DROP : FIELD_KEEP;
    case 18:
        return str_ieq(name, STR("proxy-authenticate")) ? FIELD_DROP : FIELD_KEEP;
    case 19:
        return str_ieq(name, STR("proxy-authorization")) ? FIELD_DROP : FIELD_KEEP;
    default:
        return FIELD_KEEP;
    }
}

/* 1xx and 204 have no Content-Length (RFC 9110 §8.6); HEAD and 304 may tell that of the GET. */
static bool length_forbidden(const struct response *response)
{
    return response->status < 200 || response->status == 204;
}

enum response_error response_field(struct request *request, struct str name, struct str value)
{
    struct response *response = &request->response;
    value = str_trim(value);
    if (!is_token(name.p, name.n))
        return RESPONSE_BAD_NAME;
    if (!is_value(value.p, value.n))
        return RESPONSE_BAD_VALUE;
    bool had_length = response->has_length;
    uint64_t length = response->length;
    int kind = special_field(response, name, value);
    if (kind == FIELD_INVALID_LENGTH ||
        (had_length && response->has_length && length != response->length))
        return RESPONSE_BAD_LENGTH;
    if (kind == FIELD_DROP || (name.n == 14 && (had_length || length_forbidden(response)) &&
                               str_ieq(name, STR("content-length"))))
        return RESPONSE_OK;
    if (!reserve(request, name.n + value.n + 4))
        return RESPONSE_NO_MEMORY;
    char *p = response->head + response->head_size;
    memcpy(p, name.p, name.n);
    p += name.n;
    *p++ = ':';
    *p++ = ' ';
    memcpy(p, value.p, value.n);
    p += value.n;
    *p++ = '\r';
    *p++ = '\n';
    response->head_size = (uint32_t)(p - response->head);
    return RESPONSE_OK;
}

static void choose_framing(struct request *request)
{
    struct response *response = &request->response;
    const struct head *head = &request->head;
    bool modern = head->major > 1 || (head->major == 1 && head->minor >= 1);
    bool head_method = str_eq(request_method(request), STR("HEAD"));
    response->no_body =
        head_method || response->status < 200 || response->status == 204 || response->status == 304;
    response->chunked = !response->has_length && modern && !response->no_body;
    bool framed = response->has_length || response->chunked || response->no_body;
    /* No client takes an interim status for an answer: it would wait, and read the next one. */
    response->keep_alive = framed && response->status >= 200 && head->keep_alive &&
                           !head->must_close && body_has_come(request) &&
                           request->engine->options.keepalive_ms > 0 &&
                           !request->conn->close_after &&
                           !atomic_load_explicit(&request->engine->draining, memory_order_relaxed);
}

#define PUT(p, literal) (memcpy(p, literal, sizeof(literal) - 1), (p) + sizeof(literal) - 1)

/* Writes what goes before the fields into the gap; returns where the head begins. */
static char *put_prefix(struct request *request)
{
    struct response *response = &request->response;
    struct str own = request->engine->options.own_fields;
    uint32_t size = 9 + response->status_size + 2 + (uint32_t)own.n + 6 + CLOCK_DATE_SIZE + 2;
    size += response->upgrade ? 21 : response->keep_alive ? 24 : 19;
    size += response->chunked ? 28 : 0; /* Transfer-Encoding: chunked */
    char *begin = response->head + response->gap - size;
    memmove(begin + 9, response->head, response->status_size);
    memcpy(begin, "HTTP/1.1 ", 9);
    begin[5] = (char)('0' + request->head.major);
    begin[7] = (char)('0' + request->head.minor);
    char *p = begin + 9 + response->status_size;
    p = PUT(p, "\r\n");
    memcpy(p, own.p, own.n);
    p = PUT(p + own.n, "Date: ");
    memcpy(p, clock_date(), CLOCK_DATE_SIZE);
    p += CLOCK_DATE_SIZE;
    if (response->upgrade)
        p = PUT(p, "\r\nConnection: upgrade\r\n");
    else if (response->keep_alive)
        p = PUT(p, "\r\nConnection: keep-alive\r\n");
    else
        p = PUT(p, "\r\nConnection: close\r\n");
    if (response->chunked)
        memcpy(p, "Transfer-Encoding: chunked\r\n", 28);
    return begin;
}

/* The whole head, ready to leave. */
static struct iovec take_head(struct request *request)
{
    struct response *response = &request->response;
    assert(response->started);
    choose_framing(request);
    if (!response->upgrade || response->status != 101)
        response->upgrade = false;
    char *begin = put_prefix(request);
    memcpy(response->head + response->head_size, "\r\n", 2);
    response->head_size += 2;
    response->sent_head = true;
    return (struct iovec){begin, (size_t)(response->head + response->head_size - begin)};
}

enum { CHUNK_LINE_MAX = 20 };

/* "1F40\r\n": upper-case hexadecimal, as gunicorn writes it. */
static size_t chunk_line(char out[CHUNK_LINE_MAX], uint64_t n)
{
    char digits[16];
    size_t count = 0, at = 0;
    do
        digits[count++] = "0123456789ABCDEF"[n & 15];
    while (n >>= 4);
    while (count > 0)
        out[at++] = digits[--count];
    out[at++] = '\r';
    out[at++] = '\n';
    return at;
}

/* Small answers leave as one piece of memory. */
static void join(struct response *response, struct iovec *parts, int *count)
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

/* How much of an item the declared length has room for; none where there is no body. */
static uint64_t clip(const struct response *response, uint64_t n)
{
    if (response->no_body)
        return 0;
    if (!response->has_length)
        return n;
    uint64_t left = response->length - response->body_sent;
    return n < left ? n : left;
}

enum response_error response_write(struct request *request, const char *data, size_t n, void *ref,
                                   bool *kept, bool last)
{
    struct response *response = &request->response;
    struct iovec parts[4];
    char line[CHUNK_LINE_MAX];
    int count = 0, body = -1;
    bool has_head = !response->sent_head;
    if (n == 0 && !(last && has_head))
        return RESPONSE_OK;
    if (has_head) {
        if (!reserve(request, 2))
            return RESPONSE_NO_MEMORY;
        parts[count++] = take_head(request);
    }
    n = (size_t)clip(response, n);
    if (n > 0) {
        if (response->chunked)
            parts[count++] = (struct iovec){line, chunk_line(line, n)};
        body = count;
        parts[count++] = (struct iovec){(void *)data, n};
    }
    if (response->chunked && last) {
        static const char end[] = "\r\n0\r\n\r\n";
        bool empty = n == 0;
        parts[count++] = (struct iovec){(void *)(empty ? end + 2 : end), empty ? 5 : 7};
        response->finished = true;
    } else if (response->chunked && n > 0) {
        parts[count++] = (struct iovec){"\r\n", 2};
    }
    response->body_sent += n;
    if (count == 0)
        return RESPONSE_OK;
    if (has_head && n <= OUT_COPY_MAX) {
        join(response, parts, &count);
        if (count == 1)
            body = -1;
    }
    return send_parts(request, parts, count, body, ref, kept) < 0 ? failure(request) : RESPONSE_OK;
}

enum response_error response_file(struct request *request, int file, off_t offset, uint64_t n)
{
    struct response *response = &request->response;
    struct iovec parts[2];
    char line[CHUNK_LINE_MAX];
    int count = 0;
    bool kept;
    if (!response->sent_head) {
        if (!reserve(request, 2))
            return RESPONSE_NO_MEMORY;
        parts[count++] = take_head(request);
    }
    n = clip(response, n);
    if (n > 0 && response->chunked)
        parts[count++] = (struct iovec){line, chunk_line(line, n)};
    response->body_sent += n;
    if (count > 0 && (n > 0 ? send_parts_more(request, parts, count)
                            : send_parts(request, parts, count, -1, NULL, &kept)) < 0)
        return failure(request);
    if (n > 0 && send_file(request, file, offset, n) < 0)
        return failure(request);
    if (n > 0 && response->chunked) {
        parts[0] = (struct iovec){"\r\n", 2};
        if (send_parts(request, parts, 1, -1, NULL, &kept) < 0)
            return failure(request);
    }
    return RESPONSE_OK;
}

enum response_error response_finish(struct request *request)
{
    struct response *response = &request->response;
    bool kept;
    if (response->finished)
        return RESPONSE_OK;
    if (!response->sent_head) {
        enum response_error error = response_write(request, NULL, 0, NULL, &kept, true);
        if (error != RESPONSE_OK)
            return error;
    } else if (response->chunked) {
        struct iovec end = {"0\r\n\r\n", 5};
        if (send_parts(request, &end, 1, -1, NULL, &kept) < 0)
            return failure(request);
    }
    /* A body shorter than declared: only the end of the connection tells the client. */
    response->finished =
        response->no_body || !response->has_length || response->body_sent == response->length;
    return RESPONSE_OK;
}

void response_abort(struct request *request)
{
    request->conn->close_after = true;
}

enum response_error response_interim(struct request *request, const char *data, size_t n)
{
    struct iovec part = {(void *)data, n};
    bool kept;
    if (request->response.sent_head)
        return RESPONSE_OK;
    return send_parts(request, &part, 1, -1, NULL, &kept) < 0 ? failure(request) : RESPONSE_OK;
}
