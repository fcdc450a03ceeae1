#include "proto/cgi.h"

#include "base/mem.h"
#include "proto/http1/private.h"
#include "proto/octet.h"
#include "proto/scan.h"

#define VARIABLES_AT_FIRST 32
#define FIELDS_AT_FIRST 32
#define FIELD_PREFIX "HTTP_"
#define FIELD_PREFIX_SIZE (sizeof(FIELD_PREFIX) - 1)

/* A second one of these makes the message ambiguous. */
#define ABOUT_BODY                                                                                 \
    (field_bit(FIELD_TRANSFER_ENCODING) | field_bit(FIELD_CONTENT_LENGTH) |                        \
     field_bit(FIELD_CONTENT_TYPE))

#define FIELD_EXTRA (sizeof(": \r\n") - 1) /* what a field's line has more, for its limit */

void cgi_init(struct cgi *cgi)
{
    *cgi = (struct cgi){0};
}

void cgi_reset(struct cgi *cgi)
{
    *cgi = (struct cgi){.variables = cgi->variables, .capacity = cgi->capacity};
}

void cgi_free(struct cgi *cgi)
{
    mem_free(cgi->variables);
    *cgi = (struct cgi){0};
}

static bool refuse(struct cgi *cgi, enum cgi_error error)
{
    cgi->error = error;
    return false;
}

struct str cgi_value(const struct cgi *cgi, const char *data, enum cgi_name name)
{
    if (cgi->known[name] == 0)
        return (struct str){NULL, 0};
    const struct cgi_variable *variable = &cgi->variables[cgi->known[name] - 1];
    return head_slice(data, variable->value, variable->value_len);
}

static enum cgi_name find_name(struct str name)
{
    static const struct str names[CGI_COUNT] = {
#define CGI_STR(identifier, name) STR(name),
        CGI_TABLE(CGI_STR)
#undef CGI_STR
    };
    for (unsigned i = 0; i < CGI_COUNT; i++)
        if (str_eq(names[i], name))
            return (enum cgi_name)i;
    return CGI_OTHER;
}

static bool all_of(struct str s, enum octet_class class)
{
    for (size_t i = 0; i < s.n; i++)
        if (!octet_is(s.p[i], class))
            return false;
    return true;
}

/* Doubles a table whose rows have `size` bytes. NULL: no memory, the table is as it was. */
static void *grow(void *rows, uint32_t *capacity, uint32_t first, size_t size)
{
    uint32_t more = *capacity == 0 ? first : *capacity * 2;
    void *grown = mem_realloc(rows, more * size);
    if (grown != NULL)
        *capacity = more;
    return grown;
}

static bool add_variable(struct cgi *cgi, const struct cgi_variable *variable, enum cgi_name id)
{
    if (cgi->count == cgi->capacity) {
        struct cgi_variable *grown =
            grow(cgi->variables, &cgi->capacity, VARIABLES_AT_FIRST, sizeof *grown);
        if (grown == NULL)
            return refuse(cgi, CGI_NO_MEMORY);
        cgi->variables = grown;
    }
    cgi->variables[cgi->count++] = *variable;
    cgi->variables[cgi->count - 1].id = id;
    if (id != CGI_OTHER)
        cgi->known[id] = cgi->count;
    return true;
}

static bool store_field(struct cgi *cgi, struct head *head, const struct head_field *field)
{
    if (head->field_count == head->field_capacity) {
        struct head_field *grown =
            grow(head->fields, &head->field_capacity, FIELDS_AT_FIRST, sizeof *grown);
        if (grown == NULL)
            return refuse(cgi, CGI_NO_MEMORY);
        head->fields = grown;
    }
    head->fields[head->field_count++] = *field;
    return true;
}

static void rewrite_name(char *name, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        if (name[i] == '_')
            name[i] = '-';
}

/*
 * What the client said of the body to the proxy is not repeated: the proxy has undone the transfer
 * coding, and says the rest in CONTENT_LENGTH and CONTENT_TYPE.
 */
