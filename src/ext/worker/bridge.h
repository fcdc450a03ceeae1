#ifndef EXT_WORKER_BRIDGE_H
#define EXT_WORKER_BRIDGE_H

#include "ext/core/methods.h"

/* Methods of gunicorn.http._bridge.Bridge that a worker of any kind calls. */
#define BRIDGE_METHODS(X)                                                                          \
    X(access_target)                                                                               \
    X(after)                                                                                       \
    X(before)                                                                                      \
    X(client_socket)                                                                               \
    X(client_variables)                                                                            \
    X(end_child)                                                                                   \
    X(failed)                                                                                      \
    X(field)                                                                                       \
    X(has_shared_keys)                                                                             \
    X(interrupt)                                                                                   \
    X(make_request)                                                                                \
    X(make_response)                                                                               \
    X(note)                                                                                        \
    X(overdue)                                                                                     \
    X(raise_body_limit)                                                                            \
    X(raise_error)                                                                                 \
    X(refused)                                                                                     \
    X(renew_certificate)                                                                           \
    X(retire)                                                                                      \
    X(runs_now)                                                                                    \
    X(server_fields)                                                                               \
    X(server_name)                                                                                 \
    X(shared_key)                                                                                  \
    X(stack_of_frame)                                                                              \
    X(stack_of_greenlet)                                                                           \
    X(stack_of_thread)                                                                             \
    X(stuck)                                                                                       \
    X(take_over_socket)                                                                            \
    X(watch_deadlines)

enum { BRIDGE_METHODS(METHOD_INDEX) BRIDGE_METHOD_COUNT };

#endif
