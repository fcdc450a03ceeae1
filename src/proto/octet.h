#ifndef PROTO_OCTET_H
#define PROTO_OCTET_H

#include <stdbool.h>
#include <stdint.h>

/* The classes of a byte, as bits. */
enum octet_class {
    OCTET_TOKEN = 1,  /* RFC 9110 §5.6.2 */
    OCTET_METHOD = 2, /* a token without lower-case letters and '#': every registered method */
    OCTET_SCHEME = 4, /* of a URI: RFC 3986 §3.1 */
    OCTET_QUOTED = 8, /* stands for itself in a quoted-string: RFC 9110 §5.6.4 */
    OCTET_VALUE = 16, /* in a field value: all but controls, with HTAB */
    OCTET_DIGIT = 32,
};

extern const uint8_t octet_table[256];

static inline bool octet_is(char octet, enum octet_class class)
{
    return (octet_table[(unsigned char)octet] & (unsigned)class) != 0;
}

static inline bool octet_is_blank(char octet)
{
    return octet == ' ' || octet == '\t';
}

#endif
