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

/*
 * Whether fewer than OUT_HIGH bytes of the answer wait for the client. Writing never waits: an
 * application that goes on all the same fills files, and fails with RESPONSE_FULL at OUT_SPOOL_MAX,
 * or when the budget is used up. It waits by REQUEST_ROOM instead.
 */
bool response_room(struct request *request);

enum { BODY_NOT_YET = -2, BODY_FAILED = -1, BODY_END = 0 };

/* How many bytes body_take() has to give at once. */
size_t body_available(struct request *request);

/*
 * Copies up to n > 0 bytes of the body that have come: how many, or BODY_END, BODY_FAILED, or
 * BODY_NOT_YET: request_ask(REQUEST_BODY) says when there are some. Never waits.
 */
ssize_t body_take(struct request *request, char *out, size_t n);

#endif
