#include "ext/worker/text.h"

#include <string.h>

/*
 * Bytes of a request as str. WSGI strings are Latin-1 (PEP 3333): every byte is a character,
 * nothing can fail to decode.
 */

static bool is_ascii(const char *p, size_t n)
{
    uint64_t seen = 0, word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        seen |= word;
    }
    for (; n > 0; p++, n--)
        seen |= (unsigned char)*p;
    return (seen & 0x8080808080808080u) == 0;
}

PyObject *text_new(const char *p, size_t n)
{
    if (!is_ascii(p, n))
        return PyUnicode_DecodeLatin1(p, (Py_ssize_t)n, NULL);
    PyObject *text = PyUnicode_New((Py_ssize_t)n, 127);
    if (text && n > 0)
        memcpy(PyUnicode_1BYTE_DATA(text), p, n);
    return text;
}

uint64_t text_hash(const char *p, size_t n)
{
    uint64_t a = 0, b = 0, c = 0;
    if (n >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
        memcpy(&c, p + n / 2 - 4, 8);
    } else {
        memcpy(&a, p, n);
    }
    uint64_t hash = (a ^ (b << 21 | b >> 43) ^ (c << 42 | c >> 22) ^ n) * 0x9e3779b97f4a7c15u;
    return hash >> 32;
}

static bool same(PyObject *text, const char *p, size_t n)
{
    return (size_t)PyUnicode_GET_LENGTH(text) == n && memcmp(PyUnicode_1BYTE_DATA(text), p, n) == 0;
}

PyObject *text_value(struct text_cache *cache, const char *p, size_t n)
{
    if (n == 0 || n > VALUE_CACHE_MAX)
        return text_new(p, n);
    PyObject **place = &cache->values[text_hash(p, n) & (VALUE_CACHE_SIZE - 1)];
    if (*place && same(*place, p, n))
        return Py_NewRef(*place);
    PyObject *text = text_new(p, n);
    if (text)
        Py_XSETREF(*place, Py_NewRef(text));
    return text;
}

static PyObject *new_key(struct str name)
{
    PyObject *key = PyUnicode_New((Py_ssize_t)name.n + 5, 127);
    if (!key)
        return NULL;
    char *p = (char *)PyUnicode_1BYTE_DATA(key);
    memcpy(p, "HTTP_", 5);
    for (size_t i = 0; i < name.n; i++)
        p[5 + i] = name.p[i] == '-' ? '_' : ascii_upper(name.p[i]);
    return key;
}

PyObject *text_key(struct text_cache *cache, struct str name)
{
    if (name.n > KEY_CACHE_MAX)
        return new_key(name);
    struct cached_key *place = &cache->keys[text_hash(name.p, name.n) & (KEY_CACHE_SIZE - 1)];
    if (place->key && place->size == name.n && memcmp(place->name, name.p, name.n) == 0)
        return Py_NewRef(place->key);
    PyObject *key = new_key(name);
    if (key) {
        Py_XSETREF(place->key, Py_NewRef(key));
        memcpy(place->name, name.p, name.n);
        place->size = (uint8_t)name.n;
    }
    return key;
}

PyObject *text_address(struct text_cache *cache, const struct peer *peer)
{
    if (cache->peer_address && cache->peer.family == peer->family &&
        memcmp(cache->peer.address, peer->address, sizeof(peer->address)) == 0)
        return Py_NewRef(cache->peer_address);
    char out[PEER_TEXT_SIZE];
    PyObject *text = PyUnicode_FromString(peer_text(peer, out));
    if (text) {
        cache->peer = *peer;
        Py_XSETREF(cache->peer_address, Py_NewRef(text));
    }
    return text;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t text_unquote(const char *p, size_t n, char *out)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        int high = p[i] == '%' && i + 2 < n ? hex_digit(p[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(p[i + 2]) : -1;
        out[size++] = low >= 0 ? (char)(high << 4 | low) : p[i];
        i += low >= 0 ? 2 : 0;
    }
    return size;
}

PyObject *text_unquoted(struct text_cache *cache, const char *p, size_t n)
{
    if (!memchr(p, '%', n))
        return text_value(cache, p, n);
    char *out = PyMem_Malloc(n);
    if (!out)
        return PyErr_NoMemory();
    PyObject *text = text_new(out, text_unquote(p, n, out));
    PyMem_Free(out);
    return text;
}

void text_cache_clear(struct text_cache *cache)
{
    for (int i = 0; i < VALUE_CACHE_SIZE; i++)
        Py_CLEAR(cache->values[i]);
    for (int i = 0; i < KEY_CACHE_SIZE; i++)
        Py_CLEAR(cache->keys[i].key);
    Py_CLEAR(cache->peer_address);
}
