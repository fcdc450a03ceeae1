#include "ext/asgi/websocket.h"

#include "ext/asgi/message.h"
#include "ext/asgi/receive.h"
#include "ext/asgi/send.h"
#include "serve/conn/websocket.h"
#include "serve/request/refusal.h"

#include <errno.h>

/* The end */

static PyObject *disconnect_message(const struct channel *channel)
{
    PyObject *reason = channel->reason ? Py_NewRef(channel->reason) : PyUnicode_New(0, 0);
    return Py_BuildValue("{sssHsN}", "type", "websocket.disconnect", "code", channel->code,
                         "reason", reason);
}

/* After DUPLEX_GONE. */
static void finish_ended(struct channel *channel)
{
    struct str reason;
    channel->code = websocket_code(channel_request(channel), &reason);
    channel->disconnected = true;
    channel->reason = PyUnicode_DecodeUTF8(reason.p, (Py_ssize_t)reason.n, "replace");
    if (!channel->reason)
        PyErr_Clear(); /* the code is enough */
    channel_finish(channel, CHANNEL_COMPLETE);
}

bool asgi_websocket_ended(struct channel *channel)
{
    struct duplex_message *message;
    if (channel->socket != SOCKET_CLOSED ||
        websocket_next(channel_request(channel), &message) != DUPLEX_GONE)
        return false;
    finish_ended(channel);
    return true;
}

void asgi_websocket_leave(struct channel *channel, uint16_t code)
{
    if (channel->socket == SOCKET_OPEN)
        websocket_close(channel_request(channel), code, STR(""));
    channel_finish(channel, CHANNEL_COMPLETE);
}

/* Receiving */

/* Drops the message. */
static PyObject *receive_message(struct channel *channel, struct duplex_message *message)
{
    struct asgi *asgi = asgi_of(channel->worker);
    struct str payload = message->payload;
    PyObject *name = message->text ? ASGI_NAME(asgi, text) : ASGI_NAME(asgi, bytes);
    PyObject *value = message->text ? PyUnicode_DecodeUTF8(payload.p, (Py_ssize_t)payload.n, NULL)
                                    : PyBytes_FromStringAndSize(payload.p, (Py_ssize_t)payload.n);
    websocket_drop(channel_request(channel), message);
    channel->receives = true;
    PyObject *event = value ? PyDict_Copy(asgi->receive_message) : NULL;
    if (event && PyDict_SetItem(event, name, value) < 0)
        Py_CLEAR(event);
    Py_XDECREF(value);
    return event;
}

static PyObject *next_message(struct channel *channel)
{
    struct request *request = channel_request(channel);
    struct duplex_message *message;
    switch (websocket_next(request, &message)) {
    case DUPLEX_MESSAGE:
        return receive_message(channel, message);
    case DUPLEX_GONE:
        finish_ended(channel);
        return disconnect_message(channel);
    default:
        websocket_ask(request, REQUEST_BODY);
        return NULL;
    }
}

/* The awaitable's poll function. */
static PyObject *next_event(PyObject *self)
{
    struct channel *channel = channel_in_use(self);
    if (!channel)
        return NULL;
    if (!channel->connected) {
        channel->connected = true;
        return Py_BuildValue("{ss}", "type", "websocket.connect");
    }
    if (!channel->call || channel->disconnected)
        return disconnect_message(channel);
    worker_check_process(channel->worker, channel_request(channel));
    if (asgi_websocket_is_accepted(channel))
        return next_message(channel);
    channel->disconnected = channel->client_left;
    return channel->client_left ? disconnect_message(channel) : NULL;
}

PyObject *asgi_websocket_receive(PyObject *self, PyObject *const *args, size_t nargsf,
                                 PyObject *kwnames)
{
    (void)args;
    return receive_by(self, nargsf, kwnames, next_event);
}

/* Members of messages */

/* A borrowed reference; NULL for none and for None, or with an exception. */
static PyObject *member(struct channel *channel, PyObject *message, enum asgi_name name)
{
    PyObject *value = PyDict_GetItemWithError(message, asgi_of(channel->worker)->names[name]);
    return value == Py_None ? NULL : value;
}

/* Text that stands in `value`, which is empty where there is none. 0, or -1 with an exception. */
static int text_member(struct channel *channel, PyObject *message, enum asgi_name name,
                       struct str *value)
{
    PyObject *object = member(channel, message, name);
    Py_ssize_t size;
    *value = STR("");
    if (!object)
        return PyErr_Occurred() ? -1 : 0;
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%U of an ASGI message is %.100R (%.100s), and not a string",
                     asgi_of(channel->worker)->names[name], object, Py_TYPE(object)->tp_name);
        return -1;
    }
    value->p = PyUnicode_AsUTF8AndSize(object, &size);
    value->n = value->p ? (size_t)size : 0;
    return value->p ? 0 : -1;
}

