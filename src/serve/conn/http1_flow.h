#ifndef SERVE_CONN_HTTP1_FLOW_H
#define SERVE_CONN_HTTP1_FLOW_H

#include "serve/conn/conn.h"
#include "serve/request/request.h"

/*
 * The connection of a request that runs later, while the application has it (PHASE_RUNNING):
 * its body goes on coming, its answer goes on leaving, its client may leave or be too slow. Leader
 * only.
 */

/* The head says that a body follows, and the request runs next: takes the bytes that came with the
 * head. BODY_STREAMS: flow_read() reads the rest. */
enum body_progress flow_begin_body(struct request *request);

/* The request waits for a thread from now on, until the connection's timer says so. */
void flow_begin(struct conn *conn);

/* Reads the body as far as the window takes it. */
void flow_read(struct engine *engine, struct conn *conn);

/* There is something to read, or the client has left. */
void flow_readable(struct engine *engine, struct conn *conn);

/* The application has taken bytes of the body, or has written more than the client takes. */
void flow_attend(struct engine *engine, struct request *request);

/* `taken` bytes of the answer were sent, with this result. */
void flow_sent(struct engine *engine, struct conn *conn, enum outq_result result, uint64_t taken);

/* The connection's timer: whether the request has waited for a thread for too long. Else its times
 * are looked at. */
bool flow_expired(struct engine *engine, struct conn *conn);

/* The application has finished: the rest of the body is settled. */
void flow_end(struct conn *conn);

#endif
