#include "proto/fastcgi.h"

/*
 *   HEADER ──▶ STREAM, HELD or SKIP (the content, if there is any) ──▶ PADDING ──▶ HEADER
 *
 * The phase is that of the one request: NONE ──▶ AT_PARAMS ──▶ AT_STDIN ──▶ AT_END ──▶ NONE.
 */
enum state {
    HEADER,
    STREAM,
    HELD, /* content that is looked at when it is whole */
    SKIP,
    PADDING,
    FAILED,
};

enum phase {
    NONE,
    AT_PARAMS,
    AT_STDIN,
    AT_END, /* of the body, but for the padding of its last record */
};

/* §8 of the specification. */
enum type {
    BEGIN_REQUEST = 1,
    ABORT_REQUEST = 2,
    END_REQUEST = 3,
    PARAMS = 4,
    STDIN = 5,
    STDOUT = 6,
    GET_VALUES = 9,
    GET_VALUES_RESULT = 10,
    UNKNOWN_TYPE = 11,
};

enum status {
    REQUEST_COMPLETE = 0,
    CANT_MPX_CONN = 1,
    UNKNOWN_ROLE = 3,
};

#define VERSION 1
#define ROLE_RESPONDER 1
#define KEEP_CONN 1
#define BODY_SIZE 8 /* of BEGIN_REQUEST, END_REQUEST and UNKNOWN_TYPE */

struct input {
    const char *p, *end;
};

void fastcgi_init(struct fastcgi *fastcgi)
{
    *fastcgi = (struct fastcgi){0};
}

static enum fastcgi_event refuse(struct fastcgi *fastcgi, enum fastcgi_error error)
{
    fastcgi->error = (uint8_t)error;
    fastcgi->state = FAILED;
    return FASTCGI_ERROR;
}

static uint8_t byte_at(const char *p)
{
    return (uint8_t)*p;
}

static uint16_t big16(const char *p)
{
    return (uint16_t)(byte_at(p) << 8 | byte_at(p + 1));
}

static void put_header(char *out, uint8_t type, uint16_t id, uint16_t content)
{
    const char header[FASTCGI_HEADER_SIZE] = {
        VERSION, (char)type, (char)(id >> 8), (char)id, (char)(content >> 8), (char)content,
    };
    memcpy(out, header, sizeof header);
}

static void put_end(char *out, uint16_t id, enum status status)
{
    const char body[BODY_SIZE] = {0, 0, 0, 0, (char)status};
    put_header(out, END_REQUEST, id, BODY_SIZE);
    memcpy(out + FASTCGI_HEADER_SIZE, body, BODY_SIZE);
}

static size_t put_unknown(char *out, uint8_t type)
{
    const char body[BODY_SIZE] = {(char)type};
    put_header(out, UNKNOWN_TYPE, 0, BODY_SIZE);
    memcpy(out + FASTCGI_HEADER_SIZE, body, BODY_SIZE);
    return FASTCGI_HEADER_SIZE + BODY_SIZE;
}

void fastcgi_stdout(char out[FASTCGI_HEADER_SIZE], uint16_t id, uint16_t content)
{
    put_header(out, STDOUT, id, content);
}

size_t fastcgi_end(char out[FASTCGI_END_SIZE], uint16_t id, bool last)
{
    put_header(out, STDOUT, id, 0);
    put_end(out + FASTCGI_HEADER_SIZE, id, REQUEST_COMPLETE);
    size_t size = 2 * FASTCGI_HEADER_SIZE + BODY_SIZE;
    return last ? size + put_unknown(out + size, 0) : size;
}

static enum fastcgi_event refuse_request(struct fastcgi *fastcgi, enum status status)
{
    put_end(fastcgi->answer, fastcgi->record_id, status);
    fastcgi->answer_size = FASTCGI_HEADER_SIZE + BODY_SIZE;
    return FASTCGI_ANSWER;
}

static enum fastcgi_event refuse_type(struct fastcgi *fastcgi)
{
    fastcgi->answer_size = (uint16_t)put_unknown(fastcgi->answer, fastcgi->type);
    return FASTCGI_ANSWER;
}

