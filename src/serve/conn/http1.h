#ifndef SERVE_CONN_HTTP1_H
#define SERVE_CONN_HTTP1_H

#include "serve/conn/protocol.h"

/*
 * HTTP/1 on a connection (RFC 9112): one request after the other, whose phases are
 *
 *                     byte        whole head        whole body
 *   +------> IDLE ---------> HEAD ----------> BODY ------------> RUNNING
 *   |          |              |  \___________ no body ____________^ |
 *   |          |              | refused                             |
 *   |          |              v                                     |
 *   | sent,    |            FLUSH <------------ answered -----------+
 *   | keep     |              |
 *   +----------|--------------+----> the connection lingers
 *              v              v         v
 *              +----------> closed <----+
 */
extern const struct protocol http1_protocol;

/*
 * uwsgi (nginx's uwsgi_pass): the same with one request on each connection, whose head is a packet
 * of variables, and whose answer is that of HTTP/1 without chunks: see uwsgi.c.
 */
extern const struct protocol uwsgi_protocol;

/*
 * FastCGI (nginx's fastcgi_pass), role responder: the same with requests and answers in records,
 * and as many requests on a connection as the gateway likes: see fastcgi.c and fastcgi_stream.c.
 */
extern const struct protocol fastcgi_protocol;

#endif
