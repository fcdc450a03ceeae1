#ifndef SERVE_ENGINE_REHEARSAL_H
#define SERVE_ENGINE_REHEARSAL_H

#include "serve/engine/engine.h"

/*
 * Requests that a worker makes of itself before it takes any: they go the way of all others, on
 * connections whose other end the process holds. They belong to a listener of their own behind the
 * true ones, at index listener_count, which is like the first of these but plain and trusted.
 */

/* Makes one connection, and takes nothing else from now on. Before the engine runs. Returns the
 * client's end, which is the caller's, or -1 with errno. */
int rehearsal_connect(struct engine *engine);

/* It is over: clients are served. Any thread. */
void rehearsal_end(struct engine *engine);

#endif
