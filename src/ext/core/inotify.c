#include "ext/core/inotify.h"

/* By these Linux reports changed files to the reloader, which need not look for them. */

#ifdef __linux__

#include <sys/inotify.h>

static PyObject *py_open(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return fd < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(fd);
}

/* Any way in which an editor, a copy or a checkout may leave a file changed. */
static const uint32_t CHANGES = IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE |
                                IN_DELETE_SELF | IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF;

static PyObject *py_watch(PyObject *module, PyObject *args)
{
    int fd;
    PyObject *path;
    (void)module;
    if (!PyArg_ParseTuple(args, "iO&:inotify_watch", &fd, PyUnicode_FSConverter, &path))
        return NULL;
    int watch = inotify_add_watch(fd, PyBytes_AS_STRING(path), CHANGES | IN_ONLYDIR);
    PyObject *result = watch < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(watch);
    Py_DECREF(path);
    return result;
}

static PyMethodDef inotify_functions[] = {
    {"inotify_open", py_open, METH_NOARGS,
     "inotify_open()\n--\n\nReturn a descriptor that becomes readable at changes; see "
     "inotify_watch()."},
    {"inotify_watch", py_watch, METH_VARARGS,
     "inotify_watch(fd, directory)\n--\n\nTell the descriptor of changes to the entries of a "
     "directory. Raises OSError."},
    {NULL, NULL, 0, NULL},
};

int inotify_add_to(PyObject *module)
{
    return PyModule_AddFunctions(module, inotify_functions);
}

#else

int inotify_add_to(PyObject *module)
{
    (void)module;
    return 0;
}

#endif