static enum field_id id_of(struct str name, bool prefixed)
{
    enum field_id id = field_lookup(name);
    if (prefixed && (field_bit(id) & ABOUT_BODY) != 0)
        return FIELD_DROPPED;
    return id;
}

/* nginx sends both if a site sets HTTP_HOST behind a file that does: the last one counts. */
static void drop_host(struct head *head)
{
    for (uint32_t i = 0; i < head->field_count; i++)
        if (head->fields[i].id == FIELD_HOST)
            head->fields[i].id = FIELD_DROPPED;
}

/* False: it is the second one of a kind of which there may be one. */
static bool note_field(struct cgi *cgi, struct head *head, enum field_id id)
{
    if (id == FIELD_DROPPED)
        return true;
    if ((head->seen & field_bit(id) & ABOUT_BODY) != 0)
        return refuse(cgi, CGI_DUPLICATE);
    if ((head->seen & field_bit(id) & field_bit(FIELD_HOST)) != 0)
        drop_host(head);
    head->seen |= field_bit(id);
    if (id == FIELD_CONTENT_LENGTH)
        cgi->length_field = head->field_count;
    return true;
}

/* A field whose name is the variable's without its first `prefix` bytes. */
static bool add_field(struct cgi *cgi, struct head *head, char *data,
                      const struct cgi_variable *variable, uint32_t prefix,
                      const struct http1_limits *limits)
{
    struct str value = str_trim(head_slice(data, variable->value, variable->value_len));
    struct head_field field = {.name = variable->name + prefix,
                               .name_len = variable->name_len - prefix,
                               .value = (uint32_t)(value.p - data),
                               .value_len = (uint32_t)value.n};
    if (limits->fields != 0 && head->field_count >= limits->fields)
        return refuse(cgi, CGI_TOO_MANY_FIELDS);
    if (limits->field_size != 0 && field.name_len + value.n + FIELD_EXTRA > limits->field_size)
        return refuse(cgi, CGI_FIELD_TOO_LONG);
    if (!all_of(value, OCTET_VALUE))
        return refuse(cgi, CGI_BAD_VALUE);
    rewrite_name(data + field.name, field.name_len);
    field.id = id_of(head_slice(data, field.name, field.name_len), prefix > 0);
    return note_field(cgi, head, field.id) && store_field(cgi, head, &field);
}

static bool has_prefix(struct str name)
{
    return name.n > FIELD_PREFIX_SIZE && memcmp(name.p, FIELD_PREFIX, FIELD_PREFIX_SIZE) == 0;
}

/* The two fields that CGI names without a prefix: as they were sent, or as they were rewritten. */
static bool is_bare_field(struct str name)
{
    return name.n > 8 && memcmp(name.p, "CONTENT", 7) == 0 &&
           (name.p[7] == '_' || name.p[7] == '-') &&
           (str_eq((struct str){name.p + 8, name.n - 8}, STR("LENGTH")) ||
            str_eq((struct str){name.p + 8, name.n - 8}, STR("TYPE")));
}

bool cgi_add(struct cgi *cgi, struct head *head, char *data, const struct cgi_variable *variable,
             const struct http1_limits *limits)
{
    struct str name = head_slice(data, variable->name, variable->name_len);
    if (cgi->count + head->field_count >= CGI_VARIABLES_MAX)
        return refuse(cgi, CGI_TOO_MANY_VARIABLES);
    if (name.n == 0 || !all_of(name, OCTET_TOKEN))
        return refuse(cgi, CGI_BAD_NAME);
    if (has_prefix(name))
        return add_field(cgi, head, data, variable, FIELD_PREFIX_SIZE, limits);
    if (!is_bare_field(name))
        return add_variable(cgi, variable, find_name(name));
    /* Proxies send an empty one when there is no body. */
    return variable->value_len == 0 || add_field(cgi, head, data, variable, 0, limits);
}