/* Sending: 0 or more, or -1 with an exception. */

enum {
    ASKED = 1 << SOCKET_ASKED,
    OPEN = 1 << SOCKET_OPEN,
    REFUSING = 1 << SOCKET_REFUSING,
};

static int gone(struct channel *channel)
{
    channel->client_left = true;
    errno = EPIPE;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* Whether the message may come now; `states` has a bit for each. Looked at again when its members
 * have been read, which may run code of the application. */
static int check_state(struct channel *channel, const char *type, unsigned states)
{
    static const char *const reached[] = {
        [SOCKET_ASKED] = "before 'websocket.accept'",
        [SOCKET_OPEN] = "after 'websocket.accept'",
        [SOCKET_CLOSED] = "after 'websocket.close'",
        [SOCKET_REFUSING] = "after 'websocket.http.response.start'",
    };
    if (channel->disconnected)
        return gone(channel);
    if (!(states & 1u << channel->socket)) {
        PyErr_Format(PyExc_RuntimeError, "ASGI message '%s' was sent %s", type,
                     reached[channel->socket]);
        return -1;
    }
    return channel->call ? 0 : gone(channel);
}

static int send_payload(struct channel *channel, bool text, struct str payload)
{
    if (!channel->call)
        return gone(channel);
    switch (websocket_send(channel_request(channel), text, payload)) {
    case DUPLEX_SENT:
        return SEND_ALL;
    case DUPLEX_FULL:
        return SEND_FULL;
    default:
        return gone(channel);
    }
}

static int send_bytes(struct channel *channel, PyObject *message)
{
    PyObject *bytes = message_bytes(asgi_of(channel->worker), message, ASGI_bytes);
    if (!bytes)
        return -1;
    int sent = send_payload(channel, false, message_bytes_view(bytes));
    Py_DECREF(bytes);
    return sent;
}

static int send_data(struct channel *channel, PyObject *message)
{
    struct str text;
    bool has_bytes = member(channel, message, ASGI_bytes);
    bool has_text = !PyErr_Occurred() && member(channel, message, ASGI_text);
    if (PyErr_Occurred() || text_member(channel, message, ASGI_text, &text) < 0)
        return -1;
    if (has_bytes == has_text) {
        PyErr_Format(PyExc_ValueError,
                     "ASGI message 'websocket.send' has %s: either 'text' or 'bytes' is needed",
                     has_text ? "both" : "neither");
        return -1;
    }
    return has_text ? send_payload(channel, true, text) : send_bytes(channel, message);
}

/* websocket.accept */

static bool is_offered(const struct request *request, struct str subprotocol)
{
    struct ws_subprotocols walk = {0};
    struct str name;
    while (ws_subprotocols_next(&request->head, request->input, &walk, &name))
        if (str_eq(name, subprotocol))
            return true;
    return false;
}

static int begin(struct channel *channel, struct str subprotocol)
{
    struct request *request = channel_request(channel);
    if (subprotocol.n > 0 && !is_offered(request, subprotocol)) {
        PyErr_Format(PyExc_ValueError,
                     "the subprotocol '%.100s' of 'websocket.accept' is not offered by the client",
                     subprotocol.p);
        return -1;
    }
    request->response.own_fields_yield = true;
    return send_error(channel, websocket_begin(request, subprotocol), Py_None);
}

/* Fields that the handshake has itself. */
static bool is_reserved(struct str name)
{
    static const struct str names[] = {
        {"sec-websocket-accept", 20},
        {"sec-websocket-extensions", 24},
        {"sec-websocket-protocol", 22},
        {"content-length", 14},
        {"upgrade", 7},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (name.n == names[i].n && str_ieq(name, names[i]))
            return true;
    return false;
}

static int add_field(struct channel *channel, PyObject *name, PyObject *value)
{
    if (is_reserved(message_bytes_view(name))) {
        PyErr_Format(PyExc_ValueError, "header %.100R of 'websocket.accept' is the server's own",
                     name);
        return -1;
    }
    return send_error(channel,
                      response_field(channel_request(channel), message_bytes_view(name),
                                     message_bytes_view(value)),
                      name);
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

/* The handshake is answered; another task may wait for messages already. */
static void open_socket(struct channel *channel, PyObject *pairs)
{
    channel->socket = SOCKET_OPEN;
    send_remember(channel, pairs);
    websocket_ask(channel_request(channel), REQUEST_GONE | REQUEST_DEADLINE);
    awaitable_wake(&channel->readers);
}

static int answer(struct channel *channel, struct str subprotocol, PyObject *pairs)
{
    if (check_state(channel, "websocket.accept", ASKED) < 0)
        return -1;
    struct request *request = channel_request(channel);
    int result = begin(channel, subprotocol);
    if (result == 0)
        result = add_fields(channel, pairs);
    if (result == 0)
        result = send_error(channel, websocket_accept(request), Py_None);
    if (result == 0)
        open_socket(channel, pairs);
    else
        request->response.started = false;
    return result;
}

static int accept_client(struct channel *channel, PyObject *message)
{
    struct str subprotocol;
    PyObject *pairs = message_headers(asgi_of(channel->worker), message);
    int result = pairs ? text_member(channel, message, ASGI_subprotocol, &subprotocol) : -1;
    if (result == 0)
        result = answer(channel, subprotocol, pairs);
    Py_XDECREF(pairs);
    return result;
}

/* websocket.close, and an answer of HTTP */

static void refuse(struct channel *channel)
{
    channel->socket = SOCKET_CLOSED;
    refusal_send(channel_request(channel), 403, "");
    channel_finish(channel, CHANNEL_COMPLETE);
}

static void close_socket(struct channel *channel, uint16_t code, struct str reason)
{
    channel->socket = SOCKET_CLOSED;
    websocket_close(channel_request(channel), code, reason);
    asgi_websocket_ended(channel); /* perhaps it had already */
}

static int send_close(struct channel *channel, PyObject *message)
{
    struct str reason;
    long code = message_number(asgi_of(channel->worker), message, ASGI_code, WS_CLOSE_NORMAL);
    if ((code == -1 && PyErr_Occurred()) || text_member(channel, message, ASGI_reason, &reason) < 0)
        return -1;
    if (code < 0 || code > UINT16_MAX || !ws_close_allowed((uint16_t)code)) {
        PyErr_Format(PyExc_ValueError, "the code %ld of 'websocket.close' cannot be sent", code);
        return -1;
    }
    if (check_state(channel, "websocket.close", ASKED | OPEN) < 0)
        return -1;
    if (channel->socket == SOCKET_ASKED)
        refuse(channel);
    else
        close_socket(channel, (uint16_t)code, reason);
    return SEND_ALL;
}

static int start_refusal(struct channel *channel, PyObject *message)
{
    int started = send_start(channel, message);
    if (started == 0)
        channel->socket = SOCKET_REFUSING;
    return started;
}

/* All of them */

static const struct {
    const char *type;
    unsigned states; /* in which it may come */
    int (*send)(struct channel *channel, PyObject *message);
} messages[] = {
    {"websocket.send", OPEN, send_data},
    {"websocket.accept", ASKED, accept_client},
    {"websocket.close", ASKED | OPEN, send_close},
    {"websocket.http.response.start", ASKED, start_refusal},
    {"websocket.http.response.body", REFUSING, send_body},
};

static int dispatch(struct channel *channel, PyObject *type, PyObject *message)
{
    if (channel->call)
        worker_check_process(channel->worker, channel_request(channel));
    for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
        if (PyUnicode_CompareWithASCIIString(type, messages[i].type) != 0)
            continue;
        if (check_state(channel, messages[i].type, messages[i].states) < 0)
            return -1;
        int sent = messages[i].send(channel, message);
        return messages[i].states & REFUSING ? send_result(channel, sent) : sent;
    }
    PyErr_Format(PyExc_ValueError, "ASGI message %.100R is none of a WebSocket", type);
    return -1;
}

/* The awaitable's poll function, for clients that are slow. */
static PyObject *wait_for_room(PyObject *self)
{
    struct channel *channel = channel_in_use(self);
    if (!channel)
        return NULL;
    if (!asgi_websocket_is_accepted(channel))
        return send_wait_for_room(self);
    struct request *request = channel_request(channel);
    if (channel->client_left || websocket_room(request))
        Py_RETURN_NONE;
    websocket_ask(request, REQUEST_ROOM);
    return NULL;
}

PyObject *asgi_websocket_send(PyObject *self, PyObject *const *args, size_t nargsf,
                              PyObject *kwnames)
{
    return send_by(self, args, nargsf, kwnames, dispatch, wait_for_room);
}
