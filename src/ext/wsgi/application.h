#ifndef EXT_WSGI_APPLICATION_H
#define EXT_WSGI_APPLICATION_H

#include "ext/wsgi/wsgi_call.h"

/* Calls the application and sends the body that it returns. 0, or -1 with an exception. */
int application_call(struct wsgi_call *call, PyObject *environ);

#endif