/* A length of §3.4: one byte, or four of which the first bit is set. False: it goes beyond. */
static bool take_length(const char *data, size_t size, size_t *at, size_t *length)
{
    if (size - *at < 1)
        return false;
    *length = byte_at(data + *at);
    if (*length < 0x80) {
        *at += 1;
        return true;
    }
    if (size - *at < 4)
        return false;
    *length =
        ((*length & 0x7f) << 24) | (size_t)byte_at(data + *at + 1) << 16 | big16(data + *at + 2);
    *at += 4;
    return true;
}

/* Takes one pair from *at on. False: it goes beyond the end. */
static bool take_pair(const char *data, size_t size, size_t *at, struct str *name,
                      struct str *value)
{
    if (!take_length(data, size, at, &name->n) || !take_length(data, size, at, &value->n) ||
        size - *at < name->n || size - *at - name->n < value->n)
        return false;
    name->p = data + *at;
    value->p = name->p + name->n;
    *at += name->n + value->n;
    return true;
}

/* The one limit that does not depend on settings; names that are not known are left out. */
static enum fastcgi_event answer_values(struct fastcgi *fastcgi)
{
    static const char multiplexing[] = "\x0f\x01"
                                       "FCGI_MPXS_CONNS0";
    struct str name, value;
    uint16_t content = 0;
    for (size_t at = 0; at < fastcgi->held;) {
        if (!take_pair(fastcgi->hold, fastcgi->held, &at, &name, &value))
            return refuse(fastcgi, FASTCGI_BAD_VARIABLES);
        if (str_eq(name, STR("FCGI_MPXS_CONNS")))
            content = sizeof multiplexing - 1;
    }
    put_header(fastcgi->answer, GET_VALUES_RESULT, 0, content);
    memcpy(fastcgi->answer + FASTCGI_HEADER_SIZE, multiplexing, content);
    fastcgi->answer_size = (uint16_t)(FASTCGI_HEADER_SIZE + content);
    return FASTCGI_ANSWER;
}

static enum fastcgi_event begin_request(struct fastcgi *fastcgi)
{
    if (fastcgi->phase != NONE)
        return refuse_request(fastcgi, CANT_MPX_CONN);
    if (big16(fastcgi->hold) != ROLE_RESPONDER)
        return refuse_request(fastcgi, UNKNOWN_ROLE);
    fastcgi->id = fastcgi->record_id;
    fastcgi->keep_conn = (fastcgi->hold[2] & KEEP_CONN) != 0;
    fastcgi->phase = AT_PARAMS;
    fastcgi->params = fastcgi->aside = 0;
    return FASTCGI_BEGIN;
}

/* The content has been used up. */
static void end_content(struct fastcgi *fastcgi)
{
    fastcgi->held = 0;
    fastcgi->state = fastcgi->padding > 0 ? PADDING : HEADER;
}

/* Content of no interest, if there is any, and what is to be said of the record at once. */
static enum fastcgi_event skip(struct fastcgi *fastcgi, enum fastcgi_event event)
{
    fastcgi->state = SKIP;
    if (fastcgi->left == 0)
        end_content(fastcgi);
    return event;
}

static enum fastcgi_event hold_content(struct fastcgi *fastcgi, size_t least, size_t most)
{
    if (fastcgi->left < least)
        return refuse(fastcgi, FASTCGI_BAD_RECORD);
    if (fastcgi->left > most)
        return refuse(fastcgi, least == most ? FASTCGI_BAD_RECORD : FASTCGI_TOO_LONG);
    fastcgi->state = HELD;
    return FASTCGI_MORE;
}

/* The next request may begin. */
static enum fastcgi_event end_request(struct fastcgi *fastcgi)
{
    fastcgi->phase = NONE;
    return FASTCGI_STDIN_END;
}

static enum fastcgi_event end_stream(struct fastcgi *fastcgi, bool params)
{
    fastcgi->phase = params ? AT_STDIN : AT_END;
    end_content(fastcgi);
    if (params)
        return FASTCGI_PARAMS_END;
    return fastcgi->padding == 0 ? end_request(fastcgi) : FASTCGI_MORE;
}

