#include "ext/core/parser.h"

#include "base/mem.h"
#include "proto/forwarded.h"
#include "proto/http1/chunked.h"
#include "proto/http1/parse.h"
#include "proto/status.h"
#include "proto/uwsgi.h"

#include <string.h>

/* Raises a class of a module; `arguments` is stolen, NULL with an exception set. */
static PyObject *raise_of(const char *module, const char *name, PyObject *arguments)
{
    PyObject *errors = arguments ? PyImport_ImportModule(module) : NULL;
    PyObject *type = errors ? PyObject_GetAttrString(errors, name) : NULL;
    PyObject *error = type ? PyObject_CallObject(type, arguments) : NULL;
    if (error)
        PyErr_SetObject(type, error);
    Py_XDECREF(error);
    Py_XDECREF(type);
    Py_XDECREF(errors);
    Py_XDECREF(arguments);
    return NULL;
}

static PyObject *raise_error(const char *name, PyObject *arguments)
{
    return raise_of("gunicorn.http.errors", name, arguments);
}

/* ---- heads ---- */

struct parsing {
    struct http1_limits limits;
    struct forwarded policy;
    struct trust trust;
    struct http1_parser parser;
    struct head head;
    char *data; /* a copy, for the parser rewrites */
    size_t size;
    bool trusted, tls;
};

static const char *const head_errors[HTTP1_ERROR_COUNT] = {
    [HTTP1_NO_ERROR] = "ParseException",
    [HTTP1_BAD_REQUEST_LINE] = "InvalidRequestLine",
    [HTTP1_BAD_METHOD] = "InvalidRequestMethod",
    [HTTP1_BAD_TARGET] = "InvalidRequestLine",
    [HTTP1_BAD_VERSION] = "InvalidHTTPVersion",
    [HTTP1_LINE_TOO_LONG] = "LimitRequestLine",
    [HTTP1_TOO_MANY_FIELDS] = "LimitRequestHeaders",
    [HTTP1_FIELD_TOO_LONG] = "LimitRequestHeaders",
    [HTTP1_HEAD_TOO_LONG] = "LimitRequestHeaders",
    [HTTP1_BAD_FIELD_NAME] = "InvalidHeaderName",
    [HTTP1_BAD_FIELD_VALUE] = "InvalidHeader",
    [HTTP1_OBSOLETE_FOLD] = "ObsoleteFolding",
    [HTTP1_BARE_LF] = "InvalidHeader",
    [HTTP1_DUPLICATE_FIELD] = "InvalidHeader",
    [HTTP1_BAD_CONTENT_LENGTH] = "InvalidHeader",
    [HTTP1_BAD_TRANSFER_ENCODING] = "InvalidHeader",
    [HTTP1_UNKNOWN_TRANSFER_ENCODING] = "UnsupportedTransferCoding",
    [HTTP1_BAD_EXPECT] = "ExpectationFailed",
    [HTTP1_REFUSED_FIELD] = "InvalidHeaderName",
    [HTTP1_CONTRADICTORY_SCHEME] = "InvalidSchemeHeaders",
    [HTTP1_NO_MEMORY] = "ParseException",
    [HTTP1_BAD_FIELD_LINE] = "InvalidHeader",
};

static PyObject *latin1(const struct parsing *parsing, uint32_t at, uint32_t len)
{
    return PyUnicode_DecodeLatin1(parsing->data + at, len, NULL);
}

static PyObject *upper(const struct parsing *parsing, uint32_t at, uint32_t len)
{
    PyObject *text = latin1(parsing, at, len);
    PyObject *result = text ? PyObject_CallMethod(text, "upper", NULL) : NULL;
    Py_XDECREF(text);
    return result;
}

