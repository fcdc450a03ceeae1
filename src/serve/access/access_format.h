#ifndef SERVE_ACCESS_ACCESS_FORMAT_H
#define SERVE_ACCESS_ACCESS_FORMAT_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * access_log_format, compiled once: literal text and atoms. A value that a line does not mention is
 * neither looked up nor formatted. Text from outside is Latin-1, as a rule, and leaves as UTF-8,
 * with quotes, backslashes and control characters escaped as gunicorn._access.escape() does.
 */

/* The texts that a line can have. */
enum access_text {
    ACCESS_REMOTE,
    ACCESS_AUTHORIZATION,
    ACCESS_METHOD,
    ACCESS_TARGET,
    ACCESS_PROTOCOL,
    ACCESS_PATH,
    ACCESS_QUERY,
    ACCESS_HOST,
    ACCESS_REFERER,
    ACCESS_AGENT,
    ACCESS_FIELD_IN,  /* the request's header `name` */
    ACCESS_FIELD_OUT, /* the response's */
    ACCESS_VARIABLE,  /* the environ's, in whichever case */
};

/* One answered request. */
struct access_entry {
    int status;
    uint64_t sent; /* bytes of the body */
    uint64_t duration_ns;
    uint64_t waited_ns; /* for a thread, before that */

    /* Latin-1 text, borrowed until the next call; p is NULL when there is none. `name` is
     * lower-case. */
    struct str (*text)(void *context, enum access_text what, struct str name);
    void *context;
    const bool *utf8; /* the text that was given last is UTF-8 instead; NULL: none ever is */
};

/* A line that grows: in place at first. */
enum { ACCESS_LINE_SIZE = 1024 };

struct access_line {
    char *p;
    size_t n, capacity;
    bool failed; /* there was no memory */
    char small[ACCESS_LINE_SIZE];
};

void access_line_init(struct access_line *line);
void access_line_free(struct access_line *line);

struct access_format;

/*
 * NULL when there is no memory, or when the format has parts that only Python's % operator knows
 * (flags, widths, other conversions than %(atom)s): then Python writes the line. "json" stands for
 * an object with fixed fields.
 */
struct access_format *access_format_compile(struct str format);
void access_format_free(struct access_format *format);

/* Appends the line about an entry, newline included. */
void access_format_line(const struct access_format *format, const struct access_entry *entry,
                        struct access_line *line);

#endif
