#ifndef SERVE_CONN_HTTP2_H
#define SERVE_CONN_HTTP2_H

#include "serve/conn/protocol.h"

/*
 * HTTP/2 on a connection (RFC 9113): its streams are requests, which run at the same time. The
 * engine's leader alone owns the session; threads of the application queue their answers in
 * request->out and have the leader send them.
 *
 *            HEADERS         the body          answered          all is sent
 *   (none) ----------> HEAD ---> BODY ---> RUNNING ---> FLUSH ---> (none)
 *                       |         |           |           ^
 *                       |         |           | reset: the answer is thrown away
 *                       \_________\___________\___________/ refused
 */
extern const struct protocol http2_protocol;

/* A listener without TLS on which clients may begin with HTTP/2 or HTTP/1: see http2_cleartext. */
extern const struct protocol cleartext_protocol;

#endif
