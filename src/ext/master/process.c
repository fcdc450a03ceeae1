#include "ext/master/process.h"

#include "base/mem.h"
#include "proc/children/memory.h"
#include "proc/dump/dump.h"
#include "proc/loop/signals.h"
#include "proc/loop/title.h"
#include "proc/port/refuse.h"

static PyObject *replay_signals(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    signals_replay();
    Py_RETURN_NONE;
}

static PyObject *drop_signals(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    signals_after_fork();
    Py_RETURN_NONE;
}

static PyObject *set_proc_title(PyObject *module, PyObject *title)
{
    (void)module;
    const char *text = PyUnicode_AsUTF8(title);

    if (!text)
        return NULL;
    title_set(text);
    Py_RETURN_NONE;
}

static PyObject *py_refuse(PyObject *module, PyObject *fd_object)
{
    int fd = PyObject_AsFileDescriptor(fd_object);

    (void)module;
    if (fd < 0)
        return NULL;
    if (refuse_new_connections(fd) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *py_memory_of(PyObject *module, PyObject *pid_object)
{
    long pid = PyLong_AsLong(pid_object);

    (void)module;
    if (pid == -1 && PyErr_Occurred())
        return NULL;
    return PyLong_FromLongLong(memory_of((pid_t)pid));
}

static PyObject *return_freed(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    mem_trim();
    Py_RETURN_NONE;
}

static PyMethodDef proc_functions[] = {
    {"refuse_new_connections", py_refuse, METH_O,
     "Lets a TCP listener take no new connection; those in its queue stay. Raises OSError."},
    {"memory_of", py_memory_of, METH_O,
     "Resident bytes of a process that are its own, as max_rss counts them; -1: unknown."},
    {"return_freed", return_freed, METH_NOARGS,
     "Gives freed memory back to the system, so that a child that is forked has no share of it."},
    {"replay_signals", replay_signals, METH_NOARGS,
     "Sends this worker the signals that came before it had handlers of its own."},
    {"drop_signals", drop_signals, METH_NOARGS,
     "In a forked child that is no worker: lets go of the master's signal queue."},
    {"set_proc_title", set_proc_title, METH_O,
     "Shows `title` in place of the command line of this process, as ps prints it."},
    {NULL, NULL, 0, NULL},
};

int process_add_to(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "DUMP_SIGNAL", dump_signal()) < 0)
        return -1;
    return PyModule_AddFunctions(module, proc_functions);
}
