#include "proto/http1/private.h"
#include "proto/octet.h"

/* RFC 9112 §6 and §9.3. */

/* The rest of a comma-separated list; p is NULL behind the last member. */
struct list {
    const char *p, *end;
};

static struct list list_of(struct str value)
{
    return (struct list){value.p, value.p + value.n};
}

/* Moves on to the next member, which may be empty. Blanks around it do not belong to it. */
static bool list_next(struct list *list, struct str *member)
{
    if (list->p == NULL)
        return false;
    const char *p = list->p;
    const char *comma = memchr(p, ',', (size_t)(list->end - p));
    const char *end = comma != NULL ? comma : list->end;
    list->p = comma != NULL ? comma + 1 : NULL;
    while (p < end && octet_is_blank(*p))
        p++;
    while (p < end && octet_is_blank(end[-1]))
        end--;
    *member = (struct str){p, (size_t)(end - p)};
    return true;
}

void http1_connection(struct http1_parser *parser, struct str value)
{
    struct list list = list_of(value);
    struct str token;
    while (list_next(&list, &token)) {
        parser->persist |= str_ieq(token, STR("keep-alive"));
        parser->close |= str_ieq(token, STR("close"));
    }
}

bool http1_length(struct str value, uint64_t *length)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (!octet_is(value.p[i], OCTET_DIGIT))
            return false;
        uint64_t digit = (uint64_t)(value.p[i] - '0');
        if (sum > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *length = sum;
    return value.n > 0;
}

static bool is_older_than_1_1(const struct head *head)
{
    return head->major < 1 || (head->major == 1 && head->minor == 0);
}

static enum http1_result refuse_field(struct http1_reader *in, enum http1_error error,
                                      const struct head_field *field)
{
    in->parser->error_at = field->name;
    in->parser->error_len = field->name_len;
    return http1_refuse(in->parser, error);
}

/*
 * The codings of one Transfer-Encoding field. "chunked" is the last of all of them and comes once;
 * "identity" means nothing. The codings that are known cannot be undone here, and a peer that
 * sends them may see another end of the message: such a connection is not used again.
 */
static enum http1_result read_codings(struct http1_reader *in, const struct head_field *field,
                                      bool *chunked)
{
    struct list list = list_of(head_slice(in->data, field->value, field->value_len));
    struct str coding;
    while (list_next(&list, &coding)) {
        bool is_chunked = str_ieq(coding, STR("chunked"));
        bool is_known = str_ieq(coding, STR("gzip")) || str_ieq(coding, STR("deflate")) ||
                        str_ieq(coding, STR("compress"));
        if (!is_chunked && !is_known && !str_ieq(coding, STR("identity"))) {
            in->parser->error_at = field->value;
            in->parser->error_len = field->value_len;
            return http1_refuse(in->parser, HTTP1_UNKNOWN_TRANSFER_ENCODING);
        }
        if (*chunked)
            return refuse_field(in, HTTP1_BAD_TRANSFER_ENCODING, field);
        *chunked = is_chunked;
        in->head->coded |= is_known;
    }
    return HTTP1_OK;
}

/*
 * If the end of a body is not known by "chunked", or by that alone, the bytes behind it are not
 * trusted.
 */
HTTP1_COLD static enum http1_result transfer_encoding(struct http1_reader *in)
{
    struct head *head = in->head;
    const struct head_field *last = NULL;
    bool chunked = false;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        if (field->id != FIELD_TRANSFER_ENCODING)
            continue;
        last = field;
        if (read_codings(in, field, &chunked) != HTTP1_OK)
            return HTTP1_ERROR;
    }
    if (!chunked || is_older_than_1_1(head))
        return refuse_field(in, HTTP1_BAD_TRANSFER_ENCODING, last);
    if ((head->seen & field_bit(FIELD_CONTENT_LENGTH)) != 0)
        return refuse_field(in, HTTP1_BAD_CONTENT_LENGTH, &head->fields[in->parser->length_field]);
    in->parser->must_close |= head->coded;
    head->framing = HEAD_UNTIL_END;
    return HTTP1_OK;
}

static enum http1_result content_length(struct http1_reader *in)
{
    struct head *head = in->head;
    const struct head_field *field = &head->fields[in->parser->length_field];
    if (!http1_length(head_slice(in->data, field->value, field->value_len), &head->content_length))
        return refuse_field(in, HTTP1_BAD_CONTENT_LENGTH, field);
    head->framing = HEAD_LENGTH;
    return HTTP1_OK;
}

enum http1_result http1_framing(struct http1_reader *in)
{
    struct head *head = in->head;
    enum http1_result result = HTTP1_OK;
    in->parser->keep_alive =
        !in->parser->close && (in->parser->persist || !is_older_than_1_1(head));
    if (str_eq(head_slice(in->data, head->method, head->method_len), STR("CONNECT")))
        in->parser->must_close = true;
    if (HTTP1_UNLIKELY((head->seen & field_bit(FIELD_TRANSFER_ENCODING)) != 0))
        result = transfer_encoding(in);
    else if ((head->seen & field_bit(FIELD_CONTENT_LENGTH)) != 0)
        result = content_length(in);
    return result;
}
