#include "proto/http1/private.h"
#include "proto/octet.h"

#include <stdio.h>

HTTP1_COLD enum http1_result http1_refuse(struct http1_parser *parser, enum http1_error error)
{
    parser->error = error;
    return HTTP1_ERROR;
}

HTTP1_COLD enum http1_result http1_refuse_at(struct http1_reader *in, enum http1_error error,
                                             const char *from, const char *to)
{
    in->parser->error_at = http1_offset(in, from);
    in->parser->error_len = (uint32_t)(to - from);
    return http1_refuse(in->parser, error);
}

/* A refusal in the words of gunicorn, so that programs that watch the log keep working. */

enum subject {
    SUBJECT_NONE,    /* the format is all there is to say */
    SUBJECT_BYTES,   /* the bytes at error_at */
    SUBJECT_UPPER,   /* the same, a name, in capitals */
    SUBJECT_VERSION, /* a pair of numbers if it has the form of a version */
    SUBJECT_SIZE,    /* its size and the limit */
    SUBJECT_LF,      /* of the line that should have ended with CRLF */
};

struct description {
    const char *text; /* before the subject */
    const char *page; /* precedes the text in the page, and "'" follows it; or NULL */
    enum subject subject;
    int status;
};

#define LINE_TEXT "Invalid HTTP request line: "
#define LINE_PAGE "Invalid Request Line '"
#define FIELD_TEXT "Invalid HTTP Header: "
#define LIMIT_PAGE "Error parsing headers: '"

static const struct description descriptions[HTTP1_ERROR_COUNT] = {
    [HTTP1_NO_ERROR] = {"", NULL, SUBJECT_NONE, 400},
    [HTTP1_BAD_REQUEST_LINE] = {LINE_TEXT, LINE_PAGE, SUBJECT_BYTES, 400},
    [HTTP1_BAD_METHOD] = {"Invalid HTTP method: ", "Invalid Method '", SUBJECT_BYTES, 400},
    [HTTP1_BAD_TARGET] = {LINE_TEXT, LINE_PAGE, SUBJECT_BYTES, 400},
    [HTTP1_BAD_VERSION] = {"Invalid HTTP Version: ", "Invalid HTTP Version '", SUBJECT_VERSION,
                           400},
    [HTTP1_LINE_TOO_LONG] = {"Request Line is too large ", NULL, SUBJECT_SIZE, 414},
    [HTTP1_TOO_MANY_FIELDS] = {"limit request headers fields", LIMIT_PAGE, SUBJECT_NONE, 431},
    [HTTP1_FIELD_TOO_LONG] = {"limit request headers fields size", LIMIT_PAGE, SUBJECT_NONE, 431},
    [HTTP1_HEAD_TOO_LONG] = {"max buffer headers", LIMIT_PAGE, SUBJECT_NONE, 431},
    [HTTP1_BAD_FIELD_NAME] = {"Invalid HTTP header name: ", NULL, SUBJECT_BYTES, 400},
    [HTTP1_BAD_FIELD_VALUE] = {FIELD_TEXT, NULL, SUBJECT_UPPER, 400},
    [HTTP1_OBSOLETE_FOLD] = {"Obsolete line folding is unacceptable: ", NULL, SUBJECT_UPPER, 400},
    [HTTP1_BARE_LF] = {FIELD_TEXT, NULL, SUBJECT_LF, 400},
    [HTTP1_DUPLICATE_FIELD] = {FIELD_TEXT, NULL, SUBJECT_UPPER, 400},
    [HTTP1_BAD_CONTENT_LENGTH] = {FIELD_TEXT, NULL, SUBJECT_UPPER, 400},
    [HTTP1_BAD_TRANSFER_ENCODING] = {FIELD_TEXT, NULL, SUBJECT_UPPER, 400},
    [HTTP1_UNKNOWN_TRANSFER_ENCODING] = {"Unsupported transfer coding: ", NULL, SUBJECT_BYTES, 501},
    [HTTP1_BAD_EXPECT] = {"Unable to comply with expectation: ", NULL, SUBJECT_BYTES, 417},
    [HTTP1_REFUSED_FIELD] = {"Invalid HTTP header name: ", NULL, SUBJECT_UPPER, 400},
    [HTTP1_CONTRADICTORY_SCHEME] = {"Contradictory scheme headers", NULL, SUBJECT_NONE, 400},
    [HTTP1_NO_MEMORY] = {"Out of memory", NULL, SUBJECT_NONE, 500},
    [HTTP1_BAD_FIELD_LINE] = {FIELD_TEXT, NULL, SUBJECT_BYTES, 400},
};

