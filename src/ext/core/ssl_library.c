#include "ext/core/ssl_library.h"

#include "net/tls/tls.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { ERROR_SIZE = 256 };

/* "system": as if OpenSSL were hidden inside Python. */
static const char choice[] = "GUNICORN_OPENSSL";

/* OpenSSL 3's names; its interface and the layout of none of its structures is relied on. */
static const char *const system_names[] = {"libssl.so.3", "libssl.3.dylib"};

/* ---- Python's ---- */

/* The extension module's file: its dependencies are searched with it. NULL: it is built in. */
static void *open_ssl_module(PyObject *module)
{
    PyObject *path = PyObject_GetAttrString(module, "__file__");
    const char *text = path ? PyUnicode_AsUTF8(path) : NULL;
    void *handle = text ? dlopen(text, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    Py_XDECREF(path);
    PyErr_Clear();
    return handle;
}

/* ssl.OPENSSL_VERSION_NUMBER; with an exception if it is missing. */
static unsigned long version_of(PyObject *module)
{
    PyObject *number = PyObject_GetAttrString(module, "OPENSSL_VERSION_NUMBER");
    unsigned long version = number ? PyLong_AsUnsignedLong(number) : 0;
    Py_XDECREF(number);
    return version;
}

static bool is_unwanted(void)
{
    const char *wanted = getenv(choice);
    return wanted && strcmp(wanted, "system") == 0;
}

/* true, or false with a line in `error`, or with an exception. */
static bool open_shared(struct ssl_library *library, PyObject *module, bool layout_is_known,
                        char error[ERROR_SIZE])
{
    if (!layout_is_known || is_unwanted()) {
        PyOS_snprintf(error, ERROR_SIZE, "it is not tried");
        return false;
    }
    unsigned long version = version_of(module);
    library->handle = PyErr_Occurred() ? NULL : open_ssl_module(module);
    if (!library->handle) {
        PyOS_snprintf(error, ERROR_SIZE, "it is built in, and hidden");
        return false;
    }
    library->shared = tls_load(library->handle, version, error, ERROR_SIZE);
    return library->shared;
}

static void close_handle(struct ssl_library *library)
{
    if (library->handle)
        dlclose(library->handle); /* Python keeps the library that the functions are from */
    library->handle = NULL;
}

/* ---- the system's ---- */

static bool open_system(struct ssl_library *library, char error[ERROR_SIZE])
{
    close_handle(library);
    PyOS_snprintf(error, ERROR_SIZE, "%s is not installed (Debian's package is libssl3)",
                  system_names[0]);
    for (size_t i = 0; !library->handle && i < sizeof(system_names) / sizeof(char *); i++)
        library->handle = dlopen(system_names[i], RTLD_NOW | RTLD_LOCAL);
    return library->handle && tls_load(library->handle, 0, error, ERROR_SIZE);
}

/* ---- one of them ---- */

/* 0, or -1 with an exception. */
static int open_one(struct ssl_library *library, PyObject *module, PyObject *unavailable,
                    bool layout_is_known)
{
    char pythons[ERROR_SIZE], systems[ERROR_SIZE];
    library->context_type = (PyTypeObject *)PyObject_GetAttrString(module, "_SSLContext");
    if (!library->context_type)
        return -1;
    if (open_shared(library, module, layout_is_known, pythons))
        return 0;
    if (!PyErr_Occurred() && open_system(library, systems))
        return 0;
    if (!PyErr_Occurred())
        PyErr_Format(unavailable, "Python's OpenSSL cannot be used: %s; nor the system's: %s",
                     pythons, systems);
    return -1;
}

struct ssl_library *ssl_library_open(PyObject *unavailable, bool layout_is_known)
{
    PyObject *module = PyImport_ImportModule("_ssl");
    if (!module) {
        PyErr_SetString(unavailable, "it was built without the module ssl");
        return NULL;
    }
    struct ssl_library *library = PyMem_Calloc(1, sizeof(*library));
    if (!library)
        PyErr_NoMemory();
    else if (open_one(library, module, unavailable, layout_is_known) < 0) {
        ssl_library_free(library);
        library = NULL;
    }
    Py_DECREF(module);
    return library;
}

int ssl_library_visit(struct ssl_library *library, visitproc visit, void *arg)
{
    if (library)
        Py_VISIT(library->context_type);
    return 0;
}

void ssl_library_free(struct ssl_library *library)
{
    if (!library)
        return;
    close_handle(library);
    Py_XDECREF(library->context_type);
    PyMem_Free(library);
}
