#ifndef EXT_ASGI_MESSAGE_H
#define EXT_ASGI_MESSAGE_H

#include "ext/asgi/asgi.h"

/* The members of an application's messages; a TypeError names one of the wrong type. Each
 * may run code of the application. */

/* message["type"]: a new reference, or NULL with an exception. */
PyObject *message_type(struct asgi *asgi, PyObject *message);

/* An integer, or `otherwise` where there is none; -1 with an exception. */
long message_number(struct asgi *asgi, PyObject *message, enum asgi_name name, long otherwise);

/* 1, or 0, also where there is none; -1 with an exception. */
int message_flag(struct asgi *asgi, PyObject *message, enum asgi_name name);

/* Bytes, or a copy of another object with a buffer: a new reference; NULL for none, or with an
 * exception. */
PyObject *message_bytes(struct asgi *asgi, PyObject *message, enum asgi_name name);

/* message["headers"] as a new list of tuples of two bytes objects; NULL with an exception. */
PyObject *message_headers(struct asgi *asgi, PyObject *message);

static inline struct str message_bytes_view(PyObject *bytes)
{
    return (struct str){PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
}

#endif
