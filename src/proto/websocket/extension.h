#ifndef PROTO_WEBSOCKET_EXTENSION_H
#define PROTO_WEBSOCKET_EXTENSION_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The negotiation of permessage-deflate (RFC 6455 §9.1, RFC 7692 §7.1). */

struct ws_deflate_terms {
    bool agreed;          /* the rest counts only then */
    bool server_takeover; /* our messages may refer to earlier ones */
    bool client_takeover;
    uint8_t server_window, client_window; /* bits, 8 to 15 */
    bool name_server_window;              /* the client asked for a limit, so the answer names it */
    bool name_client_window;              /* the client can be limited, so the answer does so */
};

enum { WS_EXTENSION_MAX = 160 }; /* bytes of the longest answer, with its NUL */

/*
 * Reads the value of one Sec-WebSocket-Extensions field. If no earlier field has set
 * terms->agreed (zero it first), the first acceptable offer of permessage-deflate does: one that
 * names only known parameters, each once and with a valid value. Other extensions are declined.
 * False: the value does not match the grammar; refuse the handshake.
 */
bool ws_extension_offer(struct str value, struct ws_deflate_terms *terms);

/* Writes the answer's Sec-WebSocket-Extensions; terms->agreed. Returns its size without NUL. */
size_t ws_extension_answer(const struct ws_deflate_terms *terms, char to[WS_EXTENSION_MAX]);

#endif
