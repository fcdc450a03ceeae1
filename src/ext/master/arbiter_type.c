#include "ext/master/arbiter_type.h"

#include "base/clock.h"
#include "ext/core/settings.h"
#include "ext/master/arbiter_host.h"
#include "ext/master/slot_type.h"
#include "proc/loop/scaler.h"
#include "proc/loop/signals.h"
#include "proc/port/report.h"

#include <unistd.h>

/* ---- the object ---- */

static struct arbiter *of(PyObject *op)
{
    return &((struct arbiter_object *)op)->arbiter;
}

static struct arbiter_kind *workers_of(PyObject *op)
{
    return &of(op)->kinds[CHILD_WORKER];
}

static struct status *status_of(PyObject *op)
{
    return &((struct arbiter_object *)op)->status;
}

/* 0, or -1 with an exception. */
static int arbiter_begin(struct arbiter_object *self, PyObject *owner, PyObject *events)
{
    PyObject *module = PyType_GetModule(Py_TYPE(self));
    PyObject *slot_type = module ? PyObject_GetAttrString(module, "Slot") : NULL;

    self->slot_type = (PyTypeObject *)slot_type;
    self->owner = Py_NewRef(owner);
    if (!slot_type || arbiter_host_look_up(self, events) < 0)
        return -1;
    if (arbiter_open(&self->arbiter, &arbiter_host_python, self) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    status_open(&self->status, &self->arbiter);
    control_open(&self->control, &self->status);
    self->open = true;
    return 0;
}

static PyObject *arbiter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *owner, *events;

    if (kwargs && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "ArbiterCore takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OO:ArbiterCore", &owner, &events))
        return NULL;
    PyObject *self = type->tp_alloc(type, 0);
    if (self && arbiter_begin((struct arbiter_object *)self, owner, events) < 0)
        Py_CLEAR(self);
    return self;
}

static int arbiter_traverse(PyObject *op, visitproc visit, void *arg)
{
    struct arbiter_object *self = (struct arbiter_object *)op;

    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->owner);
    Py_VISIT(self->slot_type);
    for (int i = 0; i < ARBITER_EVENT_COUNT; i++)
        Py_VISIT(self->events[i]);
    return 0;
}

static int arbiter_clear(PyObject *op)
{
    struct arbiter_object *self = (struct arbiter_object *)op;

    Py_CLEAR(self->owner);
    for (int i = 0; i < ARBITER_EVENT_COUNT; i++)
        Py_CLEAR(self->events[i]);
    return 0;
}

static void arbiter_dealloc(PyObject *op)
{
    struct arbiter_object *self = (struct arbiter_object *)op;
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    arbiter_clear(op);
    Py_CLEAR(self->slot_type);
    if (self->open) {
        control_close(&self->control);
        status_close(&self->status);
        arbiter_close(&self->arbiter);
    }
    type->tp_free(op);
    Py_DECREF(type);
}

/* For calls that only the master makes; NULL with an exception in a worker that has to leave it. */
static struct arbiter *master_of(PyObject *op)
{
    return arbiter_host_forked((struct arbiter_object *)op) < 0 ? NULL : of(op);
}

/* A callback's exception, or poll's errno. */
static PyObject *result_of(int result)
{
    if (result >= 0)
        Py_RETURN_NONE;
    if (!PyErr_Occurred())
        PyErr_SetFromErrno(PyExc_OSError);
    return NULL;
}

static PyObject *call(PyObject *op, int (*duty)(struct arbiter *arbiter))
{
    struct arbiter *arbiter = master_of(op);

    return arbiter ? result_of(duty(arbiter)) : NULL;
}

static PyObject *py_run(PyObject *op, PyObject *unused)
{
    (void)unused;
    return call(op, arbiter_run);
}

static PyObject *py_reap(PyObject *op, PyObject *unused)
{
    (void)unused;
    return call(op, arbiter_reap);
}

static PyObject *py_murder(PyObject *op, PyObject *unused)
{
    (void)unused;
    return call(op, arbiter_murder);
}

static PyObject *py_manage(PyObject *op, PyObject *unused)
{
    (void)unused;
    return call(op, arbiter_manage);
}

static PyObject *py_drain(PyObject *op, PyObject *args)
{
    double limit;
    int hurried;

    if (!PyArg_ParseTuple(args, "dp:drain", &limit, &hurried) || !master_of(op))
        return NULL;
    return result_of(arbiter_drain(of(op), (int64_t)(limit * 1000), hurried));
}

