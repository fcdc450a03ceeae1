#ifndef EXT_WORKER_WORKER_TLS_H
#define EXT_WORKER_WORKER_TLS_H

#include "ext/worker/worker.h"

/* TLS by the ssl.SSLContext that the Bridge has. */

/* Turns TLS on for the listeners, if they are to have it. 0, or -1 with an exception. */
int worker_tls_start(struct worker *worker);

/* Every now and then: whether there is a renewed certificate. Attached. */
void worker_tls_look(struct worker *worker, uint64_t now_ns);

#endif
