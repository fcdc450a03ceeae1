#ifndef PROTO_HTTP1_PRIVATE_H
#define PROTO_HTTP1_PRIVATE_H

#include "proto/http1/parse.h"

/* Shared by the files of the parser. Private to src/proto. */

#define HTTP1_LIKELY(x) __builtin_expect(!!(x), 1)
#define HTTP1_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HTTP1_COLD __attribute__((cold, noinline))

struct http1_reader {
    struct http1_parser *parser;
    struct head *head;
    char *data;
    const char *end;
    const struct http1_limits *limits;
};

static inline uint32_t http1_offset(const struct http1_reader *in, const char *p)
{
    return (uint32_t)(p - in->data);
}

/* Both record the error, the second with the bytes [from, to) as its subject. Return HTTP1_ERROR.
 */
enum http1_result http1_refuse(struct http1_parser *parser, enum http1_error error);
enum http1_result http1_refuse_at(struct http1_reader *in, enum http1_error error, const char *from,
                                  const char *to);

/*
 * The line that begins at parser->parsed is not whole: HTTP1_PARTIAL, or HTTP1_ERROR when it can
 * only become longer than its limit allows.
 */
enum http1_result http1_wait(struct http1_reader *in);

/* Parses the request line at parser->parsed and moves parser->parsed behind it. */
enum http1_result http1_request_line(struct http1_reader *in);

/* Whether [from, to) is a method that the settings permit. */
bool http1_method_valid(const char *from, const char *to, const struct http1_limits *limits);

/* Parses the fields from parser->parsed on, and the empty line: HTTP1_OK when the head is whole. */
enum http1_result http1_fields(struct http1_reader *in);

/* Sets path and query to those of the target. False: an authority in it is malformed. */
bool http1_split_target(struct head *head, const char *data);

/* Sets parser->close and parser->persist by a Connection field's value. */
void http1_connection(struct http1_parser *parser, struct str value);

/*
 * A Content-Length: digits only, no sign, no list; at most INT64_MAX, so that sums with it do not
 * overflow. False: it is none, *length is undefined.
 */
bool http1_length(struct str value, uint64_t *length);

/* Derives the framing of the body and the end of the connection from the fields of a whole head. */
enum http1_result http1_framing(struct http1_reader *in);

#endif
