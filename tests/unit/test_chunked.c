#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guarded.h"
#include "proto/http1/chunked.h"

struct vector {
    const char *input;
    size_t size;
    const char *body; /* NULL: refused */
    const char *rest; /* behind the last line; NULL: the body goes on */
    uint8_t error;    /* enum chunked_error, if refused */
    uint32_t line_limit, field_limit;
};

#define INPUT(text) .input = (text), .size = sizeof(text) - 1
#define BODY(text, behind) .body = (text), .rest = (behind)
#define REFUSED(why) .error = (why)
#define END "0\r\n\r\n"

struct outcome {
    enum chunked_result result;
    char *body;
    size_t body_size, consumed;
    uint8_t error;
};

/* `step` bytes a call, each call's bytes ending at the guard. */
static struct outcome decode(const struct vector *vector, const struct guarded *guarded,
                             size_t step)
{
    struct chunked dec;
    struct outcome outcome = {.result = CHUNKED_MORE, .body = malloc(vector->size + 1)};
    chunked_init(&dec, vector->line_limit, vector->field_limit);
    while (outcome.result == CHUNKED_MORE && outcome.consumed < vector->size) {
        size_t left = vector->size - outcome.consumed;
        size_t n = left < step ? left : step;
        size_t consumed, produced;
        char *data = guarded_at_end(guarded, vector->input + outcome.consumed, n);
        outcome.result = chunked_decode(&dec, data, n, &consumed, &produced);
        if (outcome.result == CHUNKED_MORE)
            assert_int_equal(consumed, n);
        assert_true(produced <= consumed && consumed <= n);
        memcpy(outcome.body + outcome.body_size, data, produced);
        outcome.body_size += produced;
        outcome.consumed += consumed;
    }
    outcome.error = dec.error;
    return outcome;
}

static void check(const struct vector *vector, const struct outcome *outcome)
{
    if (vector->body == NULL) {
        if (outcome->result != CHUNKED_ERROR || outcome->error != vector->error)
            fail_msg("%s\n  result %d error %d, not %d", vector->input, outcome->result,
                     outcome->error, vector->error);
        return;
    }
    if (outcome->result != (vector->rest != NULL ? CHUNKED_DONE : CHUNKED_MORE))
        fail_msg("%s\n  result %d error %d", vector->input, outcome->result, outcome->error);
    assert_int_equal(outcome->body_size, strlen(vector->body));
    assert_memory_equal(outcome->body, vector->body, outcome->body_size);
    if (vector->rest != NULL)
        assert_string_equal(vector->input + outcome->consumed, vector->rest);
}

static void run(const struct vector *vectors, size_t count)
{
    struct guarded guarded = guarded_open();
    for (const struct vector *vector = vectors; vector < vectors + count; vector++) {
        for (size_t step = 1; step <= vector->size; step++) {
            struct outcome outcome = decode(vector, &guarded, step);
            check(vector, &outcome);
            free(outcome.body);
        }
    }
    guarded_close(&guarded);
}

#define RUN(vectors) run(vectors, sizeof(vectors) / sizeof(vectors)[0])

