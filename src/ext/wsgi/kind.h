#ifndef EXT_WSGI_KIND_H
#define EXT_WSGI_KIND_H

#include "ext/worker/worker.h"

/* WSGI applications (PEP 3333). */
extern const struct app_kind wsgi_kind;

#endif
