#include "ext/worker/describe.h"

#include "ext/worker/proxied_about.h"
#include "proto/cgi.h"
#include "serve/request/stream.h"

/* Names are tokens: ASCII. A new reference, or NULL with an exception. */
static PyObject *upper_case(const char *p, size_t n)
{
    PyObject *text = PyUnicode_New((Py_ssize_t)n, 127);
    for (size_t i = 0; text && i < n; i++)
        PyUnicode_1BYTE_DATA(text)[i] = (Py_UCS1)ascii_upper(p[i]);
    return text;
}

static PyObject *field_pair(struct worker *worker, const char *input,
                            const struct head_field *field)
{
    PyObject *name = field->id < FIELD_COUNT ? Py_NewRef(worker->state->field_names[field->id])
                                             : upper_case(input + field->name, field->name_len);
    PyObject *value =
        name ? text_value(&worker->texts, input + field->value, field->value_len) : NULL;
    PyObject *pair = value ? PyTuple_Pack(2, name, value) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(value);
    return pair;
}

PyObject *describe_fields(struct worker *worker, const char *input, const struct head *head)
{
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < head->field_count; i++) {
        if (head->fields[i].id == FIELD_DROPPED)
            continue;
        PyObject *pair = field_pair(worker, input, &head->fields[i]);
        if (!pair || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

static int add_variable(struct worker *worker, PyObject *variables, const char *input,
                        const struct cgi_variable *variable)
{
    PyObject *name = text_value(&worker->texts, input + variable->name, variable->name_len);
    PyObject *value = text_value(&worker->texts, input + variable->value, variable->value_len);
    int result = name && value ? PyDict_SetItem(variables, name, value) : -1;
    Py_XDECREF(name);
    Py_XDECREF(value);
    return result;
}

/* The variables of a gateway that are no fields; None: there is no gateway. */
static PyObject *describe_variables(struct worker *worker, const struct request *request)
{
    if (!request->cgi)
        Py_RETURN_NONE;
    PyObject *variables = PyDict_New();
    for (uint32_t i = 0; variables && i < request->cgi->count; i++)
        if (add_variable(worker, variables, request->input, &request->cgi->variables[i]) < 0)
            Py_CLEAR(variables);
    return variables;
}

static PyObject *slice(struct call *call, uint32_t at, uint32_t n)
{
    return text_value(&call->worker->texts, call->request->input + at, n);
}

PyObject *describe_request(struct call *call, PyObject *body)
{
    struct worker *worker = call->worker;
    const struct request *request = call->request;
    const struct head *head = &request->head;
    return METHODS_CALL(
        worker->methods, make_request,
        PyFloat_FromDouble((double)(request->begun_ns - request->ready_ns) / 1e9),
        proxied_client(worker, request), PyLong_FromLong(request_peer(request)->port),
        Py_NewRef(call->socket), Py_NewRef(body), slice(call, head->method, head->method_len),
        slice(call, head->target, head->target_len), slice(call, head->path, head->path_len),
        slice(call, head->query, head->query_len),
        Py_BuildValue("(ii)", (int)head->major, (int)head->minor),
        describe_fields(worker, request->input, head), PyBool_FromLong(head->https),
        PyLong_FromUnsignedLongLong(request_number(request)), proxied_info(worker, request),
        describe_variables(worker, request));
}

PyObject *describe_response(struct call *call, PyObject *status, PyObject *headers)
{
    const struct response *response = &call->request->response;
    PyObject *length =
        response->has_length ? PyLong_FromUnsignedLongLong(response->length) : Py_NewRef(Py_None);
    return METHODS_CALL(call->worker->methods, make_response, Py_NewRef(call->described),
                        Py_NewRef(call->socket), Py_NewRef(status ? status : Py_None),
                        Py_NewRef(headers ? headers : Py_None), PyLong_FromLong(response->status),
                        PyLong_FromUnsignedLongLong(response->body_sent), length,
                        PyBool_FromLong(response->chunked), PyBool_FromLong(response->sent_head),
                        PyBool_FromLong(response->upgrade), PyBool_FromLong(!response->keep_alive));
}