static void chunks(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {INPUT(END), BODY("", "")},
        {INPUT("5\r\nhello\r\n" END), BODY("hello", "")},
        {INPUT("5\r\nhello\r\n6\r\n world\r\n" END "GET /"), BODY("hello world", "GET /")},
        {INPUT("0000000000000000000000005\r\nhello\r\n000\r\n\r\n"), BODY("hello", "")},
        {INPUT("A\r\n0123456789\r\nb\r\n0123456789a\r\n" END), BODY("01234567890123456789a", "")},
        {INPUT("2\r\n\r\n\r\n" END), BODY("\r\n", "")},
        {INPUT("5\r\nhel"), BODY("hel", NULL)},
        {INPUT("5\r\nhello\r\n0\r\n"), BODY("hello", NULL)},
        {INPUT("5\r\nhello\r\n0\r\n\r"), BODY("hello", NULL)},
        {INPUT("7fffffffffffffff\r\na"), BODY("a", NULL)},
        {INPUT("8000000000000000\r\na"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("10000000000000001\r\na"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("fffffffffffffffff\r\na"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("\r\n"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("g\r\n"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("-5\r\n"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("+5\r\n"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("0x5\r\n"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("5_0\r\n"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT(" 5\r\n"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("5 \r\n"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("5 5\r\n"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("5\n"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("5\rhello"), REFUSED(CHUNKED_BAD_SIZE)},
        {INPUT("5\r\nhelloX\r\n"), REFUSED(CHUNKED_BAD_TERMINATOR)},
        {INPUT("5\r\nhello\n"), REFUSED(CHUNKED_BAD_TERMINATOR)},
        {INPUT("5\r\nhello\rX"), REFUSED(CHUNKED_BAD_TERMINATOR)},
    };
    RUN(vectors);
}

static void extensions(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {INPUT("1;a\r\nx\r\n0;b=c\r\n\r\n"), BODY("x", "")},
        {INPUT("1 \t; a \t= b ;c=\"d\"\t; e\r\nx\r\n" END), BODY("x", "")},
        {INPUT("1;abc=def;g;h  \t;i\r\nx\r\n" END), BODY("x", "")},
        {INPUT("1;a=b  \t;c=\"d\" \t;e\r\nx\r\n" END), BODY("x", "")},
        {INPUT("1;a=\"\"\r\nx\r\n" END), BODY("x", "")},
        {INPUT("1;a=\" \t!#[]~\xe9\\\"\\\\\\a\\\t;\"\r\nx\r\n" END), BODY("x", "")},
        {INPUT("1;\r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;;a\r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a \r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a b\r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a=\r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a= \r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;=a\r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a==b\r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a=b=c\r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a=b \r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a=\"b\"c\r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a=\"b\r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a=\"b\\\r\""), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a=\"\x7f\""), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a=\"\\\x01\""), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a=b\xe9\r\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a\n"), REFUSED(CHUNKED_BAD_EXTENSION)},
        {INPUT("1;a\rb"), REFUSED(CHUNKED_BAD_SIZE)},
    };
    RUN(vectors);
}

static void trailers(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {INPUT("0\r\nA: b\r\nC:\r\nD: \t\xe9 x\r\n\r\nrest"), BODY("", "rest")},
        {INPUT("0\r\nContent-Type: b\r\nx-content-type: c\r\n\r\n"), BODY("", "")},
        {INPUT("0\r\nTransfer-Encodings: b\r\nHos: c\r\n\r\n"), BODY("", "")},
        {INPUT("0\r\nA-Rather-Long-Name-Of-A-Field: b\r\n\r\n"), BODY("", "")},
        {INPUT("0\r\nhost: b\r\n"), REFUSED(CHUNKED_BAD_NAME)},
        {INPUT("0\r\nContent-Length: 1\r\n"), REFUSED(CHUNKED_BAD_NAME)},
        {INPUT("0\r\nTRANSFER-ENCODING: b\r\n"), REFUSED(CHUNKED_BAD_NAME)},
        {INPUT("0\r\nTrailer: b\r\n"), REFUSED(CHUNKED_BAD_NAME)},
        {INPUT("0\r\nAuthorization: b\r\n"), REFUSED(CHUNKED_BAD_NAME)},
        {INPUT("0\r\nTE: b\r\n"), REFUSED(CHUNKED_BAD_NAME)},
        {INPUT("0\r\nContent-Type: b\r\ncontent-type: c\r\n"), REFUSED(CHUNKED_BAD_NAME)},
        {INPUT("0\r\nA : b\r\n"), REFUSED(CHUNKED_BAD_NAME)},
        {INPUT("0\r\nA\xe9: b\r\n"), REFUSED(CHUNKED_BAD_NAME)},
        {INPUT("0\r\nA\r\n"), REFUSED(CHUNKED_BAD_TRAILER)},
        {INPUT("0\r\n: b\r\n"), REFUSED(CHUNKED_BAD_TRAILER)},
        {INPUT("0\r\n A: b\r\n"), REFUSED(CHUNKED_BAD_TRAILER)},
        {INPUT("0\r\nA: b\r\n c\r\n"), REFUSED(CHUNKED_BAD_TRAILER)},
        {INPUT("0\r\nA: b\n"), REFUSED(CHUNKED_BAD_TRAILER)},
        {INPUT("0\r\nA: b\rc"), REFUSED(CHUNKED_BAD_TRAILER)},
        {INPUT("0\r\nA: b\0\r\n"), REFUSED(CHUNKED_BAD_TRAILER)},
        {INPUT("0\r\n\n"), REFUSED(CHUNKED_BAD_TRAILER)},
        {INPUT("0\r\n\rX"), REFUSED(CHUNKED_BAD_TRAILER)},
    };
    RUN(vectors);
}

static void limits(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {INPUT("01;a\r\nx\r\n" END), BODY("x", ""), .line_limit = 4},
        {INPUT("001;a"), REFUSED(CHUNKED_LINE_TOO_LONG), .line_limit = 4},
        {INPUT("00001"), REFUSED(CHUNKED_LINE_TOO_LONG), .line_limit = 4},
        {INPUT("1\r\nx\r\n0001\r\ny\r\n" END), BODY("xy", ""), .line_limit = 4},
        {INPUT("0\r\nA: b\r\nC: d\r\n\r\n"), BODY("", ""), .line_limit = 6},
        {INPUT("0\r\nA: bc"), REFUSED(CHUNKED_TRAILER_TOO_LONG), .line_limit = 6},
        {INPUT("0\r\nAbcde"), REFUSED(CHUNKED_TRAILER_TOO_LONG), .line_limit = 6},
        {INPUT("0\r\nA: b\r\nC: d\r\n\r\n"), BODY("", ""), .field_limit = 2},
        {INPUT("0\r\nA: b\r\nC: d\r\nE"), REFUSED(CHUNKED_TOO_MANY_TRAILERS), .field_limit = 2},
    };
    RUN(vectors);
}

#define LARGE ((size_t)1 << 20)

/* One large chunk stays where it is when the size line came in a call of its own. */
static void a_large_chunk_is_not_moved(void **state)
{
    (void)state;
    struct chunked dec;
    size_t consumed, produced;
    char line[] = "100000\r\n";
    char *data = malloc(LARGE);
    memset(data, 'a', LARGE);
    chunked_init(&dec, 0, 0);
    assert_int_equal(chunked_decode(&dec, line, 8, &consumed, &produced), CHUNKED_MORE);
    struct str piece;
    assert_int_equal(chunked_next(&dec, data, LARGE, &consumed, &piece), CHUNKED_MORE);
    assert_ptr_equal(piece.p, data);
    assert_int_equal(piece.n, LARGE);
    char end[] = "\r\n" END;
    assert_int_equal(chunked_decode(&dec, end, sizeof end - 1, &consumed, &produced), CHUNKED_DONE);
    assert_int_equal(produced, 0);
    free(data);
}

static void pieces_are_borrowed(void **state)
{
    (void)state;
    struct chunked dec;
    size_t consumed;
    struct str piece;
    const char input[] = "5\r\nhello\r\n1\r\n!\r\n" END "rest";
    const char *p = input;
    size_t left = sizeof input - 1;
    chunked_init(&dec, 0, 0);
    assert_int_equal(chunked_next(&dec, p, left, &consumed, &piece), CHUNKED_MORE);
    assert_true(str_eq(piece, STR("hello")));
    p += consumed;
    left -= consumed;
    assert_int_equal(chunked_next(&dec, p, left, &consumed, &piece), CHUNKED_MORE);
    assert_true(str_eq(piece, STR("!")));
    p += consumed;
    left -= consumed;
    assert_int_equal(chunked_next(&dec, p, left, &consumed, &piece), CHUNKED_DONE);
    assert_int_equal(piece.n, 0);
    assert_string_equal(p + consumed, "rest");
}

/* After the end, and after a refusal, nothing is taken any more. */
static void the_end_is_the_end(void **state)
{
    (void)state;
    struct chunked dec;
    size_t consumed, produced;
    char good[] = END;
    char bad[] = "x";
    char more[] = "5\r\nhello\r\n";
    chunked_init(&dec, 0, 0);
    assert_int_equal(chunked_decode(&dec, good, 5, &consumed, &produced), CHUNKED_DONE);
    assert_int_equal(chunked_decode(&dec, more, 10, &consumed, &produced), CHUNKED_DONE);
    assert_int_equal(consumed, 0);
    chunked_init(&dec, 0, 0);
    assert_int_equal(chunked_decode(&dec, bad, 1, &consumed, &produced), CHUNKED_ERROR);
    assert_int_equal(chunked_decode(&dec, more, 10, &consumed, &produced), CHUNKED_ERROR);
    assert_int_equal(consumed, 0);
    assert_int_equal(produced, 0);
}

static void statuses_and_words(void **state)
{
    (void)state;
    struct chunked dec = {0};
    for (int error = 0; error < CHUNKED_ERROR_COUNT; error++) {
        dec.error = (uint8_t)error;
        bool limit = error == CHUNKED_TRAILER_TOO_LONG || error == CHUNKED_TOO_MANY_TRAILERS;
        assert_int_equal(chunked_error_status(&dec), limit ? 431 : 400);
        assert_true(error == CHUNKED_NO_ERROR || *chunked_error_text(&dec) != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks),
        cmocka_unit_test(extensions),
        cmocka_unit_test(trailers),
        cmocka_unit_test(limits),
        cmocka_unit_test(a_large_chunk_is_not_moved),
        cmocka_unit_test(pieces_are_borrowed),
        cmocka_unit_test(the_end_is_the_end),
        cmocka_unit_test(statuses_and_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
