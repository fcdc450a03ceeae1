#ifndef EXT_WORKER_CALL_H
#define EXT_WORKER_CALL_H

#include "ext/worker/worker.h"

/*
 * A request that the application runs, as far as that is the same for each kind of application. It
 * is the first member of the kind's own struct, and kept for the next request together with those
 * of its Python objects that the application has not kept.
 */
struct call {
    struct worker *worker;
    struct request *request; /* NULL between requests: the objects below are dead */
    PyObject *socket;        /* environ['gunicorn.socket'] */
    PyObject *described;     /* the request as hooks see it; NULL: none looks, as the next */
    PyObject *begun;         /* when, by pre_request's time */
    PyObject *deadline;      /* NULL without request_timeout, as all about it */
    PyObject *coroutine;     /* the greenlet that it runs in */
    unsigned long thread;    /* its thread's number in Python */
    int place;               /* in the table of requests that run, of the worker's slot */
    bool inside;             /* the application is at work: RequestTimeout may be raised */
    bool raised;             /* it was, in this request */
    bool reported;           /* the access log and post_request have it */
    bool socket_taken;       /* the application talks on the socket itself */
    struct call *next;
};

/* A request begins to run: a struct of kind->call_size bytes. NULL: it cannot be run, which is
 * reported, and answered by 500. */
struct call *call_begin(struct worker *worker, struct request *request);

/* The same for want of an object of the kind's, with the exception that is set; the call ends as
 * any other. */
void call_refuse(struct call *call);

/* The request ends: from here on nothing that the application has kept leads to it. */
void call_part(struct call *call);

/* After call_part(), with the kind's own objects given back: the struct is free for the next
 * request. May run Python code. */
void call_end(struct call *call, struct request *request);

/*
 * The exception that is set ends the request: logged, answered by 500 when nothing was sent, by the
 * end of the connection when something was.
 */
void call_fail(struct call *call);

/* An object that the application has kept is cut off from the next request; others are used
 * again. */
void call_keep_or_cut(PyObject **object, void (*cut)(PyObject *));

/* The calls that wait for a request: visits their Python objects, and frees them. */
int call_visit_all(struct worker *worker, visitproc visit, void *arg);
void call_free_all(struct worker *worker);

#endif
