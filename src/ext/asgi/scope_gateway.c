#include "ext/asgi/scope_gateway.h"

#include "proto/cgi.h"

/* Steals `value`, which may be NULL with an exception. */
static int put(PyObject *scope, PyObject *key, PyObject *value)
{
    int result = value ? PyDict_SetItem(scope, key, value) : -1;
    Py_XDECREF(value);
    return result;
}

static struct str value_of(const struct request *request, enum cgi_name name)
{
    return cgi_value(request->cgi, request->input, name);
}

/* Bytes that are no UTF-8 become U+FFFD, as in the path of HTTP. */
static PyObject *text_of(struct str value)
{
    return PyUnicode_DecodeUTF8(value.p ? value.p : "", (Py_ssize_t)value.n, "replace");
}

/* SCRIPT_NAME and PATH_INFO are decoded already; `path` has both, as root_path is a part of it. */
static int put_path(struct asgi *asgi, PyObject *scope, const struct request *request)
{
    struct str script = value_of(request, CGI_SCRIPT_NAME);
    struct str info = value_of(request, CGI_PATH_INFO);
    if (script.n > 0 && put(scope, ASGI_NAME(asgi, root_path), text_of(script)) < 0)
        return -1;
    if (!info.p)
        return 0;
    PyObject *root = text_of(script), *rest = text_of(info);
    PyObject *path = root && rest ? PyUnicode_Concat(root, rest) : NULL;
    Py_XDECREF(root);
    Py_XDECREF(rest);
    return put(scope, ASGI_NAME(asgi, path), path);
}

/* A port of another form leaves the address of the listener. */
static int put_server(struct asgi *asgi, PyObject *scope, const struct request *request)
{
    struct str name = value_of(request, CGI_SERVER_NAME), port = value_of(request, CGI_SERVER_PORT);
    long number = 0;
    for (size_t i = 0; i < port.n && number <= UINT16_MAX; i++)
        number = port.p[i] >= '0' && port.p[i] <= '9' ? number * 10 + (port.p[i] - '0') : 1L << 20;
    if (name.n == 0 || port.n == 0 || number > UINT16_MAX)
        return 0;
    PyObject *host = text_of(name);
    return put(scope, ASGI_NAME(asgi, server), host ? Py_BuildValue("(Nl)", host, number) : NULL);
}

int scope_gateway(struct asgi *asgi, PyObject *scope, const struct request *request)
{
    return put_path(asgi, scope, request) < 0 ? -1 : put_server(asgi, scope, request);
}
