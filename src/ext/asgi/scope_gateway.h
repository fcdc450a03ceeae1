#ifndef EXT_ASGI_SCOPE_GATEWAY_H
#define EXT_ASGI_SCOPE_GATEWAY_H

#include "ext/asgi/asgi.h"
#include "serve/request/request.h"

/*
 * The part of a scope that the variables of a gateway (uwsgi, FastCGI) say better than the head:
 * path and root_path as it has divided them, the address that the client has asked, the version
 * that the client speaks. 0, or -1 with an exception.
 */
int scope_gateway(struct asgi *asgi, PyObject *scope, const struct request *request);

#endif
