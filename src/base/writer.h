#ifndef BASE_WRITER_H
#define BASE_WRITER_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Text that grows as it is written, up to a limit. A failure sticks: the caller checks once, at the
 * end.
 */
struct writer {
    char *data; /* owned: writer_free() */
    size_t size, capacity;
    size_t limit;
    int error; /* ENOMEM, or EMSGSIZE for more than `limit`: the text is cut; 0 */
};

void writer_init(struct writer *writer, size_t limit);
void writer_free(struct writer *writer);

void writer_add(struct writer *writer, const char *bytes, size_t n);
void writer_text(struct writer *writer, const char *text);

/* Up to 511 bytes at a time: more is a failure. */
void writer_format(struct writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds the text with all bytes but printable ASCII as \xNN: it steers no terminal and ends no line.
 * With `lines` the ends of lines stay. */
void writer_escape(struct writer *writer, struct str text, bool lines);

/* A JSON string with its quotes (RFC 8259 §7); bytes outside of ASCII are taken as Latin-1. */
void writer_json(struct writer *writer, struct str text);

#endif
