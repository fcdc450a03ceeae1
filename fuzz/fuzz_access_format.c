/*
 * access_log_format, as an operator may mistype it, and the line for a request, as a client may
 * make it up: a line stays one line, nothing of the client's steers a terminal or ends a field, a
 * format in ASCII gives UTF-8, and "json" gives JSON.
 *
 * The input: a byte of choices, one for the length of the format, the format; then what is asked
 * of the request, each text a length byte and its bytes, 255 for a text that is not there.
 */
#include "base/mem.h"
#include "serve/access/access_format.h"

#include <stdlib.h>
#include <string.h>

enum { CHOICE_JSON = 1, CHOICE_NO_MEMORY = 2, CHOICE_LONG = 4, ABSENT = 255, LONGER = 20 };

struct source {
    const uint8_t *p, *end;
    bool fits; /* texts are as long as they say, else LONGER times that */
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static struct str source_text(void *context, enum access_text what, struct str name)
{
    static char large[ABSENT * LONGER];
    struct source *source = context;
    require(what <= ACCESS_VARIABLE);
    for (size_t i = 0; i < name.n; i++)
        require(name.p[i] < 'A' || name.p[i] > 'Z');
    if (source->p == source->end || *source->p == ABSENT) {
        source->p += source->p < source->end;
        return (struct str){NULL, 0};
    }
    size_t n = *source->p++, left = (size_t)(source->end - source->p);
    n = n < left ? n : left;
    const uint8_t *text = source->p;
    source->p += n;
    if (source->fits)
        return (struct str){(const char *)text, n};
    for (size_t i = 0; i < n * LONGER; i++)
        large[i] = (char)text[i % n];
    return (struct str){large, n * LONGER};
}

static bool is_plain_ascii(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < ' ' || text.p[i] > '~')
            return false;
    return true;
}

/* Bytes of the character at p, none when it is no UTF-8 or steers a terminal. */
static size_t character(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return p[0] >= ' ' && p[0] != 0x7f;
    size_t size = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || size > n || (p[0] == 0xc2 && p[1] < 0xa0))
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

static void check_text(struct str line)
{
    const unsigned char *p = (const unsigned char *)line.p;
    for (size_t i = 0, size; i < line.n; i += size) {
        size = character(p + i, line.n - i);
        require(size > 0);
    }
}

/* The index behind the string that begins before `at`. */
static size_t check_string(struct str line, size_t at)
{
    for (; at < line.n && line.p[at] != '"'; at++) {
        require(line.p[at] >= ' ' && line.p[at] <= '~');
        if (line.p[at] != '\\')
            continue;
        at++;
        require(at < line.n && strchr("\"\\nrtu", line.p[at]));
        if (line.p[at] == 'u')
            require(at + 4 < line.n && strspn(line.p + at + 1, "0123456789abcdef") >= 4);
    }
    require(at < line.n);
    return at + 1;
}

/* An object of strings, numbers and nulls. */
static void check_json(struct str line)
{
    require(line.n > 2 && line.p[0] == '{' && line.p[line.n - 1] == '}');
    for (size_t at = 1; at < line.n - 1;) {
        if (line.p[at] == '"')
            at = check_string(line, at + 1);
        else
            require(strchr("0123456789nul:, ", line.p[at++]) != NULL);
    }
}

static void check(struct str format, bool json, const struct access_line *line)
{
    require(line->n > 0 && line->p[line->n - 1] == '\n');
    struct str text = {line->p, line->n - 1};
    if (json)
        check_json(text);
    else if (is_plain_ascii(format))
        check_text(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 2)
        return 0;
    size_t n = input[1] < size - 2 ? input[1] : size - 2;
    bool json = input[0] & CHOICE_JSON, failing = input[0] & CHOICE_NO_MEMORY;
    struct str text = json ? STR("json") : (struct str){(const char *)input + 2, n};
    struct source source = {input + 2 + n, input + size, !(input[0] & CHOICE_LONG)};
    struct access_entry entry = {
        .status = input[0] * 4,
        .sent = (uint64_t)n << (input[0] & 63),
        .duration_ns = UINT64_MAX >> (input[0] & 63),
        .waited_ns = (uint64_t)size << (input[0] & 63),
        .text = source_text,
        .context = &source,
    };
    if (failing)
        mem_fail_after(input[0] >> 3);
    struct access_format *format = access_format_compile(text);
    if (format) {
        struct access_line line;
        access_line_init(&line);
        access_format_line(format, &entry, &line);
        require(!line.failed || failing);
        if (!line.failed)
            check(text, json, &line);
        access_line_free(&line);
        access_format_free(format);
    }
    mem_fail_never();
    return 0;
}
