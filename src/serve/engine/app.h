#ifndef SERVE_ENGINE_APP_H
#define SERVE_ENGINE_APP_H

#include <stdbool.h>

struct refused;
struct request;

enum note_level { NOTE_DEBUG, NOTE_INFO, NOTE_WARNING, NOTE_ERROR };

/*
 * How the engine knows an application: a table of functions, called by the threads of the host.
 * "Attached" means that the thread may run application code (for Python: it holds the GIL).
 */
struct app_ops {
    /* Answers one request through response.h. Attached. */
    void (*run)(void *app, struct request *request);

    void (*attach)(void *app);
    void (*detach)(void *app);

    /* Runs what signals left to do; false when the worker should stop. Attached, main thread only.
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
     * to be called. Not attached, and not to wait. */
    void (*cut_off)(void *app);

    /* Gives back a ref of response_write_ref(). Attached. */
    void (*release)(void *app, void *ref);

    /*
     * A request is over its deadline: whoever is attached is to look, by deadlines_next(). Called
     * by the stand-by, with request_timeout only; not attached, and not to wait.
     */
    void (*overdue)(void *app);

    /* One went on all through the grace: the worker is to be replaced. `unheard`: nobody has looked
     * since overdue(). Called likewise. */
    void (*give_up)(void *app, bool unheard);
};

#endif
