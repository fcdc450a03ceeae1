#ifndef PROTO_HTTP1_WRITE_H
#define PROTO_HTTP1_WRITE_H

#include "base/clock.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The text of answers (RFC 9112 §4, §6.3, §7.1), into the caller's memory. */

enum http1_connection { HTTP1_CLOSE, HTTP1_KEEP_ALIVE, HTTP1_UPGRADE };

/* All that stands before the fields of an application. */
struct http1_prefix {
    uint8_t major, minor; /* of the version */
    struct str status;    /* "200 OK" */
    struct str own;       /* lines of fields, each with its CRLF */
    const char *date;     /* NULL: none; else clock_date() */
    enum http1_connection connection;
    bool chunked;
};

enum {
    HTTP1_PREFIX_MAX = 160,   /* bytes of a prefix, without status and own */
    HTTP1_INTERIM_MAX = 64,   /* bytes of the status line of an interim answer */
    HTTP1_CHUNK_LINE_MAX = 20 /* bytes of the line before a chunk */
};

/* Writes the prefix so that its last byte stands before `end`, where there is room for it; returns
 * its first byte. The status may stand in the same memory: it is read first. */
char *http1_write_prefix(char *end, const struct http1_prefix *prefix);

/* The same at `out`, which has room for so many bytes as the prefix may have; returns its end. */
char *http1_write_prefix_at(char *out, const struct http1_prefix *prefix);

/* The line before a chunk of n bytes: "1F40\r\n". Returns its size. */
size_t http1_write_chunk_line(char out[HTTP1_CHUNK_LINE_MAX], uint64_t n);

/* The end of a chunk, the end of a body, and both; static. */
#define HTTP1_CHUNK_END STR("\r\n")
#define HTTP1_LAST_CHUNK STR("0\r\n\r\n")
#define HTTP1_CHUNK_END_LAST STR("\r\n0\r\n\r\n")

/* The line that begins an interim answer (RFC 9110 §15.2), into `out`; returns its size. An
 * empty line ends the answer. */
size_t http1_write_interim(char out[HTTP1_INTERIM_MAX], int status);

/* A whole "100 Continue", static. */
#define HTTP1_CONTINUE STR("HTTP/1.1 100 Continue\r\n\r\n")

#endif
