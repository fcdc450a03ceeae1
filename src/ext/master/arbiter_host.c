#include "ext/master/arbiter_host.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const char *const duty_names[ARBITER_DUTY_COUNT] = {
    [ARBITER_DUTY_REAP] = "reap",
    [ARBITER_DUTY_MURDER] = "murder",
    [ARBITER_DUTY_MANAGE] = "manage",
    [ARBITER_DUTY_WOKEN] = "woken",
};

static const char *const event_names[ARBITER_EVENT_COUNT] = {
    [ARBITER_EVENT_WOKEN] = "woken",
    [ARBITER_EVENT_SIGNALLED] = "signalled",
    [ARBITER_EVENT_WAITING] = "waiting",
    [ARBITER_EVENT_BACKLOG] = "backlog",
    [ARBITER_EVENT_SCALED] = "scaled",
    [ARBITER_EVENT_WORKER_DIED] = "worker_died",
    [ARBITER_EVENT_STRANGER_DIED] = "stranger_died",
    [ARBITER_EVENT_SPAWN_DIRTY] = "spawn_dirty",
    [ARBITER_EVENT_DIRTY_READY] = "dirty_ready",
    [ARBITER_EVENT_DIRTY_DIED] = "dirty_died",
    [ARBITER_EVENT_DIRTY_FIGURES] = "dirty_figures",
    [ARBITER_EVENT_DIRTY_SIGN] = "dirty_sign",
    [ARBITER_EVENT_DIRTY_TIMED_OUT] = "dirty_timed_out",
    [ARBITER_EVENT_KILL_DIRTY] = "kill_dirty",
    [ARBITER_EVENT_READY] = "ready",
    [ARBITER_EVENT_COUNTED] = "counted",
    [ARBITER_EVENT_TIMED_OUT] = "timed_out",
    [ARBITER_EVENT_SLOW_BOOT] = "slow_boot",
    [ARBITER_EVENT_OVERDUE] = "overdue",
    [ARBITER_EVENT_DUE] = "due",
    [ARBITER_EVENT_TOO_BIG] = "too_big",
    [ARBITER_EVENT_BORN_BIG] = "born_big",
    [ARBITER_EVENT_HURRY] = "hurry",
    [ARBITER_EVENT_CANNOT_ANSWER] = "cannot_answer",
    [ARBITER_EVENT_COMMANDED] = "commanded",
    [ARBITER_EVENT_COLLECTED] = "collected",
    [ARBITER_EVENT_FORKED] = "forked",
    [ARBITER_EVENT_STRAYED] = "strayed",
};

int arbiter_host_look_up(struct arbiter_object *self, PyObject *events)
{
    for (int i = 0; i < ARBITER_EVENT_COUNT; i++) {
        self->events[i] = PyObject_GetAttrString(events, event_names[i]);
        if (!self->events[i])
            return -1;
    }
    return 0;
}

int arbiter_host_set_duties(struct arbiter_object *self, PyObject *names)
{
    for (int i = 0; i < ARBITER_DUTY_COUNT; i++) {
        PyObject *name = PyUnicode_FromString(duty_names[i]);
        int contained = name ? PySequence_Contains(names, name) : -1;

        Py_XDECREF(name);
        if (contained < 0)
            return -1;
        self->in_python[i] = contained;
    }
    return 0;
}

/* Steals the result of a call. */
static int done(PyObject *result)
{
    if (!result)
        return -1;
    Py_DECREF(result);
    return 0;
}

static struct arbiter *arbiter_of(void *ctx)
{
    return &((struct arbiter_object *)ctx)->arbiter;
}

static bool in_python(void *ctx, enum arbiter_duty duty)
{
    return ((struct arbiter_object *)ctx)->in_python[duty];
}

/* Python code was called: a process that it has forked, and that comes back, is not the master. */
static void end_stray(struct arbiter_object *self)
{
    if (!arbiter_is_stray(&self->arbiter))
        return;
    PyObject_CallOneArg(self->events[ARBITER_EVENT_STRAYED], self->owner);
    _exit(1); /* the log has failed */
}

