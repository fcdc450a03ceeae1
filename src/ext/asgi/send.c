#include "ext/asgi/send.h"

#include "ext/asgi/message.h"
#include "ext/asgi/trailers.h"
#include "proto/status.h"
#include "serve/request/later.h"
#include "serve/request/response.h"
#include "serve/request/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATUS_DIGITS = 3 };

/* Errors: all return -1 with an exception. */

static int out_of_order(const struct channel *channel, const char *type, const char *why)
{
    const char *kind = channel->socket == SOCKET_NONE ? "" : "websocket.";
    PyErr_Format(PyExc_RuntimeError, "ASGI message '%s%s' %s", kind, type, why);
    return -1;
}

static int client_has_left(struct channel *channel)
{
    channel->disconnected = true;
    errno = EPIPE;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

int send_error(struct channel *channel, enum response_error error, PyObject *culprit)
{
    switch (error) {
    case RESPONSE_OK:
        return 0;
    case RESPONSE_BAD_NAME:
        PyErr_Format(PyExc_ValueError, "%.100R is no name of a response header", culprit);
        return -1;
    case RESPONSE_BAD_VALUE:
        PyErr_Format(PyExc_ValueError, "response header %.100R has an invalid value", culprit);
        return -1;
    case RESPONSE_BAD_LENGTH:
        PyErr_Format(PyExc_ValueError,
                     "response header %.100R is no number of bytes, or contradicts another",
                     culprit);
        return -1;
    case RESPONSE_NO_MEMORY:
        PyErr_NoMemory();
        return -1;
    default:
        return client_has_left(channel);
    }
}

/*
 * Each message is read first. The members may run code of the application, which sends other
 * messages: the state is looked at after that, and no such code runs any more until the message is
 * sent.
 */

/* http.response.start */

struct start {
    PyObject *pairs; /* owned */
    long status;
    bool trailers;
};

static int read_status(struct asgi *asgi, PyObject *message, long *status)
{
    *status = message_number(asgi, message, ASGI_status, -1);
    if (*status == -1 && PyErr_Occurred())
        return -1;
    if (*status >= 200 && *status <= 999)
        return 0;
    PyErr_Format(PyExc_ValueError,
                 "ASGI message 'http.response.start' has the status %ld: a final one, from 200 "
                 "to 999, is needed",
                 *status);
    return -1;
}

static int read_start(struct asgi *asgi, PyObject *message, struct start *start)
{
    start->pairs = message_headers(asgi, message);
    if (!start->pairs)
        return -1;
    int trailers = -1;
    if (read_status(asgi, message, &start->status) == 0)
        trailers = message_flag(asgi, message, ASGI_trailers);
    start->trailers = trailers > 0;
    if (trailers < 0)
        Py_CLEAR(start->pairs);
    return trailers < 0 ? -1 : 0;
}

/* "200 OK": its size. */
static size_t write_status(char *line, size_t room, int status)
{
    const char *reason = status_reason(status);
    size_t n = strnlen(reason, room - STATUS_DIGITS - 1);
    for (int i = STATUS_DIGITS - 1, rest = status; i >= 0; i--, rest /= 10)
        line[i] = (char)('0' + rest % 10);
    line[STATUS_DIGITS] = ' ';
    memcpy(line + STATUS_DIGITS + 1, reason, n);
    return STATUS_DIGITS + 1 + n;
}

static int set_status(struct channel *channel, long status)
{
    char line[64];
    size_t n = write_status(line, sizeof(line), (int)status);
    return send_error(channel, response_start(channel_request(channel), line, n), Py_None);
}

/* Looks for fields that concern the connection and the framing. 0 or -1. */
static int heed_field(struct request *request, PyObject *name, struct str field, struct str value)
{
    if (field.n == 14 && str_ieq(field, STR("content-length")) && request->response.has_length) {
        PyErr_Format(PyExc_ValueError, "response header %.100R is there twice", name);
        return -1;
    }
    if (field.n == 10 && str_ieq(field, STR("connection")) && str_ieq(value, STR("close")))
        request->must_close = true;
    return 0;
}

static int add_field(struct channel *channel, PyObject *name, PyObject *value)
{
    struct request *request = channel_request(channel);
    struct str n = message_bytes_view(name), v = message_bytes_view(value);
    if (heed_field(request, name, n, v) < 0)
        return -1;
    return send_error(channel, response_field(request, n, v), name);
}

static int add_fields(struct channel *channel, PyObject *pairs)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(pairs); i++) {
        PyObject *pair = PyList_GET_ITEM(pairs, i);
        if (add_field(channel, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1)) < 0)
            return -1;
    }
    return 0;
}

