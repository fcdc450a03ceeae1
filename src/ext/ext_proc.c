#include "ext/ext_proc.h"

#include "proc/signals.h"
#include "proc/title.h"

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

static PyMethodDef proc_functions[] = {
    {"replay_signals", replay_signals, METH_NOARGS,
     "Sends this worker the signals that came before it had handlers of its own."},
    {"drop_signals", drop_signals, METH_NOARGS,
     "In a forked child that is no worker: lets go of the master's signal queue."},
    {"set_proc_title", set_proc_title, METH_O,
     "Shows `title` in place of the command line of this process, as ps prints it."},
    {NULL, NULL, 0, NULL},
};

static int add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int result = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;

    Py_XDECREF(type);
    return result;
}

int ext_proc_init(PyObject *module)
{
    if (add_type(module, &ext_slot_spec) < 0 || add_type(module, &ext_arbiter_spec) < 0)
        return -1;
    return PyModule_AddFunctions(module, proc_functions);
}
