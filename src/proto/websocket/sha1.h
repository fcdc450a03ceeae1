#ifndef PROTO_WEBSOCKET_SHA1_H
#define PROTO_WEBSOCKET_SHA1_H

#include "base/str.h"

#include <stdint.h>

/*
 * SHA-1 (RFC 3174) for the handshake's proof that a server understands WebSocket: no secret depends
 * on it. OpenSSL is found at run time, and only if TLS is asked for, so the digest of one short
 * text a connection is computed here.
 */
enum { SHA1_SIZE = 20 };

void sha1(struct str text, uint8_t digest[SHA1_SIZE]);

#endif
