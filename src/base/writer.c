#include "base/writer.h"

#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { FIRST_CAPACITY = 1024 };

void writer_init(struct writer *writer, size_t limit)
{
    *writer = (struct writer){.limit = limit};
}

void writer_free(struct writer *writer)
{
    mem_free(writer->data);
    writer_init(writer, writer->limit);
}

static bool reserve(struct writer *writer, size_t n)
{
    size_t capacity = writer->capacity ? writer->capacity : FIRST_CAPACITY;

    if (writer->error)
        return false;
    if (n > writer->limit - writer->size) {
        writer->error = EMSGSIZE;
        return false;
    }
    while (capacity - writer->size < n)
        capacity *= 2;
    if (capacity == writer->capacity)
        return true;
    char *data = mem_realloc(writer->data, capacity);
    if (!data) {
        writer->error = ENOMEM;
        return false;
    }
    writer->data = data;
    writer->capacity = capacity;
    return true;
}

void writer_add(struct writer *writer, const char *bytes, size_t n)
{
    if (n == 0 || !reserve(writer, n))
        return;
    memcpy(writer->data + writer->size, bytes, n);
    writer->size += n;
}

void writer_text(struct writer *writer, const char *text)
{
    writer_add(writer, text, strlen(text));
}

void writer_format(struct writer *writer, const char *format, ...)
{
    va_list arguments;
    char text[512];

    va_start(arguments, format);
    int n = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= sizeof(text))
        writer->error = EMSGSIZE;
    else
        writer_add(writer, text, (size_t)n);
}

void writer_escape(struct writer *writer, struct str text, bool lines)
{
    for (size_t i = 0; i < text.n && !writer->error; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if ((c >= 0x20 && c <= 0x7e) || (lines && c == '\n'))
            writer_add(writer, &text.p[i], 1);
        else
            writer_format(writer, "\\x%02x", c);
    }
}

void writer_json(struct writer *writer, struct str text)
{
    writer_text(writer, "\"");
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c == '"' || c == '\\')
            writer_format(writer, "\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            writer_format(writer, "\\u%04x", c);
        else
            writer_add(writer, &text.p[i], 1);
    }
    writer_text(writer, "\"");
}