/* A record of one of the two streams; an empty one ends it. */
static enum fastcgi_event begin_stream(struct fastcgi *fastcgi)
{
    bool params = fastcgi->type == PARAMS;
    if (fastcgi->phase != (params ? AT_PARAMS : AT_STDIN))
        return refuse(fastcgi, FASTCGI_BAD_RECORD);
    if (fastcgi->left == 0)
        return end_stream(fastcgi, params);
    if (params && (fastcgi->params += fastcgi->left) > FASTCGI_PARAMS_MAX)
        return refuse(fastcgi, FASTCGI_TOO_LONG);
    fastcgi->state = STREAM;
    return FASTCGI_MORE;
}

static enum fastcgi_event begin_management(struct fastcgi *fastcgi)
{
    if (fastcgi->type != GET_VALUES)
        return skip(fastcgi, refuse_type(fastcgi));
    if (fastcgi->left == 0)
        return skip(fastcgi, answer_values(fastcgi));
    return hold_content(fastcgi, 1, FASTCGI_VALUES_MAX);
}

static bool is_of_request(const struct fastcgi *fastcgi)
{
    return fastcgi->phase != NONE && fastcgi->record_id == fastcgi->id;
}

/* A record of the one request, or of another, whose other records are ignored (§3.3). */
static enum fastcgi_event begin_application(struct fastcgi *fastcgi)
{
    bool ours = is_of_request(fastcgi);
    switch (fastcgi->type) {
    case BEGIN_REQUEST:
        if (ours)
            return refuse(fastcgi, FASTCGI_BAD_RECORD);
        return hold_content(fastcgi, BODY_SIZE, BODY_SIZE);
    case ABORT_REQUEST:
        if (ours)
            fastcgi->phase = NONE;
        return skip(fastcgi, ours ? FASTCGI_ABORTED : FASTCGI_MORE);
    case PARAMS:
    case STDIN:
        return ours ? begin_stream(fastcgi) : skip(fastcgi, FASTCGI_MORE);
    default:
        return refuse(fastcgi, FASTCGI_BAD_RECORD);
    }
}

static bool looks_like_http(const char *p)
{
    return p[0] >= 'A' && p[0] <= 'Z' && p[1] >= 'A' && p[1] <= 'Z' && p[2] >= 'A' && p[2] <= 'Z';
}

/* Within a request: a sender of such records alone would hold a thread that waits for a body. */
static bool may_add_aside(struct fastcgi *fastcgi)
{
    if (fastcgi->phase == NONE)
        return true;
    fastcgi->aside += FASTCGI_HEADER_SIZE + fastcgi->left;
    return fastcgi->aside <= FASTCGI_ASIDE_MAX;
}

static enum fastcgi_event begin_record(struct fastcgi *fastcgi)
{
    const char *header = fastcgi->hold;
    if (looks_like_http(header))
        return refuse(fastcgi, FASTCGI_IS_HTTP);
    if (byte_at(header) != VERSION)
        return refuse(fastcgi, FASTCGI_BAD_VERSION);
    fastcgi->type = byte_at(header + 1);
    fastcgi->record_id = big16(header + 2);
    fastcgi->left = big16(header + 4);
    fastcgi->padding = byte_at(header + 6);
    fastcgi->held = 0;
    if (!is_of_request(fastcgi) && !may_add_aside(fastcgi))
        return refuse(fastcgi, FASTCGI_TOO_MUCH);
    return fastcgi->record_id == 0 ? begin_management(fastcgi) : begin_application(fastcgi);
}

/* Adds to what is held until `size` bytes are; true when they are. */
static bool hold(struct fastcgi *fastcgi, struct input *in, size_t size)
{
    size_t n = (size_t)(in->end - in->p);
    if (n > size - fastcgi->held)
        n = size - fastcgi->held;
    memcpy(fastcgi->hold + fastcgi->held, in->p, n);
    in->p += n;
    fastcgi->held = (uint16_t)(fastcgi->held + n);
    return fastcgi->held == size;
}

