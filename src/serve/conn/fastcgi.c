#include "proto/fastcgi.h"

#include "serve/conn/gateway.h"
#include "serve/conn/proxied.h"
#include "serve/engine/engine.h"

#include <errno.h>
#include <string.h>

/*
 * Requests as FastCGI has them: records, from a gateway that fastcgi_allow_ips names. Their framing
 * is taken off as they come, so that the input has the same as one whole head:
 *
 *   | id, flags | the content of all PARAMS | records that are still to be read |
 *   0           PREFIX_SIZE                 kept
 */

enum { PREFIX_SIZE = 4 };

enum fault {
    FAULT_RECORD, /* records.error says why */
    FAULT_VARIABLE,
    FAULT_FORBIDDEN,
    FAULT_TOO_LONG,
    FAULT_NO_MEMORY,
    FAULT_ABORTED,
    FAULT_LENGTH,
    FAULT_BUSY,
};

static struct fastcgi_state *state_of(struct request *request)
{
    return &http1_state(request)->fastcgi;
}

static enum http1_result refuse(struct request *request, enum fault fault)
{
    state_of(request)->fault = (uint8_t)fault;
    return HTTP1_ERROR;
}

/* Heads */

static void write_prefix(struct request *request)
{
    const struct fastcgi *records = &state_of(request)->records;
    const char prefix[PREFIX_SIZE] = {(char)(records->id >> 8), (char)records->id,
                                      (char)records->keep_conn};
    memcpy(request->input, prefix, PREFIX_SIZE);
}

static void read_prefix(struct request *request)
{
    const unsigned char *prefix = (const unsigned char *)request->input;
    state_of(request)->records.id = (uint16_t)(prefix[0] << 8 | prefix[1]);
    state_of(request)->records.keep_conn = prefix[2] != 0;
}

/* The body ends where its records do, CONTENT_LENGTH or not. */
static enum http1_result read_variables(struct request *request)
{
    struct head *head = &request->head;
    const struct http1_limits *limits = &request->engine->options.limits;
    if (!request_need_variables(request))
        return refuse(request, FAULT_NO_MEMORY);
    cgi_reset(request->cgi);
    enum fastcgi_error error =
        fastcgi_params(request->cgi, head, request->input, PREFIX_SIZE, head->size, limits);
    request_charge_fields(request);
    state_of(request)->records.error = (uint8_t)error;
    if (error != FASTCGI_NO_ERROR)
        return refuse(request, FAULT_RECORD);
    if (request->cgi->error != CGI_NO_ERROR)
        return refuse(request, FAULT_VARIABLE);
    http1_state(request)->parser.keep_alive = state_of(request)->records.keep_conn;
    head->framing = HEAD_UNTIL_END;
    return HTTP1_OK;
}

static enum http1_result parse_again(struct request *request, size_t size)
{
    http1_state(request)->gateway = true;
    if (size < PREFIX_SIZE)
        return HTTP1_PARTIAL;
    read_prefix(request);
    request->head.size = (uint32_t)size;
    return read_variables(request);
}

/* The variables are whole: what follows them belongs to the body. */
static enum http1_result end_head(struct request *request, size_t at)
{
    uint32_t kept = state_of(request)->kept, rest = request->input_size - (uint32_t)at;
    memmove(request->input + kept, request->input + at, rest);
    request->input_size = kept + rest;
    request->head.size = kept;
    return read_variables(request);
}

static void keep(struct request *request, struct str piece)
{
    struct fastcgi_state *state = state_of(request);
    memmove(request->input + state->kept, piece.p, piece.n);
    state->kept += (uint32_t)piece.n;
}

static bool send_answer(struct request *request)
{
    const struct fastcgi *records = &state_of(request)->records;
    return http1_send_aside(request, (struct str){records->answer, records->answer_size});
}

static enum http1_result went_on(struct request *request, enum fastcgi_event event,
                                 struct str piece, size_t at)
{
    switch (event) {
    case FASTCGI_BEGIN:
        write_prefix(request);
        return HTTP1_PARTIAL;
    case FASTCGI_PARAMS:
        keep(request, piece);
        return HTTP1_PARTIAL;
    case FASTCGI_PARAMS_END:
        return end_head(request, at);
    case FASTCGI_ANSWER:
        return send_answer(request) ? HTTP1_PARTIAL : refuse(request, FAULT_BUSY);
    case FASTCGI_MORE:
        return HTTP1_PARTIAL;
    default:
        return refuse(request, event == FASTCGI_ABORTED ? FAULT_ABORTED : FAULT_RECORD);
    }
}

static enum http1_result read_records(struct request *request)
{
    struct fastcgi_state *state = state_of(request);
    size_t consumed, at = state->kept;
    struct str piece;
    while (at < request->input_size) {
        enum fastcgi_event event = fastcgi_next(&state->records, request->input + at,
                                                request->input_size - at, &consumed, &piece);
        at += consumed;
        enum http1_result result = went_on(request, event, piece, at);
        if (result != HTTP1_PARTIAL)
            return result;
    }
    request->input_size = state->kept;
    return HTTP1_PARTIAL;
}

/* The peer of a connection that is kept is the client of the request before, until now. */
static void forget_client(struct conn *conn)
{
    if (conn->proxied)
        conn->peer = conn->proxied->client;
    else if (conn->served > 0)
        socket_peer_of(conn->io.fd, &conn->peer);
}

