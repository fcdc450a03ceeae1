#include "proto/http1/private.h"
#include "proto/scan.h"

/* RFC 9112 §3. gunicorn's bounds of a method that is not unconventional. */
#define METHOD_MIN 3
#define METHOD_MAX 20
#define VERSION_SIZE (sizeof("HTTP/1.1") - 1)

struct request_line {
    const char *method, *target, *version, *end; /* a blank stands before target and version */
};

static const char *find(const char *from, const char *to, char c)
{
    const char *found = memchr(from, c, (size_t)(to - from));
    return found != NULL ? found : to;
}

static bool method_is(const struct head *head, const char *data, struct str name)
{
    return str_eq(head_slice(data, head->method, head->method_len), name);
}

/* The conventional rule first: without it, any token will do. */
bool http1_method_valid(const char *from, const char *to, const struct http1_limits *limits)
{
    bool free = limits->permit_unconventional_method;
    if (from == to || (!free && (to - from < METHOD_MIN || to - from > METHOD_MAX)))
        return false;
    for (const char *p = from; p < to; p++)
        if (!octet_is(*p, free ? OCTET_TOKEN : OCTET_METHOD))
            return false;
    return true;
}

static bool target_has_authority(const char *from, const char *to)
{
    return memmem(from, (size_t)(to - from), "://", 3) != NULL;
}

/* RFC 9112 §3.2: which form goes with which method, as far as gunicorn looks at it. */
static bool target_valid(const struct http1_reader *in, const struct request_line *line)
{
    const char *from = line->target;
    const char *to = line->version - 1;
    if (from == to)
        return false;
    for (const char *p = from; p < to; p++)
        if (scan_stops_query((unsigned char)*p) && *p != '#')
            return false;
    if (*from == '/')
        return true;
    if (to - from == 1 && *from == '*')
        return method_is(in->head, in->data, STR("OPTIONS"));
    return method_is(in->head, in->data, STR("CONNECT")) || target_has_authority(from, to);
}

static bool version_well_formed(const char *p, const char *end)
{
    return end - p == VERSION_SIZE && memcmp(p, "HTTP/", 5) == 0 && octet_is(p[5], OCTET_DIGIT) &&
           p[6] == '.' && octet_is(p[7], OCTET_DIGIT);
}

static void store_version(struct head *head, const char *version)
{
    head->major = (uint8_t)(version[5] - '0');
    head->minor = (uint8_t)(version[7] - '0');
}

static bool version_valid(struct http1_reader *in, const struct request_line *line)
{
    if (!version_well_formed(line->version, line->end))
        return false;
    store_version(in->head, line->version);
    return in->head->major == 1 || in->limits->permit_unconventional_version;
}

static void casefold_method(struct http1_reader *in)
{
    char *method = in->data + in->head->method;
    for (uint32_t i = 0; i < in->head->method_len; i++)
        method[i] = ascii_upper(method[i]);
}

/* Any line, in the order of gunicorn's checks. */
static enum http1_result line_check(struct http1_reader *in, const char *from, const char *to)
{
    struct head *head = in->head;
    struct request_line line = {.method = from, .end = to};
    line.target = find(from, to, ' ') + 1;
    line.version = line.target <= to ? find(line.target, to, ' ') + 1 : to + 1;
    if (line.version > to)
        return http1_refuse_at(in, HTTP1_BAD_REQUEST_LINE, from, to);
    if (!http1_method_valid(from, line.target - 1, in->limits))
        return http1_refuse_at(in, HTTP1_BAD_METHOD, from, line.target - 1);
    head->method = http1_offset(in, from);
    head->method_len = (uint32_t)(line.target - 1 - from);
    if (in->limits->casefold_method)
        casefold_method(in);
    head->target = http1_offset(in, line.target);
    head->target_len = (uint32_t)(line.version - 1 - line.target);
    if (!target_valid(in, &line) || !http1_split_target(head, in->data))
        return http1_refuse_at(in, HTTP1_BAD_TARGET, from, to);
    if (!version_valid(in, &line))
        return http1_refuse_at(in, HTTP1_BAD_VERSION, line.version, to);
    return HTTP1_OK;
}

