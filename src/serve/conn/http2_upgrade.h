#ifndef SERVE_CONN_HTTP2_UPGRADE_H
#define SERVE_CONN_HTTP2_UPGRADE_H

#include "proto/http2/upgrade.h"
#include "serve/conn/conn.h"

/* A connection of HTTP/1 becomes one of HTTP/2: see http2_cleartext. Leader only. */

/* Whether its request asks for that, whose head is whole. *problem: why it must not. */
enum http2_asked http2_upgrade_asked(const struct conn *conn, const char **problem);

/* Its request is whole: it becomes stream 1 and runs, or the connection is closed. */
void http2_upgrade_conn(struct engine *engine, struct conn *conn);

#endif
