#ifndef EXT_ASGI_RECEIVE_H
#define EXT_ASGI_RECEIVE_H

#include "ext/asgi/channel.h"

/* receive() by the poll function of its awaitable: a new one, or NULL with an exception. */
PyObject *receive_by(PyObject *self, size_t nargsf, PyObject *kwnames, awaitable_poll poll);

/* receive() of an HTTP request, a vectorcall function of a channel: an awaitable of the next
 * message. */
PyObject *receive_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);

#endif
