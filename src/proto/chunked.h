#ifndef PROTO_CHUNKED_H
#define PROTO_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The chunked transfer coding (RFC 9112 §7.1), decoded in place and resumable at any byte.
 * Extensions are checked and ignored, trailer fields are checked and kept out of the body.
 */

enum chunked_result {
    CHUNKED_MORE, /* everything was consumed; the body goes on */
    CHUNKED_DONE, /* the last trailer line was consumed: what follows belongs to the next request */
    CHUNKED_ERROR, /* malformed: 400, close */
};

struct chunked {
    uint64_t left;       /* bytes of the current chunk still to come */
    uint32_t line_size;  /* bytes of the current size or trailer line so far */
    uint32_t line_limit; /* 0: none */
    uint32_t fields;     /* trailer fields so far */
    uint32_t field_limit;
    uint8_t state;
    uint8_t digits;
    /* more private members as the grammar needs, small: this lives in every chunked request */
};

/* line_limit: bytes of a size line or trailer field (limit_request_field_size). field_limit:
 * limit_request_fields. */
void chunked_init(struct chunked *dec, uint32_t line_limit, uint32_t field_limit);

/*
 * Decodes in place: body bytes are moved to the front of data. On return *consumed input bytes were
 * used and *produced body bytes stand at data[0..]. On CHUNKED_MORE *consumed == size.
 */
enum chunked_result chunked_decode(struct chunked *dec, char *data, size_t size, size_t *consumed,
                                   size_t *produced);

#endif
