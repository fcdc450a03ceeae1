#ifndef EXT_WSGI_INPUT_H
#define EXT_WSGI_INPUT_H

#include "ext/core/state.h"

struct request;

/* wsgi.input: a new reference, or NULL with an exception. Without a request it is at its end. */
PyObject *input_new(struct core_state *state, struct request *request);

/* The request is over. */
void input_detach(PyObject *input);

extern PyType_Spec input_spec;

#endif
