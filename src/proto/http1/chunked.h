#ifndef PROTO_HTTP1_CHUNKED_H
#define PROTO_HTTP1_CHUNKED_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The chunked transfer coding (RFC 9112 §7.1), decoded in place and resumable at any byte.
 * Extensions are checked and ignored, trailer fields are checked and kept out of the body.
 */

enum chunked_result {
    CHUNKED_MORE,  /* everything was consumed; the body goes on */
    CHUNKED_DONE,  /* the last line was consumed: later bytes belong to the next request */
    CHUNKED_ERROR, /* dec->error says why: answer with chunked_error_status(), close */
};

enum chunked_error {
    CHUNKED_NO_ERROR,
    CHUNKED_BAD_SIZE,      /* no digits, a byte that is none, or more than INT64_MAX */
    CHUNKED_LINE_TOO_LONG, /* of a size line */
    CHUNKED_BAD_EXTENSION,
    CHUNKED_BAD_TERMINATOR, /* data that CRLF does not follow */
    CHUNKED_BAD_TRAILER,    /* no field, or a value with a control character; a fold */
    CHUNKED_BAD_NAME,       /* of a trailer field: no token, or one that RFC 9110 §6.5.1 forbids */
    CHUNKED_TRAILER_TOO_LONG,  /* 431: limit_request_field_size */
    CHUNKED_TOO_MANY_TRAILERS, /* 431: limit_request_fields */
    CHUNKED_ERROR_COUNT
};

/* The longest name that a trailer must not have, or have twice: "transfer-encoding". */
#define CHUNKED_NAME_MAX 17

/* Private, but for error. */
struct chunked {
    uint64_t left;        /* of the current chunk; while its size is read, the size so far */
    uint32_t line_size;   /* bytes of the current size or trailer line so far */
    uint32_t line_limit;  /* 0: none */
    uint32_t fields;      /* trailer fields so far */
    uint32_t field_limit; /* 0: none */
    uint8_t state;
    uint8_t error;     /* enum chunked_error */
    uint8_t name_len;  /* of the current trailer's name; one more than the longest that matters */
    bool content_type; /* a trailer field of this name was there */
    char name[CHUNKED_NAME_MAX];
};

/*
 * line_limit: bytes of a size line, and of a trailer field with its CRLF
 * (limit_request_field_size). field_limit: trailer fields (limit_request_fields). 0: no limit.
 */
void chunked_init(struct chunked *dec, uint32_t line_limit, uint32_t field_limit);

/*
 * Decodes in place: body bytes are moved to the front of data. On return *consumed input bytes were
 * used and *produced body bytes stand at data[0..]. On CHUNKED_MORE *consumed == size.
 */
enum chunked_result chunked_decode(struct chunked *dec, char *data, size_t size, size_t *consumed,
                                   size_t *produced);

/*
 * The same without moving a byte: stops behind the first run of body bytes, which *piece borrows
 * from data. CHUNKED_MORE with *consumed < size: call again with the rest.
 */
enum chunked_result chunked_next(struct chunked *dec, const char *data, size_t size,
                                 size_t *consumed, struct str *piece);

/* For the answer and the log: a status code, and words like gunicorn's, static. */
int chunked_error_status(const struct chunked *dec);
const char *chunked_error_text(const struct chunked *dec);

#endif
