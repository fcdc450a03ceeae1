#include "base/mem.h"
#include "proto/field_match.h"
#include "proto/http1/private.h"
#include "proto/scan.h"

/* RFC 9112 §5. */

/* As many as a browser sends, with a proxy's own: the table seldom grows again. */
#define FIELDS_AT_FIRST 32

/* Fields of which a second one makes the message ambiguous. */
#define SINGLE                                                                                     \
    ((1ull << FIELD_HOST) | (1ull << FIELD_CONTENT_TYPE) | (1ull << FIELD_CONTENT_LENGTH))

/* Fields that the parser itself reads while it goes. */
#define READ_AT_ONCE (SINGLE | (1ull << FIELD_CONNECTION) | (1ull << FIELD_EXPECT))

/* A line: "name:", blanks, the value, perhaps blanks, CRLF. Folded lines are unfolded before. */
struct line {
    char *name;
    size_t name_len;
    char *value;
    const char *value_end;
    const char *next;
    enum field_id id;
};

HTTP1_COLD static bool grow(struct head *head)
{
    uint32_t capacity = head->field_capacity == 0 ? FIELDS_AT_FIRST : head->field_capacity * 2;
    struct head_field *fields =
        mem_realloc(head->fields, (size_t)capacity * sizeof(struct head_field));
    if (fields == NULL)
        return false;
    head->fields = fields;
    head->field_capacity = capacity;
    return true;
}

static bool expects_continue(struct str value)
{
    return str_ieq(value, STR("100-continue"));
}

/* Duplicates, expectations and the like, for the fields of READ_AT_ONCE. */
static enum http1_result read_at_once(struct http1_reader *in, const struct head_field *field,
                                      bool repeated)
{
    struct head *head = in->head;
    struct str value = head_slice(in->data, field->value, field->value_len);
    if (field->id == FIELD_CONNECTION) {
        http1_connection(in->parser, value);
    } else if (field->id == FIELD_EXPECT) {
        if (!expects_continue(value))
            return http1_refuse_at(in, HTTP1_BAD_EXPECT, value.p, value.p + value.n);
        head->expect_continue = head->major > 1 || (head->major == 1 && head->minor >= 1);
    } else if (repeated) {
        return http1_refuse_at(in, HTTP1_DUPLICATE_FIELD, in->data + field->name,
                               in->data + field->name + field->name_len);
    } else if (field->id == FIELD_CONTENT_LENGTH) {
        in->parser->length_field = head->field_count - 1;
    }
    return HTTP1_OK;
}

static inline enum http1_result add_field(struct http1_reader *in, const struct line *line)
{
    struct head *head = in->head;
    if (HTTP1_UNLIKELY(head->field_count == head->field_capacity) && !grow(head))
        return http1_refuse(in->parser, HTTP1_NO_MEMORY);
    struct head_field *field = &head->fields[head->field_count++];
    field->name = http1_offset(in, line->name);
    field->name_len = (uint32_t)line->name_len;
    field->value = http1_offset(in, line->value);
    field->value_len = (uint32_t)(line->value_end - line->value);
    field->id = line->id;
    uint64_t bit = field_bit(field->id);
    uint64_t seen = head->seen;
    head->seen = seen | bit;
    in->parser->parsed = http1_offset(in, line->next);
    if (field->id == FIELD_OTHER)
        head->underscores += memchr(line->name, '_', line->name_len) != NULL;
    if ((bit & READ_AT_ONCE) != 0)
        return read_at_once(in, field, (seen & bit) != 0);
    return HTTP1_OK;
}

static inline void trim(struct line *line)
{
    while (line->value < line->value_end && octet_is_blank(line->value_end[-1]))
        line->value_end--;
}

static bool is_too_long(const struct http1_reader *in, const char *line, const char *next)
{
    return in->limits->field_size != 0 && next - line > (ptrdiff_t)in->limits->field_size;
}

static bool is_crlf(const char *p, const char *end)
{
    return end - p >= 2 && p[0] == '\r' && p[1] == '\n';
}

/* Whether the input ends before or within the CRLF at `p`, or before the byte after it. */
static inline bool ends_early(const struct http1_reader *in, const char *p)
{
    if (HTTP1_LIKELY(in->end - p >= 3))
        return false;
    return p == in->end || (*p == '\r' && p + 1 == in->end) || is_crlf(p, in->end);
}

/* A control character in a value that is short enough. */
HTTP1_COLD static enum http1_result bad_value(struct http1_reader *in, const struct line *line,
                                              const char *at)
{
    if (is_too_long(in, line->name, at + 2))
        return http1_refuse(in->parser, HTTP1_FIELD_TOO_LONG);
    if (*at == '\n')
        return http1_refuse_at(in, HTTP1_BARE_LF, line->name, at);
    return http1_refuse_at(in, HTTP1_BAD_FIELD_VALUE, line->name, line->name + line->name_len);
}

/*
 * Looks over the lines that continue the one before `p`, which points to a blank. HTTP1_OK: they
 * are all there, the byte after them too, and *next points to it.
 */
static enum http1_result folds_check(struct http1_reader *in, const struct line *line,
                                     const char *p, const char **next)
{
    while (p < in->end && octet_is_blank(*p)) {
        p = scan_value(in->data, p, in->end);
        if (p == in->end || (*p == '\r' && p + 1 == in->end))
            return HTTP1_PARTIAL;
        if (!is_crlf(p, in->end))
            return bad_value(in, line, p);
        p += 2;
    }
    *next = p;
    return p < in->end ? HTTP1_OK : HTTP1_PARTIAL;
}