/* For hooks and loggers in Python. */
void send_remember(struct channel *channel, PyObject *pairs)
{
    if (channel->worker->hooks)
        Py_XSETREF(channel->headers, Py_NewRef(pairs));
}

static int begin_answer(struct channel *channel, const struct start *start)
{
    if (!channel->call)
        return client_has_left(channel);
    struct response *response = &channel_request(channel)->response;
    if (response->started)
        return out_of_order(channel, "http.response.start", "was sent before");
    int result = set_status(channel, start->status);
    if (result == 0) {
        response->own_fields_yield = true;
        result = add_fields(channel, start->pairs);
    }
    if (result < 0) {
        response->started = false;
        return -1;
    }
    channel->trailers_follow = start->trailers;
    send_remember(channel, start->pairs);
    return 0;
}

int send_start(struct channel *channel, PyObject *message)
{
    struct start start;
    if (read_start(asgi_of(channel->worker), message, &start) < 0)
        return -1;
    int result = begin_answer(channel, &start);
    Py_DECREF(start.pairs);
    return result;
}

/* http.response.body */

static bool has_no_body(const struct request *request)
{
    uint16_t status = request->response.status;
    return status == 204 || status == 304 || str_eq(request_method(request), STR("HEAD"));
}

static int check_length(const struct channel *channel, size_t n, bool more)
{
    const struct request *request = channel_request(channel);
    const struct response *response = &request->response;
    if (!response->has_length || has_no_body(request))
        return 0;
    uint64_t left = response->length - response->body_sent;
    if (n > left)
        return out_of_order(channel, "http.response.body",
                            "has more bytes than Content-Length announces");
    if (!more && n < left)
        return out_of_order(channel, "http.response.body",
                            "ends the body before the bytes that Content-Length announces");
    return 0;
}

/* The last item of a body is sent, or the last but trailers. */
static int end_body(struct channel *channel)
{
    channel->body_sent = true;
    if (channel->trailers_follow)
        return 0;
    enum response_error error = response_finish(channel_request(channel));
    if (error != RESPONSE_OK)
        return send_error(channel, error, Py_None);
    channel_finish(channel, CHANNEL_COMPLETE);
    return 0;
}

static void cut(struct channel *channel)
{
    response_abort(channel_request(channel));
    channel_finish(channel, CHANNEL_CUT);
}

/* The client has left. If the message only ends the body nothing is lost, and nothing is raised. */
static int lose_body(struct channel *channel, size_t n, bool more)
{
    bool started = !channel->call || channel_request(channel)->response.started;
    if (n > 0 || more || !started)
        return client_has_left(channel);
    if (channel->call)
        cut(channel);
    return 0;
}

/* `body` is a bytes object, or NULL for none. */
static int write_body(struct channel *channel, PyObject *body, bool more)
{
    struct request *request = channel_request(channel);
    size_t n = body ? (size_t)PyBytes_GET_SIZE(body) : 0;
    bool kept = false;
    int checked = check_length(channel, n, more);
    if (checked < 0 && (more || !request->response.sent_head))
        return -1;
    if (checked < 0) { /* nothing can complete it: the end of the connection says so */
        cut(channel);
        return -1;
    }
    request->response.streamed |= more;
    Py_XINCREF(body);
    bool last = !more && !channel->trailers_follow;
    enum response_error error =
        response_write(request, body ? PyBytes_AS_STRING(body) : NULL, n, body, &kept, last);
    if (!kept)
        Py_XDECREF(body);
    if (error == RESPONSE_GONE)
        return lose_body(channel, n, more);
    if (error != RESPONSE_OK)
        return send_error(channel, error, Py_None);
    return more ? 0 : end_body(channel);
}

