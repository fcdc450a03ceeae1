#ifndef PROTO_HTTP1_PARSE_H
#define PROTO_HTTP1_PARSE_H

#include "proto/forwarded.h"
#include "proto/head.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The head of an HTTP/1.1 request (RFC 9112 §2-§6): request line, header fields, and the message's
 * framing. No descriptor, no clock, no allocation but the field table's.
 *
 * All positions are offsets from the first byte given to http1_parse(), so that the caller may
 * move its buffer while a head is incomplete, and after.
 */

enum http1_result {
    HTTP1_OK,      /* a whole head: head->size bytes are consumed */
    HTTP1_PARTIAL, /* every byte so far may begin a head: call again with more */
    HTTP1_ERROR,   /* parser->error says why; nothing that follows may be read */
};

/* A longer head is refused with any limits (HTTP1_HEAD_TOO_LONG): offsets are 32 bits wide. */
#define HTTP1_HEAD_MAX (UINT32_MAX / 2)

/* Why a head was refused: see http1_error_status() and http1_error_text(). */
enum http1_error {
    HTTP1_NO_ERROR,
    HTTP1_BAD_REQUEST_LINE,
    HTTP1_BAD_METHOD,
    HTTP1_BAD_TARGET,
    HTTP1_BAD_VERSION,
    HTTP1_LINE_TOO_LONG,   /* 414: limit_request_line */
    HTTP1_TOO_MANY_FIELDS, /* 431: limit_request_fields */
    HTTP1_FIELD_TOO_LONG,  /* 431: limit_request_field_size */
    HTTP1_HEAD_TOO_LONG,   /* 431: the whole of it */
    HTTP1_BAD_FIELD_NAME,
    HTTP1_BAD_FIELD_VALUE,
    HTTP1_OBSOLETE_FOLD,
    HTTP1_BARE_LF,
    HTTP1_DUPLICATE_FIELD, /* Host, Content-Length or Content-Type twice */
    HTTP1_BAD_CONTENT_LENGTH,
    HTTP1_BAD_TRANSFER_ENCODING,
    HTTP1_UNKNOWN_TRANSFER_ENCODING, /* 501 */
    HTTP1_BAD_EXPECT,                /* 417 */
    HTTP1_REFUSED_FIELD,             /* header_map = refuse */
    HTTP1_CONTRADICTORY_SCHEME,
    HTTP1_NO_MEMORY,      /* 500 */
    HTTP1_BAD_FIELD_LINE, /* no colon, or nothing before it */
    HTTP1_ERROR_COUNT
};

/* The settings of the same names. Zero means "no limit" where a limit is a number. */
struct http1_limits {
    uint32_t request_line; /* bytes, without CRLF as gunicorn counts it */
    uint32_t fields;       /* count */
    uint32_t field_size;   /* bytes of a field's line (lines, if folded), with CRLF */
    bool permit_obsolete_folding;
    bool permit_unconventional_method;
    bool permit_unconventional_version;
    bool strip_header_spaces;
    bool casefold_method;
};

/* The part that http1_parse() waits for next. */
enum http1_stage {
    HTTP1_AT_REQUEST_LINE,
    HTTP1_AT_FIELD,
};

/*
 * The state of one head's parsing, and the head's fields about its connection. Zeroed before each
 * head.
 */
struct http1_parser {
    bool keep_alive; /* the client's wish (RFC 9112 §9.3), by tokens of every Connection field */
    bool must_close; /* framing that forbids reuse: a transfer coding before chunked, CONNECT */
    bool unfolded;   /* lines of a field were joined: parsed again, its bytes would say more */

    enum http1_error error;
    uint32_t error_at, error_len; /* the bytes that the error is about, for its text */
    uint32_t error_limit;         /* the limit that error_len exceeds, for HTTP1_LINE_TOO_LONG */

    /* Private. */
    enum http1_stage stage;
    uint32_t parsed;  /* where the line that is not yet parsed begins */
    uint32_t scanned; /* >= parsed: no line ends before here, so that a dripped head costs O(n) */
    uint32_t length_field; /* index of Content-Length, if seen */
    bool close;            /* a Connection field says so */
    bool persist;          /* a Connection field says keep-alive */
};

/*
 * Parses one head from `data`, of which `size` bytes are there. Bytes may be rewritten in place,
 * but only in lines that are whole and will not be looked at again (case folding of the method,
 * unfolding). A line is parsed once it is whole. A refusal does not wait for the whole head: it is
 * given with the line that is wrong, and earlier for a bare LF, a control character or a limit.
 * One empty line before the request line is skipped; head->size counts it.
 */
enum http1_result http1_parse(struct http1_parser *parser, struct head *head, char *data,
                              size_t size, const struct http1_limits *limits);

/* forwarded_apply() on a whole head: HTTP1_OK, or HTTP1_ERROR with parser->error set. */
enum http1_result http1_apply_forwarded(struct http1_parser *parser, const struct forwarded *policy,
                                        struct head *head, const char *data, bool trusted,
                                        bool tls);

/* The status code of the answer to a refused head. */
int http1_error_status(enum http1_error error);

/*
 * gunicorn's words for parser->error: as its log has them, in UTF-8, and as its error page has them
 * (not escaped for HTML), with the bytes of the client as they came. Both write into out at most
 * size bytes, NUL included (size > 0), the first never half a character, and return the length
 * without NUL. `data` is the buffer given to http1_parse().
 */
size_t http1_error_text(const struct http1_parser *parser, const char *data, char *out,
                        size_t size);
size_t http1_error_page_text(const struct http1_parser *parser, const char *data, char *out,
                             size_t size);

#endif
