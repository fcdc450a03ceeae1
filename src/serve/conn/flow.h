#ifndef SERVE_CONN_FLOW_H
#define SERVE_CONN_FLOW_H

#include "net/loop.h"
#include "serve/conn/conn.h"
#include "serve/request/outq.h"

/*
 * The connection of a request that runs later, while the application has it (CONN_RUNNING): its
 * body goes on coming, its answer goes on leaving, its client may leave or be too slow. Leader
 * only.
 */

/* The request waits for a thread from now on, until the connection's timer says so. */
void flow_begin(struct conn *conn);

/* Reads the body as far as the window takes it. */
void flow_read(struct engine *engine, struct conn *conn);

/* The loop has told of the connection. */
void flow_event(struct engine *engine, struct conn *conn, unsigned events);

/* The application has taken bytes of the body, or has written more than the client takes. */
void flow_attend(struct engine *engine, struct conn *conn);

/* `taken` bytes of the answer were sent, and what came of it. */
void flow_sent(struct engine *engine, struct conn *conn, enum outq_result result, uint64_t taken);

/* The connection's timer: whether the request has waited for a thread for too long. Else its times
 * are looked at. */
bool flow_expired(struct engine *engine, struct conn *conn);

/* The application has finished: what is left of the body is settled. */
void flow_end(struct conn *conn);

#endif
