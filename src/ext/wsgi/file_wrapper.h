#ifndef EXT_WSGI_FILE_WRAPPER_H
#define EXT_WSGI_FILE_WRAPPER_H

#include "ext/wsgi/wsgi_call.h"

/* Sends a wrapper by sendfile. 1: done, 0: it has no file, -1: exception. */
int file_wrapper_send(struct wsgi_call *call, PyObject *wrapper);

extern PyType_Spec file_wrapper_spec;

#endif
