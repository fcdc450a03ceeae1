#include "ext/master/slot_type.h"

#include "base/clock.h"
#include "base/writer.h"

/* Every byte of the longest text escaped. */
enum { SHOWN_MAX = 4 * RUNNING_PATH_MAX };

/* It has no tp_clear: the memory stays as long as the object. The owner breaks the cycle. */
struct slot_object {
    PyObject_HEAD PyObject *owner; /* keeps the shared memory mapped */
    struct slot *slot;
    const struct dump *dump; /* the owner's */
};

static int64_t now_ms(void)
{
    return (int64_t)(clock_ns() / 1000000);
}

PyObject *slot_type_new(PyTypeObject *type, PyObject *owner, struct slot *slot,
                        const struct dump *dump)
{
    struct slot_object *self = (struct slot_object *)type->tp_alloc(type, 0);

    if (!self)
        return NULL;
    self->owner = Py_NewRef(owner);
    self->slot = slot;
    self->dump = dump;
    return (PyObject *)self;
}

static int slot_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((struct slot_object *)op)->owner);
    return 0;
}

static void slot_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    Py_DECREF(((struct slot_object *)op)->owner);
    type->tp_free(op);
    Py_DECREF(type);
}

struct slot *slot_type_from(PyObject *object)
{
    if (Py_TYPE(object)->tp_dealloc != slot_dealloc)
        return NULL;
    return ((struct slot_object *)object)->slot;
}

static struct slot *of(PyObject *op)
{
    return ((struct slot_object *)op)->slot;
}

static PyObject *py_beat(PyObject *op, PyObject *unused)
{
    (void)unused;
    slot_beat(of(op), now_ms());
    Py_RETURN_NONE;
}

static PyObject *py_answer(PyObject *op, PyObject *unused)
{
    (void)unused;
    slot_answer(of(op), now_ms());
    Py_RETURN_NONE;
}

static PyObject *py_idle(PyObject *op, PyObject *unused)
{
    (void)unused;
    slot_idle(of(op));
    Py_RETURN_NONE;
}

static PyObject *py_ready(PyObject *op, PyObject *unused)
{
    (void)unused;
    if (atomic_load(&of(op)->shared->phase) != SLOT_RETIRING)
        slot_set_phase(of(op), SLOT_READY);
    Py_RETURN_NONE;
}

static PyObject *py_retire(PyObject *op, PyObject *unused)
{
    (void)unused;
    slot_retire(of(op), REASON_MAX_REQUESTS);
    Py_RETURN_NONE;
}

static PyObject *py_accept_dumps(PyObject *op, PyObject *unused)
{
    (void)unused;
    if (dump_accept(((struct slot_object *)op)->dump, of(op)) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyMethodDef slot_methods[] = {
    {"accept_dumps", py_accept_dumps, METH_NOARGS,
     "The present handler of DUMP_SIGNAL writes stacks to `dump_file`: the master may ask for "
     "them. Raises OSError."},
    {"beat", py_beat, METH_NOARGS, "The worker is alive and busy: `timeout` counts from now."},
    {"answer", py_answer, METH_NOARGS,
     "The master asked for a sign of life; of no effect but in workers with threads."},
    {"idle", py_idle, METH_NOARGS, "The worker has nothing to do: `timeout` does not count."},
    {"ready", py_ready, METH_NOARGS, "The application is loaded: the master is told."},
    {"retire", py_retire, METH_NOARGS, "The worker goes on serving and asks to be replaced."},
    {NULL, NULL, 0, NULL},
};

static PyObject *get_busy_since(PyObject *op, void *unused)
{
    (void)unused;
    int64_t ms = atomic_load(&of(op)->shared->busy_since);

    if (ms == 0)
        Py_RETURN_NONE;
    return PyFloat_FromDouble((double)ms / 1000.0);
}

static PyObject *get_requests(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(atomic_load(&of(op)->shared->requests));
}

static PyObject *get_phase(PyObject *op, void *unused)
{
    static const char *const names[] = {"free", "booting", "ready", "retiring"};
    uint32_t phase = atomic_load(&of(op)->shared->phase);

    (void)unused;
    return PyUnicode_FromString(names[phase <= SLOT_RETIRING ? phase : SLOT_FREE]);
}

/* For the log, where it may neither end a line nor steer a terminal. */
static PyObject *shown(struct str text)
{
    struct writer out;

    writer_init(&out, SHOWN_MAX);
    writer_escape(&out, text, false);
    PyObject *result =
        out.error ? PyErr_NoMemory() : PyUnicode_DecodeASCII(out.data, (Py_ssize_t)out.size, NULL);
    writer_free(&out);
    return result;
}

/* The worker may be writing while the master reads: the bytes may be mixed. */
static PyObject *oldest(PyObject *op, struct str (*text_of)(const struct running_request *request))
{
    struct running_request list[RUNNING_MAX];

    if (running_copy(of(op)->running, now_ms(), list) == 0)
        return PyUnicode_FromString("");
    return shown(text_of(&list[0]));
}

static PyObject *get_method(PyObject *op, void *unused)
{
    (void)unused;
    return oldest(op, running_method);
}

static PyObject *get_path(PyObject *op, void *unused)
{
    (void)unused;
    return oldest(op, running_path);
}

static PyObject *get_in_flight(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(atomic_load(&of(op)->shared->in_flight));
}

static PyObject *get_connections(PyObject *op, void *unused)
{
    (void)unused;
    unsigned long open = 0;

    for (int i = 0; i < METRICS_CONN_STATES; i++)
        open += metrics_level(&of(op)->metrics->connections[i]);
    return PyLong_FromUnsignedLong(open);
}

static PyObject *get_dump_file(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromLong(((struct slot_object *)op)->dump->file);
}

static PyGetSetDef slot_getset[] = {
    {"dump_file", get_dump_file, NULL,
     "The descriptor that takes the stacks which the master asks for; -1: there is none.", NULL},
    {"busy_since", get_busy_since, NULL,
     "When the running request began or the worker last beat, in seconds of time.monotonic(); None "
     "when idle.",
     NULL},
    {"requests", get_requests, NULL, "Requests begun.", NULL},
    {"phase", get_phase, NULL, "'booting', 'ready', 'retiring' or 'free'.", NULL},
    {"method", get_method, NULL, "The method of the request that runs longest, cut; '' for none.",
     NULL},
    {"path", get_path, NULL, "The path of the request that runs longest, cut; '' for none.", NULL},
    {"in_flight", get_in_flight, NULL, "Requests running now.", NULL},
    {"connections", get_connections, NULL, "Open client connections.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slot_slots[] = {
    {Py_tp_doc, "One worker's slot of the scoreboard, in memory shared with the master."},
    {Py_tp_dealloc, slot_dealloc},
    {Py_tp_traverse, slot_traverse},
    {Py_tp_methods, slot_methods},
    {Py_tp_getset, slot_getset},
    {0, NULL},
};

PyType_Spec slot_type_spec = {
    .name = "gunicorn._core.Slot",
    .basicsize = sizeof(struct slot_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slot_slots,
};