static enum http1_result line_done(struct http1_reader *in, const char *next)
{
    in->parser->parsed = http1_offset(in, next);
    in->parser->stage = HTTP1_AT_FIELD;
    return HTTP1_OK;
}

static enum http1_result line_too_long(struct http1_reader *in, const char *from, const char *to)
{
    in->parser->error_limit = in->limits->request_line;
    return http1_refuse_at(in, HTTP1_LINE_TOO_LONG, from, to);
}

/*
 * Lines that the short way below does not take: unfinished, wrong or rare ones. A control character
 * refuses a line that is not whole: it was sent by something that does not speak HTTP and may wait
 * for an answer.
 */
HTTP1_COLD static enum http1_result line_slowly(struct http1_reader *in, const char *from)
{
    const char *p = scan_value(in->data, from, in->end);
    if (p == in->end || (*p == '\r' && p + 1 == in->end))
        return HTTP1_PARTIAL;
    if (in->limits->request_line != 0 && p - from > (ptrdiff_t)in->limits->request_line)
        return line_too_long(in, from, p);
    const char *lf = find(p, in->end, '\n');
    if (lf == in->end)
        return http1_refuse_at(in, HTTP1_BAD_REQUEST_LINE, from, lf);
    if (lf == from || lf[-1] != '\r')
        return http1_refuse_at(in, HTTP1_BARE_LF, from, lf);
    enum http1_result result = line_check(in, from, lf - 1);
    return result == HTTP1_OK ? line_done(in, lf + 1) : result;
}

/* One empty line before the request line (RFC 9112 §2.2). NULL: there may be one, wait. */
static const char *skip_empty_line(struct http1_reader *in)
{
    const char *p = in->data + in->parser->parsed;
    if (HTTP1_LIKELY(p < in->end && *p != '\r') || in->parser->parsed != 0)
        return p;
    if (in->end - p < 2)
        return NULL;
    if (p[1] != '\n')
        return p;
    in->parser->parsed = 2;
    return p + 2;
}

static bool version_usual(const char *p)
{
    return memcmp(p, "HTTP/1.", 7) == 0 && (p[7] == '1' || p[7] == '0') && p[8] == '\r' &&
           p[9] == '\n';
}

enum http1_result http1_request_line(struct http1_reader *in)
{
    struct head *head = in->head;
    const char *from = skip_empty_line(in);
    if (HTTP1_UNLIKELY(from == NULL))
        return HTTP1_PARTIAL;

    const char *p = from;
    while (p < in->end && octet_is(*p, OCTET_METHOD))
        p++;
    const char *method_end = p;
    if (HTTP1_UNLIKELY(in->end - p < 2 || p[0] != ' ' || p[1] != '/' || p - from < METHOD_MIN ||
                       p - from > METHOD_MAX))
        return line_slowly(in, from);

    const char *target = ++p;
    p = scan_path(in->data, p, in->end);
    const char *path_end = p;
    const char *query = p;
    if (p < in->end && *p == '?') {
        query = p + 1;
        p = scan_query(in->data, query, in->end);
    }
    if (HTTP1_UNLIKELY(in->end - p < (ptrdiff_t)VERSION_SIZE + 3 || *p != ' ' ||
                       !version_usual(p + 1)))
        return line_slowly(in, from);
    const char *end = p + 1 + VERSION_SIZE;
    if (HTTP1_UNLIKELY(in->limits->request_line != 0 &&
                       end - from > (ptrdiff_t)in->limits->request_line))
        return line_slowly(in, from);

    head->method = http1_offset(in, from);
    head->method_len = (uint32_t)(method_end - from);
    head->target = head->path = http1_offset(in, target);
    head->target_len = (uint32_t)(p - target);
    head->path_len = (uint32_t)(path_end - target);
    head->query = http1_offset(in, query);
    head->query_len = (uint32_t)(p - query);
    store_version(head, p + 1);
    return line_done(in, end + 2);
}
