#ifndef EXT_WSGI_WSGI_H
#define EXT_WSGI_WSGI_H

#include "ext/core/state.h"

#include "serve/engine/engine.h"
#include "serve/request/stream.h"

#include <stdatomic.h>
#include <stdbool.h>

/*
 * The WSGI application as the engine sees it (PEP 3333). One struct wsgi a worker; one struct call
 * a request that runs, kept for the next one together with its Python objects.
 */

enum {
    VALUE_CACHE_SIZE = 512, /* header values that were decoded before; a power of two */
    VALUE_CACHE_MAX = 256,  /* bytes of the longest value kept */
    KEY_CACHE_SIZE = 128,   /* environ keys of header names outside the field table */
    KEY_CACHE_MAX = 48,     /* bytes of the longest such name */
    OTHERS_PAUSE_MS = 1,    /* until it is looked again whether other threads are through */
};

struct cached_key {
    uint8_t size;
    char name[KEY_CACHE_MAX];
    PyObject *key;
};

/* Decoded strings of earlier requests: most header lines of most clients are those of the last
 * request. */
struct text_cache {
    PyObject *values[VALUE_CACHE_SIZE];
    struct cached_key keys[KEY_CACHE_SIZE];
    struct peer peer; /* REMOTE_ADDR of the last new address */
    PyObject *peer_address;
};

struct call {
    struct wsgi *wsgi;
    struct request *request; /* NULL between requests: the objects below are dead */
    PyObject *start_response;
    PyObject *write;
    PyObject *early_hints;
    PyObject *socket;
    PyObject *input;
    PyObject *status; /* what the application gave, for hooks and the access log */
    PyObject *headers;
    PyObject *described; /* the request as hooks see it; NULL: nobody looks, as the next three */
    PyObject *given;     /* what handle_request() has passed on: addresses and the socket */
    PyObject *begun;     /* when, by pre_request's time */
    PyObject *environ;
    PyObject *deadline;   /* NULL without request_timeout, as all about it */
    PyObject *coroutine;  /* the greenlet that it runs in */
    unsigned long thread; /* its thread's number in Python */
    bool inside;          /* the application is at work: RequestTimeout may be raised */
    bool raised;          /* it was, in this request */
    bool proceeds;        /* handle_request() has called ours, which has not returned */
    bool reported;        /* the access log and post_request have it */
    bool warned;          /* that the body of this response is dropped */
    bool socket_taken;    /* the application talks on the socket itself */
    struct call *next;
};

struct access_log;
struct slot;

struct wsgi {
    struct core_state *state;
    struct engine *engine;
    PyObject *module;
    PyObject *worker, *application, *cfg, *log;
    PyObject *handler;    /* gunicorn.http._bridge: hooks, logging, rare paths in Python */
    PyObject **templates; /* an environ a listener */
    PyObject *empty_input;
    PyObject *wait; /* wait(fd, write, seconds) of a foreign loop; NULL: the thread waits */
    PyObject *run_one, *collect; /* what turn() of a loop host starts */
    PyObject *timeout_error;     /* RequestTimeout; NULL without request_timeout */
    PyObject *current;           /* says which greenlet runs; NULL: there are none */
    uint32_t running;            /* requests that run; attached only */
    pthread_t main_thread;       /* for request_timeout, as the next two */
    int wake_fd;                 /* wakes the main thread */
    int stacks_fd;               /* the error log; -1: none */
    struct slot *slot;           /* NULL: nobody watches */
    struct call *calls;          /* free ones */
    struct text_cache texts;
    uint64_t max_requests; /* 0: none */
    atomic_ullong served;
    bool hooks;  /* pre_request, post_request or an access log want Python objects */
    bool around; /* the worker's class has a handle_request() of its own */
    bool shown;  /* it, or pre_request, sees requests before the application and may change them */
    bool threaded;
    bool telling; /* of a request that is due: what that takes is not to be interrupted by it */
    bool in_turn; /* a loop host starts requests */
    bool retiring;
    bool environ_script_name;
    bool tls;               /* all listeners speak TLS */
    bool tls_verifies;      /* clients are asked for certificates */
    uint64_t tls_looked_ns; /* when the certificate's files were last looked at */
};

extern const struct app_ops wsgi_ops;

/* environ.c: a new dict, or NULL with an exception. */
PyObject *environ_build(struct wsgi *wsgi, struct call *call);

/* Whether the application gets the size of the body instead of its having come in chunks. */
bool environ_hides_chunks(const struct request *request);

