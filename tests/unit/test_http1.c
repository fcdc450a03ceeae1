#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "guarded.h"
#include "proto/http1/parse.h"

/*
 * A head and what is to be made of it, in one line of text:
 *   METHOD PATH?QUERY VERSION keep|close BODY SIZE|name=value|...
 * or the status and the words of a refusal, or "partial". Limits are none unless given.
 */
struct vector {
    const char *head;
    size_t size;
    const char *expected;
    struct http1_limits limits;
};

#define HEAD(text) .head = (text), .size = sizeof(text) - 1
#define GET "GET / HTTP/1.1\r\n"

static void summarize_head(const struct http1_parser *parser, const struct head *head,
                           const char *data, FILE *out)
{
    fprintf(out, "%.*s %.*s?%.*s %u.%u %s%s%s ", (int)head->method_len, data + head->method,
            (int)head->path_len, data + head->path, (int)head->query_len, data + head->query,
            head->major, head->minor, parser->keep_alive ? "keep" : "close",
            parser->must_close ? "!" : "", head->expect_continue ? " expect" : "");
    if (head->framing == HEAD_LENGTH)
        fprintf(out, "%llu", (unsigned long long)head->content_length);
    else
        fputs(head->framing == HEAD_UNTIL_END ? "chunked" : "none", out);
    fprintf(out, " %u", head->size);
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        fprintf(out, "|%.*s=%.*s", (int)field->name_len, data + field->name, (int)field->value_len,
                data + field->value);
    }
}

static char *summarize(enum http1_result result, const struct http1_parser *parser,
                       const struct head *head, const char *data)
{
    char *text = NULL;
    size_t size;
    char words[512];
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (result == HTTP1_OK) {
        summarize_head(parser, head, data, out);
    } else if (result == HTTP1_ERROR) {
        http1_error_text(parser, data, words, sizeof words);
        fprintf(out, "%d %s", http1_error_status(parser->error), words);
    } else {
        fputs("partial", out);
    }
    fclose(out);
    return text;
}

static void check(const struct vector *vector, enum http1_result result,
                  const struct http1_parser *parser, const struct head *head, const char *data)
{
    char *text = summarize(result, parser, head, data);
    if (strcmp(text, vector->expected) != 0)
        fail_msg("%.*s\n  expected %s\n  got      %s", (int)vector->size, vector->head,
                 vector->expected, text);
    free(text);
}

/* And once more: a head that was rewritten says the same, unless it was unfolded. */
static void parse_whole(const struct vector *vector, char *data)
{
    struct http1_parser parser = {0};
    struct head head;
    head_init(&head);
    enum http1_result result = http1_parse(&parser, &head, data, vector->size, &vector->limits);
    check(vector, result, &parser, &head, data);
    if (result == HTTP1_OK && !parser.unfolded) {
        head_reset(&head);
        parser = (struct http1_parser){0};
        check(vector, http1_parse(&parser, &head, data, vector->size, &vector->limits), &parser,
              &head, data);
    }
    head_free(&head);
}

/*
 * The head grows by `step` bytes a call and moves each time, always ending at the guard. What is
 * accepted is the same as when it comes at once; a refusal may come earlier and be worded
 * otherwise.
 */
static void parse_in_steps(const struct vector *vector, const struct guarded *guarded, size_t step)
{
    struct http1_parser parser = {0};
    struct head head;
    char *copy = malloc(vector->size + 1);
    char *data = guarded->end;
    enum http1_result result = HTTP1_PARTIAL;
    memcpy(copy, vector->head, vector->size);
    head_init(&head);
    for (size_t there = 0; there < vector->size && result == HTTP1_PARTIAL;) {
        there = there + step < vector->size ? there + step : vector->size;
        data = guarded_at_end(guarded, copy, there);
        result = http1_parse(&parser, &head, data, there, &vector->limits);
        memcpy(copy, data, there);
    }
    if (result == HTTP1_ERROR)
        assert_true(vector->expected[0] >= '4' && vector->expected[0] <= '5');
    else
        check(vector, result, &parser, &head, data);
    head_free(&head);
    free(copy);
}

/* A head that is accepted is not accepted, nor refused, before its last byte is there. */
static void check_prefixes(const struct vector *vector, const struct guarded *guarded)
{
    struct http1_parser parser = {0};
    struct head head;
    head_init(&head);
    if (http1_parse(&parser, &head, guarded_at_end(guarded, vector->head, vector->size),
                    vector->size, &vector->limits) == HTTP1_OK) {
        size_t size = head.size;
        for (size_t n = 0; n < size; n++) {
            head_reset(&head);
            parser = (struct http1_parser){0};
            char *data = guarded_at_end(guarded, vector->head, n);
            assert_int_equal(http1_parse(&parser, &head, data, n, &vector->limits), HTTP1_PARTIAL);
        }
    }
    head_free(&head);
}

