#ifndef PROTO_WEBSOCKET_HANDSHAKE_H
#define PROTO_WEBSOCKET_HANDSHAKE_H

#include "proto/head.h"
#include "proto/websocket/extension.h"

/* The opening handshake over HTTP/1.1 (RFC 6455 §4.2) and HTTP/2 (RFC 8441 §5). */

enum {
    WS_KEY_SIZE = 24,    /* Sec-WebSocket-Key: 16 bytes in base64 */
    WS_ACCEPT_SIZE = 28, /* Sec-WebSocket-Accept: 20 bytes */
    WS_VERSION = 13,
};

enum ws_handshake_result {
    WS_HANDSHAKE_NONE, /* an ordinary request: the upgrade is not asked for, or is to be ignored */
    WS_HANDSHAKE_OK,
    WS_HANDSHAKE_BAD,     /* 400: handshake->problem says why */
    WS_HANDSHAKE_UPGRADE, /* 426 with "Upgrade: websocket" and "Sec-WebSocket-Version: 13"; as well
                           */
};

struct ws_handshake {
    struct str key;                  /* borrowed from the head; none with HTTP/2 */
    struct ws_deflate_terms deflate; /* the best offer that we accept */
    const char *problem;             /* static */
};

/*
 * Checks a whole head. A GET of HTTP/1.1 or later whose Upgrade names websocket is a handshake, if
 * its Connection names upgrade (RFC 9110 §7.8). If it does not and there is a Sec-WebSocket-Key, a
 * proxy has dropped it: WS_HANDSHAKE_UPGRADE. An extended CONNECT is a handshake. Any other request
 * is none.
 */
enum ws_handshake_result ws_handshake_read(const struct head *head, const char *data,
                                           struct ws_handshake *handshake);

/* Sec-WebSocket-Accept for a key of WS_KEY_SIZE bytes. */
void ws_handshake_accept(struct str key, char accept[WS_ACCEPT_SIZE]);

/*
 * The subprotocols of a handshake that was read, one a call, in the client's order. *at: 0 at
 * first. False: there are no more.
 */
struct ws_subprotocols {
    uint32_t field; /* index of the next field */
    struct str rest;
};
bool ws_subprotocols_next(const struct head *head, const char *data, struct ws_subprotocols *walk,
                          struct str *name);

#endif
