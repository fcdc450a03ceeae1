#ifndef SERVE_CONN_GATEWAY_H
#define SERVE_CONN_GATEWAY_H

#include "serve/conn/http1_private.h"

/*
 * A gateway has received the client's request by HTTP and passes it on as variables, by uwsgi or
 * FastCGI: the variables name the client, and the body has no framing of HTTP.
 */

/* The head was whole: its scheme, and the client as the connection's peer, if it is named. */
void gateway_apply(struct request *request);

/* The words and the page of a refusal are the same. */
void gateway_say(struct http1_fault *fault, int status, const char *text);

/* The other end is not among those that may speak `protocol`. */
void gateway_forbid(const struct conn *conn, const char *protocol, struct http1_fault *fault);

#endif