static void run(const struct vector *vectors, size_t count)
{
    struct guarded guarded = guarded_open();
    for (const struct vector *vector = vectors; vector < vectors + count; vector++) {
        parse_whole(vector, guarded_at_end(&guarded, vector->head, vector->size));
        parse_whole(vector, guarded_at_begin(&guarded, vector->head, vector->size));
        for (size_t step = 1; step < 20; step++)
            parse_in_steps(vector, &guarded, step);
        check_prefixes(vector, &guarded);
    }
    guarded_close(&guarded);
}

#define RUN(vectors) run(vectors, sizeof(vectors) / sizeof(vectors)[0])

static void request_lines(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {HEAD("GET / HTTP/1.1\r\n\r\n"), "GET /? 1.1 keep none 18"},
        {HEAD("GET / HTTP/1.0\r\n\r\n"), "GET /? 1.0 close none 18"},
        {HEAD("GET /a/b?c=d&e HTTP/1.1\r\n\r\n"), "GET /a/b?c=d&e 1.1 keep none 27"},
        {HEAD("GET /a??b HTTP/1.1\r\n\r\n"), "GET /a??b 1.1 keep none 22"},
        {HEAD("GET /? HTTP/1.1\r\n\r\n"), "GET /? 1.1 keep none 19"},
        {HEAD("GET /01234567890123456789?0123456789012345678901234567890 HTTP/1.1\r\n\r\n"),
         "GET /01234567890123456789?0123456789012345678901234567890 1.1 keep none 70"},
        {HEAD("\r\nGET / HTTP/1.1\r\n\r\n"), "GET /? 1.1 keep none 20"},
        {HEAD("GET / HTTP/1.9\r\n\r\n"), "GET /? 1.9 keep none 18"},
        {HEAD("\r\n\r\nGET / HTTP/1.1\r\n\r\n"), "400 Invalid HTTP request line: ''"},
        {HEAD("\nGET / HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP request line: 'bare LF as line terminator'"},
        {HEAD("GET / HTTP/1.1\n\r\n"),
         "400 Invalid HTTP request line: 'bare LF as line terminator'"},
        {HEAD("GET /\r\n\r\n"), "400 Invalid HTTP request line: 'GET /'"},
        {HEAD("GET\r\n\r\n"), "400 Invalid HTTP request line: 'GET'"},
        {HEAD("GET  / HTTP/1.1\r\n\r\n"), "400 Invalid HTTP request line: 'GET  / HTTP/1.1'"},
        {HEAD("GET /  HTTP/1.1\r\n\r\n"), "400 Invalid HTTP Version: ' HTTP/1.1'"},
        {HEAD("GET / HTTP/1.1 \r\n\r\n"), "400 Invalid HTTP Version: 'HTTP/1.1 '"},
        {HEAD("GET / HTTP/1.10\r\n\r\n"), "400 Invalid HTTP Version: 'HTTP/1.10'"},
        {HEAD("GET / http/1.1\r\n\r\n"), "400 Invalid HTTP Version: 'http/1.1'"},
        {HEAD("GET / HTTP/2.0\r\n\r\n"), "400 Invalid HTTP Version: (2, 0)"},
        {HEAD("GET / HTTP/2.0\r\n\r\n"),
         "GET /? 2.0 keep none 18",
         {.permit_unconventional_version = true}},
        {HEAD("GET / HTTP/0.9\r\n\r\n"),
         "GET /? 0.9 close none 18",
         {.permit_unconventional_version = true}},
        {HEAD("GET /\r HTTP/1.1\r\n\r\n"), "400 Invalid HTTP request line: 'GET /\\r HTTP/1.1'"},
        {HEAD("GET /\0 HTTP/1.1\r\n\r\n"), "400 Invalid HTTP request line: 'GET /\\x00 HTTP/1.1'"},
        {HEAD("GET /\x7f HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP request line: 'GET /\\x7f HTTP/1.1'"},
        {HEAD("GET /\t HTTP/1.1\r\n\r\n"), "400 Invalid HTTP request line: 'GET /\\t HTTP/1.1'"},
        {HEAD("GET /caf\xe9 HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP request line: 'GET /caf\xc3\xa9 HTTP/1.1'"},
        {HEAD("\x16\x03\x01\x02"), "400 Invalid HTTP request line: '\\x16\\x03\\x01\\x02'"},
        {HEAD("GET / HT"), "partial"},
        {HEAD("\r"), "partial"},
        {HEAD("\r\n"), "partial"},
        {HEAD("G"), "partial"},
        {HEAD(""), "partial"},
    };
    RUN(vectors);
}

static void methods(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {HEAD("M-SEARCH / HTTP/1.1\r\n\r\n"), "M-SEARCH /? 1.1 keep none 23"},
        {HEAD("ABCDEFGHIJKLMNOPQRST / HTTP/1.1\r\n\r\n"),
         "ABCDEFGHIJKLMNOPQRST /? 1.1 keep none 35"},
        {HEAD("ABCDEFGHIJKLMNOPQRSTU / HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP method: 'ABCDEFGHIJKLMNOPQRSTU'"},
        {HEAD("GE / HTTP/1.1\r\n\r\n"), "400 Invalid HTTP method: 'GE'"},
        {HEAD("get / HTTP/1.1\r\n\r\n"), "400 Invalid HTTP method: 'get'"},
        {HEAD("G#T / HTTP/1.1\r\n\r\n"), "400 Invalid HTTP method: 'G#T'"},
        {HEAD("G\"T / HTTP/1.1\r\n\r\n"), "400 Invalid HTTP method: 'G\"T'"},
        {HEAD("G'T\" / HTTP/1.1\r\n\r\n"), "400 Invalid HTTP method: 'G\\'T\"'"},
        {HEAD("G'(T / HTTP/1.1\r\n\r\n"), "400 Invalid HTTP method: \"G'(T\""},
        {HEAD("G\\T / HTTP/1.1\r\n\r\n"), "400 Invalid HTTP method: 'G\\\\T'"},
        {HEAD(" GET / HTTP/1.1\r\n\r\n"), "400 Invalid HTTP method: ''"},
        {HEAD("\rGET / HTTP/1.1\r\n\r\n"), "400 Invalid HTTP method: '\\rGET'"},
        {HEAD("g / HTTP/1.1\r\n\r\n"),
         "g /? 1.1 keep none 16",
         {.permit_unconventional_method = true}},
        {HEAD("(/) / HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP method: '(/)'",
         {.permit_unconventional_method = true}},
        {HEAD("get / HTTP/1.1\r\n\r\n"),
         "GET /? 1.1 keep none 18",
         {.permit_unconventional_method = true, .casefold_method = true}},
        {HEAD("get / HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP method: 'get'",
         {.casefold_method = true}},
        {HEAD("connect a:1 HTTP/1.1\r\n\r\n"),
         "CONNECT 1? 1.1 keep! none 24",
         {.permit_unconventional_method = true, .casefold_method = true}},
    };
    RUN(vectors);
}

static void targets(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {HEAD("GET /a#b?c HTTP/1.1\r\n\r\n"), "GET /a? 1.1 keep none 23"},
        {HEAD("GET /a?b#c HTTP/1.1\r\n\r\n"), "GET /a?b 1.1 keep none 23"},
        {HEAD("GET //a/b?c HTTP/1.1\r\n\r\n"), "GET //a/b?c 1.1 keep none 24"},
        {HEAD("GET //[/b HTTP/1.1\r\n\r\n"), "GET //[/b? 1.1 keep none 22"},
        {HEAD("GET http://a/b?c HTTP/1.1\r\n\r\n"), "GET /b?c 1.1 keep none 29"},
        {HEAD("GET HTTP://a HTTP/1.1\r\n\r\n"), "GET ? 1.1 keep none 25"},
        {HEAD("GET http://a?b HTTP/1.1\r\n\r\n"), "GET ?b 1.1 keep none 27"},
        {HEAD("GET http://a#b HTTP/1.1\r\n\r\n"), "GET ? 1.1 keep none 27"},
        {HEAD("GET http://u@[::1]:80/b HTTP/1.1\r\n\r\n"), "GET /b? 1.1 keep none 36"},
        {HEAD("GET http://[::1%eth0]/b HTTP/1.1\r\n\r\n"), "GET /b? 1.1 keep none 36"},
        {HEAD("GET http://[v1.x]/b HTTP/1.1\r\n\r\n"), "GET /b? 1.1 keep none 32"},
        {HEAD("GET 1://a/b?c HTTP/1.1\r\n\r\n"), "GET 1://a/b?c 1.1 keep none 26"},
        {HEAD("GET :// HTTP/1.1\r\n\r\n"), "GET ://? 1.1 keep none 20"},
        {HEAD("GET a:b://c HTTP/1.1\r\n\r\n"), "GET b://c? 1.1 keep none 24"},
        {HEAD("GET a?b=:// HTTP/1.1\r\n\r\n"), "GET a?b=:// 1.1 keep none 24"},
        {HEAD("OPTIONS * HTTP/1.1\r\n\r\n"), "OPTIONS *? 1.1 keep none 22"},
        {HEAD("CONNECT a.example:443 HTTP/1.1\r\n\r\n"), "CONNECT 443? 1.1 keep! none 34"},
        {HEAD("CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n"),
         "CONNECT 192.0.2.1:443? 1.1 keep! none 34"},
        {HEAD("GET * HTTP/1.1\r\n\r\n"), "400 Invalid HTTP request line: 'GET * HTTP/1.1'"},
        {HEAD("GET a HTTP/1.1\r\n\r\n"), "400 Invalid HTTP request line: 'GET a HTTP/1.1'"},
        {HEAD("GET http://[::1/ HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP request line: 'GET http://[::1/ HTTP/1.1'"},
        {HEAD("GET http://::1]/ HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP request line: 'GET http://::1]/ HTTP/1.1'"},
        {HEAD("GET http://]::1[/ HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP request line: 'GET http://]::1[/ HTTP/1.1'"},
        {HEAD("GET http://[127.0.0.1]/ HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP request line: 'GET http://[127.0.0.1]/ HTTP/1.1'"},
        {HEAD("GET http://[::1]x/ HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP request line: 'GET http://[::1]x/ HTTP/1.1'"},
        {HEAD("GET http://x[::1]/ HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP request line: 'GET http://x[::1]/ HTTP/1.1'"},
        {HEAD("GET http://[::1%]/ HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP request line: 'GET http://[::1%]/ HTTP/1.1'"},
        {HEAD("GET http://[v.x]/ HTTP/1.1\r\n\r\n"),
         "400 Invalid HTTP request line: 'GET http://[v.x]/ HTTP/1.1'"},
        {HEAD("GET http://[0123456789012345678901234567890123456789012345678901]/ HTTP/1.1\r\n"),
         "400 Invalid HTTP request line: "
         "'GET http://[0123456789012345678901234567890123456789012345678901]/ HTTP/1.1'"},
    };
    RUN(vectors);
}

static void fields(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {HEAD(GET "Host: a\r\n\r\n"), "GET /? 1.1 keep none 27|Host=a"},
        {HEAD(GET "Host:a\r\nX:\r\nY: \t \r\nZ:  b c\td\t \r\n\r\n"),
         "GET /? 1.1 keep none 50|Host=a|X=|Y=|Z=b c\td"},
        {HEAD(GET "X: caf\xe9 \x80\r\n\r\nrest"), "GET /? 1.1 keep none 29|X=caf\xe9 \x80"},
        {HEAD(GET "!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n"),
         "GET /? 1.1 keep none 44|!#$%&'*+-.^_`|~09azAZ=x"},
        {HEAD(GET "X: 0123456789012345678901234567890123456789\r\n\r\n"),
         "GET /? 1.1 keep none 63|X=0123456789012345678901234567890123456789"},
        {HEAD(GET "X : a\r\n\r\n"), "400 Invalid HTTP header name: 'X '"},
        {HEAD(GET "X y: a\r\n\r\n"), "400 Invalid HTTP header name: 'X y'"},
        {HEAD(GET "X\xe9: a\r\n\r\n"), "400 Invalid HTTP header name: 'X\xc3\xa9'"},
        {HEAD(GET "X\xa0\xad: a\r\n\r\n"), "400 Invalid HTTP header name: 'X\\xa0\\xad'"},
        {HEAD(GET "X\rY: a\r\n\r\n"), "400 Invalid HTTP header name: 'X\\rY'"},
        {HEAD(GET "\r: a\r\n\r\n"), "400 Invalid HTTP header name: '\\r'"},
        {HEAD(GET "X: a\r\r\n\r\n"), "400 Invalid HTTP Header: 'X'"},
        {HEAD(GET "x-y: a\rb\r\n\r\n"), "400 Invalid HTTP Header: 'X-Y'"},
        {HEAD(GET "X: a\0b\r\n\r\n"), "400 Invalid HTTP Header: 'X'"},
        {HEAD(GET "X: a\x01\r\n\r\n"), "400 Invalid HTTP Header: 'X'"},
        {HEAD(GET "X: a\x7f\r\n\r\n"), "400 Invalid HTTP Header: 'X'"},
        {HEAD(GET "X: a\nY: b\r\n\r\n"), "400 Invalid HTTP Header: 'bare LF as line terminator'"},
        {HEAD(GET "\nX: a\r\n\r\n"), "400 Invalid HTTP Header: 'bare LF as line terminator'"},
        {HEAD(GET "X\n\r\n"), "400 Invalid HTTP Header: 'bare LF as line terminator'"},
        {HEAD(GET "no colon\r\n\r\n"), "400 Invalid HTTP Header: 'no colon'"},
        {HEAD(GET ": a\r\n\r\n"), "400 Invalid HTTP Header: ': a'"},
        {HEAD(GET " : a\r\n\r\n"), "400 Invalid HTTP header name: ' '"},
        {HEAD(GET " X: a\r\n\r\n"), "400 Invalid HTTP header name: ' X'"},
        {HEAD(GET "X \t: a\r\nY: b\r\n\r\n"),
         "GET /? 1.1 keep none 32|X=a|Y=b",
         {.strip_header_spaces = true}},
        {HEAD(GET " : a\r\n\r\n"),
         "400 Invalid HTTP header name: ''",
         {.strip_header_spaces = true}},
        {HEAD(GET " X: a\r\n\r\n"),
         "400 Invalid HTTP header name: ' X'",
         {.strip_header_spaces = true}},
        {HEAD(GET "X : a\0\r\n\r\n"),
         "400 Invalid HTTP Header: 'X'",
         {.strip_header_spaces = true}},
        {HEAD(GET "Host: a\r\nhost: a\r\n\r\n"), "400 Invalid HTTP Header: 'HOST'"},
        {HEAD(GET "Content-Type: a\r\nX: b\r\ncontent-type: a\r\n\r\n"),
         "400 Invalid HTTP Header: 'CONTENT-TYPE'"},
        {HEAD(GET "Cookie: a\r\nCookie: b\r\n\r\n"), "GET /? 1.1 keep none 40|Cookie=a|Cookie=b"},
        {HEAD(GET), "partial"},
        {HEAD(GET "X: a"), "partial"},
        {HEAD(GET "X y"), "partial"},
        {HEAD(GET "X: a\r"), "partial"},
        {HEAD(GET "X: a\r\n"), "partial"},
        {HEAD(GET "X: a\r\n\r"), "partial"},
    };
    RUN(vectors);
}

static void folds(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {HEAD(GET "X-y: a\r\n b\r\n\r\n"), "400 Obsolete line folding is unacceptable: 'X-Y'"},
        {HEAD(GET "X: a\r\n\t\r\n\r\n"), "400 Obsolete line folding is unacceptable: 'X'"},
        {HEAD(GET "X: a\r\n b\r\nY: c\r\n\r\n"),
         "GET /? 1.1 keep none 34|X=a b|Y=c",
         {.permit_obsolete_folding = true}},
        {HEAD(GET "X: a \r\n \t b \t\r\n\tc\r\n  \r\nY: d\r\n\r\n"),
         "GET /? 1.1 keep none 47|X=a b c |Y=d",
         {.permit_obsolete_folding = true}},
        {HEAD(GET "X:\r\n a\r\n\r\n"),
         "GET /? 1.1 keep none 26|X= a",
         {.permit_obsolete_folding = true}},
        {HEAD(GET "Content-Length:\r\n 5\r\n\r\n"),
         "400 Invalid HTTP Header: 'CONTENT-LENGTH'",
         {.permit_obsolete_folding = true}},
        {HEAD(GET "Transfer-Encoding: gzip,\r\n chunked\r\n\r\n"),
         "GET /? 1.1 keep! chunked 54|Transfer-Encoding=gzip, chunked",
         {.permit_obsolete_folding = true}},
        {HEAD(GET "X: a\r\n b\0\r\n\r\n"),
         "400 Invalid HTTP Header: 'X'",
         {.permit_obsolete_folding = true}},
        {HEAD(GET "X: a\r\n b\nc\r\n\r\n"),
         "400 Invalid HTTP Header: 'bare LF as line terminator'",
         {.permit_obsolete_folding = true}},
        {HEAD(GET "X: a\r\n b\rc\r\n\r\n"),
         "400 Invalid HTTP Header: 'X'",
         {.permit_obsolete_folding = true}},
        {HEAD(GET "X: a\r\n b\r\n"), "partial", {.permit_obsolete_folding = true}},
        {HEAD(GET "X: a\r\n b\r"), "partial", {.permit_obsolete_folding = true}},
        {HEAD(GET "X: a\r\n b"), "partial", {.permit_obsolete_folding = true}},
        {HEAD(GET "X: 34\r\n 9012\r\n\r\n"),
         "GET /? 1.1 keep none 32|X=34 9012",
         {.permit_obsolete_folding = true, .field_size = 14}},
        {HEAD(GET "X: 34\r\n 90123\r\n\r\n"),
         "431 limit request headers fields size",
         {.permit_obsolete_folding = true, .field_size = 14}},
    };
    RUN(vectors);
}

static void framing(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {HEAD(GET "Content-Length: 0\r\n\r\n"), "GET /? 1.1 keep 0 37|Content-Length=0"},
        {HEAD(GET "Content-Length: 00012\r\n\r\n"), "GET /? 1.1 keep 12 41|Content-Length=00012"},
        {HEAD(GET "Content-Length: 9223372036854775807\r\n\r\n"),
         "GET /? 1.1 keep 9223372036854775807 55|Content-Length=9223372036854775807"},
        {HEAD(GET "Content-Length: 9223372036854775808\r\n\r\n"),
         "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Content-Length: 18446744073709551621\r\n\r\n"),
         "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Content-Length: 99999999999999999999999999999999\r\n\r\n"),
         "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Content-Length:\r\n\r\n"), "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Content-Length: +5\r\n\r\n"), "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Content-Length: -5\r\n\r\n"), "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Content-Length: 5,5\r\n\r\n"), "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Content-Length: 5 5\r\n\r\n"), "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Content-Length: 0x5\r\n\r\n"), "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Content-Length: 5\xb2\r\n\r\n"), "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
         "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Transfer-Encoding: Chunked\r\n\r\n"),
         "GET /? 1.1 keep chunked 46|Transfer-Encoding=Chunked"},
        {HEAD(GET "Transfer-Encoding: identity , chunked\r\n\r\n"),
         "GET /? 1.1 keep chunked 57|Transfer-Encoding=identity , chunked"},
        {HEAD(GET "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "GET /? 1.1 keep! chunked 71|Transfer-Encoding=gzip|Transfer-Encoding=chunked"},
        {HEAD(GET "Transfer-Encoding: compress,deflate,chunked\r\n\r\n"),
         "GET /? 1.1 keep! chunked 63|Transfer-Encoding=compress,deflate,chunked"},
        {HEAD(GET "Transfer-Encoding: gzip\r\n\r\n"),
         "400 Invalid HTTP Header: 'TRANSFER-ENCODING'"},
        {HEAD(GET "Transfer-Encoding: identity\r\n\r\n"),
         "400 Invalid HTTP Header: 'TRANSFER-ENCODING'"},
        {HEAD(GET "Transfer-Encoding: chunked, chunked\r\n\r\n"),
         "400 Invalid HTTP Header: 'TRANSFER-ENCODING'"},
        {HEAD(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "400 Invalid HTTP Header: 'TRANSFER-ENCODING'"},
        {HEAD(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
         "400 Invalid HTTP Header: 'TRANSFER-ENCODING'"},
        {HEAD(GET "Transfer-Encoding: chunked, gzip\r\n\r\n"),
         "400 Invalid HTTP Header: 'TRANSFER-ENCODING'"},
        {HEAD(GET "Transfer-Encoding: chunked,\r\n\r\n"),
         "501 Unsupported transfer coding: 'chunked,'"},
        {HEAD(GET "Transfer-Encoding:\r\n\r\n"), "501 Unsupported transfer coding: ''"},
        {HEAD(GET "Transfer-Encoding: xchunked\r\n\r\n"),
         "501 Unsupported transfer coding: 'xchunked'"},
        {HEAD(GET "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
         "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD(GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "400 Invalid HTTP Header: 'CONTENT-LENGTH'"},
        {HEAD("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "400 Invalid HTTP Header: 'TRANSFER-ENCODING'"},
    };
    RUN(vectors);
}

static void connection_and_expect(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {HEAD(GET "Connection: close\r\n\r\n"), "GET /? 1.1 close none 37|Connection=close"},
        {HEAD(GET "Connection: x, CLOSE ,y\r\n\r\n"),
         "GET /? 1.1 close none 43|Connection=x, CLOSE ,y"},
        {HEAD(GET "Connection: x\r\nConnection: close\r\n\r\n"),
         "GET /? 1.1 close none 52|Connection=x|Connection=close"},
        {HEAD(GET "Connection: closed, xclose\r\n\r\n"),
         "GET /? 1.1 keep none 46|Connection=closed, xclose"},
        {HEAD(GET "Connection: keep-alive, close\r\n\r\n"),
         "GET /? 1.1 close none 49|Connection=keep-alive, close"},
        {HEAD(GET "Connection:\r\n\r\n"), "GET /? 1.1 keep none 31|Connection="},
        {HEAD("GET / HTTP/1.0\r\nConnection: TE, Keep-Alive\r\n\r\n"),
         "GET /? 1.0 keep none 46|Connection=TE, Keep-Alive"},
        {HEAD("GET / HTTP/1.0\r\nConnection: close, Keep-Alive\r\n\r\n"),
         "GET /? 1.0 close none 49|Connection=close, Keep-Alive"},
        {HEAD(GET "Expect: 100-Continue\r\n\r\n"),
         "GET /? 1.1 keep expect none 40|Expect=100-Continue"},
        {HEAD("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"),
         "GET /? 1.0 close none 40|Expect=100-continue"},
        {HEAD(GET "Expect: 100-continue, x\r\n\r\n"),
         "417 Unable to comply with expectation: '100-continue, x'"},
        {HEAD(GET "Expect:\r\n\r\n"), "417 Unable to comply with expectation: ''"},
        {HEAD("GET / HTTP/1.0\r\nExpect: x\r\n\r\n"), "417 Unable to comply with expectation: 'x'"},
    };
    RUN(vectors);
}

static void limits(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {HEAD("GET / HTTP/1.1\r\n\r\n"), "GET /? 1.1 keep none 18", {.request_line = 14}},
        {HEAD("\r\nGET / HTTP/1.1\r\n\r\n"), "GET /? 1.1 keep none 20", {.request_line = 14}},
        {HEAD("GET /a HTTP/1.1\r\n\r\n"),
         "414 Request Line is too large (15 > 14)",
         {.request_line = 14}},
        {HEAD("GET /#a HTTP/1.1\r\n\r\n"),
         "414 Request Line is too large (16 > 14)",
         {.request_line = 14}},
        {HEAD("GET /a HTTP/1.1"), "414 Request Line is too large (15 > 14)", {.request_line = 14}},
        {HEAD("GET /a HTTP/1.\r"), "partial", {.request_line = 14}},
        {HEAD(GET "A: 1\r\nB: 2\r\n\r\n"), "GET /? 1.1 keep none 30|A=1|B=2", {.fields = 2}},
        {HEAD(GET "A: 1\r\nB: 2\r\nC"), "431 limit request headers fields", {.fields = 2}},
        {HEAD(GET "A: 1\r\nB: 2\r\n\r"), "partial", {.fields = 2}},
        {HEAD(GET "A: 4567\r\n\r\n"), "GET /? 1.1 keep none 27|A=4567", {.field_size = 9}},
        {HEAD(GET "A: 4567 \r\n\r\n"), "431 limit request headers fields size", {.field_size = 9}},
        {HEAD(GET "A: 4567\r"), "partial", {.field_size = 9}},
        {HEAD(GET "A: 45678"), "431 limit request headers fields size", {.field_size = 9}},
        {HEAD(GET "A b 45678\r\n\r\n"), "431 limit request headers fields size", {.field_size = 9}},
        {HEAD(GET "A b 45678"), "431 limit request headers fields size", {.field_size = 9}},
        {HEAD(GET "A: 45678\0"), "431 limit request headers fields size", {.field_size = 9}},
        {HEAD(GET "A: 45\0"), "400 Invalid HTTP Header: 'A'", {.field_size = 9}},
    };
    RUN(vectors);
}

static void ids_and_marks(void **state)
{
    (void)state;
    char data[] = GET "hOsT: a\r\nX_y: b\r\nX-z: c\r\n\r\n";
    struct http1_limits none = {0};
    struct http1_parser parser = {0};
    struct head head;
    head_init(&head);
    assert_int_equal(http1_parse(&parser, &head, data, sizeof data - 1, &none), HTTP1_OK);
    assert_int_equal(head.fields[0].id, FIELD_HOST);
    assert_int_equal(head.fields[1].id, FIELD_OTHER);
    assert_int_equal(head.underscores, 1);
    assert_true(head.seen == ((1ull << FIELD_HOST) | (1ull << FIELD_OTHER)));
    assert_int_equal(head.target, 4);
    assert_int_equal(head.target_len, 1);
    head_free(&head);
}

#define MANY_FIELDS 200

static size_t write_many_fields(char *out)
{
    size_t size = (size_t)sprintf(out, GET);
    for (int i = 0; i < MANY_FIELDS; i++)
        size += (size_t)sprintf(out + size, "X-%d: %d\r\n", i, i);
    return size + (size_t)sprintf(out + size, "\r\n");
}

static void the_table_grows_and_is_kept(void **state)
{
    (void)state;
    char data[MANY_FIELDS * 20];
    size_t size = write_many_fields(data);
    struct http1_limits none = {0};
    struct http1_parser parser = {0};
    struct head head;
    head_init(&head);
    assert_int_equal(http1_parse(&parser, &head, data, size, &none), HTTP1_OK);
    assert_int_equal(head.field_count, MANY_FIELDS);
    uint32_t capacity = head.field_capacity;
    head_reset(&head);
    parser = (struct http1_parser){0};
    mem_fail_after(0);
    assert_int_equal(http1_parse(&parser, &head, data, size, &none), HTTP1_OK);
    mem_fail_never();
    assert_int_equal(head.field_capacity, capacity);
    head_free(&head);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char data[MANY_FIELDS * 20];
    size_t size = write_many_fields(data);
    struct http1_limits none = {0};
    enum http1_result result = HTTP1_ERROR;
    int failures = 0;
    for (; result == HTTP1_ERROR; failures++) {
        struct http1_parser parser = {0};
        struct head head;
        head_init(&head);
        mem_fail_after(failures);
        result = http1_parse(&parser, &head, data, size, &none);
        mem_fail_never();
        if (result == HTTP1_ERROR) {
            assert_int_equal(parser.error, HTTP1_NO_MEMORY);
            assert_int_equal(http1_error_status(parser.error), 500);
        }
        head_free(&head);
    }
    assert_int_equal(result, HTTP1_OK);
    assert_true(failures > 2);
}

#define DRIPPED ((size_t)1 << 20)

/* Were each byte looked at again with each that arrives, this would take the better part of a day.
 */
static void a_dripped_head_costs_its_length(void **state)
{
    (void)state;
    struct http1_limits none = {.permit_obsolete_folding = true};
    for (int folded = 0; folded < 2; folded++) {
        char *data = malloc(DRIPPED);
        memset(data, 'a', DRIPPED);
        memcpy(data, GET "X: a", sizeof GET + 3);
        for (size_t i = 32; folded && i + 8 < DRIPPED; i += 8)
            memcpy(data + i, "\r\n b", 4);
        memcpy(data + DRIPPED - 4, "\r\n\r\n", 4);
        struct http1_parser parser = {0};
        struct head head;
        head_init(&head);
        for (size_t n = 0; n < DRIPPED; n++)
            assert_int_equal(http1_parse(&parser, &head, data, n, &none), HTTP1_PARTIAL);
        assert_int_equal(http1_parse(&parser, &head, data, DRIPPED, &none), HTTP1_OK);
        assert_int_equal(head.size, DRIPPED);
        head_free(&head);
        free(data);
    }
}

#define TILE ((size_t)2 << 20)
#define TILES 1025

/* Two gigabytes of the same two megabytes. */
static void a_head_beyond_all_offsets(void **state)
{
    (void)state;
    int fd = memfd_create("tile", 0);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, TILE), 0);
    char *data =
        mmap(NULL, TILE * TILES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(data, MAP_FAILED);
    for (size_t i = 0; i < TILES; i++)
        assert_ptr_equal(
            mmap(data + i * TILE, TILE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
            data + i * TILE);
    memset(data, 'a', TILE);
    memcpy(data, "GET /", 5);
    struct http1_limits none = {0};
    struct http1_parser parser = {0};
    struct head head;
    head_init(&head);
    /* the tiles repeat their first bytes too, blanks included: still one line without an end */
    assert_int_equal(http1_parse(&parser, &head, data, TILE * TILES, &none), HTTP1_ERROR);
    assert_int_equal(parser.error, HTTP1_HEAD_TOO_LONG);
    assert_int_equal(http1_error_status(parser.error), 431);
    head_free(&head);
    munmap(data, TILE * TILES);
    close(fd);
}

static void pages(void **state)
{
    (void)state;
    static const struct {
        const char *head, *page;
    } cases[] = {
        {"GET /\r\n", "Invalid Request Line 'Invalid HTTP request line: 'GET /''"},
        {"GET /\n",
         "Invalid Request Line 'Invalid HTTP request line: 'bare LF as line terminator''"},
        {"g / HTTP/1.1\r\n", "Invalid Method 'Invalid HTTP method: 'g''"},
        {"GET / HTTP/3.0\r\n", "Invalid HTTP Version 'Invalid HTTP Version: (3, 0)'"},
        {GET "A: 0123456789\r\n", "Error parsing headers: 'limit request headers fields size'"},
        {GET "X\r\n\r\n", "Invalid HTTP Header: 'X'"},
        {GET "Expect: \"\r\n\r\n", "Unable to comply with expectation: '\"'"},
        {"POST /01234567890123456789 HTTP/1.1\r\n", "Request Line is too large (35 > 30)"},
    };
    struct http1_limits limits = {.request_line = 30, .field_size = 14};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http1_parser parser = {0};
        struct head head;
        char data[64];
        char words[128];
        strcpy(data, cases[i].head);
        head_init(&head);
        assert_int_equal(http1_parse(&parser, &head, data, strlen(data), &limits), HTTP1_ERROR);
        size_t size = http1_error_page_text(&parser, data, words, sizeof words);
        assert_string_equal(words, cases[i].page);
        assert_int_equal(size, strlen(words));
        head_free(&head);
    }
}

static void words_fit_in_any_room(void **state)
{
    (void)state;
    char data[] = "G\xe9\xff\x01T / HTTP/1.1\r\n\r\n";
    struct http1_limits none = {0};
    struct http1_parser parser = {0};
    struct head head;
    char whole[128];
    head_init(&head);
    assert_int_equal(http1_parse(&parser, &head, data, sizeof data - 1, &none), HTTP1_ERROR);
    size_t length = http1_error_text(&parser, data, whole, sizeof whole);
    assert_string_equal(whole, "Invalid HTTP method: 'G\xc3\xa9\xc3\xbf\\x01T'");
    for (size_t room = 1; room <= length + 1; room++) {
        char *words = malloc(room);
        size_t n = http1_error_text(&parser, data, words, room);
        assert_true(n < room);
        assert_memory_equal(words, whole, n);
        assert_int_equal(words[n], '\0');
        assert_true(n == 0 || whole[n] == '\0' || ((unsigned char)whole[n] & 0xc0) != 0x80);
        free(words);
    }
    head_free(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_lines),
        cmocka_unit_test(methods),
        cmocka_unit_test(targets),
        cmocka_unit_test(fields),
        cmocka_unit_test(folds),
        cmocka_unit_test(framing),
        cmocka_unit_test(connection_and_expect),
        cmocka_unit_test(limits),
        cmocka_unit_test(ids_and_marks),
        cmocka_unit_test(the_table_grows_and_is_kept),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_dripped_head_costs_its_length),
        cmocka_unit_test(a_head_beyond_all_offsets),
        cmocka_unit_test(pages),
        cmocka_unit_test(words_fit_in_any_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
