#include "proto/http1/chunked.h"

#include "proto/field.h"
#include "proto/octet.h"
#include "proto/scan.h"

/*
 *   SIZE_FIRST ─▶ SIZE ─▶ [extensions] ─▶ SIZE_LF ─▶ DATA ─▶ DATA_CR ─▶ DATA_LF ─▶ SIZE_FIRST
 *                                            │ size 0
 *                                            ▼
 *                       ┌─▶ TRAILER_FIRST ─▶ LAST_LF ─▶ DONE
 *                       │         ▼
 *                       │   TRAILER_NAME ─▶ TRAILER_VALUE
 *                       └─────────── TRAILER_LF ◀─┘
 * Extensions: chunk-ext = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ), where
 * blanks at the end of the line belong to nothing and are refused. FAILED takes nothing more.
 */
enum state {
    SIZE_FIRST,
    SIZE,
    SIZE_BLANK, /* a blank where ";" must follow */
    EXT_BLANK,  /* the same behind an extension */
    EXT_NAME_FIRST,
    EXT_NAME,
    EXT_NAME_BLANK, /* a blank where "=" or ";" must follow */
    EXT_VALUE_FIRST,
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPED,
    EXT_QUOTED_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_FIRST,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    DONE,
    FAILED,
};

void chunked_init(struct chunked *dec, uint32_t line_limit, uint32_t field_limit)
{
    *dec = (struct chunked){.line_limit = line_limit, .field_limit = field_limit};
}

