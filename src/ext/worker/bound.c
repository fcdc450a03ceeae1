#include "ext/worker/bound.h"

#include <stddef.h>

struct bound {
    PyObject_HEAD vectorcallfunc vectorcall;
    struct call *call; /* NULL when the request is over */
};

PyObject *bound_new(struct core_state *state, vectorcallfunc function, struct call *call)
{
    struct bound *self = PyObject_New(struct bound, state->bound_type);
    if (self) {
        self->vectorcall = function;
        self->call = call;
    }
    return (PyObject *)self;
}

struct call *bound_call(PyObject *object)
{
    struct call *call = ((struct bound *)object)->call;
    if (!call || !call->request) {
        PyErr_SetString(PyExc_RuntimeError, "the request that this belongs to is over");
        return NULL;
    }
    return call;
}

static void bound_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMemberDef bound_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(struct bound, vectorcall), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot bound_slots[] = {
    {Py_tp_dealloc, bound_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, bound_members},
    {Py_tp_doc, "A callable that the server gives to an application for one request."},
    {0, NULL},
};

PyType_Spec bound_spec = {
    .name = "gunicorn._core.RequestCallable",
    .basicsize = sizeof(struct bound),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = bound_slots,
};

void bound_detach(PyObject *object)
{
    ((struct bound *)object)->call = NULL;
}
