#ifndef EXT_WORKER_OPTIONS_H
#define EXT_WORKER_OPTIONS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "serve/engine/engine.h"

/* The settings as the engine knows them, with all that its options borrow. */
struct options {
    struct engine_options engine;
    struct forwarded forwarded;
    struct trust trust, proxies, gateways;
    char *tmp_dir;
    char *tmp_upload_dir;
    uint32_t timeout_ms;
    uint32_t workers, workers_max;
    bool reuse_port;
    bool http2; /* among http_protocols */
};

/* Reads a gunicorn.config.Config. 0, or -1 with an exception; options_free() in either case. */
int options_read(struct options *options, PyObject *cfg);

void options_free(struct options *options);

#endif