static void put(const struct str value, const char *data, uint32_t *at, uint32_t *len)
{
    *at = (uint32_t)(value.p - data);
    *len = (uint32_t)value.n;
}

static bool finish_method(struct cgi *cgi, struct head *head, const char *data)
{
    struct str method = cgi_value(cgi, data, CGI_REQUEST_METHOD);
    if (method.n == 0)
        return refuse(cgi, CGI_NO_METHOD);
    if (!all_of(method, OCTET_TOKEN))
        return refuse(cgi, CGI_BAD_METHOD);
    put(method, data, &head->method, &head->method_len);
    return true;
}

/* RFC 9112 §3.2: a path, a URI, or the "*" of OPTIONS. */
static bool target_valid(const struct head *head, const char *data, struct str target)
{
    for (size_t i = 0; i < target.n; i++)
        if (scan_stops_query((unsigned char)target.p[i]) && target.p[i] != '#')
            return false;
    if (target.p[0] == '/')
        return true;
    if (str_eq(target, STR("*")))
        return str_eq(head_slice(data, head->method, head->method_len), STR("OPTIONS"));
    return memmem(target.p, target.n, "://", 3) != NULL;
}

static bool path_valid(struct str path)
{
    return path.n == 0 || path.p[0] == '/' || str_eq(path, STR("*"));
}

/* The target is what the client has sent; without it, the decoded path stands for it. */
static bool finish_target(struct cgi *cgi, struct head *head, const char *data,
                          const struct http1_limits *limits)
{
    struct str uri = cgi_value(cgi, data, CGI_REQUEST_URI);
    struct str path = cgi_value(cgi, data, CGI_PATH_INFO);
    if (uri.n == 0 && path.p == NULL)
        return refuse(cgi, CGI_NO_TARGET);
    if (!path_valid(path) || !path_valid(cgi_value(cgi, data, CGI_SCRIPT_NAME)))
        return refuse(cgi, CGI_BAD_PATH);
    struct str target = uri.n > 0 ? uri : path;
    if (limits->request_line != 0 && target.n > limits->request_line)
        return refuse(cgi, CGI_TARGET_TOO_LONG);
    put(target, data, &head->target, &head->target_len);
    put(target, data, &head->path, &head->path_len);
    put((struct str){target.p + target.n, 0}, data, &head->query, &head->query_len);
    if (uri.n > 0 && (!target_valid(head, data, uri) || !http1_split_target(head, data)))
        return refuse(cgi, CGI_BAD_TARGET);
    return true;
}

static bool finish_query(struct cgi *cgi, struct head *head, const char *data)
{
    struct str query = cgi_value(cgi, data, CGI_QUERY_STRING);
    if (query.p == NULL)
        return true;
    if (!all_of(query, OCTET_VALUE))
        return refuse(cgi, CGI_BAD_QUERY);
    put(query, data, &head->query, &head->query_len);
    return true;
}

/* "HTTP/" DIGIT "." DIGIT, whatever the client speaks to the proxy; 1.1 when it is not said. */
static bool finish_version(struct cgi *cgi, struct head *head, const char *data)
{
    struct str version = cgi_value(cgi, data, CGI_SERVER_PROTOCOL);
    head->major = head->minor = 1;
    if (version.n == 0)
        return true;
    if (version.n != 8 || memcmp(version.p, "HTTP/", 5) != 0 || version.p[6] != '.' ||
        !octet_is(version.p[5], OCTET_DIGIT) || !octet_is(version.p[7], OCTET_DIGIT))
        return refuse(cgi, CGI_BAD_PROTOCOL);
    head->major = (uint8_t)(version.p[5] - '0');
    head->minor = (uint8_t)(version.p[7] - '0');
    return true;
}

