#ifndef EXT_WORKER_PROXIED_ABOUT_H
#define EXT_WORKER_PROXIED_ABOUT_H

#include "ext/worker/worker.h"

/* The client's address as text: "" for a Unix socket, unless a PROXY header names its path. A new
 * reference, or NULL with an exception. */
PyObject *proxied_client(struct worker *worker, const struct request *request);

/* The proxy_protocol_info of gunicorn's Request: a new dict, None when no PROXY header has
 * named a client, or NULL with an exception. */
PyObject *proxied_info(struct worker *worker, const struct request *request);

/* Adds PROXY_PROTOCOL and the other variables of the connection's PROXY header, which it has. 0, or
 * -1 with an exception. */
int proxied_environ(struct worker *worker, PyObject *environ, const struct request *request);

#endif
