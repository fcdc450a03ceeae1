#ifndef EXT_CORE_PARSER_H
#define EXT_CORE_PARSER_H

#include "ext/core/state.h"

/*
 * The engine's parsers for Python: gunicorn.http.parser, gunicorn.http.body and gunicorn.uwsgi are
 * made of them. Refusals are raised as the classes of gunicorn.http.errors and
 * gunicorn.uwsgi.errors.
 */

/* Adds parse_head(), parse_packet() and ChunkedDecoder to the module. 0, or -1 with an exception.
 */
int parser_add_to(PyObject *module);

#endif
