/*
 * Reads requests from standard input and prints what the parsers make of each, a JSON object a
 * line: the other half of compare_http1.py.
 *
 * A request is six 32-bit numbers in the machine's order (size of what follows, bytes a step or 0
 * for all at once, limit_request_line, limit_request_fields, limit_request_field_size, flags) and
 * the bytes: a head, a body, and what may follow.
 */
#include "base/mem.h"
#include "proto/forwarded.h"
#include "proto/http1/chunked.h"
#include "proto/http1/parse.h"

#include <stdio.h>
#include <stdlib.h>

enum flag {
    FLAG_FOLDING = 1,
    FLAG_METHOD = 2,
    FLAG_VERSION = 4,
    FLAG_SPACES = 8,
    FLAG_CASEFOLD = 16,
    FLAG_TRUSTED = 32,
    FLAG_TLS = 64,
    FLAG_ANY_NAME = 128,
    FLAG_MAP_SHIFT = 8, /* enum forwarded_map in the two bits from here on */
};

struct frame {
    uint32_t size, step, request_line, fields, field_size, flags;
};

static void print_text(const char *p, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_key(const char *key, struct str value)
{
    printf("\"%s\": ", key);
    print_text(value.p, value.n);
    printf(", ");
}

static void print_fields(const struct head *head, const char *data)
{
    const char *separator = "";
    printf("\"headers\": [");
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        if (field->id == FIELD_DROPPED)
            continue;
        printf("%s[", separator);
        print_text(data + field->name, field->name_len);
        printf(", ");
        print_text(data + field->value, field->value_len);
        printf("]");
        separator = ", ";
    }
    printf("], ");
}

static void print_refusal(int status, const char *text)
{
    printf("\"result\": \"error\", \"status\": %d, \"text\": \"", status);
    for (; *text != '\0'; text++) /* it is UTF-8 already */
        printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    printf("\"");
}

static void print_head(const struct http1_parser *parser, const struct head *head, const char *data)
{
    print_key("method", head_slice(data, head->method, head->method_len));
    print_key("uri", head_slice(data, head->target, head->target_len));
    print_key("path", head_slice(data, head->path, head->path_len));
    print_key("query", head_slice(data, head->query, head->query_len));
    printf("\"version\": [%u, %u], \"scheme\": \"%s\", ", head->major, head->minor,
           head->https ? "https" : "http");
    printf("\"close\": %s, \"expect\": %s, ",
           parser->keep_alive && !parser->must_close ? "false" : "true",
           head->expect_continue ? "true" : "false");
    print_fields(head, data);
}

static void print_body(const char *body, size_t size, const char *rest, size_t rest_size)
{
    print_key("body", (struct str){body, size});
    print_key("rest", (struct str){rest, rest_size});
    printf("\"result\": \"ok\"");
}

static void decode_chunked(const struct frame *frame, char *data, size_t size)
{
    struct chunked dec;
    chunked_init(&dec, frame->field_size, frame->fields);
    size_t in = 0;
    size_t out = 0;
    enum chunked_result result = CHUNKED_MORE;
    while (result == CHUNKED_MORE && in < size) {
        size_t step = frame->step != 0 && frame->step < size - in ? frame->step : size - in;
        size_t consumed, produced;
        result = chunked_decode(&dec, data + in, step, &consumed, &produced);
        memmove(data + out, data + in, produced);
        out += produced;
        in += consumed;
    }
    if (result == CHUNKED_DONE)
        print_body(data, out, data + in, size - in);
    else if (result == CHUNKED_ERROR)
        print_refusal(chunked_error_status(&dec), chunked_error_text(&dec));
    else
        printf("\"result\": \"partial\"");
}

static void read_body(const struct frame *frame, const struct head *head, char *data)
{
    char *body = data + head->size;
    size_t there = frame->size - head->size;
    if (head->framing == HEAD_UNTIL_END)
        decode_chunked(frame, body, there);
    else if (head->content_length > there)
        printf("\"result\": \"partial\"");
    else
        print_body(body, head->content_length, body + head->content_length,
                   there - head->content_length);
}

static enum http1_result parse(const struct frame *frame, struct http1_parser *parser,
                               struct head *head, char *data)
{
    struct http1_limits limits = {
        .request_line = frame->request_line,
        .fields = frame->fields,
        .field_size = frame->field_size,
        .permit_obsolete_folding = (frame->flags & FLAG_FOLDING) != 0,
        .permit_unconventional_method = (frame->flags & FLAG_METHOD) != 0,
        .permit_unconventional_version = (frame->flags & FLAG_VERSION) != 0,
        .strip_header_spaces = (frame->flags & FLAG_SPACES) != 0,
        .casefold_method = (frame->flags & FLAG_CASEFOLD) != 0,
    };
    enum http1_result result = HTTP1_PARTIAL;
    uint32_t step = frame->step != 0 ? frame->step : frame->size;
    for (uint32_t there = 0; there < frame->size && result == HTTP1_PARTIAL;) {
        there = step < frame->size - there ? there + step : frame->size;
        result = http1_parse(parser, head, data, there, &limits);
    }
    return result;
}

static void answer(const struct frame *frame, struct forwarded *policy, char *data)
{
    char text[4096];
    struct http1_parser parser = {0};
    struct head head;
    head_init(&head);
    enum http1_result result = parse(frame, &parser, &head, data);
    policy->map = (enum forwarded_map)(frame->flags >> FLAG_MAP_SHIFT & 3);
    policy->any_name = (frame->flags & FLAG_ANY_NAME) != 0;
    if (result == HTTP1_OK)
        result =
            http1_apply_forwarded(&parser, policy, &head, data, (frame->flags & FLAG_TRUSTED) != 0,
                                  (frame->flags & FLAG_TLS) != 0);
    printf("{");
    if (result == HTTP1_OK) {
        print_head(&parser, &head, data);
        read_body(frame, &head, data);
    } else if (result == HTTP1_ERROR) {
        http1_error_text(&parser, data, text, sizeof text);
        print_refusal(http1_error_status(parser.error), text);
    } else {
        printf("\"result\": \"partial\"");
    }
    printf("}\n");
    head_free(&head);
}

int main(void)
{
    struct frame frame;
    struct forwarded policy = {0};
    bool ready = forwarded_add_name(&policy, STR("SCRIPT_NAME")) &&
                 forwarded_add_name(&policy, STR("PATH_INFO")) &&
                 forwarded_add_scheme(&policy, STR("X-FORWARDED-PROTOCOL"), STR("ssl")) &&
                 forwarded_add_scheme(&policy, STR("X-FORWARDED-PROTO"), STR("https")) &&
                 forwarded_add_scheme(&policy, STR("X-FORWARDED-SSL"), STR("on"));
    while (ready && fread(&frame, sizeof frame, 1, stdin) == 1) {
        char *data = malloc(frame.size + 1);
        ready = data != NULL && fread(data, 1, frame.size, stdin) == frame.size;
        if (ready)
            answer(&frame, &policy, data);
        free(data);
    }
    forwarded_free(&policy);
    return ready ? EXIT_SUCCESS : EXIT_FAILURE;
}
