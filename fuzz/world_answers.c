#include "world.h"

#include <stdlib.h>
#include <string.h>

/* The answers, as a client reads them (RFC 9112 §6.3). */

struct reader {
    const char *p, *end;
};

/* A line without its CRLF; false when the output ends before. */
static bool line(struct reader *reader, struct str *out)
{
    const char *end = memmem(reader->p, (size_t)(reader->end - reader->p), "\r\n", 2);
    if (!end)
        return false;
    *out = (struct str){reader->p, (size_t)(end - reader->p)};
    reader->p = end + 2;
    return true;
}

static bool skip(struct reader *reader, uint64_t n)
{
    if ((uint64_t)(reader->end - reader->p) < n)
        return false;
    reader->p += n;
    return true;
}

struct framing {
    int status;
    bool close, chunked, has_length;
    uint64_t length;
};

static bool read_field(struct str text, struct framing *framing)
{
    const char *colon = memchr(text.p, ':', text.n);
    require(colon && colon > text.p && colon[1] == ' ');
    struct str name = {text.p, (size_t)(colon - text.p)};
    struct str value = {colon + 2, text.n - name.n - 2};
    if (str_ieq(name, STR("connection"))) {
        framing->close = str_eq(value, STR("close"));
    } else if (str_ieq(name, STR("transfer-encoding"))) {
        require(str_eq(value, STR("chunked")) && !framing->chunked);
        framing->chunked = true;
    } else if (str_ieq(name, STR("content-length"))) {
        require(!framing->has_length);
        framing->has_length = true;
        framing->length = strtoull(value.p, NULL, 10);
    }
    return true;
}

static bool read_head(struct reader *reader, struct framing *framing)
{
    struct str text;
    *framing = (struct framing){0};
    if (!line(reader, &text))
        return false;
    require(text.n >= 12 && memcmp(text.p, "HTTP/1.", 7) == 0 && text.p[8] == ' ');
    framing->status = atoi(text.p + 9);
    require(framing->status >= 100 && framing->status <= 599);
    while (line(reader, &text)) {
        if (text.n == 0)
            return true;
        read_field(text, framing);
    }
    return false;
}

static bool read_chunks(struct reader *reader, uint64_t *body)
{
    struct str text;
    for (;;) {
        if (!line(reader, &text))
            return false;
        uint64_t n = strtoull(text.p, NULL, 16);
        *body += n;
        if (!skip(reader, n) || !line(reader, &text))
            return false;
        require(text.n == 0);
        if (n == 0)
            return true;
    }
}

static bool read_body(struct reader *reader, const struct framing *framing, bool head,
                      uint64_t *body)
{
    if (head || framing->status == 204 || framing->status == 304)
        return true;
    if (framing->chunked)
        return read_chunks(reader, body);
    *body = framing->has_length ? framing->length : (uint64_t)(reader->end - reader->p);
    require(framing->has_length || framing->close);
    return skip(reader, *body);
}

/* Whether all is there, nobody having given up, or the client having been told so. */
static void check_body(const struct answer *answer, const struct framing *framing, uint64_t body)
{
    bool to_the_end = framing->close && !framing->has_length && !framing->chunked;
    require(!answer->given_up || !to_the_end || !world.said_end);
    if (answer->checked && (!world.may_be_cut || (world.said_end && !answer->given_up)))
        require(body == answer->body);
}

/* One final answer with what goes before it; false when it is cut. */
static bool read_answer(struct reader *reader, const struct answer *answer, bool *closed)
{
    struct framing framing;
    uint64_t body = 0;
    do
        if (!read_head(reader, &framing))
            return false;
    while (framing.status < 200);
    /* What the engine refused may have been a HEAD: the page is there or nothing. */
    bool head = answer ? answer->head : reader->p == reader->end;
    if (!read_body(reader, &framing, head, &body))
        return false;
    require(!answer || answer->status == framing.status || world.may_be_cut);
    require(answer || framing.status >= 400);
    if (answer && !head && framing.status == answer->status)
        check_body(answer, &framing, body);
    *closed = framing.close;
    return true;
}

void answers_check(void)
{
    struct reader reader = {world.output, world.output + world.output_size};
    size_t count = 0;
    bool closed = false;
    while (reader.p < reader.end) {
        const struct answer *answer = count < world.answer_count ? &world.answers[count] : NULL;
        if (!read_answer(&reader, answer, &closed)) {
            require(world.may_be_cut || count >= world.answer_count);
            require(!world.said_end);
            return;
        }
        count++;
        require(!closed || reader.p == reader.end);
    }
    require(count <= world.answer_count + 1);
    require(count >= world.answer_count || world.may_be_cut);
}