/* (major, minor) where it has the form of a version. */
static PyObject *version_argument(const struct parsing *parsing)
{
    const char *text = parsing->data + parsing->parser.error_at;
    if (parsing->parser.error_len == 8 && memcmp(text, "HTTP/", 5) == 0 && text[6] == '.')
        return Py_BuildValue("((ii))", text[5] - '0', text[7] - '0');
    return Py_BuildValue("(N)",
                         latin1(parsing, parsing->parser.error_at, parsing->parser.error_len));
}

/* The arguments of the exception of a refused head, a tuple. */
static PyObject *error_arguments(const struct parsing *parsing)
{
    const struct http1_parser *parser = &parsing->parser;
    char text[128];
    switch (parser->error) {
    case HTTP1_LINE_TOO_LONG:
        return Py_BuildValue("(II)", parser->error_len, parser->error_limit);
    case HTTP1_TOO_MANY_FIELDS:
    case HTTP1_FIELD_TOO_LONG:
    case HTTP1_HEAD_TOO_LONG:
        http1_error_text(parser, parsing->data, text, sizeof text);
        return Py_BuildValue("(s)", text);
    case HTTP1_CONTRADICTORY_SCHEME:
        return PyTuple_New(0);
    case HTTP1_BAD_VERSION:
        return version_argument(parsing);
    case HTTP1_BARE_LF:
        return Py_BuildValue("(s)", "bare LF as line terminator");
    case HTTP1_BAD_REQUEST_LINE:
    case HTTP1_BAD_TARGET:
    case HTTP1_BAD_METHOD:
    case HTTP1_BAD_FIELD_NAME:
    case HTTP1_BAD_FIELD_LINE:
    case HTTP1_UNKNOWN_TRANSFER_ENCODING:
    case HTTP1_BAD_EXPECT:
        return Py_BuildValue("(N)", latin1(parsing, parser->error_at, parser->error_len));
    default:
        return Py_BuildValue("(N)", upper(parsing, parser->error_at, parser->error_len));
    }
}

static PyObject *refuse(const struct parsing *parsing)
{
    const struct http1_parser *parser = &parsing->parser;
    bool in_line = parser->error == HTTP1_BARE_LF && parser->stage == HTTP1_AT_REQUEST_LINE;
    if (parser->error == HTTP1_NO_MEMORY)
        return PyErr_NoMemory();
    return raise_error(in_line ? "InvalidRequestLine" : head_errors[parser->error],
                       error_arguments(parsing));
}

static PyObject *fields_of(const struct parsing *parsing)
{
    const struct head *head = &parsing->head;
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        if (field->id == FIELD_DROPPED)
            continue;
        PyObject *pair = Py_BuildValue("(NN)", upper(parsing, field->name, field->name_len),
                                       latin1(parsing, field->value, field->value_len));
        if (!pair || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

/* The body: its length, or None if it is chunked. */
static PyObject *length_of(const struct head *head)
{
    if (head->framing == HEAD_UNTIL_END)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(head->framing == HEAD_LENGTH ? head->content_length : 0);
}

static PyObject *whole_head(const struct parsing *parsing)
{
    const struct head *head = &parsing->head;
    return Py_BuildValue(
        "(INNNN(ii)NNNN)", head->size, latin1(parsing, head->method, head->method_len),
        latin1(parsing, head->target, head->target_len),
        latin1(parsing, head->path, head->path_len), latin1(parsing, head->query, head->query_len),
        head->major, head->minor, fields_of(parsing), PyBool_FromLong(head->https), length_of(head),
        PyBool_FromLong(parsing->parser.must_close));
}

static PyObject *run(struct parsing *parsing)
{
    enum http1_result result = http1_parse(&parsing->parser, &parsing->head, parsing->data,
                                           parsing->size, &parsing->limits);
    if (result == HTTP1_OK)
        result = http1_apply_forwarded(&parsing->parser, &parsing->policy, &parsing->head,
                                       parsing->data, parsing->trusted, parsing->tls);
    if (result == HTTP1_PARTIAL)
        Py_RETURN_NONE;
    return result == HTTP1_OK ? whole_head(parsing) : refuse(parsing);
}

static int add_name(struct parsing *parsing, PyObject *item)
{
    const char *name = PyUnicode_AsUTF8(item);
    if (!name)
        return -1;
    if (forwarded_add_name(&parsing->policy, (struct str){name, strlen(name)}))
        return 0;
    PyErr_NoMemory();
    return -1;
}

static int add_scheme(struct parsing *parsing, PyObject *item)
{
    const char *name, *value;
    if (!PyArg_ParseTuple(item, "ss", &name, &value))
        return -1;
    if (forwarded_add_scheme(&parsing->policy, (struct str){name, strlen(name)},
                             (struct str){value, strlen(value)}))
        return 0;
    PyErr_NoMemory();
    return -1;
}

static int add_network(struct parsing *parsing, PyObject *item)
{
    const char *text = PyUnicode_AsUTF8(item);
    if (!text)
        return -1;
    if (trust_add(&parsing->trust, (struct str){text, strlen(text)}) == TRUST_OK)
        return 0;
    PyErr_Format(PyExc_ValueError, "forwarded_allow_ips: %.100s is no address or network", text);
    return -1;
}

static int for_each(struct parsing *parsing, PyObject *list,
                    int (*add)(struct parsing *parsing, PyObject *item))
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++)
        if (add(parsing, PyList_GET_ITEM(list, i)) < 0)
            return -1;
    return 0;
}