static int go_on(struct channel *channel, PyObject *body, bool more)
{
    if (!channel->call)
        return client_has_left(channel);
    if (!channel_request(channel)->response.started)
        return out_of_order(channel, "http.response.body", "was sent before 'http.response.start'");
    if (channel->body_sent)
        return out_of_order(channel, "http.response.body", "was sent after the end of the body");
    return write_body(channel, body, more);
}

int send_body(struct channel *channel, PyObject *message)
{
    struct asgi *asgi = asgi_of(channel->worker);
    PyObject *body = message_bytes(asgi, message, ASGI_body);
    int more = message_flag(asgi, message, ASGI_more_body);
    if (PyErr_Occurred()) {
        Py_XDECREF(body);
        return -1;
    }
    int result = go_on(channel, body, more > 0);
    Py_XDECREF(body);
    return result;
}

/* http.response.pathsend */

/* A new reference; NULL with an exception. */
static PyObject *path_of(struct asgi *asgi, PyObject *message)
{
    PyObject *path = Py_XNewRef(PyDict_GetItemWithError(message, ASGI_NAME(asgi, path)));
    PyObject *bytes = NULL;
    if (path)
        PyUnicode_FSConverter(path, &bytes);
    else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "ASGI message 'http.response.pathsend' has no path");
    Py_XDECREF(path);
    return bytes;
}

static int send_open_file(struct channel *channel, int file, uint64_t size)
{
    struct request *request = channel_request(channel);
    if (check_length(channel, (size_t)size, false) < 0)
        return -1;
    enum response_error error = response_file(request, file, 0, size);
    return error == RESPONSE_OK ? end_body(channel) : send_error(channel, error, Py_None);
}

static int send_path(struct channel *channel, PyObject *path)
{
    struct stat status;
    if (!channel->call)
        return client_has_left(channel);
    const struct response *response = &channel_request(channel)->response;
    if (!response->started || response->sent_head)
        return out_of_order(channel, "http.response.pathsend",
                            "has to follow 'http.response.start', and alone");
    int file = open(PyBytes_AS_STRING(path), O_RDONLY | O_CLOEXEC);
    if (file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode)) {
        int sent = send_open_file(channel, file, (uint64_t)status.st_size);
        close(file);
        return sent;
    }
    errno = file >= 0 ? EISDIR : errno;
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, PyBytes_AS_STRING(path));
    if (file >= 0)
        close(file);
    return -1;
}

static int send_file(struct channel *channel, PyObject *message)
{
    PyObject *path = path_of(asgi_of(channel->worker), message);
    if (!path)
        return -1;
    int sent = send_path(channel, path);
    Py_DECREF(path);
    return sent;
}

/* http.response.zerocopysend */

/* A part of an open file. */
struct piece {
    int file;
    int64_t offset, count; /* -1: from where it stands; all that follows */
    bool more;
};

static int64_t number_or_none(struct asgi *asgi, PyObject *message, enum asgi_name name)
{
    long number = message_number(asgi, message, name, -1);
    if (number < -1 && !PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "%U of an ASGI message is %ld", asgi->names[name], number);
    return number;
}

static int read_piece(struct asgi *asgi, PyObject *message, struct piece *piece)
{
    piece->offset = number_or_none(asgi, message, ASGI_offset);
    piece->count = PyErr_Occurred() ? -1 : number_or_none(asgi, message, ASGI_count);
    piece->more = !PyErr_Occurred() && message_flag(asgi, message, ASGI_more_body) > 0;
    if (PyErr_Occurred())
        return -1;
    PyObject *file = Py_XNewRef(PyDict_GetItemWithError(message, ASGI_NAME(asgi, file)));
    piece->file = file ? PyObject_AsFileDescriptor(file) : -1;
    if (!file && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "ASGI message 'http.response.zerocopysend' has no file");
    Py_XDECREF(file);
    return piece->file < 0 ? -1 : 0;
}

