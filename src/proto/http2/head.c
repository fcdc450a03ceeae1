#include "proto/http2/head.h"

#include "base/mem.h"
#include "proto/field_match.h"
#include "proto/http1/private.h"
#include "proto/octet.h"
#include "proto/scan.h"

/* Bytes that limit_request_line and limit_request_field_size count beside text, as in HTTP/1. */
#define LINE_EXTRA (sizeof("  HTTP/2.0") - 1)
#define FIELD_EXTRA (sizeof(": \r\n") - 1)
#define LIST_EXTRA 32u /* for each field: RFC 9113 §6.5.2 */
#define CRUMB_EXTRA 2u /* "; " */
#define FIELDS_AT_FIRST 32

static const struct {
    int status;
    const char *text;
} faults[HTTP2_FAULT_COUNT] = {
    [HTTP2_NO_FAULT] = {0, ""},
    [HTTP2_BAD_METHOD] = {400, "Invalid HTTP method"},
    [HTTP2_BAD_PATH] = {400, "Invalid :path"},
    [HTTP2_PATH_TOO_LONG] = {414, "Request line is too long (limit_request_line)"},
    [HTTP2_TOO_MANY_FIELDS] = {431, "Too many header fields (limit_request_fields)"},
    [HTTP2_FIELD_TOO_LONG] = {431, "A header field is too long (limit_request_field_size)"},
    [HTTP2_HEAD_TOO_LONG] = {431, "The header fields are too long (http2_max_header_list_size)"},
    [HTTP2_BAD_AUTHORITY] = {400, "Invalid :authority"},
    [HTTP2_BAD_HOST] = {400, "Invalid Host"},
    [HTTP2_HOST_DIFFERS] = {400, "Host and :authority differ"},
    [HTTP2_DUPLICATE_FIELD] = {400, "Content-Type is there twice"},
    [HTTP2_BAD_LENGTH] = {400, "Invalid Content-Length"},
    [HTTP2_BAD_EXPECT] = {417, "Unknown expectation"},
    [HTTP2_UNKNOWN_PROTOCOL] = {501, "Unknown :protocol"},
    [HTTP2_ENDED_HANDSHAKE] = {400, "A WebSocket handshake that ends its stream"},
    [HTTP2_REFUSED_FIELD] = {400, "A header field is refused (header_map)"},
    [HTTP2_CONTRADICTORY_SCHEME] = {400, "Contradictory scheme headers"},
    [HTTP2_NO_MEMORY] = {500, "Out of memory"},
};

int http2_fault_status(enum http2_fault fault)
{
    return faults[fault].status;
}

const char *http2_fault_text(enum http2_fault fault)
{
    return faults[fault].text;
}

static void fail(struct http2_head *in, enum http2_fault fault)
{
    if (in->fault == HTTP2_NO_FAULT)
        in->fault = fault;
}

/* The buffer and the table */

static uint32_t store(struct http2_head *in, struct str text)
{
    uint32_t at = in->size;
    if (text.n > 0)
        memcpy(in->data + at, text.p, text.n);
    in->size += (uint32_t)text.n;
    return at;
}

static bool grow(struct head *head)
{
    uint32_t capacity = head->field_capacity == 0 ? FIELDS_AT_FIRST : head->field_capacity * 2;
    struct head_field *fields =
        mem_realloc(head->fields, (size_t)capacity * sizeof(struct head_field));
    if (!fields)
        return false;
    head->fields = fields;
    head->field_capacity = capacity;
    return true;
}

static struct head_field *add_field(struct http2_head *in, struct str name, struct str value)
{
    struct head *head = in->head;
    if (in->limits->fields > 0 && head->field_count >= in->limits->fields) {
        fail(in, HTTP2_TOO_MANY_FIELDS);
        return NULL;
    }
    if (head->field_count == head->field_capacity && !grow(head)) {
        fail(in, HTTP2_NO_MEMORY);
        return NULL;
    }
    struct head_field *field = &head->fields[head->field_count++];
    field->name = store(in, name);
    field->name_len = (uint32_t)name.n;
    field->value = store(in, value);
    field->value_len = (uint32_t)value.n;
    field->id = field_match(name.p, name.n);
    head->seen |= field_bit(field->id);
    if (field->id == FIELD_OTHER)
        head->underscores += memchr(name.p, '_', name.n) != NULL;
    return field;
}

