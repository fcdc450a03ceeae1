#ifndef EXT_WSGI_ENVIRON_H
#define EXT_WSGI_ENVIRON_H

#include "ext/wsgi/wsgi_call.h"

/* A new dict, or NULL with an exception. */
PyObject *environ_build(struct wsgi_call *call);

#endif
