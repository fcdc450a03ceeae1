#include "ext/wsgi/file_wrapper.h"

#include "ext/wsgi/start_response.h"
#include "serve/engine/engine.h"
#include "serve/request/response.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling"): an iterable over a
 * file, sent by the kernel when the file has a descriptor.
 */

struct file_wrapper {
    PyObject_HEAD PyObject *filelike;
    PyObject *block_size;
    PyObject *close; /* NULL when the file has none */
};

/* Steals all. The old objects go last, for that may run Python code. */
static void replace(struct file_wrapper *self, PyObject *filelike, PyObject *block_size,
                    PyObject *close)
{
    PyObject *before[] = {self->filelike, self->block_size, self->close};
    self->filelike = filelike;
    self->block_size = block_size;
    self->close = close;
    for (int i = 0; i < 3; i++)
        Py_XDECREF(before[i]);
}

static int wrapper_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"filelike", "blksize", NULL};
    struct file_wrapper *self = (struct file_wrapper *)op;
    PyObject *filelike, *block_size = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:FileWrapper", names, &filelike,
                                     &block_size))
        return -1;
    block_size = block_size ? Py_NewRef(block_size) : PyLong_FromLong(8192);
    PyObject *close = block_size ? PyObject_GetAttrString(filelike, "close") : NULL;
    if (!close && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        Py_XDECREF(block_size);
        return -1;
    }
    PyErr_Clear();
    replace(self, Py_NewRef(filelike), block_size, close);
    return 0;
}

static PyObject *wrapper_next(PyObject *op)
{
    struct file_wrapper *self = (struct file_wrapper *)op;
    if (!self->filelike) {
        PyErr_SetString(PyExc_ValueError, "FileWrapper was not initialised");
        return NULL;
    }
    /* Held: the file's code may initialise the wrapper anew. */
    PyObject *filelike = Py_NewRef(self->filelike), *block_size = Py_NewRef(self->block_size);
    PyObject *data = PyObject_CallMethod(filelike, "read", "(O)", block_size);
    Py_DECREF(filelike);
    Py_DECREF(block_size);
    if (!data)
        return NULL;
    int more = PyObject_IsTrue(data);
    if (more <= 0)
        Py_CLEAR(data);
    return data;
}

static PyObject *wrapper_item(PyObject *op, PyObject *index)
{
    (void)index;
    PyObject *data = wrapper_next(op);
    if (!data && !PyErr_Occurred())
        PyErr_SetNone(PyExc_IndexError);
    return data;
}

static int wrapper_traverse(PyObject *op, visitproc visit, void *arg)
{
    struct file_wrapper *self = (struct file_wrapper *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->filelike);
    Py_VISIT(self->block_size);
    Py_VISIT(self->close);
    return 0;
}

static int wrapper_clear(PyObject *op)
{
    struct file_wrapper *self = (struct file_wrapper *)op;
    Py_CLEAR(self->filelike);
    Py_CLEAR(self->block_size);
    Py_CLEAR(self->close);
    return 0;
}

static void wrapper_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    wrapper_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* Where the file stands and how much of it is left. false: not a file that the kernel can send. */
static bool extent(int fd, off_t *offset, uint64_t *left)
{
    struct stat stat;
    *offset = lseek(fd, 0, SEEK_CUR);
    if (*offset < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode))
        return false;
    *left = stat.st_size > *offset ? (uint64_t)(stat.st_size - *offset) : 0;
    return *left > 0; /* files of /proc have size 0 and are not empty: they are read */
}

static int file_descriptor(PyObject *filelike)
{
    int fd = PyObject_AsFileDescriptor(filelike);
    if (fd < 0)
        PyErr_Clear();
    return fd;
}

static int send_file_of(struct wsgi_call *call, PyObject *filelike, PyObject *op)
{
    struct request *request = call->base.request;
    off_t offset;
    uint64_t left;
    int fd = file_descriptor(filelike);
    if (fd < 0 || !extent(fd, &offset, &left))
        return 0;
    if (!request->response.started) {
        PyErr_SetString(PyExc_AssertionError,
                        "the application returned without calling start_response()");
        return -1;
    }
    enum response_error error = response_file(request, fd, offset, left);
    if (error != RESPONSE_OK)
        return start_response_raise(call, error, op);
    return request->response.no_body && start_response_warn_of_body(call) < 0 ? -1 : 1;
}

/* The file is held: it owns the descriptor, and others may initialise the wrapper anew meanwhile.
 */
int file_wrapper_send(struct wsgi_call *call, PyObject *op)
{
    PyObject *filelike = ((struct file_wrapper *)op)->filelike;
    if (!filelike || !call->base.request->engine->options.sendfile)
        return 0;
    Py_INCREF(filelike);
    int sent = send_file_of(call, filelike, op);
    Py_DECREF(filelike);
    return sent;
}

static PyMemberDef wrapper_members[] = {
    {"filelike", Py_T_OBJECT_EX, offsetof(struct file_wrapper, filelike), Py_READONLY, NULL},
    {"blksize", Py_T_OBJECT_EX, offsetof(struct file_wrapper, block_size), Py_READONLY, NULL},
    {"close", Py_T_OBJECT_EX, offsetof(struct file_wrapper, close), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot wrapper_slots[] = {
    {Py_tp_init, wrapper_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, wrapper_dealloc},
    {Py_tp_traverse, wrapper_traverse},
    {Py_tp_clear, wrapper_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, wrapper_next},
    {Py_mp_subscript, wrapper_item},
    {Py_tp_members, wrapper_members},
    {Py_tp_doc, "FileWrapper(filelike, blksize=8192)\n--\n\n"
                "An iterable over a file, sent by the kernel where it can (PEP 3333)."},
    {0, NULL},
};

PyType_Spec file_wrapper_spec = {
    .name = "gunicorn._core.FileWrapper",
    .basicsize = sizeof(struct file_wrapper),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = wrapper_slots,
};