static bool finish_length(struct cgi *cgi, struct head *head, const char *data)
{
    if ((head->seen & field_bit(FIELD_CONTENT_LENGTH)) == 0)
        return true;
    const struct head_field *field = &head->fields[cgi->length_field];
    if (!http1_length(head_slice(data, field->value, field->value_len), &head->content_length))
        return refuse(cgi, CGI_BAD_CONTENT_LENGTH);
    head->framing = HEAD_LENGTH;
    return true;
}

static void finish_scheme(const struct cgi *cgi, struct head *head, const char *data)
{
    struct str https = cgi_value(cgi, data, CGI_HTTPS);
    head->https = str_ieq(https, STR("on")) || str_eq(https, STR("1")) ||
                  str_ieq(https, STR("true")) ||
                  str_eq(cgi_value(cgi, data, CGI_REQUEST_SCHEME), STR("https")) ||
                  str_eq(cgi_value(cgi, data, CGI_URL_SCHEME), STR("https"));
}

/* Without PATH_INFO the gateway has not divided the path: SCRIPT_NAME is a file's, all of the path.
 */
static void finish_script(struct cgi *cgi)
{
    if (cgi->known[CGI_PATH_INFO] == 0 && cgi->known[CGI_SCRIPT_NAME] != 0)
        cgi->variables[cgi->known[CGI_SCRIPT_NAME] - 1].value_len = 0;
}

bool cgi_finish(struct cgi *cgi, struct head *head, const char *data,
                const struct http1_limits *limits)
{
    if (!finish_method(cgi, head, data) || !finish_target(cgi, head, data, limits) ||
        !finish_query(cgi, head, data) || !finish_version(cgi, head, data) ||
        !finish_length(cgi, head, data))
        return false;
    finish_scheme(cgi, head, data);
    finish_script(cgi);
    return true;
}

int cgi_error_status(enum cgi_error error)
{
    switch (error) {
    case CGI_TOO_MANY_VARIABLES:
    case CGI_TOO_MANY_FIELDS:
    case CGI_FIELD_TOO_LONG:
        return 431;
    case CGI_TARGET_TOO_LONG:
        return 414;
    case CGI_NO_MEMORY:
        return 500;
    default:
        return 400;
    }
}

const char *cgi_error_text(enum cgi_error error)
{
    static const char *const texts[CGI_ERROR_COUNT] = {
        [CGI_NO_ERROR] = "",
        [CGI_BAD_NAME] = "Invalid variable: its name is no token",
        [CGI_BAD_VALUE] = "Invalid HTTP Header: its value has a control character",
        [CGI_TOO_MANY_VARIABLES] = "more than 1000 variables",
        [CGI_TOO_MANY_FIELDS] = "limit request headers fields",
        [CGI_FIELD_TOO_LONG] = "limit request headers fields size",
        [CGI_TARGET_TOO_LONG] = "Request Line is too large: REQUEST_URI",
        [CGI_DUPLICATE] = "Invalid variable: CONTENT_TYPE or CONTENT_LENGTH occurs twice",
        [CGI_NO_METHOD] = "Invalid HTTP method: no REQUEST_METHOD",
        [CGI_BAD_METHOD] = "Invalid HTTP method: REQUEST_METHOD is no token",
        [CGI_NO_TARGET] = "Invalid HTTP request: neither REQUEST_URI nor PATH_INFO",
        [CGI_BAD_TARGET] = "Invalid HTTP request: malformed REQUEST_URI",
        [CGI_BAD_PATH] = "Invalid HTTP request: PATH_INFO or SCRIPT_NAME does not begin with '/'",
        [CGI_BAD_QUERY] = "Invalid HTTP request: control character in QUERY_STRING",
        [CGI_BAD_PROTOCOL] = "Invalid HTTP Version: malformed SERVER_PROTOCOL",
        [CGI_BAD_CONTENT_LENGTH] = "Invalid HTTP Header: CONTENT_LENGTH is no decimal number",
        [CGI_NO_MEMORY] = "Out of memory",
    };
    return texts[error];
}
