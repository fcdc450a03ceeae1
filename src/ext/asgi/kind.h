#ifndef EXT_ASGI_KIND_H
#define EXT_ASGI_KIND_H

#include "ext/worker/worker.h"

/* ASGI applications (version 3, HTTP). */
extern const struct app_kind asgi_kind;

#endif
