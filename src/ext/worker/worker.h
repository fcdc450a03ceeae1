#ifndef EXT_WORKER_WORKER_H
#define EXT_WORKER_WORKER_H

#include "ext/core/state.h"
#include "ext/worker/bridge.h"
#include "ext/worker/text.h"

#include "serve/engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct call;
struct slot;
struct worker;

/*
 * A kind of application: how the engine knows it, and how it is made. The class of the worker names
 * its kind (Worker.application_kind). A kind has a room of its own beside this one, and one line in
 * the table of core/module.c.
 */
struct app_kind {
    const char *name;

    /* `run` and the events are the kind's own, the others those of ops.h. `app` is the worker. */
    const struct app_ops *ops;

    bool at_head; /* requests run from their head on: see engine_options */

    /* Bytes of its struct for a request that runs, which begins with a struct call. */
    size_t call_size;

    /* Makes worker->app; the engine is there and does not run yet. 0, or -1 with an exception. */
    int (*open)(struct worker *worker);

    /* The Python objects of worker->app, which may be NULL: for the garbage collector. */
    int (*visit)(struct worker *worker, visitproc visit, void *arg);
    void (*clear)(struct worker *worker);

    /* Frees worker->app, which has been cleared. */
    void (*close)(struct worker *worker);

    /* The objects that a call keeps for the next request: visits them, and gives them back. */
    int (*visit_call)(struct call *call, visitproc visit, void *arg);
    void (*free_call)(struct call *call);
};

/* The inside of an Engine: the same for each kind of application. */
struct worker {
    struct core_state *state;
    struct engine *engine;
    const struct app_kind *kind;
    void *app; /* the kind's own */
    PyObject *module;
    PyObject *object; /* the gunicorn.workers.base.Worker */
    PyObject *application, *cfg, *log;
    PyObject *bridge; /* gunicorn.http._bridge: hooks, logging, rare paths in Python */
    PyObject *methods[BRIDGE_METHOD_COUNT]; /* the Bridge's, bound */
    PyObject *wait; /* wait(fd, write, seconds) of a foreign loop; NULL: the thread waits */
    PyObject *run_one, *collect; /* started by turn() of a loop host */
    PyObject *timeout_error;     /* RequestTimeout; NULL without request_timeout */
    PyObject *current;           /* says which greenlet runs; NULL: there are none */
    uint32_t running;            /* requests that run; attached only */
    pthread_t main_thread;       /* for request_timeout, as the next two */
    int wake_fd;                 /* wakes the main thread */
    int stacks_fd;               /* the error log; -1: none */
    struct slot *slot;           /* NULL: there is no master */
    struct call *calls;          /* free ones */
    struct text_cache texts;
    uint64_t max_requests; /* 0: none */
    atomic_ullong served;
    atomic_bool blocked; /* `timeout` counts for a loop that is blocked, though no request runs */
    bool hooks;          /* pre_request, post_request or an access log want Python objects */
    bool around;         /* the worker's class has a handle_request() of its own */
    bool shown; /* it, or pre_request, sees requests before the application and may change them */
    bool threaded;
    bool telling; /* a request that is due is being logged, which must not be interrupted */
    bool in_turn; /* a loop host starts requests */
    bool retiring;
    bool tls;               /* all listeners use TLS */
    bool tls_verifies;      /* clients are asked for certificates */
    uint64_t tls_looked_ns; /* when the certificate's files were last looked at */
};

/* Functions of struct app_ops that no kind has to write: see ops.h. */
void worker_attach(void *app);
void worker_detach(void *app);
bool worker_interrupted(void *app);
void worker_note(void *app, enum note_level level, const char *text);
int worker_wait(void *app, int fd, short events, int timeout_ms);
void worker_cut_off(void *app);
void worker_release(void *app, void *ref);

/* Whether the worker's `alive` is still set; hooks may end their worker by it. */
bool worker_is_alive(struct worker *worker);

/* The number of the listener that a request came by; a rehearsal's counts as the first. */
Py_ssize_t worker_listener(const struct worker *worker, const struct request *request);

/*
 * Returns in the worker alone. In a process that the application has forked, and that comes back
 * here, it ends the process, with the exception that is set. `request` is NULL outside requests.
 */
void worker_end_child(struct worker *worker, const struct request *request);

/* Wherever Python code of others has run, before anything is sent or the engine is called. */
static inline void worker_check_process(struct worker *worker, const struct request *request)
{
    if (!engine_is_ours(worker->engine))
        worker_end_child(worker, request);
}

#endif