int http1_error_status(enum http1_error error)
{
    return descriptions[error].status;
}

/* Text in the making. A part that does not fit is left out, with all later ones. */
struct writer {
    char *p, *end; /* end: the place that is kept for NUL */
    bool raw;      /* characters go as the client sent them, not as UTF-8 of Latin-1 */
};

static void put(struct writer *out, const char *bytes, size_t n)
{
    if (n > (size_t)(out->end - out->p)) {
        out->end = out->p;
        return;
    }
    memcpy(out->p, bytes, n);
    out->p += n;
}

static void put_text(struct writer *out, const char *text)
{
    while (*text != '\0')
        put(out, text++, 1);
}

/* Whether Python prints the Latin-1 character as it is: no controls, no-break space, soft hyphen.
 */
static bool is_printable(unsigned char c)
{
    return (c >= 0x20 && c < 0x7f) || (c > 0xa0 && c != 0xad);
}

static void put_escaped(struct writer *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    if (c == '\n')
        put(out, "\\n", 2);
    else if (c == '\r')
        put(out, "\\r", 2);
    else if (c == '\t')
        put(out, "\\t", 2);
    else
        put(out, (char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
}

/* A string as Python's repr() shows it, the bytes being Latin-1. */
static void put_repr(struct writer *out, struct str s, bool upper)
{
    bool doubled = memchr(s.p, '\'', s.n) != NULL && memchr(s.p, '"', s.n) == NULL;
    char quote = doubled ? '"' : '\'';
    put(out, &quote, 1);
    for (size_t i = 0; i < s.n; i++) {
        char c = upper ? ascii_upper(s.p[i]) : s.p[i];
        unsigned char code = (unsigned char)c;
        if (c == quote || c == '\\')
            put(out, (char[]){'\\', c}, 2);
        else if (!is_printable(code))
            put_escaped(out, code);
        else if (code >= 0x80 && !out->raw)
            put(out, (char[]){(char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f))}, 2);
        else
            put(out, &c, 1);
    }
    put(out, &quote, 1);
}

static void put_version(struct writer *out, struct str s)
{
    bool formed = s.n == 8 && memcmp(s.p, "HTTP/", 5) == 0 && octet_is(s.p[5], OCTET_DIGIT) &&
                  s.p[6] == '.' && octet_is(s.p[7], OCTET_DIGIT);
    if (formed)
        put(out, (char[]){'(', s.p[5], ',', ' ', s.p[7], ')'}, 6);
    else
        put_repr(out, s, false);
}

static void put_error(struct writer *out, const struct http1_parser *parser, const char *data)
{
    struct str subject = head_slice(data, parser->error_at, parser->error_len);
    const struct description *description = &descriptions[parser->error];
    char sizes[32];
    bool in_line = parser->error == HTTP1_BARE_LF && parser->stage == HTTP1_AT_REQUEST_LINE;
    put_text(out, in_line ? LINE_TEXT : description->text);
    switch (description->subject) {
    case SUBJECT_NONE:
        break;
    case SUBJECT_BYTES:
    case SUBJECT_UPPER:
        put_repr(out, subject, description->subject == SUBJECT_UPPER);
        break;
    case SUBJECT_VERSION:
        put_version(out, subject);
        break;
    case SUBJECT_SIZE:
        snprintf(sizes, sizeof sizes, "(%u > %u)", parser->error_len, parser->error_limit);
        put_text(out, sizes);
        break;
    case SUBJECT_LF:
        put_repr(out, STR("bare LF as line terminator"), false);
        break;
    }
}

static struct writer writer_on(char *out, size_t size, bool raw)
{
    return (struct writer){out, out + size - 1, raw};
}

static size_t writer_end(struct writer *writer, const char *out)
{
    *writer->p = '\0';
    return (size_t)(writer->p - out);
}

size_t http1_error_text(const struct http1_parser *parser, const char *data, char *out, size_t size)
{
    struct writer writer = writer_on(out, size, false);
    put_error(&writer, parser, data);
    return writer_end(&writer, out);
}

size_t http1_error_page_text(const struct http1_parser *parser, const char *data, char *out,
                             size_t size)
{
    struct writer writer = writer_on(out, size, true);
    bool in_line = parser->error == HTTP1_BARE_LF && parser->stage == HTTP1_AT_REQUEST_LINE;
    const char *page = in_line ? LINE_PAGE : descriptions[parser->error].page;
    if (page != NULL)
        put_text(&writer, page);
    put_error(&writer, parser, data);
    if (page != NULL)
        put(&writer, "'", 1);
    return writer_end(&writer, out);
}