/* Joins the lines of a value with one space each, moving them up to the first, as gunicorn does. */
static void unfold(struct http1_reader *in, struct line *line, const char *next)
{
    trim(line);
    char *out = in->data + (line->value_end - in->data);
    for (const char *p = line->next; p < next;) {
        while (octet_is_blank(*p))
            p++;
        const char *cr = scan_value(in->data, p, next);
        const char *end = cr;
        while (end > p && octet_is_blank(end[-1]))
            end--;
        *out++ = ' ';
        memmove(out, p, (size_t)(end - p));
        out += end - p;
        p = cr + 2;
    }
    line->value_end = out;
    line->next = next;
    in->parser->unfolded = true;
}

/* A line that a blank follows. */
HTTP1_COLD static enum http1_result folded(struct http1_reader *in, struct line *line)
{
    if (!in->limits->permit_obsolete_folding)
        return http1_refuse_at(in, HTTP1_OBSOLETE_FOLD, line->name, line->name + line->name_len);
    const char *next = NULL;
    enum http1_result result = folds_check(in, line, line->next, &next);
    if (result != HTTP1_OK)
        return result;
    if (is_too_long(in, line->name, next))
        return http1_refuse(in->parser, HTTP1_FIELD_TOO_LONG);
    unfold(in, line, next);
    return add_field(in, line);
}

/* Where the line ends: at `bad`, its first control character, unless a CRLF comes later. */
static const char *line_end(const struct http1_reader *in, const char *bad)
{
    const char *lf = memchr(bad, '\n', (size_t)(in->end - bad));
    return lf != NULL && lf > bad && lf[-1] == '\r' ? lf - 1 : bad;
}

static bool is_token(const char *p, const char *end)
{
    if (p == end)
        return false;
    while (p < end && octet_is(*p, OCTET_TOKEN))
        p++;
    return p == end;
}

/*
 * A line whose name does not end with a colon where its token ends. The words of the refusal
 * depend on whether there is a colon at all, so that the line has to be whole, unless a control
 * character in it settles the matter. HTTP1_OK: blanks may stand before the colon, line->name_len
 * and line->value are set.
 */
HTTP1_COLD static enum http1_result odd_name(struct http1_reader *in, struct line *line)
{
    char *from = line->name;
    const char *bad = scan_value(in->data, from, in->end);
    if (ends_early(in, bad))
        return HTTP1_PARTIAL;
    if (is_too_long(in, from, bad + 2))
        return http1_refuse(in->parser, HTTP1_FIELD_TOO_LONG);
    if (*bad == '\n')
        return http1_refuse_at(in, HTTP1_BARE_LF, from, bad);
    const char *end = line_end(in, bad);
    char *colon = memchr(from, ':', (size_t)(end - from));
    if (colon == NULL || colon == from)
        return http1_refuse_at(in, HTTP1_BAD_FIELD_LINE, from, end);
    const char *name_end = colon;
    while (in->limits->strip_header_spaces && name_end > from && octet_is_blank(name_end[-1]))
        name_end--;
    if (!is_token(from, name_end))
        return http1_refuse_at(in, HTTP1_BAD_FIELD_NAME, from, name_end);
    line->name_len = (size_t)(name_end - from);
    line->value = colon + 1;
    return HTTP1_OK;
}

/* One field from `from` on, where there is at least one byte. */
static inline enum http1_result parse_field(struct http1_reader *in, char *from)
{
    struct line line = {.name = from};
    const char *const end = in->end;
    const char *p = scan_name(in->data, from, end);
    line.name_len = (size_t)(p - from);
    line.value = from + line.name_len + 1;
    bool named = p < end && *p == ':';
    line.id = named ? field_match(from, line.name_len) : FIELD_OTHER;
    if (HTTP1_UNLIKELY(line.id == FIELD_OTHER) && !(named && is_token(from, p))) {
        enum http1_result result = odd_name(in, &line);
        if (result != HTTP1_OK)
            return result;
        line.id = field_match(from, line.name_len);
    }
    while (line.value < end && octet_is_blank(*line.value))
        line.value++;
    line.value_end = scan_value(in->data, line.value, end);
    if (HTTP1_UNLIKELY(ends_early(in, line.value_end)))
        return HTTP1_PARTIAL;
    if (HTTP1_UNLIKELY(line.value_end[0] != '\r' || line.value_end[1] != '\n'))
        return bad_value(in, &line, line.value_end);
    line.next = line.value_end + 2;
    if (HTTP1_UNLIKELY(is_too_long(in, from, line.next)))
        return http1_refuse(in->parser, HTTP1_FIELD_TOO_LONG);
    if (HTTP1_UNLIKELY(octet_is_blank(*line.next)))
        return folded(in, &line);
    trim(&line);
    return add_field(in, &line);
}

enum http1_result http1_fields(struct http1_reader *in)
{
    struct head *head = in->head;
    const uint32_t most = in->limits->fields != 0 ? in->limits->fields : UINT32_MAX;
    for (;;) {
        char *p = in->data + in->parser->parsed;
        if (p == in->end)
            return HTTP1_PARTIAL;
        if (*p == '\r') {
            if (p + 1 == in->end)
                return HTTP1_PARTIAL;
            if (p[1] == '\n') {
                head->size = http1_offset(in, p) + 2;
                return HTTP1_OK;
            }
        }
        if (HTTP1_UNLIKELY(head->field_count >= most))
            return http1_refuse(in->parser, HTTP1_TOO_MANY_FIELDS);
        enum http1_result result = parse_field(in, p);
        if (HTTP1_UNLIKELY(result != HTTP1_OK))
            return result;
    }
}
