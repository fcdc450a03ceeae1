#include "ext/asgi/trailers.h"

#include "ext/asgi/message.h"
#include "serve/request/stream.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The next element of a list, without its parameters; *rest begins behind it. */
static struct str next_element(struct str *rest)
{
    struct str element = {rest->p, 0};
    while (element.n < rest->n && element.p[element.n] != ',')
        element.n++;
    size_t used = element.n < rest->n ? element.n + 1 : element.n;
    *rest = (struct str){rest->p + used, rest->n - used};
    const char *parameters = memchr(element.p, ';', element.n);
    if (parameters)
        element.n = (size_t)(parameters - element.p);
    while (element.n > 0 && is_blank(element.p[0]))
        element = (struct str){element.p + 1, element.n - 1};
    while (element.n > 0 && is_blank(element.p[element.n - 1]))
        element.n--;
    return element;
}

static bool names_trailers(struct str value)
{
    while (value.n > 0)
        if (str_ieq(next_element(&value), STR("trailers")))
            return true;
    return false;
}

bool trailers_are_wanted(const struct request *request)
{
    const struct head *head = &request->head;
    if (request_is_http2(request))
        return true;
    if (!(head->seen & field_bit(FIELD_TE)) || (head->major == 1 && head->minor == 0))
        return false;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        if (field->id == FIELD_TE &&
            names_trailers(head_slice(request->input, field->value, field->value_len)))
            return true;
    }
    return false;
}

/* Steals `lines`. 0 or -1. */
static int append(struct channel *channel, PyObject *lines)
{
    if (!channel->trailers)
        channel->trailers = lines;
    else
        PyBytes_ConcatAndDel(&channel->trailers, lines);
    return channel->trailers ? 0 : -1;
}

int trailers_take(struct channel *channel, PyObject *message)
{
    struct asgi *asgi = asgi_of(channel->worker);
    PyObject *headers = message_headers(asgi, message);
    PyObject *lines = headers ? METHODS_CALL(asgi->methods, trailers, headers) : NULL;
    if (!lines)
        return -1;
    if (!PyBytes_Check(lines)) {
        Py_DECREF(lines);
        PyErr_SetString(PyExc_SystemError, "the lines of trailers are no bytes");
        return -1;
    }
    if (append(channel, lines) < 0)
        return -1;
    return message_flag(asgi, message, ASGI_more_trailers);
}
