#ifndef SERVE_CONN_PARK_H
#define SERVE_CONN_PARK_H

#include "serve/engine/engine.h"

/*
 * A client wants to send more than the budget has room for, which is more than many others want:
 * nothing is read from it until there is room, for PARK_MAX_MS at most in all for a request. A
 * client that has closed its side does not wait: as its bytes are not read, it cannot be seen
 * whether it has gone. Leader only.
 */

/* False: it has waited long enough, and is to be refused. Else it waits, or is closed. */
bool park(struct engine *engine, struct conn *conn);

/* Its timer is due while it is parked: whether it is to be tried again. */
bool park_expired(struct engine *engine, struct conn *conn);

/* There is room. Whether it was parked: then its time-outs begin anew. */
bool unpark(struct engine *engine, struct conn *conn);

#endif