/* A duty: a method of the owner. */
static int call(void *ctx, const char *name)
{
    struct arbiter_object *self = ctx;
    int result = done(PyObject_CallMethod(self->owner, name, NULL));

    if (result == 0)
        end_stray(self);
    return result;
}

/* Reports an event; `format` and the arguments after it are those of Py_BuildValue(), for a tuple.
 * New, or NULL with an exception. */
static PyObject *report(void *ctx, enum arbiter_event event, const char *format, ...)
{
    struct arbiter_object *self = ctx;
    PyObject *facts, *args, *result = NULL;
    va_list values;

    va_start(values, format);
    facts = Py_VaBuildValue(format, values);
    va_end(values);
    args = facts ? PyTuple_New(PyTuple_GET_SIZE(facts) + 1) : NULL;
    if (args) {
        PyTuple_SET_ITEM(args, 0, Py_NewRef(self->owner));
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(facts); i++)
            PyTuple_SET_ITEM(args, i + 1, Py_NewRef(PyTuple_GET_ITEM(facts, i)));
        result = PyObject_CallObject(self->events[event], args);
    }
    if (result)
        end_stray(self);
    Py_XDECREF(args);
    Py_XDECREF(facts);
    return result;
}

int arbiter_host_forked(struct arbiter_object *self)
{
    end_stray(self);
    return self->arbiter.is_child ? done(report(self, ARBITER_EVENT_FORKED, "()")) : 0;
}

static int host_wait(void *ctx, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    int n, saved;

    (void)ctx;
    Py_BEGIN_ALLOW_THREADS
    n = poll(fds, count, timeout_ms);
    saved = errno;
    Py_END_ALLOW_THREADS
    errno = saved;
    return n;
}

static int host_between(void *ctx)
{
    if (PyErr_CheckSignals() < 0)
        return -1;
    return in_python(ctx, ARBITER_DUTY_WOKEN) ? done(report(ctx, ARBITER_EVENT_WOKEN, "()")) : 0;
}

static int host_reap(void *ctx)
{
    return in_python(ctx, ARBITER_DUTY_REAP) ? call(ctx, "reap_workers")
                                             : arbiter_reap(arbiter_of(ctx));
}

static int host_on_signal(void *ctx, int signo)
{
    if (signo == SIGCHLD && !in_python(ctx, ARBITER_DUTY_REAP))
        return arbiter_reap(arbiter_of(ctx));
    return done(report(ctx, ARBITER_EVENT_SIGNALLED, "(i)", signo));
}

static int host_murder(void *ctx)
{
    if (in_python(ctx, ARBITER_DUTY_MURDER))
        return call(ctx, "murder_workers");
    return arbiter_murder(arbiter_of(ctx));
}

static int host_manage(void *ctx)
{
    struct arbiter_object *self = ctx;

    if (in_python(ctx, ARBITER_DUTY_MANAGE))
        return call(ctx, "manage_workers");
    if (arbiter_manage(&self->arbiter) < 0)
        return -1;
    if (self->counted == self->arbiter.children.count)
        return 0;
    self->counted = self->arbiter.children.count;
    return done(report(ctx, ARBITER_EVENT_COUNTED, "()"));
}

static int host_spawn(void *ctx, enum child_kind kind, unsigned count)
{
    (void)count; /* spawn_workers() asks `missing` again: it may be overridden */
    return kind == CHILD_DIRTY ? done(report(ctx, ARBITER_EVENT_SPAWN_DIRTY, "()"))
                               : call(ctx, "spawn_workers");
}

static int host_kill(void *ctx, const struct child *child, int signo)
{
    PyObject *owner = ((struct arbiter_object *)ctx)->owner;

    if (child->kind == CHILD_WORKER)
        return done(PyObject_CallMethod(owner, "kill_worker", "ii", (int)child->pid, signo));
    return done(report(ctx, ARBITER_EVENT_KILL_DIRTY, "(ii)", (int)child->pid, signo));
}

