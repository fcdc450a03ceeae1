#ifndef PROTO_FASTCGI_H
#define PROTO_FASTCGI_H

#include "proto/cgi.h"

/*
 * The server's side of FastCGI 1.0, role responder (nginx's fastcgi_pass, Apache's
 * mod_proxy_fcgi): records in, events out; one request at a time. No descriptor, no clock.
 */

#define FASTCGI_HEADER_SIZE 8
#define FASTCGI_CONTENT_MAX UINT16_MAX

/* All PARAMS of a request; more are refused. As much as a packet of uwsgi has. */
#define FASTCGI_PARAMS_MAX UINT16_MAX

/* All of a GET_VALUES record, which is answered at once: the three names that there are. */
#define FASTCGI_VALUES_MAX 48

/* Of records that are not of the request, within it, with their headers; more are refused. */
#define FASTCGI_ASIDE_MAX 65536

enum fastcgi_event {
    FASTCGI_MORE,       /* all bytes are consumed; call again with more */
    FASTCGI_BEGIN,      /* fastcgi->id and ->keep_conn are those of a new request */
    FASTCGI_PARAMS,     /* a piece of the variables: collect it for fastcgi_params() */
    FASTCGI_PARAMS_END, /* the variables are whole */
    FASTCGI_STDIN,      /* a piece of the body */
    FASTCGI_STDIN_END,  /* the body is whole, up to the last byte of its last record */
    FASTCGI_ABORTED,    /* the client of the proxy has left */
    FASTCGI_ANSWER,     /* the piece, `answer_size` bytes of fastcgi->answer, is to be sent */
    FASTCGI_ERROR,      /* fastcgi->error says why; nothing that follows may be read */
};

/* Why the bytes were refused: see fastcgi_error_text(). */
enum fastcgi_error {
    FASTCGI_NO_ERROR,
    FASTCGI_IS_HTTP,
    FASTCGI_BAD_VERSION,
    FASTCGI_BAD_RECORD,    /* of a size or at a place that its type does not have */
    FASTCGI_BAD_VARIABLES, /* a name or value goes beyond the PARAMS */
    FASTCGI_TOO_LONG,      /* FASTCGI_PARAMS_MAX or FASTCGI_VALUES_MAX */
    FASTCGI_TOO_MUCH,      /* FASTCGI_ASIDE_MAX */
    FASTCGI_ERROR_COUNT
};

/* Room for the longest answer: GET_VALUES_RESULT with FCGI_MPXS_CONNS. */
#define FASTCGI_ANSWER_MAX 32

/* All but id, keep_conn, answer, answer_size and error is private. */
struct fastcgi {
    uint16_t id;
    bool keep_conn; /* the proxy will use the connection again */
    uint8_t error;  /* enum fastcgi_error */
    uint16_t answer_size;

    uint8_t state;
    uint8_t phase; /* of the request */
    uint8_t type;  /* of the record */
    uint8_t padding;
    uint16_t record_id;
    uint16_t left; /* bytes of its content that are still to come */
    uint16_t held; /* bytes in `hold` */
    uint32_t params;
    uint32_t aside; /* bytes of records that are not of the request */
    union {
        char answer[FASTCGI_ANSWER_MAX];
        char hold[FASTCGI_VALUES_MAX]; /* a header, or content that has to be whole */
    };
};

void fastcgi_init(struct fastcgi *fastcgi);

/*
 * Reads up to the next event. *consumed bytes of `data` are used up; *piece, a slice of them, is
 * set for FASTCGI_PARAMS and FASTCGI_STDIN. A record of another request, while one is open, is
 * answered by END_REQUEST with CANT_MPX_CONN, one of another role with UNKNOWN_ROLE, one of a type
 * that does not exist with UNKNOWN_TYPE: each a FASTCGI_ANSWER.
 */
enum fastcgi_event fastcgi_next(struct fastcgi *fastcgi, const char *data, size_t size,
                                size_t *consumed, struct str *piece);

/*
 * The variables in data[from..size), all PARAMS of a request, into a fresh head; its size is not
 * set. As uwsgi_parse(), it may be done twice. FASTCGI_NO_ERROR, or why not: with cgi->error set it
 * is that.
 */
enum fastcgi_error fastcgi_params(struct cgi *cgi, struct head *head, char *data, size_t from,
                                  size_t size, const struct http1_limits *limits);

/* Writes the header of a STDOUT record with `content` bytes (1 to FASTCGI_CONTENT_MAX). */
void fastcgi_stdout(char out[FASTCGI_HEADER_SIZE], uint16_t id, uint16_t content);

/*
 * The end of the output and of the request: two records; returns their size. `last`: the connection
 * ends, too, and its end cannot leave with them. A record that means nothing stands behind: nginx
 * uses no connection again on which something follows the end of a request.
 */
#define FASTCGI_END_SIZE 40
size_t fastcgi_end(char out[FASTCGI_END_SIZE], uint16_t id, bool last);

const char *fastcgi_error_text(enum fastcgi_error error);

#endif
