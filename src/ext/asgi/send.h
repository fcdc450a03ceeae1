#ifndef EXT_ASGI_SEND_H
#define EXT_ASGI_SEND_H

#include "ext/asgi/channel.h"

/*
 * send(message), a vectorcall function of a channel. The message is sent, or refused by an
 * exception, before it returns; its awaitable waits only while too much waits for the client.
 */
PyObject *send_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);

#endif