/* An event that returns a number. */
static unsigned count(void *ctx, enum arbiter_event event)
{
    PyObject *count = report(ctx, event, "()");
    unsigned long number = count ? PyLong_AsUnsignedLong(count) : 0;

    Py_XDECREF(count);
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(((struct arbiter_object *)ctx)->owner);
        return 0;
    }
    return (unsigned)number;
}

static unsigned host_between_workers(void *ctx)
{
    return count(ctx, ARBITER_EVENT_WAITING);
}

static unsigned host_backlog(void *ctx)
{
    return count(ctx, ARBITER_EVENT_BACKLOG);
}

static int host_scaled(void *ctx, enum scale_decision decision, unsigned before,
                       const struct scale_sample *sample)
{
    const struct scale *scale = &arbiter_of(ctx)->scale;

    return done(report(ctx, ARBITER_EVENT_SCALED, "(sIIIdIddI)", scale_decision_name(decision),
                       before, scale->target, sample->waiting, (double)scale->waited_ms / 1000.0,
                       sample->busy, sample->processors, sample->delayed, sample->room));
}

static bool host_dirty_figures(void *ctx, struct dirty_figures *f)
{
    PyObject *values = report(ctx, ARBITER_EVENT_DIRTY_FIGURES, "()");
    bool known = values && PyTuple_GET_SIZE(values) > 0;

    if (known)
        known = PyArg_ParseTuple(values, "KKKKKKKKK:dirty_figures", &f->workers, &f->running,
                                 &f->waiting, &f->answered, &f->failed, &f->timed_out, &f->crashed,
                                 &f->refused, &f->deaths);
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(((struct arbiter_object *)ctx)->owner);
    Py_XDECREF(values);
    return known;
}

static int64_t host_sign(void *ctx, const struct child *child)
{
    PyObject *sign = report(ctx, ARBITER_EVENT_DIRTY_SIGN, "(i)", (int)child->pid);
    int64_t count = sign ? PyLong_AsLongLong(sign) : 0;

    Py_XDECREF(sign);
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(((struct arbiter_object *)ctx)->owner);
    return count;
}

static int host_died(void *ctx, const struct arbiter_death *death)
{
    if (death->child.kind == CHILD_DIRTY)
        return done(report(ctx, ARBITER_EVENT_DIRTY_DIED, "(iisd)", (int)death->child.pid,
                           death->status, child_phase_name(death->child.phase),
                           (double)death->pause_ms / 1000.0));
    return done(report(ctx, ARBITER_EVENT_WORKER_DIED, "(iisIKdsLIN)", (int)death->child.pid,
                       death->status, child_phase_name(death->child.phase), death->child.generation,
                       (unsigned long long)death->requests, (double)death->pause_ms / 1000.0,
                       reason_name(death->reason), (long long)death->peak, death->serving,
                       PyBool_FromLong(death->first_boot)));
}

static int host_stranger_died(void *ctx, pid_t pid, int status)
{
    return done(report(ctx, ARBITER_EVENT_STRANGER_DIED, "(ii)", (int)pid, status));
}

static int host_ready(void *ctx, const struct child *child)
{
    enum arbiter_event event =
        child->kind == CHILD_DIRTY ? ARBITER_EVENT_DIRTY_READY : ARBITER_EVENT_READY;

    return done(report(ctx, event, "(iI)", (int)child->pid, child->generation));
}

static int host_timed_out(void *ctx, const struct child *child, int64_t silent_ms)
{
    if (child->kind == CHILD_DIRTY)
        return done(report(ctx, ARBITER_EVENT_DIRTY_TIMED_OUT, "(id)", (int)child->pid,
                           (double)silent_ms / 1000.0));
    return done(report(ctx, ARBITER_EVENT_TIMED_OUT, "(isd)", (int)child->pid,
                       child_phase_name(child->phase), (double)silent_ms / 1000.0));
}

