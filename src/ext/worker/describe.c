#include "ext/wsgi/wsgi.h"

/* Requests and answers as hooks, worker classes and loggers of the user see them. */

/* Names are tokens: ASCII. A new reference, or NULL with an exception. */
static PyObject *upper_case(const char *p, size_t n)
{
    PyObject *text = PyUnicode_New((Py_ssize_t)n, 127);
    for (size_t i = 0; text && i < n; i++)
        PyUnicode_1BYTE_DATA(text)[i] = (Py_UCS1)ascii_upper(p[i]);
    return text;
}

static PyObject *field_pair(struct wsgi *wsgi, const char *input, const struct head_field *field)
{
    PyObject *name = field->id < FIELD_COUNT ? Py_NewRef(wsgi->state->field_names[field->id])
                                             : upper_case(input + field->name, field->name_len);
    PyObject *value =
        name ? text_value(&wsgi->texts, input + field->value, field->value_len) : NULL;
    PyObject *pair = value ? PyTuple_Pack(2, name, value) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(value);
    return pair;
}

PyObject *describe_fields(struct wsgi *wsgi, const char *input, const struct head *head)
{
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < head->field_count; i++) {
        if (head->fields[i].id == FIELD_DROPPED)
            continue;
        PyObject *pair = field_pair(wsgi, input, &head->fields[i]);
        if (!pair || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

static PyObject *slice(struct call *call, uint32_t at, uint32_t n)
{
    return text_value(&call->wsgi->texts, call->request->input + at, n);
}

PyObject *describe_request(struct call *call)
{
    struct wsgi *wsgi = call->wsgi;
    const struct request *request = call->request;
    const struct head *head = &request->head;
    return PyObject_CallMethod(
        wsgi->handler, "make_request", "dNiOONNNN(ii)NOK",
        (double)(request->begun_ns - request->ready_ns) / 1e9,
        text_address(&wsgi->texts, request_peer(request)), (int)request_peer(request)->port,
        call->socket, call->input ? call->input : wsgi->empty_input,
        slice(call, head->method, head->method_len), slice(call, head->target, head->target_len),
        slice(call, head->path, head->path_len), slice(call, head->query, head->query_len),
        (int)head->major, (int)head->minor, describe_fields(wsgi, request->input, head),
        head->https ? Py_True : Py_False, (unsigned long long)request_number(request));
}

PyObject *describe_response(struct call *call)
{
    const struct response *response = &call->request->response;
    PyObject *length =
        response->has_length ? PyLong_FromUnsignedLongLong(response->length) : Py_NewRef(Py_None);
    return PyObject_CallMethod(
        call->wsgi->handler, "make_response", "OOOOiKNNNNN", call->described, call->socket,
        call->status ? call->status : Py_None, call->headers ? call->headers : Py_None,
        (int)response->status, (unsigned long long)response->body_sent, length,
        PyBool_FromLong(response->chunked), PyBool_FromLong(response->sent_head),
        PyBool_FromLong(response->upgrade), PyBool_FromLong(!response->keep_alive));
}

/* The size of a body that was sent in chunks and is here whole; else None. */
static PyObject *chunked_size(const struct request *request)
{
    if (!environ_hides_chunks(request))
        return Py_NewRef(Py_None);
    return PyLong_FromUnsignedLongLong(request->body.stored);
}

/* Where hooks want a connection to end, or an older protocol, they get it; the other way round the
 * client would misread the answer. */
static int apply_changes(struct request *request, PyObject *ends)
{
    int close, old;
    if (!PyArg_ParseTuple(ends, "pp", &close, &old))
        return -1;
    request->must_close |= close;
    if (old && request->head.major == 1)
        request->head.minor = 0;
    return 1;
}

int describe_changes(struct call *call, PyObject *environ)
{
    const struct listener *listener = request_listener(call->request);
    PyObject *ends = PyObject_CallMethod(
        call->wsgi->handler, "fill_changed", "OOOnN", environ, call->described,
        call->given ? call->given : Py_None,
        listener->inner ? (Py_ssize_t)0 : (Py_ssize_t)(listener - call->wsgi->engine->listeners),
        chunked_size(call->request));
    if (!ends)
        return -1;
    int changed = ends == Py_None ? 0 : apply_changes(call->request, ends);
    Py_DECREF(ends);
    return changed;
}
