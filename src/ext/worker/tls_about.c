#include "ext/worker/tls_about.h"

#include "base/mem.h"
#include "net/tls/tls.h"

#include <string.h>

enum { CERTIFICATES_MAX = 100, CIPHERS_MAX = 200 }; /* that are shown of a connection */

typedef int find_certificate(struct tls *tls, unsigned index, char **der, size_t *size);

/* One as DER: a new reference. NULL without an exception: there is none. */
static PyObject *certificate_at(struct tls *tls, find_certificate *by, unsigned index)
{
    char *der;
    size_t size;
    int found = by(tls, index, &der, &size);
    if (found < 0)
        return PyErr_NoMemory();
    if (!found)
        return NULL;
    PyObject *bytes = PyBytes_FromStringAndSize(der, (Py_ssize_t)size);
    mem_free(der);
    return bytes;
}

PyObject *tls_about_certificate(struct tls *tls)
{
    PyObject *bytes = certificate_at(tls, tls_peer_certificate, 0);
    return bytes || PyErr_Occurred() ? bytes : Py_NewRef(Py_None);
}

/* Steals the item. 0, or -1 with an exception. */
static int append(PyObject *list, PyObject *item)
{
    int result = item ? PyList_Append(list, item) : -1;
    Py_XDECREF(item);
    return result;
}

/*
 * All of them are made while no other code runs: a list is known to the garbage collector, which
 * may run Python code when it is made, and after that the connection may be gone.
 */
struct certificates {
    unsigned count;
    PyObject *list[CERTIFICATES_MAX];
};

static bool find_certificates(struct tls *tls, find_certificate *by, struct certificates *all)
{
    PyObject *one;
    all->count = 0;
    while (all->count < CERTIFICATES_MAX && (one = certificate_at(tls, by, all->count)))
        all->list[all->count++] = one;
    return !PyErr_Occurred();
}

static PyObject *chain(struct tls *tls, find_certificate *by)
{
    struct certificates all;
    PyObject *list = find_certificates(tls, by, &all) ? PyList_New(0) : NULL;
    for (unsigned i = 0; i < all.count; i++)
        if (!list)
            Py_DECREF(all.list[i]);
        else if (append(list, all.list[i]) < 0)
            Py_CLEAR(list);
    return list;
}

static PyObject *sent_chain(struct tls *tls)
{
    return chain(tls, tls_peer_certificate);
}

static PyObject *verified_chain(struct tls *tls)
{
    return chain(tls, tls_verified_certificate);
}

static PyObject *text_or_none(const char *text, size_t size)
{
    if (!text)
        Py_RETURN_NONE;
    return PyUnicode_DecodeASCII(text, (Py_ssize_t)size, "backslashreplace");
}

static PyObject *version(struct tls *tls)
{
    return PyUnicode_FromString(tls_version(tls));
}

static PyObject *reused(struct tls *tls)
{
    return PyBool_FromLong(tls_resumed(tls));
}

static PyObject *cipher_tuple(struct tls_cipher cipher)
{
    return Py_BuildValue("(zzi)", cipher.name, cipher.version, cipher.bits);
}

static PyObject *cipher(struct tls *tls)
{
    return cipher_tuple(tls_cipher(tls));
}

static PyObject *shared_ciphers(struct tls *tls)
{
    struct tls_cipher all[CIPHERS_MAX];
    unsigned count = 0;
    while (count < CIPHERS_MAX && tls_shared_cipher(tls, count, &all[count]))
        count++;
    PyObject *list = PyList_New(0);
    for (unsigned i = 0; list && i < count; i++)
        if (append(list, cipher_tuple(all[i])) < 0)
            Py_CLEAR(list);
    return list;
}

static PyObject *protocol(struct tls *tls)
{
    size_t size = 0;
    const char *name = tls_protocol(tls, &size);
    return text_or_none(name, size);
}

static PyObject *server_name(struct tls *tls)
{
    const char *name = tls_server_name(tls);
    return text_or_none(name, name ? strlen(name) : 0);
}

static PyObject *pending(struct tls *tls)
{
    return PyLong_FromLong(tls_pending(tls));
}

static PyObject *binding(struct tls *tls)
{
    char bytes[TLS_BINDING_MAX];
    size_t size = tls_binding(tls, bytes);
    return size > 0 ? PyBytes_FromStringAndSize(bytes, (Py_ssize_t)size) : Py_NewRef(Py_None);
}

static PyObject *session(struct tls *tls)
{
    struct tls_session of = tls_session(tls);
    return Py_BuildValue("(y#llkO)", of.id, (Py_ssize_t)of.id_size, of.time, of.timeout,
                         of.lifetime_hint, of.has_ticket ? Py_True : Py_False);
}

static const struct {
    const char *name;
    PyObject *(*look)(struct tls *tls);
} looks[] = {
    {"certificate", tls_about_certificate},
    {"sent_chain", sent_chain},
    {"verified_chain", verified_chain},
    {"version", version},
    {"reused", reused},
    {"cipher", cipher},
    {"shared_ciphers", shared_ciphers},
    {"alpn", protocol},
    {"server_name", server_name},
    {"pending", pending},
    {"binding", binding},
    {"session", session},
};

PyObject *tls_about(struct tls *tls, PyObject *what)
{
    const char *name = PyUnicode_AsUTF8(what);
    if (!name)
        return NULL;
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
        if (strcmp(name, looks[i].name) == 0)
            return looks[i].look(tls);
    PyErr_SetObject(PyExc_KeyError, what);
    return NULL;
}