/* Makes room for the prefix. */
static bool begin(struct request *request)
{
    struct fastcgi_state *state = state_of(request);
    http1_state(request)->gateway = true;
    forget_client(request->conn);
    if (request->input_capacity - request->input_size < PREFIX_SIZE &&
        !request_grow(request, BUDGET_REQUEST))
        return false;
    memmove(request->input + PREFIX_SIZE, request->input, request->input_size);
    memset(request->input, 0, PREFIX_SIZE);
    request->input_size += PREFIX_SIZE;
    state->kept = PREFIX_SIZE;
    fastcgi_init(&state->records);
    return true;
}

static enum http1_result parse(struct request *request, size_t size)
{
    (void)size; /* all of the input */
    if (state_of(request)->kept == 0) {
        if (!begin(request))
            return refuse(request, FAULT_NO_MEMORY);
        if (!proxied_is_from(request->conn, request->engine->options.gateways))
            return refuse(request, FAULT_FORBIDDEN);
    }
    return read_records(request);
}

static enum http1_result apply(struct request *request)
{
    gateway_apply(request);
    return HTTP1_OK;
}

static void no_room(struct request *request, bool too_long)
{
    refuse(request, too_long ? FAULT_TOO_LONG : FAULT_NO_MEMORY);
}

static int say_fault(struct request *request, const char **text)
{
    static const char *const texts[] = {
        [FAULT_TOO_LONG] = "The variables are larger than client_memory allows",
        [FAULT_NO_MEMORY] = "Out of memory",
        [FAULT_ABORTED] = "Invalid FastCGI request: it was aborted",
        [FAULT_LENGTH] = "Invalid FastCGI request: its body is not as long as CONTENT_LENGTH says",
        [FAULT_BUSY] = "Invalid FastCGI record: an answer to it would break another answer",
    };
    const struct fastcgi_state *state = state_of(request);
    switch ((enum fault)state->fault) {
    case FAULT_RECORD:
        *text = fastcgi_error_text((enum fastcgi_error)state->records.error);
        return state->records.error == FASTCGI_TOO_LONG ? 431 : 400;
    case FAULT_VARIABLE:
        *text = cgi_error_text(request->cgi->error);
        return cgi_error_status(request->cgi->error);
    case FAULT_TOO_LONG:
        *text = texts[FAULT_TOO_LONG];
        return 431;
    default:
        *text = texts[state->fault];
        return state->fault == FAULT_NO_MEMORY ? 500 : 400;
    }
}

static void fault(struct request *request, struct http1_fault *fault)
{
    const struct fastcgi_state *state = state_of(request);
    const char *text;
    if (state->fault == FAULT_FORBIDDEN) {
        gateway_forbid(request->conn, "FastCGI", fault);
        return;
    }
    int status = say_fault(request, &text);
    fault->of_system = status == 500;
    gateway_say(fault, status, text);
}

/* Bodies */

static void begin_body(struct request *request)
{
    state_of(request)->body = 0;
}

static enum chunked_result fail(struct request *request, enum fault fault)
{
    refuse(request, fault);
    return CHUNKED_ERROR;
}

static bool has_length(const struct head *head)
{
    return (head->seen & field_bit(FIELD_CONTENT_LENGTH)) != 0;
}

/* n further bytes, `ended` with the last ones. */
static enum chunked_result add_body(struct request *request, size_t n, bool ended)
{
    struct fastcgi_state *state = state_of(request);
    struct head *head = &request->head;
    state->body += n;
    if (has_length(head) &&
        (state->body > head->content_length || (ended && state->body < head->content_length)))
        return fail(request, FAULT_LENGTH);
    return ended ? CHUNKED_DONE : CHUNKED_MORE;
}

/* Once the request is with the application, its answer may be on the way. */
static enum chunked_result answer_within(struct request *request)
{
    bool may = request_phase(request) == PHASE_BODY;
    return may && send_answer(request) ? CHUNKED_MORE : fail(request, FAULT_BUSY);
}

static enum chunked_result decode(struct request *request, char *data, size_t size,
                                  size_t *consumed, size_t *produced)
{
    struct fastcgi *records = &state_of(request)->records;
    enum chunked_result result = CHUNKED_MORE;
    enum fastcgi_event event = FASTCGI_MORE;
    struct str piece;
    size_t n;
    *consumed = *produced = 0;
    while (result == CHUNKED_MORE && event != FASTCGI_STDIN_END && *consumed < size) {
        event = fastcgi_next(records, data + *consumed, size - *consumed, &n, &piece);
        *consumed += n;
        if (event == FASTCGI_STDIN) {
            memmove(data + *produced, piece.p, piece.n);
            *produced += piece.n;
        } else if (event == FASTCGI_ANSWER) {
            result = answer_within(request);
        } else if (event == FASTCGI_ABORTED || event == FASTCGI_ERROR) {
            result = fail(request, event == FASTCGI_ABORTED ? FAULT_ABORTED : FAULT_RECORD);
        }
    }
    return result == CHUNKED_MORE ? add_body(request, *produced, event == FASTCGI_STDIN_END)
                                  : result;
}

const struct http1_form fastcgi_form = {
    .stream = &fastcgi_stream,
    .parse = parse,
    .parse_again = parse_again,
    .apply = apply,
    .no_room = no_room,
    .fault = fault,
    .begin_body = begin_body,
    .decode = decode,
    .body_fault = say_fault,
};
