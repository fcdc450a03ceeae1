#include "proto/octet.h"

#define VALUE (OCTET_VALUE | OCTET_QUOTED)
#define MARK (VALUE | OCTET_TOKEN | OCTET_METHOD)

const uint8_t octet_table[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = MARK,
    ['"'] = OCTET_VALUE,
    ['#'] = VALUE | OCTET_TOKEN,
    ['$' ... '\''] = MARK,
    ['(' ... ')'] = VALUE,
    ['*'] = MARK,
    ['+'] = MARK | OCTET_SCHEME,
    [','] = VALUE,
    ['-' ... '.'] = MARK | OCTET_SCHEME,
    ['/'] = VALUE,
    ['0' ... '9'] = MARK | OCTET_SCHEME | OCTET_DIGIT,
    [':' ... '@'] = VALUE,
    ['A' ... 'Z'] = MARK | OCTET_SCHEME,
    ['['] = VALUE,
    ['\\'] = OCTET_VALUE,
    [']'] = VALUE,
    ['^' ... '`'] = MARK,
    ['a' ... 'z'] = VALUE | OCTET_TOKEN | OCTET_SCHEME,
    ['{'] = VALUE,
    ['|'] = MARK,
    ['}'] = VALUE,
    ['~'] = MARK,
    [0x80 ... 0xff] = VALUE,
};
