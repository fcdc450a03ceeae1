#ifndef EXT_ASGI_SCOPE_H
#define EXT_ASGI_SCOPE_H

#include "ext/asgi/asgi.h"

/* The scope of an HTTP request, or of a WebSocket's handshake: a new dict, or NULL with an
 * exception. */
PyObject *scope_build(struct worker *worker, const struct request *request, bool websocket);

#endif
