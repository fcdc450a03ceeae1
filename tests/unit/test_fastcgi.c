#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guarded.h"
#include "proto/fastcgi.h"

/*
 * Records, and the events that come of them, one letter each: B(id) or K(id) with keep_conn, P and
 * S with the bytes of the stream, p and s their ends, A aborted, > an answer in hex, ! a refusal.
 */
struct vector {
    const char *data;
    size_t size;
    const char *expected;
};

#define BYTES(text) .data = (text), .size = sizeof(text) - 1
#define BEGIN "\1\1\0\1\0\x08\0\0\0\1\0\0\0\0\0\0"
#define BEGIN_KEEP "\1\1\0\1\0\x08\0\0\0\1\1\0\0\0\0\0"
#define NO_PARAMS "\1\4\0\1\0\0\0\0"
#define NO_STDIN "\1\5\0\1\0\0\0\0"
#define BAD_RECORD "!Invalid FastCGI record: its type or size is unexpected"

static void print_event(const struct fastcgi *fastcgi, enum fastcgi_event event, FILE *out)
{
    switch (event) {
    case FASTCGI_BEGIN:
        fprintf(out, "%c%u", fastcgi->keep_conn ? 'K' : 'B', fastcgi->id);
        break;
    case FASTCGI_PARAMS_END:
        fputc('p', out);
        break;
    case FASTCGI_STDIN_END:
        fputc('s', out);
        break;
    case FASTCGI_ABORTED:
        fputc('A', out);
        break;
    case FASTCGI_ANSWER:
        fputc('>', out);
        for (uint16_t i = 0; i < fastcgi->answer_size; i++)
            fprintf(out, "%02x", (uint8_t)fastcgi->answer[i]);
        break;
    case FASTCGI_ERROR:
        fprintf(out, "!%s", fastcgi_error_text(fastcgi->error));
        break;
    default:
        break;
    }
}

/* Pieces of a stream are joined, however they are cut. */
static void print(const struct fastcgi *fastcgi, enum fastcgi_event event, struct str piece,
                  enum fastcgi_event *last, FILE *out)
{
    if (event == FASTCGI_PARAMS || event == FASTCGI_STDIN) {
        if (event != *last)
            fputc(event == FASTCGI_PARAMS ? 'P' : 'S', out);
        fwrite(piece.p, 1, piece.n, out);
    }
    print_event(fastcgi, event, out);
    if (event != FASTCGI_MORE)
        *last = event;
}

static void check(const struct vector *vector, size_t step, const struct guarded *guarded)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    struct fastcgi fastcgi;
    enum fastcgi_event event = FASTCGI_MORE, last = FASTCGI_MORE;
    fastcgi_init(&fastcgi);
    for (size_t at = 0; at < vector->size && event != FASTCGI_ERROR;) {
        size_t n = step < vector->size - at ? step : vector->size - at;
        size_t consumed;
        struct str piece;
        const char *data = guarded_at_end(guarded, vector->data + at, n);
        event = fastcgi_next(&fastcgi, data, n, &consumed, &piece);
        assert_true(event != FASTCGI_MORE || consumed == n);
        print(&fastcgi, event, piece, &last, out);
        at += consumed;
    }
    fclose(out);
    assert_string_equal(text, vector->expected);
    free(text);
}

