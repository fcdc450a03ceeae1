#ifndef EXT_ASGI_RUN_H
#define EXT_ASGI_RUN_H

#include "serve/engine/app.h"

/* For struct app_ops: an HTTP request becomes a task, which events of its client wake or end. */
enum run_result run_request(void *app, struct request *request);
void run_events(void *app, struct request *request, unsigned events);

#endif