static int copy_in(struct parsing *parsing, const char *data, Py_ssize_t size)
{
    parsing->size = (size_t)size;
    parsing->data = mem_alloc(parsing->size + 1);
    if (!parsing->data) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(parsing->data, data, parsing->size);
    return 0;
}

static int read_arguments(struct parsing *parsing, PyObject *args)
{
    struct http1_limits *limits = &parsing->limits;
    const char *data, *address;
    Py_ssize_t size, address_size;
    PyObject *names, *schemes, *networks;
    int folding, method, version, spaces, casefold, map, tls;
    if (!PyArg_ParseTuple(args, "y#(III)(ppppp)(iO!O!)(O!z#)p:parse_head", &data, &size,
                          &limits->request_line, &limits->fields, &limits->field_size, &folding,
                          &method, &version, &spaces, &casefold, &map, &PyList_Type, &names,
                          &PyList_Type, &schemes, &PyList_Type, &networks, &address, &address_size,
                          &tls))
        return -1;
    limits->permit_obsolete_folding = folding;
    limits->permit_unconventional_method = method;
    limits->permit_unconventional_version = version;
    limits->strip_header_spaces = spaces;
    limits->casefold_method = casefold;
    parsing->policy.map = (enum forwarded_map)map;
    parsing->tls = tls;
    if (for_each(parsing, names, add_name) < 0 || for_each(parsing, schemes, add_scheme) < 0 ||
        for_each(parsing, networks, add_network) < 0)
        return -1;
    parsing->trusted =
        !address || trust_has(&parsing->trust, (const uint8_t *)address, (size_t)address_size);
    return copy_in(parsing, data, size);
}

static PyObject *parse_head(PyObject *module, PyObject *args)
{
    struct parsing parsing = {0};
    (void)module;
    head_init(&parsing.head);
    PyObject *result = read_arguments(&parsing, args) < 0 ? NULL : run(&parsing);
    head_free(&parsing.head);
    forwarded_free(&parsing.policy);
    trust_free(&parsing.trust);
    mem_free(parsing.data);
    return result;
}

/* ---- packets of uwsgi ---- */

struct packet {
    struct parsing parsing;
    struct cgi cgi;
    struct uwsgi uwsgi;
};

static int read_packet_arguments(struct packet *packet, PyObject *args)
{
    struct http1_limits *limits = &packet->parsing.limits;
    const char *data;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "y#(III):parse_packet", &data, &size, &limits->request_line,
                          &limits->fields, &limits->field_size))
        return -1;
    return copy_in(&packet->parsing, data, size);
}