/* Where it begins and how long it is, by the file: 0, or -1 with an exception. */
static int fit_piece(struct piece *piece)
{
    struct stat status;
    bool stands = piece->offset < 0;
    if (stands)
        piece->offset = lseek(piece->file, 0, SEEK_CUR);
    if (piece->offset < 0 || fstat(piece->file, &status) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    int64_t rest = status.st_size > piece->offset ? status.st_size - piece->offset : 0;
    if (piece->count < 0 || piece->count > rest)
        piece->count = rest;
    if (stands)
        (void)lseek(piece->file, piece->offset + piece->count, SEEK_SET);
    return 0;
}

static int send_piece(struct channel *channel, const struct piece *piece)
{
    struct request *request = channel_request(channel);
    if (check_length(channel, (size_t)piece->count, piece->more) < 0)
        return -1;
    request->response.streamed |= piece->more;
    enum response_error error =
        response_file(request, piece->file, (off_t)piece->offset, (uint64_t)piece->count);
    if (error != RESPONSE_OK)
        return send_error(channel, error, Py_None);
    return piece->more ? 0 : end_body(channel);
}

static int send_zero_copy(struct channel *channel, PyObject *message)
{
    struct piece piece;
    if (read_piece(asgi_of(channel->worker), message, &piece) < 0)
        return -1;
    if (!channel->call)
        return client_has_left(channel);
    if (!channel_request(channel)->response.started || channel->body_sent)
        return out_of_order(channel, "http.response.zerocopysend", "is no part of a body here");
    return fit_piece(&piece) < 0 ? -1 : send_piece(channel, &piece);
}

/* http.response.trailers */

static int send_trailers(struct channel *channel, PyObject *message)
{
    if (!channel->body_sent)
        return out_of_order(channel, "http.response.trailers",
                            "has to follow the body of an answer whose start has 'trailers': True");
    int more = trailers_take(channel, message);
    if (more != 0)
        return more < 0 ? -1 : 0;
    if (!channel->call)
        return client_has_left(channel);
    struct request *request = channel_request(channel);
    struct str lines = message_bytes_view(channel->trailers);
    if (request_is_http2(request) && response_trailers(request, lines) != RESPONSE_OK)
        return send_error(channel, RESPONSE_NO_MEMORY, Py_None);
    if (trailers_are_wanted(request))
        request->response.trailers = lines;
    channel->trailers_follow = false;
    return end_body(channel);
}

/* Interim answers */

/* The links of an early hint as headers: a new list, or NULL with an exception. */
static PyObject *link_headers(struct asgi *asgi, PyObject *message)
{
    PyObject *links = Py_XNewRef(PyDict_GetItemWithError(message, ASGI_NAME(asgi, links)));
    PyObject *list = links ? PySequence_List(links) : NULL;
    if (!links && !PyErr_Occurred())
        list = PyList_New(0);
    Py_XDECREF(links);
    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(list); i++) {
        PyObject *pair = Py_BuildValue("(yO)", "Link", PyList_GET_ITEM(list, i));
        if (!pair || PyList_SetItem(list, i, pair) < 0)
            Py_CLEAR(list);
    }
    return list;
}

/* Steals `headers`, which may be NULL with an exception. */
static int send_interim(struct channel *channel, long status, PyObject *headers)
{
    PyObject *lines =
        headers ? PyObject_CallMethod(channel->worker->bridge, "early_hints", "(O)", headers)
                : NULL;
    Py_XDECREF(headers);
    if (!lines || !PyBytes_Check(lines) || !channel->call) {
        Py_XDECREF(lines);
        return PyErr_Occurred() ? -1 : client_has_left(channel);
    }
    struct request *request = channel_request(channel);
    enum response_error error = RESPONSE_OK;
    if (request->head.major > 1 || request->head.minor > 0) /* HTTP/1.0 has none */
        error = response_interim(request, (int)status, message_bytes_view(lines));
    Py_DECREF(lines);
    return send_error(channel, error, Py_None);
}

static int inform(struct channel *channel, PyObject *message)
{
    struct asgi *asgi = asgi_of(channel->worker);
    long status = message_number(asgi, message, ASGI_status, 103);
    if (status == -1 && PyErr_Occurred())
        return -1;
    if (status < 102 || status > 199) {
        PyErr_Format(PyExc_ValueError, "%ld is not the status of an interim answer", status);
        return -1;
    }
    return send_interim(channel, status, message_headers(asgi, message));
}

