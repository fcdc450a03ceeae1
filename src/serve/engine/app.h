#ifndef SERVE_ENGINE_APP_H
#define SERVE_ENGINE_APP_H

#include <stdbool.h>

struct refused;
struct request;

/* The state of a request when run() returns. */
enum run_result {
    RUN_DONE,  /* it is answered */
    RUN_LATER, /* it is the application's until engine_finish(): see request_ask() */
};

/* The events that an application that answers later may wait for. */
enum request_event {
    REQUEST_BODY = 1,     /* bytes of the body can be taken, or it has ended or failed */
    REQUEST_ROOM = 2,     /* the client has taken the answer so far, but for OUT_LOW bytes */
    REQUEST_GONE = 4,     /* the client has closed, reset or half-closed its connection */
    REQUEST_DEADLINE = 8, /* request_timeout is over, or the worker's time to end */
};

enum note_level { NOTE_DEBUG, NOTE_INFO, NOTE_WARNING, NOTE_ERROR };

/*
 * How the engine knows an application: a table of functions, called by the threads of the host.
 * "Attached" means that the thread may run application code (for Python: it holds the GIL).
 */
struct app_ops {
    /* Answers one request through response.h, or begins to. Attached. */
    enum run_result (*run)(void *app, struct request *request);

    /*
     * These events (REQUEST_*) have happened, of those that request_ask() asked for. NULL: the
     * application answers each request before run() returns. Where it is given, writing never
     * waits. Attached, one call at a time for each request. engine_finish() may be called within.
     */
    void (*events)(void *app, struct request *request, unsigned events);

    void (*attach)(void *app);
    void (*detach)(void *app);

    /* Does the work that signals have left; false when the worker should stop. Attached, main
     * thread only.
     */
    bool (*interrupted)(void *app);

    /* A line for the error log that the engine could not write itself. Attached. */
    void (*note)(void *app, enum note_level level, const char *text);

    /* The line of the access log about a request that the application has not seen, for engines
     * with app_logs: see refused.h. Attached. */
    void (*refused)(void *app, const struct refused *refused);

    /*
     * Waits until fd is ready for `events` (poll.h), or, with fd -1, for the time alone: 1, or 0
     * after timeout_ms, -1 when the wait was broken off. Attached; other requests may run
     * meanwhile, on this thread or on others.
     */
    int (*wait)(void *app, int fd, short events, int timeout_ms);

    /* graceful_timeout is nearly over: running requests are to be broken off, and engine_stop()
     * to be called. Not attached, and not to wait. NULL: REQUEST_DEADLINE is enough, and the engine
     * ends when the last of them is finished. */
    void (*cut_off)(void *app);

    /* Gives back a ref of response_write_ref(). Attached. */
    void (*release)(void *app, void *ref);

    /*
     * A request is over its deadline: an attached thread is to look, by deadlines_next(). Called
     * by the stand-by, with request_timeout only; not attached, and not to wait.
     */
    void (*overdue)(void *app);

    /* One went on all through the grace: the worker is to be replaced. `unheard`: no thread has
     * looked since overdue(). Called likewise. */
    void (*give_up)(void *app, bool unheard);

    /* The foreign loop is blocked (loop_block_warning). Called likewise. NULL: it is not watched.
     */
    void (*loop_blocked)(void *app);
};

#endif