static PyObject *py_leave(PyObject *op, PyObject *seconds)
{
    double limit = PyFloat_AsDouble(seconds);

    if (PyErr_Occurred() || !master_of(op))
        return NULL;
    int result = arbiter_leave(of(op), (int64_t)(limit * 1000));
    return result < 0 ? result_of(result) : PyLong_FromLong(result);
}

static PyObject *py_open_private(PyObject *op, PyObject *unused)
{
    (void)unused;
    if (status_open_private(status_of(op)) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *py_listen_control(PyObject *op, PyObject *args)
{
    int fd, own_user;

    if (!PyArg_ParseTuple(args, "ip:listen_control", &fd, &own_user))
        return NULL;
    control_listen(&((struct arbiter_object *)op)->control, fd, own_user);
    Py_RETURN_NONE;
}

static PyObject *py_workers(PyObject *op, PyObject *unused)
{
    PyObject *text = NULL;
    struct writer out;

    (void)unused;
    writer_init(&out, PORT_ANSWER);
    report_workers(of(op), &out, (int64_t)(clock_ns() / 1000000));
    if (out.error)
        PyErr_NoMemory();
    else
        text = PyUnicode_DecodeASCII(out.data, (Py_ssize_t)out.size, NULL);
    writer_free(&out);
    return text;
}

#define END_STATUS_MS 500 /* for the clients that are there */

static PyObject *py_end_status(PyObject *op, PyObject *unused)
{
    (void)unused;
    return result_of(status_end(status_of(op), END_STATUS_MS));
}

static PyObject *py_await_successor(PyObject *op, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLong(status_await_successor(status_of(op)));
}

static PyObject *py_successor_gone(PyObject *op, PyObject *unused)
{
    (void)unused;
    status_resume(status_of(op));
    Py_RETURN_NONE;
}

static PyObject *py_fork(PyObject *op, PyObject *age_object)
{
    struct arbiter_object *self = (struct arbiter_object *)op;
    unsigned long age = PyLong_AsUnsignedLong(age_object);
    struct slot *slot;

    if ((age == (unsigned long)-1 && PyErr_Occurred()) || !master_of(op))
        return NULL;
    pid_t pid =
        arbiter_fork(&self->arbiter, CHILD_WORKER, (uint32_t)age, &arbiter_host_fork, &slot);
    if (pid < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *object = slot_type_new(self->slot_type, op, slot, &self->status.dump);
    if (!object && pid == 0)
        _exit(1); /* an exception here would be taken for the master's */
    return object ? Py_BuildValue("iN", (int)pid, object) : NULL;
}

static PyObject *py_fork_dirty(PyObject *op, PyObject *age_object)
{
    struct arbiter_object *self = (struct arbiter_object *)op;
    unsigned long age = PyLong_AsUnsignedLong(age_object);
    struct slot *none;

    if ((age == (unsigned long)-1 && PyErr_Occurred()) || !master_of(op))
        return NULL;
    pid_t pid = arbiter_fork(&self->arbiter, CHILD_DIRTY, (uint32_t)age, &arbiter_host_fork, &none);
    return pid < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(pid);
}

static PyObject *py_dirty_ready(PyObject *op, PyObject *pid_object)
{
    long pid = PyLong_AsLong(pid_object);

    if ((pid == -1 && PyErr_Occurred()) || !master_of(op))
        return NULL;
    return result_of(arbiter_ready(of(op), (pid_t)pid));
}

static PyObject *py_wake(PyObject *op, PyObject *unused)
{
    ssize_t ignored = write(of(op)->wake_pipe[1], "", 1); /* a full pipe wakes it, too */

    (void)unused, (void)ignored;
    Py_RETURN_NONE;
}

static PyObject *py_kill(PyObject *op, PyObject *args)
{
    int pid, signo;

    if (!PyArg_ParseTuple(args, "ii:kill", &pid, &signo) || !master_of(op))
        return NULL;
    if (arbiter_kill(of(op), pid, signo) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *py_let_go(PyObject *op, PyObject *unused)
{
    (void)unused;
    arbiter_let_go(of(op));
    Py_RETURN_NONE;
}

static PyObject *py_adopt(PyObject *op, PyObject *args)
{
    int pid;
    unsigned age;

    if (!PyArg_ParseTuple(args, "iI:adopt", &pid, &age))
        return NULL;
    if (arbiter_adopt(of(op), pid, age) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *py_expire(PyObject *op, PyObject *args)
{
    int pid;
    double lifetime;

    if (!PyArg_ParseTuple(args, "id:expire", &pid, &lifetime))
        return NULL;
    arbiter_expire(of(op), pid, (int64_t)(lifetime * 1000));
    Py_RETURN_NONE;
}

static PyObject *py_retire(PyObject *op, PyObject *pid_object)
{
    long pid = PyLong_AsLong(pid_object);

    if (pid == -1 && PyErr_Occurred())
        return NULL;
    if (arbiter_retire(of(op), (pid_t)pid) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *py_forget(PyObject *op, PyObject *pid_object)
{
    long pid = PyLong_AsLong(pid_object);

    if (pid == -1 && PyErr_Occurred())
        return NULL;
    arbiter_forget(of(op), (pid_t)pid);
    Py_RETURN_NONE;
}

static PyObject *py_missing(PyObject *op, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(children_missing(&of(op)->children, &workers_of(op)->goal));
}

static PyObject *py_children(PyObject *op, PyObject *unused)
{
    struct children *children = &of(op)->children;
    PyObject *list = PyList_New(0);

    (void)unused;
    for (size_t i = 0; list && i < children->count; i++) {
        struct child *child = &children->list[i];

        if (child->kind != CHILD_WORKER)
            continue;
        PyObject *item = Py_BuildValue("iIIs", (int)child->pid, child->age, child->generation,
                                       child_phase_name(child->phase));
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *py_fork_failed(PyObject *op, PyObject *unused)
{
    (void)unused;
    return PyFloat_FromDouble((double)arbiter_fork_failed(of(op), CHILD_WORKER) / 1000.0);
}

static PyObject *py_dirty_fork_failed(PyObject *op, PyObject *unused)
{
    (void)unused;
    return PyFloat_FromDouble((double)arbiter_fork_failed(of(op), CHILD_DIRTY) / 1000.0);
}

static PyObject *py_new_generation(PyObject *op, PyObject *unused)
{
    (void)unused;
    arbiter_new_generation(of(op));
    return PyLong_FromUnsignedLong(workers_of(op)->goal.generation);
}

static PyObject *py_restore_generation(PyObject *op, PyObject *generation_object)
{
    unsigned long generation = PyLong_AsUnsignedLong(generation_object);

    if (generation == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    arbiter_restore_generation(of(op), (uint32_t)generation);
    Py_RETURN_NONE;
}

static PyObject *py_install_signals(PyObject *op, PyObject *signals)
{
    PyObject *items = PySequence_Tuple(signals);
    int signos[64];
    size_t count = 0;

    (void)op;
    if (!items)
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items) && count < 64; i++) {
        long signo = PyLong_AsLong(PyTuple_GET_ITEM(items, i));

        if (signo == -1 && PyErr_Occurred()) {
            Py_DECREF(items);
            return NULL;
        }
        signos[count++] = (int)signo;
    }
    Py_DECREF(items);
    signals_install(signos, count);
    Py_RETURN_NONE;
}

static PyObject *py_set_duties(PyObject *op, PyObject *names)
{
    if (arbiter_host_set_duties((struct arbiter_object *)op, names) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef arbiter_methods[] = {
    {"set_duties", py_set_duties, METH_O,
     "set_duties(names): of reap, murder, manage and woken, those that are called in Python."},
    {"run", py_run, METH_NOARGS, "The master's loop; ends with the exception of a callback."},
    {"reap", py_reap, METH_NOARGS, "Collects the dead."},
    {"murder", py_murder, METH_NOARGS, "Acts on workers that are silent or overdue."},
    {"manage", py_manage, METH_NOARGS, "Forks what is missing, stops what is too much."},
    {"leave", py_leave, METH_O,
     "leave(seconds): goes on while /ready fails; returns the signal that ended it early, or 0."},
    {"end_status", py_end_status, METH_NOARGS,
     "Takes no more clients of the status port; answers those that are there."},
    {"await_successor", py_await_successor, METH_NOARGS,
     "Returns a descriptor that a second master inherits, to say that it answers; -1: none."},
    {"successor_gone", py_successor_gone, METH_NOARGS, "This master answers again."},
    {"open_private", py_open_private, METH_NOARGS,
     "Opens the socket that `gunicorn --dump` asks. Raises OSError."},
    {"listen_control", py_listen_control, METH_VARARGS,
     "listen_control(fd, own_user): the listener of the control socket, which stays its owner's; "
     "-1: none. With own_user only processes of our own user and of root are answered."},
    {"workers", py_workers, METH_NOARGS, "The report of /workers, JSON."},
    {"drain", py_drain, METH_VARARGS,
     "drain(limit, hurried): waits until all workers are gone, at most `limit` seconds."},
    {"fork", py_fork, METH_O,
     "fork(age): returns (pid, slot), with pid 0 in the worker. Raises OSError."},
    {"fork_dirty", py_fork_dirty, METH_O,
     "fork_dirty(age): forks a dirty arbiter; returns its pid, 0 in it. Raises OSError."},
    {"dirty_ready", py_dirty_ready, METH_O, "dirty_ready(pid): a dirty arbiter takes calls."},
    {"dirty_fork_failed", py_dirty_fork_failed, METH_NOARGS, "As fork_failed(), of its kind."},
    {"wake", py_wake, METH_NOARGS, "In a child: the master's loop does a round."},
    {"kill", py_kill, METH_VARARGS, "kill(pid, sig): os.kill(), and the registry knows of it."},
    {"let_go", py_let_go, METH_NOARGS,
     "let_go(): the workers stop as if this master were dead; for the end."},
    {"adopt", py_adopt, METH_VARARGS, "adopt(pid, age): a worker that somebody else forked."},
    {"expire", py_expire, METH_VARARGS, "expire(pid, seconds): it is replaced after this."},
    {"retire", py_retire, METH_O,
     "retire(pid): it serves until a successor is ready. Raises OSError."},
    {"forget", py_forget, METH_O, "forget(pid): it is no worker any more."},
    {"missing", py_missing, METH_NOARGS, "How many workers are to be forked now."},
    {"children", py_children, METH_NOARGS, "[(pid, age, generation, phase)], the oldest first."},
    {"fork_failed", py_fork_failed, METH_NOARGS, "Returns the pause before the next try, in s."},
    {"new_generation", py_new_generation, METH_NOARGS, "Returns the generation's number."},
    {"restore_generation", py_restore_generation, METH_O, "Makes an older generation present."},
    {"install_signals", py_install_signals, METH_O, "Queues these signals from now on."},
    {NULL, NULL, 0, NULL},
};

/* ---- attributes ---- */

/* Those that the loop goes by: kind, name, field, and description. */
#define ARBITER_SETTINGS(X)                                                                        \
    X(MS, timeout, timeout_ms, "Seconds of silence after which a worker is aborted; 0: never.")    \
    X(MS, graceful_timeout, kinds[CHILD_WORKER].graceful_ms,                                       \
      "Seconds that a worker told to stop may take.")                                              \
    X(MS, tick, tick_ms, "Seconds after which every duty runs without cause; 0: never.")           \
    X(MS, watchdog, watchdog_ms,                                                                   \
      "Seconds after which the owner is woken at the latest; 0: never.")                           \
    X(MS, boot_timeout, boot_ms, "Seconds that a worker may take to boot; 0: ten times timeout.")  \
    X(NUMBER, max_rss, limits.max_rss, "Bytes beyond which a worker is replaced; 0: none.")        \
    X(NUMBER, max_rss_hard, limits.max_rss_hard,                                                   \
      "Bytes beyond which a worker is aborted; 0: none.")                                          \
    X(NUMBER, max_unavailable, kinds[CHILD_WORKER].goal.max_unavailable,                           \
      "How many are recycled at a time; 0: all.")                                                  \
    X(NUMBER, workers_max, scale.limits.most,                                                      \
      "How many workers there may be, if their number follows the load. In force with `least`.")   \
    X(MS, scale_up_wait, scale.limits.up_wait_ms,                                                  \
      "Seconds that requests may wait before a worker is added.")                                  \
    X(MS, scale_down_idle, scale.limits.down_idle_ms,                                              \
      "Seconds after which a worker that is not needed is stopped.")                               \
    X(MS, processors, scale.limits.processors_ms,                                                  \
      "Processors that the server may use; 0: unknown.")                                           \
    X(NUMBER, max_queue, max_queue,                                                                \
      "Waiting requests beyond which a worker is full, for /ready; 0: no limit.")                  \
    X(NUMBER, dirty_target, kinds[CHILD_DIRTY].goal.target,                                        \
      "How many dirty arbiters there should be.")                                                  \
    X(MS, dirty_graceful_timeout, kinds[CHILD_DIRTY].graceful_ms,                                  \
      "Seconds that a dirty arbiter told to stop may take.")

#define SETTING_INDEX(kind, name, field, doc) ARBITER_##name,
#define SETTING_ROW(kind, name, field, doc) SETTING(struct arbiter, kind, #name, field),

enum { ARBITER_SETTINGS(SETTING_INDEX) ARBITER_SETTING_COUNT };

static const struct setting settings[] = {ARBITER_SETTINGS(SETTING_ROW)};

static PyObject *get_setting(PyObject *op, void *setting)
{
    return setting_get(setting, of(op));
}

static int set_setting(PyObject *op, PyObject *value, void *setting)
{
    if (value)
        return setting_set(setting, of(op), value);
    PyErr_SetString(PyExc_TypeError, "a setting of the master cannot be deleted");
    return -1;
}

static PyObject *get_memory_limit(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(oom_limit(&of(op)->oom));
}

static PyObject *get_target(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(workers_of(op)->goal.target);
}

static PyObject *get_least(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(of(op)->scale.limits.least);
}

static int set_least(PyObject *op, PyObject *value, void *unused)
{
    long least = value ? PyLong_AsLong(value) : 0;

    (void)unused;
    if (least == -1 && PyErr_Occurred())
        return -1;
    scaler_limit(of(op), least < 0                  ? 0
                         : least < SCOREBOARD_SLOTS ? (unsigned)least
                                                    : SCOREBOARD_SLOTS);
    return 0;
}

static PyObject *get_generation(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(workers_of(op)->goal.generation);
}

static PyObject *get_proven(PyObject *op, void *unused)
{
    (void)unused;
    return PyBool_FromLong(workers_of(op)->goal.proven);
}

static PyObject *get_status_socket(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromLong(status_of(op)->port.fd);
}

static int set_status_socket(PyObject *op, PyObject *value, void *unused)
{
    long fd = value ? PyLong_AsLong(value) : -1;

    (void)unused;
    if (fd == -1 && PyErr_Occurred())
        return -1;
    port_listen(&status_of(op)->port, (int)fd);
    return 0;
}

static PyObject *get_status_paused(PyObject *op, void *unused)
{
    (void)unused;
    return PyBool_FromLong(status_of(op)->port.paused);
}

static int set_status_paused(PyObject *op, PyObject *value, void *unused)
{
    int truth = value ? PyObject_IsTrue(value) : 0;

    (void)unused;
    if (truth < 0)
        return -1;
    port_pause(&status_of(op)->port, truth);
    return 0;
}

static PyObject *get_master_pipe(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromLong(of(op)->life_pipe[0]);
}

#define SETTING_ATTRIBUTE(kind, name, field, doc)                                                  \
    {#name, get_setting, set_setting, doc, (void *)&settings[ARBITER_##name]},

static PyGetSetDef arbiter_getset[] = {
    {"memory_limit", get_memory_limit, NULL, "Of the control group, in bytes; 0: none.", NULL},
    {"status_socket", get_status_socket, set_status_socket,
     "The descriptor of the listener of the status port, which stays its owner's; -1: none.", NULL},
    {"status_paused", get_status_paused, set_status_paused,
     "Whether another master answers at the status port.", NULL},
    {"target", get_target, NULL, "How many workers there should be now.", NULL},
    {"least", get_least, set_least, "How many workers there should be at least.", NULL},
    {"generation", get_generation, NULL, "The number of the present configuration.", NULL},
    {"proven", get_proven, NULL, "Whether a worker of this generation has been ready.", NULL},
    {"master_pipe", get_master_pipe, NULL,
     "A descriptor that becomes readable, at its end, when the master is gone.", NULL},
    ARBITER_SETTINGS(SETTING_ATTRIBUTE){NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot arbiter_slots[] = {
    {Py_tp_doc,
     "ArbiterCore(owner, events)\n--\n\nThe master's loop and registry, in C. Its owner is a "
     "gunicorn.arbiter.Arbiter,\nits events are the functions of gunicorn.master.events."},
    {Py_tp_new, arbiter_new},
    {Py_tp_dealloc, arbiter_dealloc},
    {Py_tp_traverse, arbiter_traverse},
    {Py_tp_clear, arbiter_clear},
    {Py_tp_methods, arbiter_methods},
    {Py_tp_getset, arbiter_getset},
    {0, NULL},
};

PyType_Spec arbiter_type_spec = {
    .name = "gunicorn._core.ArbiterCore",
    .basicsize = sizeof(struct arbiter_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = arbiter_slots,
};