static struct str value_of(const struct http2_head *in, const struct head_field *field)
{
    return head_slice(in->data, field->value, field->value_len);
}

/* Pseudo fields */

static void add_method(struct http2_head *in, struct str value)
{
    if (!http1_method_valid(value.p, value.p + value.n, in->limits))
        fail(in, HTTP2_BAD_METHOD);
    in->head->method = store(in, value);
    in->head->method_len = (uint32_t)value.n;
    if (!in->limits->casefold_method)
        return;
    for (uint32_t i = 0; i < in->head->method_len; i++)
        in->data[in->head->method + i] = ascii_upper(in->data[in->head->method + i]);
}

static void add_path(struct http2_head *in, struct str value)
{
    uint32_t most = in->limits->request_line;
    if (most > 0 && in->head->method_len + value.n + LINE_EXTRA > most)
        fail(in, HTTP2_PATH_TOO_LONG);
    in->head->target = store(in, value);
    in->head->target_len = (uint32_t)value.n;
}

/* What follows user information would be taken for the host by some and not by others. */
static bool has_user(struct str authority)
{
    return memchr(authority.p, '@', authority.n);
}

static void add_authority(struct http2_head *in, struct str value)
{
    if (value.n == 0 || has_user(value))
        fail(in, HTTP2_BAD_AUTHORITY);
    in->has_authority = true;
    if (add_field(in, STR("host"), value))
        in->host = in->head->field_count;
}

/* RFC 8441 §4; a token of the registry of Upgrade, whose case does not count. */
static void add_protocol(struct http2_head *in, struct str value)
{
    in->head->websocket = str_ieq(value, STR("websocket"));
    if (!in->head->websocket)
        fail(in, HTTP2_UNKNOWN_PROTOCOL);
}

static void add_pseudo(struct http2_head *in, struct str name, struct str value)
{
    if (str_eq(name, STR(":method"))) {
        add_method(in, value);
    } else if (str_eq(name, STR(":path"))) {
        add_path(in, value);
    } else if (str_eq(name, STR(":authority"))) {
        add_authority(in, value);
    } else if (str_eq(name, STR(":scheme"))) {
        in->has_scheme = true;
        in->https = str_ieq(value, STR("https"));
    } else {
        add_protocol(in, value);
    }
}

/* Fields */

static void add_host(struct http2_head *in, struct str name, struct str value)
{
    if (value.n > 0 && has_user(value)) {
        fail(in, HTTP2_BAD_HOST);
    } else if (!in->host) {
        if (add_field(in, name, value))
            in->host = in->head->field_count;
    } else if (!str_ieq(value_of(in, &in->head->fields[in->host - 1]), value)) {
        fail(in, HTTP2_HOST_DIFFERS);
    }
}

static void look_at(struct http2_head *in, const struct head_field *field, bool repeated)
{
    struct head *head = in->head;
    struct str value = value_of(in, field);
    switch (field->id) {
    case FIELD_CONTENT_LENGTH:
        if (!http1_length(value, &head->content_length))
            fail(in, HTTP2_BAD_LENGTH);
        break;
    case FIELD_CONTENT_TYPE:
        if (repeated)
            fail(in, HTTP2_DUPLICATE_FIELD);
        break;
    case FIELD_EXPECT:
        head->expect_continue = str_ieq(value, STR("100-continue"));
        if (!head->expect_continue)
            fail(in, HTTP2_BAD_EXPECT);
        break;
    case FIELD_COOKIE:
        in->cookies++;
        in->cookie_bytes += field->value_len + CRUMB_EXTRA;
        break;
    default:
        break;
    }
}

