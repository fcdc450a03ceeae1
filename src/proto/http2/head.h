#ifndef PROTO_HTTP2_HEAD_H
#define PROTO_HTTP2_HEAD_H

#include "proto/head.h"
#include "proto/http1/parse.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The head of a request as HTTP/2 has it (RFC 9113 §8.3): its fields, one after the other, become a
 * neutral head over one buffer. nghttp2 has checked the pseudo fields, names, values and forbidden
 * fields before; the rules here are those that HTTP/1 has, too, and the limits.
 */

/* Why a head is refused: see http2_fault_status() and http2_fault_text(). */
enum http2_fault {
    HTTP2_NO_FAULT,
    HTTP2_BAD_METHOD,
    HTTP2_BAD_PATH,
    HTTP2_PATH_TOO_LONG,   /* 414: limit_request_line */
    HTTP2_TOO_MANY_FIELDS, /* 431: limit_request_fields */
    HTTP2_FIELD_TOO_LONG,  /* 431: limit_request_field_size */
    HTTP2_HEAD_TOO_LONG,   /* 431: http2_max_header_list_size */
    HTTP2_BAD_AUTHORITY,
    HTTP2_BAD_HOST,
    HTTP2_HOST_DIFFERS,
    HTTP2_DUPLICATE_FIELD,
    HTTP2_BAD_LENGTH,
    HTTP2_BAD_EXPECT,           /* 417 */
    HTTP2_UNKNOWN_PROTOCOL,     /* 501 */
    HTTP2_ENDED_HANDSHAKE,      /* a WebSocket whose client sends nothing more */
    HTTP2_REFUSED_FIELD,        /* header_map = refuse */
    HTTP2_CONTRADICTORY_SCHEME, /* fields of proxies */
    HTTP2_NO_MEMORY,            /* 500 */
    HTTP2_FAULT_COUNT
};

/* A head that is being put together. All offsets are into `data`, which may move. */
struct http2_head {
    struct head *head;                 /* borrowed, empty at first */
    const struct http1_limits *limits; /* borrowed */
    char *data;                        /* borrowed */
    uint32_t size, capacity;
    uint32_t list_max; /* bytes as RFC 9113 §6.5.2 counts them; 0: any number */
    uint64_t list_size;
    uint32_t host; /* 1 + index of the field Host, or 0 */
    bool has_authority;
    bool has_scheme, https;         /* :scheme */
    uint32_t cookies, cookie_bytes; /* crumbs, and the bytes that they need when joined */
    enum http2_fault fault;         /* the first; fields after it are passed over */
};

/* The next field, in the order of the client's. There is room for name and value. */
void http2_head_add(struct http2_head *in, struct str name, struct str value);

/* The last field has come. There is room for `cookie_bytes`. `ended`: no body follows. */
void http2_head_finish(struct http2_head *in, bool ended);

int http2_fault_status(enum http2_fault fault);
const char *http2_fault_text(enum http2_fault fault);

#endif
