#include "proto/http1/parse.h"

#include "proto/http1/private.h"
#include "proto/scan.h"

/* How long the line is at least, CRLF included: a last CR may be the first half of it. */
static uint32_t http1_least_size(const struct http1_reader *in)
{
    const char *line = in->data + in->parser->parsed;
    size_t size = (size_t)(in->end - line);
    if (size >= 2 && in->end[-2] == '\r' && in->end[-1] == '\n')
        return (uint32_t)size;
    if (size >= 1 && in->end[-1] == '\r')
        return (uint32_t)size + 1;
    return (uint32_t)size + 2;
}

HTTP1_COLD enum http1_result http1_wait(struct http1_reader *in)
{
    uint32_t size = http1_least_size(in);
    if (in->parser->stage == HTTP1_AT_REQUEST_LINE) {
        if (in->limits->request_line != 0 && size - 2 > in->limits->request_line) {
            in->parser->error_limit = in->limits->request_line;
            return http1_refuse_at(in, HTTP1_LINE_TOO_LONG, in->data + in->parser->parsed,
                                   in->data + in->parser->parsed + size - 2);
        }
    } else if (in->limits->field_size != 0 && size > in->limits->field_size) {
        return http1_refuse(in->parser, HTTP1_FIELD_TOO_LONG);
    }
    if (http1_offset(in, in->end) >= HTTP1_HEAD_MAX)
        return http1_refuse(in->parser, HTTP1_HEAD_TOO_LONG);
    return HTTP1_PARTIAL;
}

/*
 * Whether the line that was not whole last time is now, or is wrong for sure. Looks at new bytes
 * only. A field's line is whole when the byte after it is there, which may continue it.
 */
static bool http1_line_ready(struct http1_reader *in)
{
    const char *line = in->data + in->parser->parsed;
    const char *p = in->data + in->parser->scanned;
    for (;;) {
        p = scan_value(in->data, p, in->end);
        in->parser->scanned = http1_offset(in, p);
        if (p == in->end)
            return false;
        if (*p != '\r')
            return true;
        if (in->end - p < 2)
            return false;
        if (p[1] != '\n' || p == line || in->parser->stage == HTTP1_AT_REQUEST_LINE)
            return true;
        if (in->end - p < 3)
            return false;
        if (!octet_is_blank(p[2]) || !in->limits->permit_obsolete_folding)
            return true;
        p += 2;
    }
}

enum http1_result http1_parse(struct http1_parser *parser, struct head *head, char *data,
                              size_t size, const struct http1_limits *limits)
{
    if (size > HTTP1_HEAD_MAX)
        size = HTTP1_HEAD_MAX;
    struct http1_reader in = {parser, head, data, data + size, limits};
    if (HTTP1_UNLIKELY(parser->scanned > parser->parsed) && !http1_line_ready(&in))
        return http1_wait(&in);
    enum http1_result result = HTTP1_OK;
    if (parser->stage == HTTP1_AT_REQUEST_LINE)
        result = http1_request_line(&in);
    if (HTTP1_LIKELY(result == HTTP1_OK))
        result = http1_fields(&in);
    if (HTTP1_LIKELY(result == HTTP1_OK))
        return http1_framing(&in);
    if (result == HTTP1_ERROR)
        return result;
    if (parser->scanned < parser->parsed)
        parser->scanned = parser->parsed;
    http1_line_ready(&in); /* notes how far there is nothing to look for */
    return http1_wait(&in);
}

enum http1_result http1_apply_forwarded(struct http1_parser *parser, const struct forwarded *policy,
                                        struct head *head, const char *data, bool trusted, bool tls)
{
    uint32_t culprit;
    switch (forwarded_apply(policy, head, data, trusted, tls, &culprit)) {
    case FORWARDED_OK:
        return HTTP1_OK;
    case FORWARDED_CONTRADICTION:
        return http1_refuse(parser, HTTP1_CONTRADICTORY_SCHEME);
    default:
        parser->error_at = head->fields[culprit].name;
        parser->error_len = head->fields[culprit].name_len;
        return http1_refuse(parser, HTTP1_REFUSED_FIELD);
    }
}
