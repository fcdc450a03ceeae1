#ifndef EXT_ASGI_CHANNEL_H
#define EXT_ASGI_CHANNEL_H

#include "ext/asgi/asgi.h"
#include "ext/asgi/awaitable.h"
#include "ext/worker/call.h"

/*
 * One run of an ASGI application: its task, and the state of receive() and send(). It outlives the
 * request, for a task may go on when the answer is complete:
 *
 *   run() ---> OPEN ---the answer is complete---> COMPLETE
 *                 \---it cannot be completed----> CUT
 */
enum channel_phase { CHANNEL_OPEN, CHANNEL_COMPLETE, CHANNEL_CUT };

/*
 * The state of a WebSocket, or that it is none:
 *
 *   ASKED ---websocket.accept---> OPEN ---websocket.close---> CLOSED
 *        \---websocket.http.response.start---> REFUSING
 */
enum channel_socket { SOCKET_NONE, SOCKET_ASKED, SOCKET_OPEN, SOCKET_CLOSED, SOCKET_REFUSING };

/* Why the server has cancelled the task. */
enum channel_cancel { NOT_CANCELLED, CANCELLED_OVERDUE, CANCELLED_AT_STOP, CANCELLED_CLIENT_LEFT };

struct channel {
    struct list link; /* in asgi->channels */
    unsigned references;
    struct worker *worker;  /* NULL: it has ended, and nothing more can be done */
    struct asgi_call *call; /* NULL: the request is over */
    PyObject *scope;
    PyObject *task;  /* NULL: it has not begun, or has ended */
    PyObject *timer; /* of asgi_disconnect_grace_period; NULL: the client is there */
    struct awaitable_queue readers, writers;
    enum channel_phase phase;
    enum channel_cancel cancelled;
    enum channel_socket socket;
    bool starting;   /* run() has not returned: it puts the connection back */
    bool body_given; /* the application has received the end of the body */
    bool client_left;
    bool disconnected;    /* the application was given http.disconnect, or an OSError; or
                             websocket.disconnect */
    bool connected;       /* the application was given websocket.connect */
    bool receives;        /* it has taken a message since its client has left */
    uint16_t code;        /* of websocket.disconnect */
    PyObject *reason;     /* the same; NULL: none */
    bool trailers_follow; /* the start of the answer has announced them */
    bool body_sent;       /* they come next */
    PyObject *trailers;   /* lines; NULL: none yet */
    PyObject *headers;    /* the application's, for hooks and loggers in Python */
};

/* A request that an ASGI application runs. */
struct asgi_call {
    struct call base;
    struct channel *channel;
};

/* A new one with one reference; NULL with an exception. Takes the scope over. */
struct channel *channel_new(struct asgi_call *call, PyObject *scope);
void channel_release(struct channel *channel);

/*
 * The request is over, whatever the answer is: it is logged, and its connection goes on. The task
 * may go on, too; a pending receive() gives http.disconnect.
 */
void channel_finish(struct channel *channel, enum channel_phase phase);

/* The worker ends: no channel that is left leads to it any more. */
void channel_cut_all(struct asgi *asgi);

/* Cancels the task, once. */
void channel_cancel(struct channel *channel, enum channel_cancel why);

static inline struct request *channel_request(const struct channel *channel)
{
    return channel->call->base.request;
}

/* Functions of a channel as Python objects: receive, send, and callbacks. */
struct channel_function {
    PyObject_HEAD vectorcallfunc vectorcall;
    struct channel *channel; /* a reference */
};

/* A new one, or NULL with an exception. */
PyObject *channel_function_new(struct channel *channel, vectorcallfunc function);

static inline struct channel *channel_of(PyObject *function)
{
    return ((struct channel_function *)function)->channel;
}

/* Whether the caller runs in another thread than the event loop. */
static inline bool channel_is_elsewhere(const struct channel *channel)
{
    return channel->worker && !pthread_equal(pthread_self(), asgi_of(channel->worker)->thread);
}

/* NULL with a RuntimeError when the worker has ended, and outside the event loop's thread: the
 * system's calls of that one let others run. */
static inline struct channel *channel_in_use(PyObject *function)
{
    struct channel *channel = channel_of(function);
    if (channel->worker && !channel_is_elsewhere(channel))
        return channel;
    PyErr_SetString(PyExc_RuntimeError,
                    channel->worker ? "receive() and send() are for the thread of the event loop: "
                                      "use asyncio.run_coroutine_threadsafe()"
                                    : "the worker has ended");
    return NULL;
}

extern PyType_Spec channel_function_spec;

#endif
