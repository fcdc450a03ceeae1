#ifndef PROTO_UWSGI_H
#define PROTO_UWSGI_H

#include "proto/cgi.h"

/*
 * A request by the uwsgi protocol (nginx's uwsgi_pass): a packet of CGI variables, behind which
 * CONTENT_LENGTH bytes of a body stand. No descriptor, no clock.
 */

#define UWSGI_HEADER_SIZE 4
#define UWSGI_PACKET_MAX (UWSGI_HEADER_SIZE + UINT16_MAX) /* by the format */

enum uwsgi_result {
    UWSGI_OK,      /* a whole packet: head->size bytes are consumed */
    UWSGI_PARTIAL, /* every byte so far may begin a packet: call again with more */
    UWSGI_ERROR,   /* uwsgi->error says why; nothing that follows may be read */
};

/* Why a packet was refused: see uwsgi_error_status() and uwsgi_error_text(). */
enum uwsgi_error {
    UWSGI_NO_ERROR,
    UWSGI_IS_HTTP,      /* 400 */
    UWSGI_IS_TLS,       /* 400 */
    UWSGI_BAD_MODIFIER, /* 501 */
    UWSGI_TRUNCATED,    /* 400: a name or value goes beyond the packet */
    UWSGI_BAD_VARIABLE, /* as uwsgi->cgi->error says */
};

struct uwsgi {
    struct cgi *cgi;              /* borrowed */
    uint8_t modifier1, modifier2; /* the second says nothing for requests, and may be any */
    enum uwsgi_error error;
};

/* Ready for a packet, whose variables go into `cgi`, which is emptied. */
void uwsgi_init(struct uwsgi *uwsgi, struct cgi *cgi);

/*
 * Parses one packet from `data`, of which `size` bytes are there, into a head that is fresh. Until
 * the packet is whole only its first bytes are looked at. Names of fields are rewritten in place, a
 * second parse of the same bytes gives the same.
 */
enum uwsgi_result uwsgi_parse(struct uwsgi *uwsgi, struct head *head, char *data, size_t size,
                              const struct http1_limits *limits);

int uwsgi_error_status(const struct uwsgi *uwsgi);

/* Writes the words for the error into out, at most size bytes, NUL included (size > 0). */
void uwsgi_error_text(const struct uwsgi *uwsgi, char *out, size_t size);

#endif
