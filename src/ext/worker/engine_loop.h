#ifndef EXT_WORKER_ENGINE_LOOP_H
#define EXT_WORKER_ENGINE_LOOP_H

#include "ext/worker/engine_object.h"

/* The methods of an Engine that is led from a foreign event loop; see serve/engine/loop_host.h. */
PyObject *engine_fileno(PyObject *op, PyObject *unused);
PyObject *engine_news_fileno(PyObject *op, PyObject *unused);
PyObject *engine_heard(PyObject *op, PyObject *rests);
PyObject *engine_turn(PyObject *op, PyObject *start);
PyObject *engine_stopped(PyObject *op, PyObject *unused);

/* Makes the functions that turn() starts. 0, or -1 with an exception. */
int engine_loop_init(PyObject *op);

#endif