static int host_slow_boot(void *ctx, const struct child *child, int64_t booting_ms)
{
    return done(
        report(ctx, ARBITER_EVENT_SLOW_BOOT, "(id)", (int)child->pid, (double)booting_ms / 1000.0));
}

static int host_overdue(void *ctx, const struct child *child)
{
    return done(report(ctx, ARBITER_EVENT_OVERDUE, "(i)", (int)child->pid));
}

static int host_due(void *ctx, const struct child *child)
{
    return done(report(ctx, ARBITER_EVENT_DUE, "(isL)", (int)child->pid, reason_name(child->due),
                       (long long)child->memory));
}

static int host_too_big(void *ctx, const struct child *child)
{
    return done(
        report(ctx, ARBITER_EVENT_TOO_BIG, "(iL)", (int)child->pid, (long long)child->memory));
}

static int host_born_big(void *ctx, const struct child *child)
{
    return done(
        report(ctx, ARBITER_EVENT_BORN_BIG, "(iL)", (int)child->pid, (long long)child->memory));
}

static int host_hurry(void *ctx)
{
    return done(report(ctx, ARBITER_EVENT_HURRY, "()"));
}

static void host_cannot_answer(void *ctx, int error)
{
    if (done(report(ctx, ARBITER_EVENT_CANNOT_ANSWER, "(s)", strerror(error))) < 0)
        PyErr_WriteUnraisable(((struct arbiter_object *)ctx)->owner);
}

static int host_command(void *ctx, struct str request, struct writer *answer,
                        struct arbiter_rest *rest)
{
    PyObject *result =
        report(ctx, ARBITER_EVENT_COMMANDED, "(y#)", request.p, (Py_ssize_t)request.n);
    const char *bytes;
    Py_ssize_t size;
    int pid;

    if (!result)
        return -1;
    bool parsed = PyArg_ParseTuple(result, "y#ii:commanded", &bytes, &size, &pid, &rest->fd);
    if (parsed) {
        writer_add(answer, bytes, (size_t)size);
        rest->stack_of = (pid_t)pid;
    }
    Py_DECREF(result);
    return parsed ? 0 : -1;
}

static int host_collected(void *ctx, struct str output, bool complete, struct writer *answer)
{
    PyObject *result = report(ctx, ARBITER_EVENT_COLLECTED, "(y#N)", output.n ? output.p : "",
                              (Py_ssize_t)output.n, PyBool_FromLong(complete));
    char *bytes;
    Py_ssize_t size;

    if (!result)
        return -1;
    int parsed = PyBytes_AsStringAndSize(result, &bytes, &size);
    if (parsed == 0)
        writer_add(answer, bytes, (size_t)size);
    Py_DECREF(result);
    return parsed;
}

const struct arbiter_host arbiter_host_python = {
    .wait = host_wait,
    .between = host_between,
    .on_signal = host_on_signal,
    .reap = host_reap,
    .murder = host_murder,
    .manage = host_manage,
    .spawn = host_spawn,
    .between_workers = host_between_workers,
    .dirty_figures = host_dirty_figures,
    .backlog = host_backlog,
    .scaled = host_scaled,
    .kill = host_kill,
    .died = host_died,
    .stranger_died = host_stranger_died,
    .ready = host_ready,
    .timed_out = host_timed_out,
    .slow_boot = host_slow_boot,
    .sign = host_sign,
    .overdue = host_overdue,
    .due = host_due,
    .too_big = host_too_big,
    .born_big = host_born_big,
    .hurry = host_hurry,
    .cannot_answer = host_cannot_answer,
    .command = host_command,
    .collected = host_collected,
};

static void fork_before(void *ctx)
{
    (void)ctx;
    PyOS_BeforeFork();
}

static void fork_after(void *ctx, pid_t pid)
{
    if (pid != 0) {
        PyOS_AfterFork_Parent();
        return;
    }
    status_leave(&((struct arbiter_object *)ctx)->status);
    control_close(&((struct arbiter_object *)ctx)->control);
    PyOS_AfterFork_Child();
}

const struct arbiter_fork_hooks arbiter_host_fork = {fork_before, fork_after};
