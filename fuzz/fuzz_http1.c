/*
 * The head's parser: whatever comes, the same is made of it whole and in pieces, and every offset
 * lies inside the head.
 * The first byte chooses the settings, the second how the head is cut.
 */
#include "proto/http1/parse.h"

#include <stdlib.h>

#define SETTINGS 2

static void require(bool condition)
{
    if (!condition)
        abort();
}

static struct http1_limits limits_from(uint8_t bits)
{
    struct http1_limits limits = {
        .permit_obsolete_folding = (bits & 1) != 0,
        .permit_unconventional_method = (bits & 2) != 0,
        .permit_unconventional_version = (bits & 4) != 0,
        .strip_header_spaces = (bits & 8) != 0,
        .casefold_method = (bits & 16) != 0,
    };
    if ((bits & 32) != 0)
        limits.request_line = 24;
    if ((bits & 64) != 0)
        limits.fields = 3;
    if ((bits & 128) != 0)
        limits.field_size = 24;
    return limits;
}

static void check_inside(uint32_t at, uint32_t len, uint32_t size)
{
    require(at <= size && len <= size - at);
}

static void check_head(const struct head *head, const char *data, size_t size)
{
    require(head->size <= size && head->size >= 4);
    require(memcmp(data + head->size - 2, "\r\n", 2) == 0);
    check_inside(head->method, head->method_len, head->size);
    check_inside(head->target, head->target_len, head->size);
    check_inside(head->path - head->target, head->path_len, head->target_len);
    check_inside(head->query - head->target, head->query_len, head->target_len);
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        struct str name = head_slice(data, field->name, field->name_len);
        check_inside(field->name, field->name_len, head->size);
        check_inside(field->value, field->value_len, head->size);
        require(field->name_len > 0 && memchr(name.p, ':', name.n) == NULL);
        require(field->id == field_lookup(name));
        require(memchr(data + field->value, '\n', field->value_len) == NULL);
        require(memchr(data + field->value, '\0', field->value_len) == NULL);
    }
}

static void check_words(const struct http1_parser *parser, const char *data)
{
    char words[160];
    int status = http1_error_status(parser->error);
    require(parser->error != HTTP1_NO_ERROR && status >= 400 && status <= 501);
    require(http1_error_text(parser, data, words, sizeof words) < sizeof words);
    require(http1_error_page_text(parser, data, words, sizeof words) < sizeof words);
}

/* Each call gets a buffer of its own that has no byte more than what is there. */
static enum http1_result parse(struct http1_parser *parser, struct head *head, char *copy,
                               size_t size, size_t step, const struct http1_limits *limits)
{
    enum http1_result result = HTTP1_PARTIAL;
    for (size_t there = 0; there < size && result == HTTP1_PARTIAL;) {
        there = step < size - there ? there + step : size;
        char *data = malloc(there);
        require(data != NULL);
        memcpy(data, copy, there);
        result = http1_parse(parser, head, data, there, limits);
        memcpy(copy, data, there);
        free(data);
    }
    return result;
}

static void compare(const struct head *a, const struct head *b)
{
    require(a->size == b->size && a->field_count == b->field_count);
    require(a->framing == b->framing && a->content_length == b->content_length);
    require(a->expect_continue == b->expect_continue && a->seen == b->seen);
    require(a->path == b->path && a->path_len == b->path_len && a->query == b->query);
    for (uint32_t i = 0; i < a->field_count; i++)
        require(memcmp(&a->fields[i], &b->fields[i], sizeof a->fields[i]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < SETTINGS + 1)
        return 0;
    struct http1_limits limits = limits_from(input[0]);
    size_t step = input[1] % 32 + 1u;
    input += SETTINGS;
    size -= SETTINGS;
    char *whole = malloc(size);
    char *pieces = malloc(size);
    struct http1_parser a_parser = {0}, b_parser = {0};
    struct head a, b;
    head_init(&a);
    head_init(&b);
    require(whole != NULL && pieces != NULL);
    memcpy(whole, input, size);
    memcpy(pieces, input, size);
    enum http1_result first = parse(&a_parser, &a, whole, size, size, &limits);
    enum http1_result second = parse(&b_parser, &b, pieces, size, step, &limits);
    /* In pieces, a field is looked at when the last of its folded lines is there. */
    require(first == second ||
            (limits.permit_obsolete_folding && first == HTTP1_ERROR && second == HTTP1_PARTIAL));
    if (first == HTTP1_OK) {
        check_head(&a, whole, size);
        compare(&a, &b);
        require(a_parser.keep_alive == b_parser.keep_alive);
        require(a_parser.must_close == b_parser.must_close);
        require(memcmp(whole, pieces, a.size) == 0);
    } else if (first == HTTP1_ERROR) {
        check_words(&a_parser, whole);
        if (second == HTTP1_ERROR)
            check_words(&b_parser, pieces);
    }
    head_free(&a);
    head_free(&b);
    free(whole);
    free(pieces);
    return 0;
}
