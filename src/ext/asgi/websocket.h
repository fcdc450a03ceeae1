#ifndef EXT_ASGI_WEBSOCKET_H
#define EXT_ASGI_WEBSOCKET_H

#include "ext/asgi/channel.h"

/* The scope "websocket" (ASGI 3, www 2.5). The frames are those of serve/conn/websocket.h. */

/* receive() and send(), vectorcall functions of a channel, as those of receive.h and send.h. */
PyObject *asgi_websocket_receive(PyObject *self, PyObject *const *args, size_t nargsf,
                                 PyObject *kwnames);
PyObject *asgi_websocket_send(PyObject *self, PyObject *const *args, size_t nargsf,
                              PyObject *kwnames);

/* Whether the channel has a WebSocket that was accepted. */
static inline bool asgi_websocket_is_accepted(const struct channel *channel)
{
    return channel->call && channel_request(channel)->websocket;
}

/* The application is through with one that was accepted: it is closed with this code, unless it is
 * already, and the request is over. */
void asgi_websocket_leave(struct channel *channel, uint16_t code);

/* The WebSocket has ended. Whether the request is over by this, since nothing is left to receive.
 */
bool asgi_websocket_ended(struct channel *channel);

#endif
