#ifndef EXT_ASGI_RECEIVE_H
#define EXT_ASGI_RECEIVE_H

#include "ext/asgi/channel.h"

/* receive(), a vectorcall function of a channel: an awaitable of the next message. */
PyObject *receive_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);

#endif
