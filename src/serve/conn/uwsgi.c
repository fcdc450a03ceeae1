#include "proto/uwsgi.h"

#include "serve/conn/http1_private.h"
#include "serve/conn/proxied.h"
#include "serve/engine/engine.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

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

static uint16_t port_of(struct str text)
{
    uint32_t port = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || port > UINT16_MAX)
            return 0;
        port = port * 10 + (uint32_t)(text.p[i] - '0');
    }
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

/* Without an address, as a client of a Unix socket, unless the text is one. */
static struct peer peer_of(struct str address, struct str port)
{
    char text[PEER_TEXT_SIZE];
    struct peer peer = {.family = AF_UNIX};
    if (address.n >= sizeof(text))
        return peer;
    memcpy(text, address.p, address.n);
    text[address.n] = '\0';
    if (inet_pton(AF_INET, text, peer.address) == 1)
        peer.family = AF_INET;
    else if (inet_pton(AF_INET6, text, peer.address) == 1)
        peer.family = AF_INET6;
    if (peer.family != AF_UNIX)
        peer.port = port_of(port);
    return peer;
}

static enum http1_result apply(struct request *request)
{
    struct str address = cgi_value(request->cgi, request->input, CGI_REMOTE_ADDR);
    struct str port = cgi_value(request->cgi, request->input, CGI_REMOTE_PORT);
    request->must_close = true;
    request->head.https |= proxied_is_https(request->conn);
    if (address.n > 0)
        request->conn->peer = peer_of(address, port);
    return HTTP1_OK;
}

static void no_room(struct request *request, bool too_long)
{
    uwsgi_state(request)->too_long = too_long;
    uwsgi_state(request)->no_memory = !too_long;
}

static void say(struct http1_fault *fault, int status, const char *text)
{
    fault->status = status;
    snprintf(fault->text, sizeof(fault->text), "%s", text);
    snprintf(fault->page, sizeof(fault->page), "%s", text);
}

static void forbid(const struct conn *conn, struct http1_fault *fault)
{
    char peer[PEER_TEXT_SIZE];
    say(fault, 403, "Request forbidden");
    snprintf(fault->text, sizeof(fault->text), "uWSGI request from '%s' not allowed",
             peer_text(&conn->peer, peer));
}

static void fault(struct request *request, struct http1_fault *fault)
{
    const struct uwsgi_state *state = uwsgi_state(request);
    char text[HTTP1_FAULT_TEXT];
    fault->of_system = state->no_memory;
    if (state->forbidden) {
        forbid(request->conn, fault);
    } else if (state->no_memory) {
        say(fault, 500, "Out of memory");
    } else if (state->too_long) {
        say(fault, 431, "The packet is larger than client_memory allows");
    } else {
        uwsgi_error_text(&state->packet, text, sizeof(text));
        fault->of_system = state->packet.cgi->error == CGI_NO_MEMORY;
        say(fault, uwsgi_error_status(&state->packet), text);
    }
}

const struct http1_form uwsgi_form = {
    .parse = parse,
    .parse_again = parse_again,
    .apply = apply,
    .no_room = no_room,
    .fault = fault,
};