static void records(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {BYTES(BEGIN "\1\4\0\1\0\3\0\0abc" NO_PARAMS "\1\5\0\1\0\2\6\0hixxxxxx" NO_STDIN),
         "B1PabcpShis"},
        {BYTES(BEGIN_KEEP "\1\4\0\1\0\1\7\0a.......\1\4\0\1\0\1\0\0b" NO_PARAMS NO_STDIN BEGIN),
         "K1PabpsB1"},
        /* The request ends with the padding of its last record. */
        {BYTES(BEGIN NO_PARAMS "\1\5\0\1\0\0\3\0.."), "B1p"},
        {BYTES(BEGIN NO_PARAMS "\1\5\0\1\0\0\3\0..." BEGIN), "B1psB1"},
        {BYTES(BEGIN "\1\2\0\1\0\0\0\0" BEGIN), "B1AB1"},
        {BYTES(BEGIN NO_PARAMS "\1\2\0\1\0\0\0\0"), "B1pA"},
        /* Another request meanwhile, and all that belongs to it. */
        {BYTES(BEGIN "\1\1\0\2\0\x08\0\0\0\1\0\0\0\0\0\0\1\4\0\2\0\1\1\0a.\1\5\0\2\0\0\0\0"
                     "\1\2\0\2\0\0\0\0" NO_PARAMS),
         "B1>01030002000800000000000001000000p"},
        /* Another role. */
        {BYTES("\1\1\0\1\0\x08\0\0\0\2\0\0\0\0\0\0" NO_PARAMS BEGIN),
         ">01030001000800000000000003000000B1"},
        {BYTES("\1\x09\0\0\0\x11\1\0\x0f\0FCGI_MPXS_CONNS." BEGIN),
         ">010a00000012000"
         "00f01464347495f4d5058535f434f4e4e5330B1"},
        {BYTES("\1\x09\0\0\0\x10\0\0\x0e\0FCGI_MAX_CONNS"), ">010a000000000000"},
        {BYTES("\1\x09\0\0\0\0\1\0."), ">010a000000000000"},
        {BYTES("\1\x0c\0\0\0\1\1\0x." BEGIN), ">010b0000000800000c00000000000000B1"},
        {BYTES(BEGIN "\1\4\0\1\0\1"), "B1"},
    };
    struct guarded guarded = guarded_open();
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        for (size_t step = 1; step < 40; step++)
            check(&vectors[i], step, &guarded);
    guarded_close(&guarded);
}

static void records_that_are_malformed(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {BYTES("\2\1\0\1\0\x08\0\0"), "!Invalid FastCGI record: the version is not 1"},
        {BYTES("GET / HTTP/1.1"),
         "!Invalid FastCGI record: an HTTP request; protocol is fastcgi here"},
        {BYTES("\1\1\0\1\0\7\0\0"), BAD_RECORD},
        {BYTES("\1\1\0\1\0\x09\0\0"), BAD_RECORD},
        {BYTES(BEGIN BEGIN), "B1" BAD_RECORD},
        {BYTES(BEGIN NO_STDIN), "B1" BAD_RECORD},
        {BYTES(BEGIN NO_PARAMS NO_PARAMS), "B1p" BAD_RECORD},
        {BYTES("\1\6\0\1\0\0\0\0"), BAD_RECORD},
        {BYTES("\1\x09\0\0\1\1\0\0"), "!Invalid FastCGI record: too many bytes of variables"},
        {BYTES("\1\x09\0\0\0\2\0\0\1\0"),
         "!Invalid FastCGI record: a variable goes beyond the stream"},
    };
    struct guarded guarded = guarded_open();
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        for (size_t step = 1; step < 40; step++)
            check(&vectors[i], step, &guarded);
    guarded_close(&guarded);
}

static void too_many_params(void **state)
{
    (void)state;
    static const char begin[] = BEGIN;
    static const char full[] = "\1\4\0\1\xff\xff\0\0";
    static const char more[] = "\1\4\0\1\0\1\0\0";
    static char content[FASTCGI_CONTENT_MAX];
    struct fastcgi fastcgi;
    struct str piece;
    size_t consumed;
    fastcgi_init(&fastcgi);
    assert_int_equal(fastcgi_next(&fastcgi, begin, 16, &consumed, &piece), FASTCGI_BEGIN);
    assert_int_equal(fastcgi_next(&fastcgi, full, 8, &consumed, &piece), FASTCGI_MORE);
    assert_int_equal(fastcgi_next(&fastcgi, content, sizeof content, &consumed, &piece),
                     FASTCGI_PARAMS);
    assert_int_equal(piece.n, sizeof content);
    assert_int_equal(fastcgi_next(&fastcgi, more, 8, &consumed, &piece), FASTCGI_ERROR);
    assert_int_equal(fastcgi.error, FASTCGI_TOO_LONG);
    assert_int_equal(fastcgi_next(&fastcgi, more, 8, &consumed, &piece), FASTCGI_ERROR);
    assert_int_equal(consumed, 0);
}

