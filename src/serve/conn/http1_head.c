#include "serve/conn/http1_private.h"
#include "serve/conn/proxied.h"
#include "serve/engine/engine.h"

#include <stdio.h>

/* The head of a request as HTTP/1 has it. */

static enum http1_result parse(struct request *request, size_t size)
{
    enum http1_result result = http1_parse(&http1_state(request)->parser, &request->head,
                                           request->input, size, &request->engine->options.limits);
    request_charge_fields(request);
    return result;
}

/* The fields of proxies count if forwarded_allow_ips has the other end. */
static enum http1_result apply(struct request *request)
{
    const struct engine_options *options = &request->engine->options;
    struct http1_parser *parser = &http1_state(request)->parser;
    bool trusted = forwarded_needs_trust(options->forwarded, &request->head) &&
                   proxied_is_from(request->conn, options->trust);
    request->must_close = parser->must_close;
    return http1_apply_forwarded(parser, options->forwarded, &request->head, request->input,
                                 trusted, proxied_is_https(request->conn));
}

static void no_room(struct request *request, bool too_long)
{
    http1_state(request)->parser.error = too_long ? HTTP1_HEAD_TOO_LONG : HTTP1_NO_MEMORY;
}

/* No request begins so, but a packet of uwsgi does. */
static bool is_uwsgi(const struct request *request)
{
    return request->input_size >= UWSGI_HEADER_SIZE && request->input[0] == '\0' &&
           request->head.method_len == 0;
}

static void fault(struct request *request, struct http1_fault *fault)
{
    static const char uwsgi[] =
        "Invalid HTTP request line: a packet of uwsgi; protocol is http here";
    const struct http1_parser *parser = &http1_state(request)->parser;
    fault->status = http1_error_status(parser->error);
    fault->of_system = parser->error == HTTP1_NO_MEMORY;
    if (is_uwsgi(request)) {
        snprintf(fault->text, sizeof(fault->text), "%s", uwsgi);
        snprintf(fault->page, sizeof(fault->page), "%s", uwsgi);
        return;
    }
    http1_error_text(parser, request->input, fault->text, sizeof(fault->text));
    http1_error_page_text(parser, request->input, fault->page, sizeof(fault->page));
}

static void begin_body(struct request *request)
{
    const struct http1_limits *limits = &request->engine->options.limits;
    chunked_init(&http1_state(request)->chunked, limits->field_size, limits->fields);
}

static enum chunked_result decode(struct request *request, char *data, size_t size,
                                  size_t *consumed, size_t *produced)
{
    return chunked_decode(&http1_state(request)->chunked, data, size, consumed, produced);
}

static int body_fault(struct request *request, const char **text)
{
    const struct chunked *chunked = &http1_state(request)->chunked;
    *text = chunked_error_text(chunked);
    return chunked_error_status(chunked);
}

const struct http1_form http1_form = {
    .stream = &http1_stream,
    .parse = parse,
    .parse_again = parse,
    .apply = apply,
    .no_room = no_room,
    .fault = fault,
    .begin_body = begin_body,
    .decode = decode,
    .body_fault = body_fault,
};
