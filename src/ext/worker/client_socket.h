#ifndef EXT_WORKER_CLIENT_SOCKET_H
#define EXT_WORKER_CLIENT_SOCKET_H

#include "ext/worker/call.h"

/* environ['gunicorn.socket']: a new reference, or NULL with an exception. */
PyObject *client_socket_new(struct core_state *state, struct call *call);

/* The request ends, and its application has taken the connection over. */
void client_socket_finish(PyObject *socket);

/* The request is over. May run Python code. */
void client_socket_detach(PyObject *socket);

/* Whether it has made objects that are not used again. */
bool client_socket_is_real(PyObject *socket);

extern PyType_Spec client_socket_spec;

#endif
