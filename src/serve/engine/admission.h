#ifndef SERVE_ENGINE_ADMISSION_H
#define SERVE_ENGINE_ADMISSION_H

#include "serve/engine/engine.h"

/*
 * Which whole requests are let in to the application: how many may wait (max_queue), or wait and
 * run (limit_concurrency), and only those whose client still wants to know (check_client).
 */

/* Whether one request more is too much, and why. Leader only. */
bool admission_refuses(struct engine *engine, enum metrics_refusal *reason);

/*
 * Whether the client of a request that was taken from the queue has closed or reset its connection.
 * One that has merely ended its input is there: see admission_ask(). Its thread only.
 */
bool admission_client_gone(struct request *request);

/*
 * The input of a client has ended while its request waits. Whether it listens is not to be seen by
 * that; a system that nobody listens on answers an interim response with a reset. Leader only.
 */
void admission_ask(struct engine *engine, struct request *request);

#endif
