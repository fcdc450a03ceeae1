#ifndef EXT_EXCHANGE_H
#define EXT_EXCHANGE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "serve/dispatch/exchange.h"

/* Adds gunicorn._core.Exchange, by which the workers of one generation hand requests over. 0 or -1.
 */
int ext_exchange_init(PyObject *module);

/* The exchange behind an Exchange object; NULL (no exception) for anything else, such as None.
 * Borrowed: it lives as long as the object. */
const struct exchange *ext_exchange_from(PyObject *object);

#endif
