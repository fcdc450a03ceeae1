#ifndef SERVE_ENGINE_ADMISSION_H
#define SERVE_ENGINE_ADMISSION_H

#include "serve/engine/engine.h"

/*
 * Which whole requests are let in to the application: how many may wait (max_queue), or wait and
 * run (limit_concurrency).
 */

/* Whether one request more is too much, and why. Leader only. */
bool admission_refuses(struct engine *engine, enum metrics_refusal *reason);

/* Says so in the log, at times. */
void admission_tell(struct engine *engine, enum metrics_refusal reason);

/* The text of such a refusal. */
#define ADMISSION_TEXT "The server has too much to do"

#endif
