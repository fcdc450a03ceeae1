#ifndef EXT_WORKER_ENGINE_START_H
#define EXT_WORKER_ENGINE_START_H

#include "ext/worker/engine_object.h"

/*
 * Makes the engine from the worker's configuration, with so many threads beside the main one, or
 * for a foreign event loop. 0, or -1 with an exception.
 */
int engine_start(struct engine_object *self, PyObject *worker, uint32_t threads, bool loop_host);

#endif
