#ifndef EXT_CORE_STATE_H
#define EXT_CORE_STATE_H

#include "ext/core/compat.h"

#include "proto/field.h"

/* Strings that the environ and the hooks need at each request, interned once a module. */
#define NAME_TABLE(X)                                                                              \
    X(wsgi_url_scheme, "wsgi.url_scheme")                                                          \
    X(wsgi_input, "wsgi.input")                                                                    \
    X(wsgi_early_hints, "wsgi.early_hints")                                                        \
    X(http_version, "HTTP_VERSION")                                                                \
    X(http2_version, "2")                                                                          \
    X(http2_weight, "gunicorn.http2.priority_weight")                                              \
    X(http2_depends_on, "gunicorn.http2.priority_depends_on")                                      \
    X(http2_send_trailers, "gunicorn.http2.send_trailers")                                         \
    X(gunicorn_socket, "gunicorn.socket")                                                          \
    X(gunicorn_deadline, "gunicorn.deadline")                                                      \
    X(request_method, "REQUEST_METHOD")                                                            \
    X(query_string, "QUERY_STRING")                                                                \
    X(raw_uri, "RAW_URI")                                                                          \
    X(server_protocol, "SERVER_PROTOCOL")                                                          \
    X(server_name, "SERVER_NAME")                                                                  \
    X(server_port, "SERVER_PORT")                                                                  \
    X(remote_addr, "REMOTE_ADDR")                                                                  \
    X(remote_port, "REMOTE_PORT")                                                                  \
    X(path_info, "PATH_INFO")                                                                      \
    X(proxy_protocol, "PROXY_PROTOCOL")                                                            \
    X(proxy_addr, "PROXY_ADDR")                                                                    \
    X(proxy_port, "PROXY_PORT")                                                                    \
    X(proxy_authority, "PROXY_AUTHORITY")                                                          \
    X(proxy_unique_id, "PROXY_UNIQUE_ID")                                                          \
    X(proxy_ssl_protocol, "PROXY_SSL_PROTOCOL")                                                    \
    X(proxy_ssl_cipher, "PROXY_SSL_CIPHER")                                                        \
    X(proxy_ssl_client_cn, "PROXY_SSL_CLIENT_S_DN_CN")                                             \
    X(proxy_ssl_client_verify, "PROXY_SSL_CLIENT_VERIFY")                                          \
    X(script_name, "SCRIPT_NAME")                                                                  \
    X(http, "http")                                                                                \
    X(https, "https")                                                                              \
    X(close, "close")                                                                              \
    X(alive, "alive")                                                                              \
    X(exc_info, "exc_info")                                                                        \
    X(ssl_protocol, "SSL_PROTOCOL")                                                                \
    X(ssl_cipher, "SSL_CIPHER")                                                                    \
    X(ssl_session_resumed, "SSL_SESSION_RESUMED")                                                  \
    X(ssl_tls_sni, "SSL_TLS_SNI")                                                                  \
    X(resumed, "Resumed")

enum name_id {
#define NAME_ENUM(identifier, text) NAME_##identifier,
    NAME_TABLE(NAME_ENUM)
#undef NAME_ENUM
        NAME_COUNT
};

struct app_kind;
struct ssl_library;

struct core_state {
    const struct app_kind *const *kinds; /* of applications; ends with NULL */
    PyTypeObject *engine_type;
    PyTypeObject *bound_type;
    PyTypeObject *input_type;
    PyTypeObject *socket_type;
    PyTypeObject *deadline_type;
    PyTypeObject *file_wrapper_type;
    PyTypeObject *awaitable_type;
    PyTypeObject *channel_function_type;
    PyObject *tls_unavailable; /* an exception's class */
    struct ssl_library *ssl;   /* owned; NULL until TLS is used */
    PyObject *names[NAME_COUNT];
    PyObject *header_keys[FIELD_COUNT]; /* "HTTP_ACCEPT" … */
    PyObject *field_names[FIELD_COUNT]; /* "ACCEPT" … */
};

#define NAME(state, identifier) ((state)->names[NAME_##identifier])

extern struct PyModuleDef core_module;

static inline struct core_state *core_state_of(PyObject *module)
{
    return (struct core_state *)PyModule_GetState(module);
}

/* Makes a type and adds it; *type is a new reference, unless `type` is NULL. 0, or -1 with an
 * exception. */
int core_add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type);

/* 0, or -1 with an exception. */
int core_names_init(struct core_state *state);
int core_names_visit(struct core_state *state, visitproc visit, void *arg);
void core_names_clear(struct core_state *state);

#endif
