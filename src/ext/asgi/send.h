#ifndef EXT_ASGI_SEND_H
#define EXT_ASGI_SEND_H

#include "ext/asgi/channel.h"
#include "serve/request/response.h"

/* How a message was sent; -1 with an exception. */
enum send_result {
    SEND_ALL,
    SEND_FULL, /* as well, and too much waits for the client: the awaitable waits */
};

/* Sends a message of that type. */
typedef int (*send_dispatch)(struct channel *channel, PyObject *type, PyObject *message);

/* send(message), by the functions that send it and that wait for the client. */
PyObject *send_by(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames,
                  send_dispatch send, awaitable_poll wait);

/* Parts of it, for a handshake that is answered by HTTP: 0, or -1 with an exception. */
int send_start(struct channel *channel, PyObject *message);
int send_body(struct channel *channel, PyObject *message);
int send_result(struct channel *channel, int sent);
PyObject *send_wait_for_room(PyObject *self);

/* Raises an exception for an error; `culprit` is the header's name. */
int send_error(struct channel *channel, enum response_error error, PyObject *culprit);

/* Keeps the headers for hooks and loggers in Python. */
void send_remember(struct channel *channel, PyObject *pairs);

/*
 * send(message) of an HTTP request, a vectorcall function of a channel. The message is sent, or
 * refused by an exception, before it returns; its awaitable waits only while too much waits for the
 * client.
 */
PyObject *send_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);

#endif
