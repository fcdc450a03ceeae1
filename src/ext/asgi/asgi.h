#ifndef EXT_ASGI_ASGI_H
#define EXT_ASGI_ASGI_H

#include "base/list.h"
#include "ext/asgi/awaitable.h"
#include "ext/asgi/pairs.h"
#include "ext/core/methods.h"
#include "ext/worker/worker.h"

#include <pthread.h>

/* Methods of gunicorn.workers._asgi.Half, the Python half of an ASGI worker's engine. */
#define ASGI_METHODS(X)                                                                            \
    X(cancel_task)                                                                                 \
    X(client_left)                                                                                 \
    X(create_future)                                                                               \
    X(create_task)                                                                                 \
    X(exit)                                                                                        \
    X(environ)                                                                                     \
    X(task_failed)                                                                                 \
    X(incomplete)                                                                                  \
    X(task_overdue)                                                                                \
    X(task_stuck)                                                                                  \
    X(trailers)                                                                                    \
    X(put_forwarded_client)                                                                        \
    X(send_from_thread)                                                                            \
    X(pairs)                                                                                       \
    X(scopes)

enum { ASGI_METHODS(METHOD_INDEX) ASGI_METHOD_COUNT };

/* Strings of scopes and messages. */
#define ASGI_NAMES(X)                                                                              \
    X(asgi, "asgi")                                                                                \
    X(add_done_callback, "add_done_callback")                                                      \
    X(body, "body")                                                                                \
    X(bytes, "bytes")                                                                              \
    X(client, "client")                                                                            \
    X(code, "code")                                                                                \
    X(count, "count")                                                                              \
    X(disconnect, "http.disconnect")                                                               \
    X(done, "done")                                                                                \
    X(extensions, "extensions")                                                                    \
    X(blocking, "_asyncio_future_blocking")                                                        \
    X(file, "file")                                                                                \
    X(headers, "headers")                                                                          \
    X(http, "http")                                                                                \
    X(http_version, "http_version")                                                                \
    X(https, "https")                                                                              \
    X(links, "links")                                                                              \
    X(method, "method")                                                                            \
    X(more_body, "more_body")                                                                      \
    X(more_trailers, "more_trailers")                                                              \
    X(offset, "offset")                                                                            \
    X(one_zero, "1.0")                                                                             \
    X(two, "2")                                                                                    \
    X(path, "path")                                                                                \
    X(query_string, "query_string")                                                                \
    X(raw_path, "raw_path")                                                                        \
    X(reason, "reason")                                                                            \
    X(result, "result")                                                                            \
    X(root_path, "root_path")                                                                      \
    X(set_result, "set_result")                                                                    \
    X(scheme, "scheme")                                                                            \
    X(server, "server")                                                                            \
    X(state, "state")                                                                              \
    X(status, "status")                                                                            \
    X(subprotocol, "subprotocol")                                                                  \
    X(subprotocols, "subprotocols")                                                                \
    X(text, "text")                                                                                \
    X(trailers, "trailers")                                                                        \
    X(type, "type")                                                                                \
    X(ws, "ws")                                                                                    \
    X(wss, "wss")

enum asgi_name {
#define ASGI_NAME_ENUM(identifier, text) ASGI_##identifier,
    ASGI_NAMES(ASGI_NAME_ENUM)
#undef ASGI_NAME_ENUM
        ASGI_NAME_COUNT
};

/* The part of a worker that only ASGI applications need. */
struct asgi {
    PyObject *half;
    pthread_t thread; /* of the loop */
    PyObject *methods[ASGI_METHOD_COUNT];
    PyObject *names[ASGI_NAME_COUNT];
    PyObject *trailers_extension;  /* a dict for scope["extensions"] */
    PyObject *templates;           /* a list of scopes: one a listener, and that of a rehearsal */
    PyObject *websocket_templates; /* the same */
    PyObject *context;             /* a contextvars.Context: that of the worker's start */
    PyObject *task_type;           /* asyncio.Task; NULL: tasks are made by create_task() */
    PyObject *task_keywords;       /* a dict, for task_type */
    PyObject *loop;
    PyObject
        *tasks;     /* a dict: tasks that have waited, also of complete answers, and their scopes */
    PyObject *done; /* an awaitable that has completed */
    struct awaitable_futures futures;
    PyObject *empty;                                                  /* b"" */
    PyObject *request_message, *disconnect_message, *receive_message; /* templates */
    struct list channels;                                             /* those that are there */
    struct pairs pairs;
    bool takes_forwarded; /* asgi_forwarded_client */
    struct peer peer;     /* scope["client"] of the last new one */
    PyObject *client;
};

static inline struct asgi *asgi_of(const struct worker *worker)
{
    return (struct asgi *)worker->app;
}

#define ASGI_NAME(asgi, identifier) ((asgi)->names[ASGI_##identifier])

#endif
