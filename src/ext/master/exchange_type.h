#ifndef EXT_MASTER_EXCHANGE_TYPE_H
#define EXT_MASTER_EXCHANGE_TYPE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "serve/dispatch/exchange.h"

/* gunicorn._core.Exchange, by which the workers of one generation hand requests over. */
extern PyType_Spec exchange_type_spec;

/* The exchange behind an Exchange object; NULL (no exception) for anything else, such as None.
 * Borrowed: it lives as long as the object. */
const struct exchange *exchange_type_from(PyObject *object);

#endif
