#ifndef EXT_ASGI_TRAILERS_H
#define EXT_ASGI_TRAILERS_H

#include "ext/asgi/channel.h"

/* Whether the client takes trailers: each of HTTP/2 does, and those of HTTP/1.1 whose TE names them
 * (RFC 9110 §10.1.4). Others are not sent any. */
bool trailers_are_wanted(const struct request *request);

/* Takes the lines of a message http.response.trailers: 1 if more follow, 0, or -1 with an
 * exception. */
int trailers_take(struct channel *channel, PyObject *message);

#endif
