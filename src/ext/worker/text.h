#ifndef EXT_WORKER_TEXT_H
#define EXT_WORKER_TEXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/str.h"
#include "net/socket.h"

#include <stdint.h>

enum {
    VALUE_CACHE_SIZE = 512, /* field values that were decoded before; a power of two */
    VALUE_CACHE_MAX = 256,  /* bytes of the longest value kept */
    KEY_CACHE_SIZE = 128,   /* environ keys of field names outside the field table */
    KEY_CACHE_MAX = 48,     /* bytes of the longest such name */
};

struct cached_key {
    uint8_t size;
    char name[KEY_CACHE_MAX];
    PyObject *key;
};

/* Decoded strings of earlier requests: most field lines of most clients are those of the last
 * request. */
struct text_cache {
    PyObject *values[VALUE_CACHE_SIZE];
    struct cached_key keys[KEY_CACHE_SIZE];
    struct peer peer; /* REMOTE_ADDR of the last new address */
    PyObject *peer_address;
};

/* All of them: new references, or NULL with an exception. */
PyObject *text_new(const char *p, size_t n);
PyObject *text_value(struct text_cache *cache, const char *p, size_t n);
PyObject *text_key(struct text_cache *cache, struct str name);
PyObject *text_address(struct text_cache *cache, const struct peer *peer);
PyObject *text_unquoted(struct text_cache *cache, const char *p, size_t n);

/* Of a few words of the value: enough to spread, and the same cost for a short and a long one. */
uint64_t text_hash(const char *p, size_t n);

/* Percent-decoding into n bytes; a '%' that no two digits follow stands for itself. Returns the
 * size. */
size_t text_unquote(const char *p, size_t n, char *out);

void text_cache_clear(struct text_cache *cache);

#endif
