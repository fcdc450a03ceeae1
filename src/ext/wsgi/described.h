#ifndef EXT_WSGI_DESCRIBED_H
#define EXT_WSGI_DESCRIBED_H

#include "ext/wsgi/wsgi_call.h"

/* Answers a request that hooks, the access log or the worker's class want to see as an object. */
void described_answer(struct wsgi_call *call);

#endif