/* describe.c: new references, or NULL with an exception. */
PyObject *describe_request(struct call *call);
PyObject *describe_response(struct call *call);
PyObject *describe_fields(struct wsgi *wsgi, const char *input, const struct head *head);

/* Fills the environ from a request that hooks have changed. 0: they have not, -1: exception. */
int describe_changes(struct call *call, PyObject *environ);

/* text.c: new references, or NULL with an exception. */
PyObject *text_value(struct text_cache *cache, const char *p, size_t n);
PyObject *text_key(struct text_cache *cache, struct str name);
PyObject *text_address(struct text_cache *cache, const struct peer *peer);
PyObject *text_unquoted(struct text_cache *cache, const char *p, size_t n);
PyObject *text_new(const char *p, size_t n);
void text_cache_clear(struct text_cache *cache);

/*
 * wsgi.c: returns in the worker alone. In a process that the application has forked, and that comes
 * back here, it ends the process, with the exception that is set. `call` is NULL outside requests.
 */
void wsgi_end_child(struct wsgi *wsgi, const struct call *call);

/* Wherever Python code of others has run, before anything is sent or the engine is called. */
static inline void wsgi_check_process(struct wsgi *wsgi, const struct call *call)
{
    if (!engine_is_ours(wsgi->engine))
        wsgi_end_child(wsgi, call);
}

/* call.c */
struct call *call_begin(struct wsgi *wsgi, struct request *request);
void call_end(struct call *call);
void call_free(struct call *call);

/* An object of `type` whose calls go to `function`, for as long as the request runs. */
PyObject *bound_new(struct core_state *state, vectorcallfunc function, struct call *call);
struct call *bound_call(PyObject *object);
void bound_detach(PyObject *object);

PyObject *input_new(struct core_state *state, struct request *request);
void input_detach(PyObject *input);
PyObject *socket_new(struct core_state *state, struct call *call);
/* The request ends, and its application has taken the connection over. */
void socket_finish(PyObject *socket);
void socket_detach(PyObject *socket);
bool socket_is_real(PyObject *socket);

/* deadline.c; overdue: the method that a signal calls. 0, or -1 with an exception. */
int deadline_init(struct wsgi *wsgi, PyObject *overdue);
int deadline_attach(struct call *call);
void deadline_detach(PyObject *object);

/* The application goes to work: 0, or -1 with an exception when there is no time left. */
int deadline_enter(struct call *call);
void deadline_leave(struct call *call);

/* The application keeps the client for itself, for as long as it likes. */
void deadline_drop(struct call *call);

/* Raises RequestTimeout where requests are due; 0, or -1 with it where that is here. `frame` is
 * what runs, if it was interrupted. */
int deadline_check(struct wsgi *wsgi, PyObject *frame);

/* The request ends. It may be due without the main thread having got the interpreter to say so, for
 * the application kept it all the time: then it is said now. */
void deadline_tell_at_end(struct call *call);

/* Whether that request still runs and RequestTimeout may be raised in it, as is done now. */
bool deadline_may_raise(struct wsgi *wsgi, uint64_t serial);

void wsgi_overdue(void *app);
void wsgi_give_up(void *app, bool unheard);

/* start_response.c */
PyObject *start_response_call(PyObject *self, PyObject *const *args, size_t nargsf,
                              PyObject *kwnames);
PyObject *write_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *early_hints_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);

/* Sends an item of the body. 0, or -1 with an exception. */
int call_write(struct call *call, PyObject *item, bool last);

/* Logs, once a response, that HEAD, 1xx, 204 and 304 have no body (RFC 9110 §6.4.1). 0, or -1 with
 * an exception. */
int call_warn_of_dropped_body(struct call *call);

/* file_wrapper.c: sends a wrapper by sendfile. 1: done, 0: it has no file, -1: exception. */
int file_wrapper_send(struct call *call, PyObject *wrapper);

/* access.c: *log is set when C writes the access log. 0, or -1 with an exception. */
int access_open(struct wsgi *wsgi, struct access_log **log);

/* Follows the logger to the file that it has opened anew. */
void access_reopen(struct wsgi *wsgi);

/* Adds the line about a request to engine->access_log; without an environ the application has not
 * seen it. */
void access_write(struct call *call, PyObject *environ);

/* The same where Python writes the log, about a request that the engine answered by itself. */
void wsgi_refused(void *app, const struct refused *refused);

/* Raises an exception that says what a response_error means. Returns -1. */
int raise_response_error(struct call *call, int error, PyObject *culprit);

#endif
