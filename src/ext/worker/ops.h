#ifndef EXT_WORKER_OPS_H
#define EXT_WORKER_OPS_H

#include "ext/worker/access.h"
#include "ext/worker/timeout.h"
#include "ext/worker/worker.h"

/* The part of a struct app_ops that is the same for each kind of application. */
#define WORKER_OPS                                                                                 \
    .attach = worker_attach, .detach = worker_detach, .interrupted = worker_interrupted,           \
    .note = worker_note, .refused = access_refused, .wait = worker_wait,                           \
    .overdue = timeout_overdue, .give_up = timeout_give_up, .cut_off = worker_cut_off,             \
    .release = worker_release

#endif
