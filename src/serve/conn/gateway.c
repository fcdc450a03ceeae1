#include "serve/conn/gateway.h"

#include "proto/cgi.h"
#include "serve/conn/proxied.h"
#include "serve/engine/engine.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

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

void gateway_apply(struct request *request)
{
    struct str address = cgi_value(request->cgi, request->input, CGI_REMOTE_ADDR);
    struct str port = cgi_value(request->cgi, request->input, CGI_REMOTE_PORT);
    request->head.https |= proxied_is_https(request->conn);
    if (address.n > 0)
        request->conn->peer = peer_of(address, port);
}

void gateway_say(struct http1_fault *fault, int status, const char *text)
{
    fault->status = status;
    snprintf(fault->text, sizeof(fault->text), "%s", text);
    snprintf(fault->page, sizeof(fault->page), "%s", text);
}

void gateway_forbid(const struct conn *conn, const char *protocol, struct http1_fault *fault)
{
    char peer[PEER_TEXT_SIZE];
    gateway_say(fault, 403, "Request forbidden");
    snprintf(fault->text, sizeof(fault->text), "%s request from '%s' not allowed", protocol,
             peer_text(&conn->peer, peer));
}
