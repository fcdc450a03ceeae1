#ifndef PROTO_CGI_H
#define PROTO_CGI_H

#include "proto/http1/parse.h"

/*
 * A request as CGI variables (RFC 3875 §4.1), as uwsgi and FastCGI carry it: the neutral head from
 * those that have a place in it, and the rest as they came. All positions are offsets into the
 * buffer that has the names and values.
 */

/* As gunicorn: more are refused, whatever limit_request_fields says. */
#define CGI_VARIABLES_MAX 1000

/* Variables that the server itself reads. X(identifier, "NAME") */
#define CGI_TABLE(X)                                                                               \
    X(HTTPS, "HTTPS")                                                                              \
    X(PATH_INFO, "PATH_INFO")                                                                      \
    X(QUERY_STRING, "QUERY_STRING")                                                                \
    X(REMOTE_ADDR, "REMOTE_ADDR")                                                                  \
    X(REMOTE_PORT, "REMOTE_PORT")                                                                  \
    X(REQUEST_METHOD, "REQUEST_METHOD")                                                            \
    X(REQUEST_SCHEME, "REQUEST_SCHEME")                                                            \
    X(REQUEST_URI, "REQUEST_URI")                                                                  \
    X(SCRIPT_NAME, "SCRIPT_NAME")                                                                  \
    X(SERVER_NAME, "SERVER_NAME")                                                                  \
    X(SERVER_PORT, "SERVER_PORT")                                                                  \
    X(SERVER_PROTOCOL, "SERVER_PROTOCOL")                                                          \
    X(URL_SCHEME, "wsgi.url_scheme")

enum cgi_name {
#define CGI_ENUM(identifier, name) CGI_##identifier,
    CGI_TABLE(CGI_ENUM)
#undef CGI_ENUM
        CGI_OTHER,
    CGI_COUNT = CGI_OTHER
};

struct cgi_variable {
    uint32_t name, name_len;
    uint32_t value, value_len;
    enum cgi_name id;
};

/* Why the variables were refused: see cgi_error_text(). */
enum cgi_error {
    CGI_NO_ERROR,
    CGI_BAD_NAME, /* no token */
    CGI_BAD_VALUE,
    CGI_TOO_MANY_VARIABLES,
    CGI_TOO_MANY_FIELDS, /* 431: limit_request_fields */
    CGI_FIELD_TOO_LONG,  /* 431: limit_request_field_size */
    CGI_TARGET_TOO_LONG, /* 414: limit_request_line */
    CGI_DUPLICATE,       /* Content-Type or Content-Length twice */
    CGI_NO_METHOD,
    CGI_BAD_METHOD,
    CGI_NO_TARGET, /* neither REQUEST_URI nor PATH_INFO */
    CGI_BAD_TARGET,
    CGI_BAD_PATH, /* PATH_INFO or SCRIPT_NAME without a leading "/" */
    CGI_BAD_QUERY,
    CGI_BAD_PROTOCOL,
    CGI_BAD_CONTENT_LENGTH,
    CGI_NO_MEMORY, /* 500 */
    CGI_ERROR_COUNT
};

struct cgi {
    uint32_t count, capacity;
    struct cgi_variable *variables; /* owned: cgi_free(). All that are no field of the head */
    uint32_t length_field;          /* index of Content-Length, if seen */
    uint32_t known[CGI_COUNT];      /* 1 + index of the last variable of that name, or 0 */
    enum cgi_error error;
};

void cgi_init(struct cgi *cgi);
void cgi_reset(struct cgi *cgi); /* ready for the next request; keeps the table */
void cgi_free(struct cgi *cgi);

/*
 * Adds a variable, all offsets being into `data`. HTTP_*, CONTENT_TYPE and CONTENT_LENGTH become
 * fields of the head, in whose names '_' is rewritten to '-' in place, after which they may be
 * added again. False:
 * cgi->error is set.
 */
bool cgi_add(struct cgi *cgi, struct head *head, char *data, const struct cgi_variable *variable,
             const struct http1_limits *limits);

/*
 * The rest of the head, when all variables were added: method, target (REQUEST_URI, else
 * PATH_INFO), path (that of REQUEST_URI, still encoded), query, version, scheme, the body's
 * length. False: cgi->error is set.
 *
 * PATH_INFO and SCRIPT_NAME among the variables are decoded and may have any byte; without the
 * first the second is emptied, as it then is the path of a file (nginx's fastcgi_params). The
 * target and the fields have no control characters. HTTP_CONNECTION is the client's word to the
 * proxy, and says nothing about this connection.
 */
bool cgi_finish(struct cgi *cgi, struct head *head, const char *data,
                const struct http1_limits *limits);

/* The last value of that name; a slice with p NULL when it was not sent. */
struct str cgi_value(const struct cgi *cgi, const char *data, enum cgi_name name);

int cgi_error_status(enum cgi_error error);
const char *cgi_error_text(enum cgi_error error);

#endif
