#include "serve/request/response.h"

#include "base/mem.h"
#include "proto/scan.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/stream.h"

#include <assert.h>
#include <string.h>

/*
 * The head's buffer. Fields are appended, a line each, behind a gap, into which a protocol may
 * write the lines before them (which depend on them), so that all leaves in one piece:
 *
 *   | status text | ...                 | name: value CRLF ... | room for more |
 *   0             status_size           gap                    head_size
 */
enum { END_ROOM = 2 }; /* bytes behind the fields: an empty line */
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
    uint32_t gap = RESPONSE_GAP + (uint32_t)request->engine->options.own_fields.n;
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
    response->has_server = response->has_date = false;
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

/* Whether a token is this one, which has small letters and '-' alone: setting bit 0x20 makes no
 * other octet of a token one of those. Without a branch, for many octets at a time. */
static inline bool name_is(struct str name, struct str small)
{
    unsigned differs = 0;
    if (name.n != small.n)
        return false;
    for (size_t i = 0; i < small.n; i++)
        differs |= (unsigned char)((name.p[i] | 0x20) ^ small.p[i]);
    return differs == 0;
}

static int own_field(struct response *response, bool *is_there)
{
    if (!response->own_fields_yield)
        return FIELD_DROP;
    *is_there = true;
    return FIELD_KEEP;
}

/* Fields that frame the message or are the server's own. */
static int special_field(struct response *response, struct str name, struct str value)
{
    switch (name.n) {
    case 2:
        return name_is(name, STR("te")) ? FIELD_DROP : FIELD_KEEP;
    case 4:
        return name_is(name, STR("date")) ? own_field(response, &response->has_date) : FIELD_KEEP;
    case 6:
        return name_is(name, STR("server")) ? own_field(response, &response->has_server)
                                            : FIELD_KEEP;
    case 7:
        if (name_is(name, STR("upgrade")))
            return str_ieq(value, STR("websocket")) ? FIELD_KEEP : FIELD_DROP;
        return name_is(name, STR("trailer")) ? FIELD_DROP : FIELD_KEEP;
    case 8:
        return name_is(name, STR("trailers")) ? FIELD_DROP : FIELD_KEEP;
    case 10:
        if (name_is(name, STR("connection"))) {
            response->upgrade |= str_ieq(value, STR("upgrade"));
            return FIELD_DROP;
        }
        return name_is(name, STR("keep-alive")) ? FIELD_DROP : FIELD_KEEP;
    case 14:
        if (!name_is(name, STR("content-length")))
            return FIELD_KEEP;
        response->has_length = parse_length(value, &response->length);
        return response->has_length ? FIELD_KEEP : FIELD_INVALID_LENGTH;
    case 17:
        return name_is(name, STR("transfer-encoding")) ? FIELD_DROP : FIELD_KEEP;
    case 18:
        return name_is(name, STR("proxy-authenticate")) ? FIELD_DROP : FIELD_KEEP;
    case 19:
        return name_is(name, STR("proxy-authorization")) ? FIELD_DROP : FIELD_KEEP;
    default:
        return FIELD_KEEP;
    }
}

/* 1xx and 204 have no Content-Length (RFC 9110 §8.6); HEAD and 304 may have that of the GET. */
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
                               name_is(name, STR("content-length"))))
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

/* HEAD, 1xx, 204 and 304 have no body (RFC 9110 §6.4.1). */
static bool forbids_body(const struct request *request)
{
    uint16_t status = request->response.status;
    return status < 200 || status == 204 || status == 304 ||
           str_eq(request_method(request), STR("HEAD"));
}

/* The head leaves next. */
static bool complete_head(struct request *request)
{
    struct response *response = &request->response;
    assert(response->started);
    if (!reserve(request, END_ROOM))
        return false;
    response->no_body |= forbids_body(request);
    if (response->status != 101 && response->status != 426)
        response->upgrade = false;
    return true;
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
    if (n == 0 && !(last && !response->sent_head))
        return RESPONSE_OK;
    if (!response->sent_head && !complete_head(request))
        return RESPONSE_NO_MEMORY;
    n = (size_t)clip(response, n);
    response->body_sent += n;
    return request->stream->write(request, data, n, ref, kept, last) ? RESPONSE_OK
                                                                     : failure(request);
}

enum response_error response_file(struct request *request, int file, off_t offset, uint64_t n)
{
    struct response *response = &request->response;
    if (!response->sent_head && !complete_head(request))
        return RESPONSE_NO_MEMORY;
    n = clip(response, n);
    response->body_sent += n;
    return request->stream->file(request, file, offset, n) ? RESPONSE_OK : failure(request);
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
    } else if (!request->stream->finish(request)) {
        return failure(request);
    }
    /* A body shorter than declared: only the end of the connection shows it to the client. */
    response->finished =
        response->no_body || !response->has_length || response->body_sent == response->length;
    return RESPONSE_OK;
}

enum response_error response_open(struct request *request)
{
    bool kept;
    if (!complete_head(request))
        return RESPONSE_NO_MEMORY;
    return request->stream->write(request, NULL, 0, NULL, &kept, false) ? RESPONSE_OK
                                                                        : failure(request);
}

void response_abort(struct request *request)
{
    request->must_close = true;
}

enum response_error response_interim(struct request *request, int status, struct str fields)
{
    if (request->response.sent_head)
        return RESPONSE_OK;
    return request->stream->interim(request, status, fields) ? RESPONSE_OK : failure(request);
}

enum response_error response_trailers(struct request *request, struct str fields)
{
    const struct stream_ops *stream = request->stream;
    if (!stream->trailers || request->response.finished || stream->trailers(request, fields))
        return RESPONSE_OK;
    return RESPONSE_NO_MEMORY;
}

/* The first line is that of Server, if there is one. */
static struct str own_fields_but_server(const struct engine *engine)
{
    struct str own = engine->options.own_fields;
    const char *end = own.n > 7 && str_ieq((struct str){own.p, 7}, STR("server:"))
                          ? memchr(own.p, '\n', own.n)
                          : NULL;
    return end ? (struct str){end + 1, (size_t)(own.p + own.n - end - 1)} : own;
}

struct str response_own_fields(const struct request *request)
{
    const struct response *response = &request->response;
    if (response->bare)
        return STR("");
    return response->has_server ? own_fields_but_server(request->engine)
                                : request->engine->options.own_fields;
}
