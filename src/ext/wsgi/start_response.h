#ifndef EXT_WSGI_START_RESPONSE_H
#define EXT_WSGI_START_RESPONSE_H

#include "ext/wsgi/wsgi_call.h"

/* The functions of RequestCallables. */
PyObject *start_response_call(PyObject *self, PyObject *const *args, size_t nargsf,
                              PyObject *kwnames);
PyObject *write_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *early_hints_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *send_trailers_call(PyObject *self, PyObject *const *args, size_t nargsf,
                             PyObject *kwnames);

/* Sends an item of the body. 0, or -1 with an exception. */
int start_response_write(struct wsgi_call *call, PyObject *item, bool last);

/* Logs, once a response, that HEAD, 1xx, 204 and 304 have no body (RFC 9110 §6.4.1). 0, or -1 with
 * an exception. */
int start_response_warn_of_body(struct wsgi_call *call);

/* Raises the exception of a response_error. Returns -1. */
int start_response_raise(struct wsgi_call *call, int error, PyObject *culprit);

#endif