static PyObject *refuse_packet(const struct packet *packet)
{
    static const char prefix[] = "Invalid uWSGI header: "; /* the exception has it, too */
    char text[128];
    if (packet->uwsgi.error == UWSGI_BAD_VARIABLE && packet->cgi.error == CGI_NO_MEMORY)
        return PyErr_NoMemory();
    if (packet->uwsgi.error == UWSGI_BAD_MODIFIER)
        return raise_of("gunicorn.uwsgi.errors", "UnsupportedModifier",
                        Py_BuildValue("(i)", packet->uwsgi.modifier1));
    uwsgi_error_text(&packet->uwsgi, text, sizeof text);
    const char *said = strncmp(text, prefix, strlen(prefix)) == 0 ? text + strlen(prefix) : text;
    return raise_of("gunicorn.uwsgi.errors", "InvalidUWSGIHeader",
                    Py_BuildValue("(si)", said, uwsgi_error_status(&packet->uwsgi)));
}

/* All that are no fields. */
static PyObject *variables_of(const struct packet *packet)
{
    PyObject *variables = PyDict_New();
    for (uint32_t i = 0; variables && i < packet->cgi.count; i++) {
        const struct cgi_variable *variable = &packet->cgi.variables[i];
        PyObject *name = latin1(&packet->parsing, variable->name, variable->name_len);
        PyObject *value = latin1(&packet->parsing, variable->value, variable->value_len);
        if (!name || !value || PyDict_SetItem(variables, name, value) < 0)
            Py_CLEAR(variables);
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    return variables;
}

static PyObject *whole_packet(const struct packet *packet)
{
    return Py_BuildValue("(NNii)", whole_head(&packet->parsing), variables_of(packet),
                         packet->uwsgi.modifier1, packet->uwsgi.modifier2);
}

static PyObject *run_packet(struct packet *packet)
{
    struct parsing *parsing = &packet->parsing;
    uwsgi_init(&packet->uwsgi, &packet->cgi);
    switch (uwsgi_parse(&packet->uwsgi, &parsing->head, parsing->data, parsing->size,
                        &parsing->limits)) {
    case UWSGI_OK:
        return whole_packet(packet);
    case UWSGI_PARTIAL:
        Py_RETURN_NONE;
    default:
        return refuse_packet(packet);
    }
}

static PyObject *parse_packet(PyObject *module, PyObject *args)
{
    struct packet packet = {0};
    (void)module;
    head_init(&packet.parsing.head);
    cgi_init(&packet.cgi);
    PyObject *result = read_packet_arguments(&packet, args) < 0 ? NULL : run_packet(&packet);
    head_free(&packet.parsing.head);
    cgi_free(&packet.cgi);
    mem_free(packet.parsing.data);
    return result;
}

/* ---- chunked bodies ---- */

struct decoder {
    PyObject_HEAD struct chunked chunked;
};

static const struct {
    const char *name, *argument;
} chunked_errors[CHUNKED_ERROR_COUNT] = {
    [CHUNKED_NO_ERROR] = {"ParseException", ""},
    [CHUNKED_BAD_SIZE] = {"InvalidChunkSize", "no hexadecimal number of at most 63 bits"},
    [CHUNKED_LINE_TOO_LONG] = {"InvalidChunkSize", "the line is too long"},
    [CHUNKED_BAD_EXTENSION] = {"InvalidChunkExtension", "invalid chunk extension"},
    [CHUNKED_BAD_TERMINATOR] = {"ChunkMissingTerminator", "the chunk goes on"},
    [CHUNKED_BAD_TRAILER] = {"InvalidHeader", "in the trailer section"},
    [CHUNKED_BAD_NAME] = {"InvalidHeaderName", "in the trailer section"},
    [CHUNKED_TRAILER_TOO_LONG] = {"LimitRequestHeaders", "limit request headers fields size"},
    [CHUNKED_TOO_MANY_TRAILERS] = {"LimitRequestHeaders", "limit request headers fields"},
};

static PyObject *decoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    unsigned line_limit, field_limit;
    if (kwargs || !PyArg_ParseTuple(args, "II:ChunkedDecoder", &line_limit, &field_limit))
        return kwargs ? PyErr_Format(PyExc_TypeError, "no keywords") : NULL;
    struct decoder *self = PyObject_New(struct decoder, type);
    if (self)
        chunked_init(&self->chunked, line_limit, field_limit);
    return (PyObject *)self;
}

