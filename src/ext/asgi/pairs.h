#ifndef EXT_ASGI_PAIRS_H
#define EXT_ASGI_PAIRS_H

#include "ext/core/state.h"

#include "base/str.h"

/*
 * Header fields of earlier requests as pairs of bytes, (name in lower case, value), and values
 * alone: most lines of most clients are those of the last request.
 */

enum {
    PAIR_CACHE_SIZE = 512,  /* pairs; a power of two */
    BYTES_CACHE_SIZE = 256, /* values; the same */
    PAIR_CACHE_MAX = 256,   /* bytes of the longest name or value that is kept */
};

struct pairs {
    PyObject *names[FIELD_COUNT]; /* b"accept" … */
    PyObject *kept[PAIR_CACHE_SIZE];
    PyObject *bytes[BYTES_CACHE_SIZE];
};

/* 0, or -1 with an exception. */
int pairs_init(struct pairs *pairs);
int pairs_visit(struct pairs *pairs, visitproc visit, void *arg);
void pairs_clear(struct pairs *pairs);

/* New references, or NULL with an exception. `id` is that of the name, FIELD_OTHER if none. */
PyObject *pairs_field(struct pairs *pairs, enum field_id id, struct str name, struct str value);
PyObject *pairs_bytes(struct pairs *pairs, struct str value);

#endif
