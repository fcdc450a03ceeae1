#include "proto/uwsgi.h"

#include "serve/conn/gateway.h"
#include "serve/conn/proxied.h"
#include "serve/engine/engine.h"

/*
 * The head of a request as uwsgi has it: a packet of variables, from a proxy that uwsgi_allow_ips
 * names. One connection has one request, as with nginx and uWSGI: its end may end the answer.
 */

static struct uwsgi_state *uwsgi_state(struct request *request)
{
    return &http1_state(request)->uwsgi;
}

static enum http1_result parse_again(struct request *request, size_t size)
{
    static const enum http1_result results[] = {
        [UWSGI_OK] = HTTP1_OK,
        [UWSGI_PARTIAL] = HTTP1_PARTIAL,
        [UWSGI_ERROR] = HTTP1_ERROR,
    };
    struct uwsgi *packet = &uwsgi_state(request)->packet;
    http1_state(request)->gateway = true;
    if (!request_need_variables(request)) {
        uwsgi_state(request)->no_memory = true;
        return HTTP1_ERROR;
    }
    uwsgi_init(packet, request->cgi);
    enum uwsgi_result result =
        uwsgi_parse(packet, &request->head, request->input, size, &request->engine->options.limits);
    request_charge_fields(request);
    return results[result];
}

/* Unlike a request that was handed over, whose peer is the client by now, it may be anybody's. */
static enum http1_result parse(struct request *request, size_t size)
{
    if (proxied_is_from(request->conn, request->engine->options.gateways))
        return parse_again(request, size);
    uwsgi_state(request)->forbidden = true;
    return HTTP1_ERROR;
}

static enum http1_result apply(struct request *request)
{
    request->must_close = true;
    gateway_apply(request);
    return HTTP1_OK;
}

static void no_room(struct request *request, bool too_long)
{
    uwsgi_state(request)->too_long = too_long;
    uwsgi_state(request)->no_memory = !too_long;
}

static void fault(struct request *request, struct http1_fault *fault)
{
    const struct uwsgi_state *state = uwsgi_state(request);
    char text[HTTP1_FAULT_TEXT];
    fault->of_system = state->no_memory;
    if (state->forbidden) {
        gateway_forbid(request->conn, "uWSGI", fault);
    } else if (state->no_memory) {
        gateway_say(fault, 500, "Out of memory");
    } else if (state->too_long) {
        gateway_say(fault, 431, "The packet is larger than client_memory allows");
    } else {
        uwsgi_error_text(&state->packet, text, sizeof(text));
        fault->of_system = state->packet.cgi->error == CGI_NO_MEMORY;
        gateway_say(fault, uwsgi_error_status(&state->packet), text);
    }
}

const struct http1_form uwsgi_form = {
    .stream = &http1_stream,
    .parse = parse,
    .parse_again = parse_again,
    .apply = apply,
    .no_room = no_room,
    .fault = fault,
};
