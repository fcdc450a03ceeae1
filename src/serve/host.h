#ifndef SERVE_HOST_H
#define SERVE_HOST_H

#include "serve/engine.h"

/*
 * The thread host: what an application thread does from start to end. Called attached, returns
 * attached, when the engine has stopped. The main thread also looks after signals.
 */
void host_run(struct engine *engine, bool main_thread);

#endif