static void decoder_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_Free(op);
    Py_DECREF(type);
}

static PyObject *decoder_feed(PyObject *op, PyObject *bytes)
{
    struct chunked *chunked = &((struct decoder *)op)->chunked;
    if (!PyBytes_Check(bytes))
        return PyErr_Format(PyExc_TypeError, "bytes are fed, not %.100s", Py_TYPE(bytes)->tp_name);
    size_t consumed, produced;
    size_t size = (size_t)PyBytes_GET_SIZE(bytes);
    char *data = mem_alloc(size + 1);
    if (!data)
        return PyErr_NoMemory();
    memcpy(data, PyBytes_AS_STRING(bytes), size);
    enum chunked_result result = chunked_decode(chunked, data, size, &consumed, &produced);
    PyObject *body = NULL;
    if (result == CHUNKED_ERROR)
        raise_error(chunked_errors[chunked->error].name,
                    Py_BuildValue("(s)", chunked_errors[chunked->error].argument));
    else
        body = Py_BuildValue("(y#nN)", data, (Py_ssize_t)produced, (Py_ssize_t)consumed,
                             PyBool_FromLong(result == CHUNKED_DONE));
    mem_free(data);
    return body;
}

static PyMethodDef decoder_methods[] = {
    {"feed", decoder_feed, METH_O,
     "feed(data)\n--\n\nReturns (bytes of the body, how much of data was used, whether it ended)."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot decoder_slots[] = {
    {Py_tp_new, decoder_new},
    {Py_tp_dealloc, decoder_dealloc},
    {Py_tp_methods, decoder_methods},
    {Py_tp_doc, "ChunkedDecoder(limit_request_field_size, limit_request_fields)\n--\n\n"
                "A body in chunks (RFC 9112 section 7.1), decoded as the engine does."},
    {0, NULL},
};

static PyType_Spec decoder_spec = {
    .name = "gunicorn._core.ChunkedDecoder",
    .basicsize = sizeof(struct decoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = decoder_slots,
};

static PyObject *reason_of(PyObject *module, PyObject *status)
{
    (void)module;
    long code = PyLong_AsLong(status);
    if (code == -1 && PyErr_Occurred())
        return NULL;
    return PyUnicode_FromString(status_reason(code >= 100 && code <= 999 ? (int)code : 0));
}

static PyMethodDef parser_functions[] = {
    {"status_reason", reason_of, METH_O,
     "status_reason(status, /)\n--\n\nReturn the reason phrase of a status code, as the engine "
     "sends "
     "it; \"Unknown\" for one that is not registered."},
    {"parse_head", parse_head, METH_VARARGS,
     "parse_head(data, limits, permits, names, peer, tls)\n--\n\n"
     "None while the head is not whole; then (size, method, target, path, query, version, fields, "
     "https, length or None, must_close)."},
    {"parse_packet", parse_packet, METH_VARARGS,
     "parse_packet(data, limits)\n--\n\n"
     "The same for a packet of uwsgi, as (head, variables, modifier1, modifier2)."},
    {NULL, NULL, 0, NULL},
};

int parser_add_to(PyObject *module)
{
    if (core_add_type(module, &decoder_spec, NULL) < 0)
        return -1;
    return PyModule_AddFunctions(module, parser_functions);
}
