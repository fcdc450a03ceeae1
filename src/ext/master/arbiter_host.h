#ifndef EXT_MASTER_ARBITER_HOST_H
#define EXT_MASTER_ARBITER_HOST_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "proc/loop/arbiter.h"
#include "proc/port/control.h"
#include "proc/port/status.h"

/*
 * The Python face of proc/arbiter: `owner`, a gunicorn.arbiter.Arbiter, is the host. Where a
 * subclass overrides a method, the duty goes through the owner's method of gunicorn's name. The
 * methods of the class itself come back to the functions here, so without an override these are
 * called at once. Events are reported to functions of gunicorn.master.events, which are looked up
 * once.
 */
enum arbiter_duty {
    ARBITER_DUTY_REAP,
    ARBITER_DUTY_MURDER,
    ARBITER_DUTY_MANAGE,
    ARBITER_DUTY_WOKEN,
    ARBITER_DUTY_COUNT
};

enum arbiter_event {
    ARBITER_EVENT_WOKEN,
    ARBITER_EVENT_SIGNALLED,
    ARBITER_EVENT_WAITING,
    ARBITER_EVENT_BACKLOG,
    ARBITER_EVENT_SCALED,
    ARBITER_EVENT_WORKER_DIED,
    ARBITER_EVENT_STRANGER_DIED,
    ARBITER_EVENT_SPAWN_DIRTY,
    ARBITER_EVENT_DIRTY_READY,
    ARBITER_EVENT_DIRTY_DIED,
    ARBITER_EVENT_DIRTY_FIGURES,
    ARBITER_EVENT_DIRTY_SIGN,
    ARBITER_EVENT_DIRTY_TIMED_OUT,
    ARBITER_EVENT_KILL_DIRTY,
    ARBITER_EVENT_READY,
    ARBITER_EVENT_COUNTED,
    ARBITER_EVENT_TIMED_OUT,
    ARBITER_EVENT_SLOW_BOOT,
    ARBITER_EVENT_OVERDUE,
    ARBITER_EVENT_DUE,
    ARBITER_EVENT_TOO_BIG,
    ARBITER_EVENT_BORN_BIG,
    ARBITER_EVENT_HURRY,
    ARBITER_EVENT_CANNOT_ANSWER,
    ARBITER_EVENT_COMMANDED,
    ARBITER_EVENT_COLLECTED,
    ARBITER_EVENT_FORKED,
    ARBITER_EVENT_STRAYED,
    ARBITER_EVENT_COUNT
};

struct arbiter_object {
    PyObject_HEAD PyObject *owner;
    PyObject *events[ARBITER_EVENT_COUNT];
    PyTypeObject *slot_type;
    bool in_python[ARBITER_DUTY_COUNT]; /* duties that Python has a part in */
    size_t counted;                     /* children, when that was reported last */
    bool open;
    struct arbiter arbiter;
    struct status status;
    struct control control;
};

/* Its `ctx` is a struct arbiter_object. */
extern const struct arbiter_host arbiter_host_python;
extern const struct arbiter_fork_hooks arbiter_host_fork;

/* Looks up the functions of gunicorn.master.events. 0, or -1 with an exception. */
int arbiter_host_look_up(struct arbiter_object *self, PyObject *events);

/* Of reap, murder, manage and woken, `names` has those that are called in Python. 0, or -1 with an
 * exception. */
int arbiter_host_set_duties(struct arbiter_object *self, PyObject *names);

/* In a new worker that has not left the master's frames: -1 with the exception that does. A process
 * that a hook has forked ends. Else 0. */
int arbiter_host_forked(struct arbiter_object *self);

#endif