/* All of them */

static int send_to_nobody(struct channel *channel, PyObject *type, PyObject *message)
{
    struct asgi *asgi = asgi_of(channel->worker);
    if (PyUnicode_CompareWithASCIIString(type, "http.response.body") != 0)
        return client_has_left(channel);
    PyObject *body = message_bytes(asgi, message, ASGI_body);
    int more = message_flag(asgi, message, ASGI_more_body);
    size_t n = body ? (size_t)PyBytes_GET_SIZE(body) : 0;
    Py_XDECREF(body);
    return PyErr_Occurred() ? -1 : lose_body(channel, n, more > 0);
}

static int is_over(struct channel *channel, PyObject *type, PyObject *message)
{
    if (channel->phase != CHANNEL_COMPLETE)
        return send_to_nobody(channel, type, message);
    PyErr_Format(PyExc_RuntimeError, "ASGI message %.100R was sent after the answer was complete",
                 type);
    return -1;
}

static int dispatch(struct channel *channel, PyObject *type, PyObject *message)
{
    if (!channel->call)
        return is_over(channel, type, message);
    struct request *request = channel_request(channel);
    worker_check_process(channel->worker, request);
    if (channel->disconnected || request->response.broken)
        return send_to_nobody(channel, type, message);
    if (PyUnicode_CompareWithASCIIString(type, "http.response.body") == 0)
        return send_body(channel, message);
    if (PyUnicode_CompareWithASCIIString(type, "http.response.start") == 0)
        return send_start(channel, message);
    if (PyUnicode_CompareWithASCIIString(type, "http.response.pathsend") == 0)
        return send_file(channel, message);
    if (PyUnicode_CompareWithASCIIString(type, "http.response.zerocopysend") == 0)
        return send_zero_copy(channel, message);
    if (PyUnicode_CompareWithASCIIString(type, "http.response.trailers") == 0)
        return send_trailers(channel, message);
    if (PyUnicode_CompareWithASCIIString(type, "http.response.early_hint") == 0)
        return send_interim(channel, 103, link_headers(asgi_of(channel->worker), message));
    if (PyUnicode_CompareWithASCIIString(type, "http.response.informational") == 0)
        return inform(channel, message);
    PyErr_Format(PyExc_ValueError, "ASGI message %.100R is none of an HTTP answer", type);
    return -1;
}

PyObject *send_wait_for_room(PyObject *self)
{
    struct channel *channel = channel_in_use(self);
    if (!channel)
        return NULL;
    if (!channel->call || channel_request(channel)->response.broken ||
        response_room(channel_request(channel)))
        Py_RETURN_NONE;
    request_ask(channel_request(channel), REQUEST_ROOM);
    return NULL;
}

int send_result(struct channel *channel, int sent)
{
    if (sent < 0 || !channel->call || response_room(channel_request(channel)))
        return sent;
    return SEND_FULL;
}

static int send_http(struct channel *channel, PyObject *type, PyObject *message)
{
    return send_result(channel, dispatch(channel, type, message));
}

PyObject *send_by(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames,
                  send_dispatch send, awaitable_poll wait)
{
    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames) {
        PyErr_SetString(PyExc_TypeError, "send() takes one message");
        return NULL;
    }
    if (channel_is_elsewhere(channel_of(self)))
        return METHODS_CALL(asgi_of(channel_of(self)->worker)->methods, send_from_thread,
                            Py_NewRef(self), Py_NewRef(args[0]));
    struct channel *channel = channel_in_use(self);
    if (!channel)
        return NULL;
    struct asgi *asgi = asgi_of(channel->worker);
    PyObject *type = message_type(asgi, args[0]);
    if (!type)
        return NULL;
    int sent = send(channel, type, args[0]);
    Py_DECREF(type);
    if (sent < 0)
        return NULL;
    if (sent == SEND_ALL)
        return Py_NewRef(asgi->done);
    return awaitable_new(channel->worker->state, self, &channel->writers, wait);
}

PyObject *send_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return send_by(self, args, nargsf, kwnames, send_http, send_wait_for_room);
}