static enum fastcgi_event end_held(struct fastcgi *fastcgi)
{
    enum fastcgi_event event =
        fastcgi->type == BEGIN_REQUEST ? begin_request(fastcgi) : answer_values(fastcgi);
    if (event != FASTCGI_ERROR)
        end_content(fastcgi);
    return event;
}

/* Takes the bytes of the content that are there. */
static struct str take_content(struct fastcgi *fastcgi, struct input *in)
{
    size_t n = (size_t)(in->end - in->p);
    struct str taken = {in->p, n < fastcgi->left ? n : fastcgi->left};
    in->p += taken.n;
    fastcgi->left = (uint16_t)(fastcgi->left - taken.n);
    if (fastcgi->left == 0)
        end_content(fastcgi);
    return taken;
}

static enum fastcgi_event take_padding(struct fastcgi *fastcgi, struct input *in)
{
    size_t n = (size_t)(in->end - in->p);
    if (n > fastcgi->padding)
        n = fastcgi->padding;
    in->p += n;
    fastcgi->padding = (uint8_t)(fastcgi->padding - n);
    if (fastcgi->padding > 0)
        return FASTCGI_MORE;
    fastcgi->state = HEADER;
    return fastcgi->phase == AT_END ? end_request(fastcgi) : FASTCGI_MORE;
}

static enum fastcgi_event step(struct fastcgi *fastcgi, struct input *in, struct str *piece)
{
    switch (fastcgi->state) {
    case HEADER:
        return hold(fastcgi, in, FASTCGI_HEADER_SIZE) ? begin_record(fastcgi) : FASTCGI_MORE;
    case HELD:
        return hold(fastcgi, in, fastcgi->left) ? end_held(fastcgi) : FASTCGI_MORE;
    case STREAM:
        *piece = take_content(fastcgi, in);
        return fastcgi->type == PARAMS ? FASTCGI_PARAMS : FASTCGI_STDIN;
    case SKIP:
        take_content(fastcgi, in);
        return FASTCGI_MORE;
    default: /* PADDING */
        return take_padding(fastcgi, in);
    }
}

enum fastcgi_event fastcgi_next(struct fastcgi *fastcgi, const char *data, size_t size,
                                size_t *consumed, struct str *piece)
{
    struct input in = {data, data + size};
    enum fastcgi_event event = fastcgi->state == FAILED ? FASTCGI_ERROR : FASTCGI_MORE;
    *piece = (struct str){data, 0};
    while (event == FASTCGI_MORE && in.p < in.end)
        event = step(fastcgi, &in, piece);
    *consumed = (size_t)(in.p - data);
    return event;
}

enum fastcgi_error fastcgi_params(struct cgi *cgi, struct head *head, char *data, size_t from,
                                  size_t size, const struct http1_limits *limits)
{
    for (size_t at = from; at < size;) {
        struct str name, value;
        if (!take_pair(data, size, &at, &name, &value))
            return FASTCGI_BAD_VARIABLES;
        struct cgi_variable variable = {.name = (uint32_t)(name.p - data),
                                        .name_len = (uint32_t)name.n,
                                        .value = (uint32_t)(value.p - data),
                                        .value_len = (uint32_t)value.n};
        if (!cgi_add(cgi, head, data, &variable, limits))
            return FASTCGI_NO_ERROR;
    }
    cgi_finish(cgi, head, data, limits);
    return FASTCGI_NO_ERROR;
}

const char *fastcgi_error_text(enum fastcgi_error error)
{
    static const char *const texts[FASTCGI_ERROR_COUNT] = {
        [FASTCGI_NO_ERROR] = "",
        [FASTCGI_IS_HTTP] = "Invalid FastCGI record: an HTTP request; protocol is fastcgi here",
        [FASTCGI_BAD_VERSION] = "Invalid FastCGI record: the version is not 1",
        [FASTCGI_BAD_RECORD] = "Invalid FastCGI record: its type or size is unexpected",
        [FASTCGI_BAD_VARIABLES] = "Invalid FastCGI record: a variable goes beyond the stream",
        [FASTCGI_TOO_LONG] = "Invalid FastCGI record: too many bytes of variables",
        [FASTCGI_TOO_MUCH] = "Invalid FastCGI record: too many bytes that are not of the request",
    };
    return texts[error];
}