/* They are ignored, up to a limit. */
static void too_many_records_of_others(void **state)
{
    (void)state;
    static const char begin[] = BEGIN;
    static const char other[] = "\1\5\0\2\x0f\xf8\0\0"; /* 4096 bytes with its header */
    static const char content[4088];
    struct fastcgi fastcgi;
    struct str piece;
    size_t consumed;
    fastcgi_init(&fastcgi);
    assert_int_equal(fastcgi_next(&fastcgi, begin, 16, &consumed, &piece), FASTCGI_BEGIN);
    for (unsigned i = 0; i < FASTCGI_ASIDE_MAX / 4096; i++) {
        assert_int_equal(fastcgi_next(&fastcgi, other, 8, &consumed, &piece), FASTCGI_MORE);
        assert_int_equal(fastcgi_next(&fastcgi, content, sizeof content, &consumed, &piece),
                         FASTCGI_MORE);
    }
    assert_int_equal(fastcgi_next(&fastcgi, other, 8, &consumed, &piece), FASTCGI_ERROR);
    assert_int_equal(fastcgi.error, FASTCGI_TOO_MUCH);
}

static void variables(void **state)
{
    (void)state;
    static const struct http1_limits limits;
    char data[] = "\x0e\3REQUEST_METHODGET\x09\1PATH_INFO/\x80\0\0\6\2HTTP_Xhi";
    struct guarded guarded = guarded_open();
    struct head head;
    struct cgi cgi;
    size_t size = sizeof data - 1;
    char *at_end = guarded_at_end(&guarded, data, size);
    head_init(&head);
    cgi_init(&cgi);
    assert_int_equal(fastcgi_params(&cgi, &head, at_end, 0, size, &limits), FASTCGI_NO_ERROR);
    assert_int_equal(cgi.error, CGI_NO_ERROR);
    assert_int_equal(head.field_count, 1);
    assert_true(str_eq(head_slice(at_end, head.fields[0].value, 2), STR("hi")));
    for (size_t n = 0; n < size; n++) {
        head_reset(&head);
        cgi_reset(&cgi);
        enum fastcgi_error error =
            fastcgi_params(&cgi, &head, guarded_at_end(&guarded, data, n), 0, n, &limits);
        bool whole_pairs = n == 0 || n == 19 || n == 31;
        assert_int_equal(error, whole_pairs ? FASTCGI_NO_ERROR : FASTCGI_BAD_VARIABLES);
        assert_true(n != 19 || cgi.error == CGI_NO_TARGET);
    }
    cgi_free(&cgi);
    head_free(&head);
    guarded_close(&guarded);
}

static void output(void **state)
{
    (void)state;
    char header[FASTCGI_HEADER_SIZE], end[FASTCGI_END_SIZE];
    fastcgi_stdout(header, 258, 515);
    assert_memory_equal(header, "\1\6\1\2\2\3\0\0", sizeof header);
    static const char whole[FASTCGI_END_SIZE] = "\1\6\0\1\0\0\0\0\1\3\0\1\0\x08\0\0\0\0\0\0\0\0\0\0"
                                                "\1\x0b\0\0\0\x08\0\0";
    assert_int_equal(fastcgi_end(end, 1, false), 24);
    assert_memory_equal(end, whole, 24);
    assert_int_equal(fastcgi_end(end, 1, true), sizeof end);
    assert_memory_equal(end, whole, sizeof end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),         cmocka_unit_test(records_that_are_malformed),
        cmocka_unit_test(too_many_params), cmocka_unit_test(too_many_records_of_others),
        cmocka_unit_test(variables),       cmocka_unit_test(output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