static enum state fail(struct chunked *dec, enum chunked_error error)
{
    dec->error = (uint8_t)error;
    return FAILED;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum state after_size(struct chunked *dec, char c)
{
    if (c == '\r')
        return SIZE_LF;
    if (c == ';')
        return EXT_NAME_FIRST;
    return octet_is_blank(c) ? SIZE_BLANK : fail(dec, CHUNKED_BAD_SIZE);
}

static enum state step_size(struct chunked *dec, char c)
{
    int digit = hex_value(c);
    if (digit < 0)
        return dec->state == SIZE ? after_size(dec, c) : fail(dec, CHUNKED_BAD_SIZE);
    if (dec->left > (uint64_t)INT64_MAX >> 4)
        return fail(dec, CHUNKED_BAD_SIZE);
    dec->left = dec->left << 4 | (uint64_t)digit;
    return SIZE;
}

/* The end of an extension's name or value: of a token, that is, if it is not quoted. */
static enum state after_part(struct chunked *dec, char c, enum state blank)
{
    if (c == '\r')
        return SIZE_LF;
    if (c == ';')
        return EXT_NAME_FIRST;
    return octet_is_blank(c) ? blank : fail(dec, CHUNKED_BAD_EXTENSION);
}

static enum state step_ext_name(struct chunked *dec, char c)
{
    switch (dec->state) {
    case SIZE_BLANK:
        if (octet_is_blank(c))
            return SIZE_BLANK;
        return c == ';' ? EXT_NAME_FIRST : fail(dec, CHUNKED_BAD_SIZE);
    case EXT_BLANK:
        if (octet_is_blank(c))
            return EXT_BLANK;
        return c == ';' ? EXT_NAME_FIRST : fail(dec, CHUNKED_BAD_EXTENSION);
    case EXT_NAME_FIRST:
        if (octet_is_blank(c))
            return EXT_NAME_FIRST;
        return octet_is(c, OCTET_TOKEN) ? EXT_NAME : fail(dec, CHUNKED_BAD_EXTENSION);
    case EXT_NAME:
        if (octet_is(c, OCTET_TOKEN))
            return EXT_NAME;
        return c == '=' ? EXT_VALUE_FIRST : after_part(dec, c, EXT_NAME_BLANK);
    default: /* EXT_NAME_BLANK */
        if (c == '\r')
            return fail(dec, CHUNKED_BAD_EXTENSION);
        return c == '=' ? EXT_VALUE_FIRST : after_part(dec, c, EXT_NAME_BLANK);
    }
}

static enum state step_ext_value(struct chunked *dec, char c)
{
    switch (dec->state) {
    case EXT_VALUE_FIRST:
        if (octet_is_blank(c))
            return EXT_VALUE_FIRST;
        if (c == '"')
            return EXT_QUOTED;
        return octet_is(c, OCTET_TOKEN) ? EXT_VALUE : fail(dec, CHUNKED_BAD_EXTENSION);
    case EXT_VALUE:
        return octet_is(c, OCTET_TOKEN) ? EXT_VALUE : after_part(dec, c, EXT_BLANK);
    case EXT_QUOTED:
        if (c == '"')
            return EXT_QUOTED_END;
        if (c == '\\')
            return EXT_ESCAPED;
        return octet_is(c, OCTET_QUOTED) ? EXT_QUOTED : fail(dec, CHUNKED_BAD_EXTENSION);
    case EXT_ESCAPED:
        return octet_is(c, OCTET_VALUE) ? EXT_QUOTED : fail(dec, CHUNKED_BAD_EXTENSION);
    default: /* EXT_QUOTED_END */
        return after_part(dec, c, EXT_BLANK);
    }
}

/* The LF behind a size line, and the CRLF behind the data of a chunk. */
static enum state step_line_end(struct chunked *dec, char c)
{
    if (dec->state == DATA_CR)
        return c == '\r' ? DATA_LF : fail(dec, CHUNKED_BAD_TERMINATOR);
    if (dec->state == DATA_LF)
        return c == '\n' ? SIZE_FIRST : fail(dec, CHUNKED_BAD_TERMINATOR);
    if (c != '\n')
        return fail(dec, CHUNKED_BAD_SIZE);
    return dec->left > 0 ? DATA : TRAILER_FIRST;
}

/* Whether a trailer may have this name, once: RFC 9110 §6.5.1, and, as in a head, Host. */
static bool name_allowed(struct chunked *dec)
{
    if (dec->name_len > CHUNKED_NAME_MAX)
        return true;
    switch (field_lookup((struct str){dec->name, dec->name_len})) {
    case FIELD_AUTHORIZATION:
    case FIELD_CONTENT_LENGTH:
    case FIELD_HOST:
    case FIELD_TE:
    case FIELD_TRAILER:
    case FIELD_TRANSFER_ENCODING:
        return false;
    case FIELD_CONTENT_TYPE: {
        bool first = !dec->content_type;
        dec->content_type = true;
        return first;
    }
    default:
        return true;
    }
}

static enum state step_name(struct chunked *dec, char c)
{
    if (c == ':' && dec->name_len > 0)
        return name_allowed(dec) ? TRAILER_VALUE : fail(dec, CHUNKED_BAD_NAME);
    if (!octet_is(c, OCTET_TOKEN))
        return fail(dec,
                    c == '\r' || c == '\n' || c == ':' ? CHUNKED_BAD_TRAILER : CHUNKED_BAD_NAME);
    if (dec->name_len < CHUNKED_NAME_MAX)
        dec->name[dec->name_len++] = c;
    else
        dec->name_len = CHUNKED_NAME_MAX + 1;
    return TRAILER_NAME;
}

static enum state step_trailer(struct chunked *dec, char c)
{
    switch (dec->state) {
    case TRAILER_FIRST:
        if (c == '\r')
            return LAST_LF;
        if (octet_is_blank(c))
            return fail(dec, CHUNKED_BAD_TRAILER);
        if (dec->field_limit != 0 && dec->fields >= dec->field_limit)
            return fail(dec, CHUNKED_TOO_MANY_TRAILERS);
        dec->fields++;
        dec->name_len = 0;
        return step_name(dec, c);
    case TRAILER_NAME:
        return step_name(dec, c);
    case TRAILER_VALUE:
        if (c == '\r')
            return TRAILER_LF;
        return octet_is(c, OCTET_VALUE) ? TRAILER_VALUE : fail(dec, CHUNKED_BAD_TRAILER);
    case TRAILER_LF:
        return c == '\n' ? TRAILER_FIRST : fail(dec, CHUNKED_BAD_TRAILER);
    default: /* LAST_LF */
        return c == '\n' ? DONE : fail(dec, CHUNKED_BAD_TRAILER);
    }
}

static enum state step(struct chunked *dec, char c)
{
    if (dec->state <= SIZE)
        return step_size(dec, c);
    if (dec->state <= EXT_NAME_BLANK)
        return step_ext_name(dec, c);
    if (dec->state <= EXT_QUOTED_END)
        return step_ext_value(dec, c);
    return dec->state <= DATA_LF ? step_line_end(dec, c) : step_trailer(dec, c);
}

/* Counts a byte of a line and says whether the line is within its limit. */
static bool line_fits(struct chunked *dec, enum state next)
{
    if (next == SIZE_FIRST || next == TRAILER_FIRST || next == DATA) {
        dec->line_size = 0;
        return true;
    }
    dec->line_size++;
    if (dec->line_limit == 0)
        return true;
    if (next < SIZE_LF)
        return dec->line_size <= dec->line_limit;
    if (next == TRAILER_NAME || next == TRAILER_VALUE)
        return dec->line_size + 2 <= dec->line_limit;
    return true;
}

/* One byte that is not of the body. */
static void advance(struct chunked *dec, char c)
{
    enum state next = step(dec, c);
    if (next != FAILED && !line_fits(dec, next))
        next = fail(dec, next < DATA ? CHUNKED_LINE_TOO_LONG : CHUNKED_TRAILER_TOO_LONG);
    dec->state = (uint8_t)next;
}

static enum chunked_result result_of(const struct chunked *dec)
{
    if (dec->state == DONE)
        return CHUNKED_DONE;
    return dec->state == FAILED ? CHUNKED_ERROR : CHUNKED_MORE;
}

enum chunked_result chunked_next(struct chunked *dec, const char *data, size_t size,
                                 size_t *consumed, struct str *piece)
{
    const char *p = data;
    const char *end = data + size;
    *piece = (struct str){data, 0};
    while (p < end && dec->state < DONE && dec->state != DATA)
        advance(dec, *p++);
    if (dec->state == DATA) {
        size_t there = (size_t)(end - p);
        size_t n = dec->left < there ? (size_t)dec->left : there;
        *piece = (struct str){p, n};
        p += n;
        dec->left -= n;
        if (dec->left == 0)
            dec->state = DATA_CR;
    }
    *consumed = (size_t)(p - data);
    return result_of(dec);
}

enum chunked_result chunked_decode(struct chunked *dec, char *data, size_t size, size_t *consumed,
                                   size_t *produced)
{
    enum chunked_result result = result_of(dec);
    size_t in = 0;
    size_t out = 0;
    while (in < size && result == CHUNKED_MORE) {
        size_t used;
        struct str piece;
        result = chunked_next(dec, data + in, size - in, &used, &piece);
        if (piece.n > 0 && piece.p != data + out)
            memmove(data + out, piece.p, piece.n);
        out += piece.n;
        in += used;
    }
    *consumed = in;
    *produced = out;
    return result;
}

int chunked_error_status(const struct chunked *dec)
{
    bool limit = dec->error == CHUNKED_TRAILER_TOO_LONG || dec->error == CHUNKED_TOO_MANY_TRAILERS;
    return limit ? 431 : 400;
}

const char *chunked_error_text(const struct chunked *dec)
{
    static const char *const texts[CHUNKED_ERROR_COUNT] = {
        [CHUNKED_NO_ERROR] = "",
        [CHUNKED_BAD_SIZE] = "Invalid chunk size",
        [CHUNKED_LINE_TOO_LONG] = "Invalid chunk size: the line is too long",
        [CHUNKED_BAD_EXTENSION] = "Invalid chunk extension: invalid chunk extension",
        [CHUNKED_BAD_TERMINATOR] = "Invalid chunk terminator is not '\\r\\n'",
        [CHUNKED_BAD_TRAILER] = "Invalid HTTP Header in the trailer section",
        [CHUNKED_BAD_NAME] = "Invalid HTTP header name in the trailer section",
        [CHUNKED_TRAILER_TOO_LONG] = "limit request headers fields size",
        [CHUNKED_TOO_MANY_TRAILERS] = "limit request headers fields",
    };
    return texts[dec->error];
}