static void add_regular(struct http2_head *in, struct str name, struct str value)
{
    uint32_t most = in->limits->field_size;
    uint64_t seen = in->head->seen;
    value = str_trim(value);
    if (most > 0 && name.n + value.n + FIELD_EXTRA > most)
        fail(in, HTTP2_FIELD_TOO_LONG);
    if (str_eq(name, STR("host"))) {
        add_host(in, name, value);
        return;
    }
    const struct head_field *field = add_field(in, name, value);
    if (field)
        look_at(in, field, (seen & field_bit(field->id)) != 0);
}

void http2_head_add(struct http2_head *in, struct str name, struct str value)
{
    in->list_size += name.n + value.n + LIST_EXTRA;
    if (in->list_max > 0 && in->list_size > in->list_max)
        fail(in, HTTP2_HEAD_TOO_LONG);
    if (in->fault != HTTP2_NO_FAULT)
        return;
    if (name.p[0] == ':')
        add_pseudo(in, name, value);
    else
        add_regular(in, name, value);
}

/* The whole head */

/* nghttp2 looks at the form of the path for the schemes http and https alone (RFC 9113 §8.3.1). */
static bool is_bad_target(struct str method, struct str target)
{
    bool is_asterisk = str_eq(target, STR("*")) && str_eq(method, STR("OPTIONS"));
    if (target.n == 0 || (target.p[0] != '/' && !is_asterisk))
        return true;
    for (size_t i = 0; i < target.n; i++)
        if (scan_stops_query((unsigned char)target.p[i]))
            return true;
    return false;
}

/* A CONNECT has no path (RFC 9113 §8.5): its target is the authority. */
static void find_target(struct http2_head *in)
{
    struct head *head = in->head;
    struct str method = head_slice(in->data, head->method, head->method_len);
    if (head->target_len == 0 && in->host && !head->websocket && str_eq(method, STR("CONNECT"))) {
        const struct head_field *host = &head->fields[in->host - 1];
        head->target = head->path = host->value;
        head->target_len = host->value_len;
        head->query = host->value + host->value_len;
        return;
    }
    if (is_bad_target(method, head_slice(in->data, head->target, head->target_len)) ||
        !http1_split_target(head, in->data))
        fail(in, HTTP2_BAD_PATH);
}

/* Crumbs (RFC 9113 §8.2.3) become one field behind all others, in place of the first. */
static void join_cookies(struct http2_head *in)
{
    struct head *head = in->head;
    struct head_field *whole = NULL;
    uint32_t begin = in->size, kept = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct head_field field = head->fields[i];
        if (field.id != FIELD_COOKIE) {
            head->fields[kept++] = field;
            continue;
        }
        if (whole)
            store(in, STR("; "));
        store(in, value_of(in, &field));
        if (!whole) {
            whole = &head->fields[kept++];
            *whole = field;
        }
    }
    whole->value = begin;
    whole->value_len = in->size - begin;
    head->field_count = kept;
}

/* Joined cookies are as long as one field may be. */
static void finish_cookies(struct http2_head *in)
{
    uint32_t before = in->size, most = in->limits->field_size;
    if (in->cookies < 2)
        return;
    join_cookies(in);
    if (most > 0 && in->size - before + sizeof("cookie") - 1 + FIELD_EXTRA > most)
        fail(in, HTTP2_FIELD_TOO_LONG);
}

static enum head_framing framing_of(const struct head *head, bool ended)
{
    if ((head->seen & field_bit(FIELD_CONTENT_LENGTH)) != 0)
        return HEAD_LENGTH;
    return ended || head->websocket ? HEAD_NO_BODY : HEAD_UNTIL_END;
}

void http2_head_finish(struct http2_head *in, bool ended)
{
    struct head *head = in->head;
    head->major = 2;
    head->minor = 0;
    if (in->fault == HTTP2_NO_FAULT)
        find_target(in);
    if (in->fault == HTTP2_NO_FAULT)
        finish_cookies(in);
    if (head->websocket && ended)
        fail(in, HTTP2_ENDED_HANDSHAKE);
    head->framing = framing_of(head, ended);
    head->size = in->size;
}
