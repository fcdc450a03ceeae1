#ifndef SERVE_REQUEST_LATER_H
#define SERVE_REQUEST_LATER_H

#include "serve/engine/app.h"
#include "serve/request/request.h"

/*
 * Requests that are answered later: run() returns RUN_LATER, and the application goes on with the
 * request from any thread that is attached, by one at a time, until engine_finish().
 */

/*
 * The application waits for these events (REQUEST_*): ops->events() gives each of them once, at
 * once if it has happened already. Asking again for one that was given waits for the next.
 */
void request_ask(struct request *request, unsigned events);

#endif
