/*
 * Messages out of bytes: each vector whole, byte by byte and at each split. The numbers are those
 * of the cases of Autobahn's fuzzing client that ask for the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "websocket_wire.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { LIMIT = 16 * 1024 * 1024, FRAMES = 12 };

struct sent {
    unsigned first; /* FIN, reserved bits and opcode; 0 with a NULL payload ends the list */
    const char *payload;
    size_t size;
};

struct vector {
    const char *name;
    struct sent frames[FRAMES];
    const char *transcript;
};

#define F(first, text) {(first), (text), sizeof(text) - 1}

static void start(struct ws_reader *reader, size_t limit)
{
    static const struct ws_deflate_terms none;
    ws_reader_init(reader, limit, &none, &ws_memory_heap);
}

/* `first` bytes, then `step` bytes a call. */
static void read_in_pieces(const struct wire *wire, size_t limit, size_t first, size_t step,
                           struct writer *transcript)
{
    struct ws_reader reader;
    size_t at = 0;
    bool open = true;
    start(&reader, limit);
    for (size_t n = first; open && at < wire->size; at += n, n = step) {
        if (n > wire->size - at)
            n = wire->size - at;
        open = transcript_feed(transcript, &reader, wire->data + at, n);
    }
    ws_reader_free(&reader);
}

static void expect(const char *name, const struct wire *wire, size_t limit, size_t first,
                   size_t step, const char *expected)
{
    struct writer transcript;
    writer_init(&transcript, 1 << 20);
    read_in_pieces(wire, limit, first, step, &transcript);
    writer_add(&transcript, "", 1);
    assert_int_equal(transcript.error, 0);
    if (strcmp(transcript.data, expected) != 0)
        fail_msg("%s, %zu bytes, then %zu a call: %s, not %s", name, first, step, transcript.data,
                 expected);
    writer_free(&transcript);
}

static void expect_everywhere(const char *name, const struct wire *wire, size_t limit,
                              const char *expected)
{
    for (size_t step = 1; step <= wire->size; step++) {
        expect(name, wire, limit, step, wire->size, expected);
        expect(name, wire, limit, step, step, expected);
    }
}

static void run(const struct vector *vectors, size_t count)
{
    for (const struct vector *vector = vectors; vector < vectors + count; vector++) {
        struct wire wire = {0};
        for (const struct sent *sent = vector->frames; sent->payload != NULL; sent++)
            wire_frame(&wire, sent->first, sent->payload, sent->size);
        expect_everywhere(vector->name, &wire, LIMIT, vector->transcript);
        wire_free(&wire);
    }
}

#define RUN(vectors) run(vectors, COUNT(vectors))

/* RFC 6455 §5.7. */
static void the_examples_of_the_rfc(void **state)
{
    (void)state;
    static const char hello[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    static const char pong[] = "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    struct wire wire = {0};
    wire_bytes(&wire, hello, sizeof(hello) - 1);
    wire_bytes(&wire, pong, sizeof(pong) - 1);
    wire_frame(&wire, WS_TEXT, "Hel", 3);
    wire_frame(&wire, LAST, "lo", 2);
    wire_frame(&wire, PING, "Hello", 5);
    expect_everywhere("5.7", &wire, LIMIT, "T(Hello)O(Hello)T(Hello)P(Hello)");
    wire_free(&wire);
}

/* 1.1.1 to 1.2.8, and 9.1 to 9.6 at what takes no minutes here. */
static void sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 125, 126, 127, 128, 65535, 65536, 1 << 20};
    static const size_t steps[] = {1, 13, 997, 4096, 65536, SIZE_MAX};
    char *payload = malloc(1 << 20);
    memset(payload, '*', 1 << 20);
    for (size_t i = 0; i < 2 * COUNT(sizes); i++) {
        struct writer expected;
        struct ws_reader reader = {0};
        struct wire wire = {0};
        size_t size = sizes[i / 2];
        writer_init(&expected, 1000);
        transcript_add(&expected, i % 2 == 0 ? WS_EVENT_TEXT : WS_EVENT_BINARY, &reader,
                       (struct str){payload, size});
        writer_add(&expected, "", 1);
        wire_frame(&wire, i % 2 == 0 ? TEXT : BINARY, payload, size);
        for (size_t k = 0; k < COUNT(steps); k++)
            expect("1", &wire, LIMIT, steps[k], steps[k], expected.data);
        wire_free(&wire);
        writer_free(&expected);
    }
    free(payload);
}

#define FE25                                                                                       \
    "\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe" \
    "\xfe\xfe"
#define FE125 FE25 FE25 FE25 FE25 FE25
#define SHOWN25                                                                                    \
    "\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe"   \
    "\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe\\xfe"
#define SHOWN125 SHOWN25 SHOWN25 SHOWN25 SHOWN25 SHOWN25

static void pings_and_pongs(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"2.1", {F(PING, "")}, "P()"},
        {"2.2", {F(PING, "Hello, world!")}, "P(Hello, world!)"},
        {"2.3",
         {F(PING, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")},
         "P(\\x00\\xff\\xfe\\xfd\\xfc\\xfb\\x00\\xff)"},
        {"2.4, 2.6", {F(PING, FE125)}, "P(" SHOWN125 ")"},
        {"2.5", {F(PING, FE125 "\xfe")}, "F1002"},
        {"2.7", {F(PONG, ""), F(TEXT, "a")}, "O()T(a)"},
        {"2.8", {F(PONG, "unsolicited"), F(TEXT, "a")}, "O(unsolicited)T(a)"},
        {"2.9", {F(PONG, "unsolicited"), F(PING, "ping")}, "O(unsolicited)P(ping)"},
        {"2.10, 2.11",
         {F(PING, "0"), F(PING, "1"), F(PING, "2"), F(PING, "3"), F(PING, "4"), F(PING, "5"),
          F(PING, "6"), F(PING, "7"), F(PING, "8"), F(PING, "9")},
         "P(0)P(1)P(2)P(3)P(4)P(5)P(6)P(7)P(8)P(9)"},
    };
    RUN(vectors);
}

static void reserved_bits(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"3.1", {F(TEXT | 0x40, "a")}, "F1002"},
        {"3.2", {F(TEXT, "a"), F(TEXT | 0x20, "b"), F(PING, "")}, "T(a)F1002"},
        {"3.3, 3.4", {F(TEXT, "a"), F(TEXT | 0x60, "b"), F(PING, "")}, "T(a)F1002"},
        {"3.4", {F(TEXT, "a"), F(TEXT | 0x10, "b"), F(PING, "")}, "T(a)F1002"},
        {"3.5", {F(BINARY | 0x50, "\xff")}, "F1002"},
        {"3.6", {F(PING | 0x30, "a")}, "F1002"},
        {"3.7", {F(CLOSE | 0x70, "")}, "F1002"},
    };
    RUN(vectors);
}

static void opcodes(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"4.1.1", {F(FIN | 3, "")}, "F1002"},
        {"4.1.2", {F(FIN | 4, "payload")}, "F1002"},
        {"4.1.3", {F(TEXT, "a"), F(FIN | 5, ""), F(PING, "")}, "T(a)F1002"},
        {"4.1.4", {F(TEXT, "a"), F(FIN | 6, "payload"), F(PING, "")}, "T(a)F1002"},
        {"4.1.5", {F(TEXT, "a"), F(FIN | 7, "payload"), F(PING, "")}, "T(a)F1002"},
        {"4.2.1", {F(FIN | 11, "")}, "F1002"},
        {"4.2.2", {F(FIN | 12, "payload")}, "F1002"},
        {"4.2.3", {F(TEXT, "a"), F(FIN | 13, ""), F(PING, "")}, "T(a)F1002"},
        {"4.2.4", {F(TEXT, "a"), F(FIN | 14, "payload"), F(PING, "")}, "T(a)F1002"},
        {"4.2.5", {F(TEXT, "a"), F(FIN | 15, "payload"), F(PING, "")}, "T(a)F1002"},
    };
    RUN(vectors);
}

static void fragments(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"5.1", {F(WS_PING, "fragment1"), F(LAST, "fragment2")}, "F1002"},
        {"5.2", {F(WS_PONG, "fragment1"), F(LAST, "fragment2")}, "F1002"},
        {"5.3 to 5.5", {F(WS_TEXT, "fragment1"), F(LAST, "fragment2")}, "T(fragment1fragment2)"},
        {"5.6 to 5.8",
         {F(WS_TEXT, "fragment1"), F(PING, "ping"), F(LAST, "fragment2")},
         "P(ping)T(fragment1fragment2)"},
        {"5.9 to 5.11", {F(LAST, "none"), F(TEXT, "a")}, "F1002"},
        {"5.12 to 5.14", {F(0, "none"), F(TEXT, "a")}, "F1002"},
        {"5.15",
         {F(WS_TEXT, "fragment1"), F(LAST, "fragment2"), F(0, "fragment3"), F(TEXT, "a")},
         "T(fragment1fragment2)F1002"},
        {"5.16", {F(0, "fragment1"), F(TEXT, "fragment2"), F(0, "fragment3")}, "F1002"},
        {"5.17", {F(LAST, "fragment1"), F(TEXT, "fragment2"), F(LAST, "fragment3")}, "F1002"},
        {"5.18", {F(WS_TEXT, "fragment1"), F(TEXT, "fragment2")}, "F1002"},
        {"5.19, 5.20",
         {F(WS_TEXT, "1"), F(0, "2"), F(PING, "ping1"), F(0, "3"), F(0, "4"), F(PING, "ping2"),
          F(LAST, "5")},
         "P(ping1)P(ping2)T(12345)"},
        {"binary",
         {F(WS_BINARY, "\xff"), F(0, ""), F(PONG, ""), F(LAST, "\x00")},
         "O()B(\\xff\\x00)"},
        {"empty", {F(WS_TEXT, ""), F(0, ""), F(LAST, ""), F(WS_BINARY, ""), F(LAST, "")}, "T()B()"},
    };
    RUN(vectors);
}

#define KOSME "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"
#define SHOWN_KOSME "\\xce\\xba\\xe1\\xbd\\xb9\\xcf\\x83\\xce\\xbc\\xce\\xb5"

static void texts(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"6.1.1", {F(TEXT, "")}, "T()"},
        {"6.1.2", {F(WS_TEXT, ""), F(0, ""), F(LAST, "")}, "T()"},
        {"6.1.3", {F(WS_TEXT, ""), F(0, "middle"), F(LAST, "")}, "T(middle)"},
        {"6.2.1 to 6.2.3",
         {F(WS_TEXT, "Hello-\xc2\xb5@\xc3"), F(LAST, "\x9f-UTF-8!!")},
         "T(Hello-\\xc2\\xb5@\\xc3\\x9f-UTF-8!!)"},
        {"6.2.4",
         {F(WS_TEXT, "\xce"), F(0, "\xba"), F(LAST, "\xe1\xbd\xb9")},
         "T(\\xce\\xba\\xe1\\xbd\\xb9)"},
        {"6.3.1, 6.3.2",
         {F(TEXT, KOSME "\xed\xa0\x80"
                        "edited")},
         "F1007"},
        {"6.5.1", {F(TEXT, KOSME)}, "T(" SHOWN_KOSME ")"},
        {"6.6.2", {F(TEXT, "\xce")}, "F1007"},
        {"6.6.7", {F(TEXT, "\xce\xba\xe1\xbd")}, "F1007"},
        {"6.6.8", {F(WS_TEXT, "\xce\xba\xe1\xbd"), F(LAST, "")}, "F1007"},
        {"6.7", {F(TEXT, "\x00")}, "T(\\x00)"},
        {"6.8", {F(TEXT, "\xf8\x88\x80\x80\x80")}, "F1007"},
        {"6.9",
         {F(TEXT, "\x7f\xdf\xbf\xef\xbf\xbf\xf4\x8f\xbf\xbf")},
         "T(\\x7f\\xdf\\xbf\\xef\\xbf\\xbf\\xf4\\x8f\\xbf\\xbf)"},
        {"6.11.5", {F(TEXT, "\xf4\x90\x80\x80")}, "F1007"},
        {"6.12.1", {F(TEXT, "\x80")}, "F1007"},
        {"6.13.1", {F(TEXT, "\xc0 \xc1 \xc2 ")}, "F1007"},
        {"6.14.1", {F(TEXT, "\xc0")}, "F1007"},
        {"6.16.1", {F(TEXT, "\xfe")}, "F1007"},
        {"6.17.1", {F(TEXT, "\xc0\xaf")}, "F1007"},
        {"6.18.3", {F(TEXT, "\xe0\x9f\xbf")}, "F1007"},
        {"6.19.1", {F(TEXT, "\xc0\x80")}, "F1007"},
        {"6.20.1", {F(TEXT, "\xed\xa0\x80")}, "F1007"},
        {"6.20.7", {F(TEXT, "\xed\xbf\xbf")}, "F1007"},
        {"6.21.1", {F(TEXT, "\xed\xa0\x80\xed\xb0\x80")}, "F1007"},
        {"6.22.1",
         {F(TEXT, "\xef\xbf\xbe\xf0\x9f\xbf\xbe")},
         "T(\\xef\\xbf\\xbe\\xf0\\x9f\\xbf\\xbe)"},
        {"6.23.1", {F(TEXT, "\xef\xbf\xbd")}, "T(\\xef\\xbf\\xbd)"},
        {"binary is no text", {F(BINARY, "\xff\xed\xa0\x80")}, "B(\\xff\\xed\\xa0\\x80)"},
        {"a ping is no text",
         {F(WS_TEXT, "\xe2"), F(PING, "\x82"), F(LAST, "\x82\xac")},
         "P(\\x82)T(\\xe2\\x82\\xac)"},
        {"each message anew",
         {F(TEXT, "\xc2\xb5"), F(BINARY, "\xc2"), F(TEXT, "\xc2\xb5")},
         "T(\\xc2\\xb5)B(\\xc2)T(\\xc2\\xb5)"},
    };
    RUN(vectors);
}

/* 6.4.1 to 6.4.4: refused with the byte that cannot follow, whatever the frame has still to send.
 */
static void a_bad_text_fails_early(void **state)
{
    (void)state;
    static const uint8_t key[4] = {0};
    struct wire wire = {0};
    wire_header(&wire, WS_TEXT, 126, 2, key);
    wire_bytes(&wire, KOSME "\xf4", 12);
    expect("good so far", &wire, LIMIT, 1, 1, "");
    wire_bytes(&wire, "\x90", 1);
    expect("6.4.3", &wire, LIMIT, 1, 1, "F1007");
    expect("6.4.4", &wire, LIMIT, wire.size, 1, "F1007");
    wire_free(&wire);
}

#define R25 "*************************"
#define R123 R25 R25 R25 R25 "***********************"

static void closes(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"7.1.1", {F(TEXT, "a"), F(CLOSE, "\x03\xe8")}, "T(a)C1000()"},
        {"7.1.2", {F(CLOSE, "\x03\xe8"), F(CLOSE, "\x03\xe8")}, "C1000()"},
        {"7.1.3", {F(CLOSE, "\x03\xe8"), F(PING, "")}, "C1000()"},
        {"7.1.4", {F(CLOSE, "\x03\xe8"), F(TEXT, "a")}, "C1000()"},
        {"7.1.5", {F(WS_TEXT, "a"), F(CLOSE, "\x03\xe8"), F(LAST, "b")}, "C1000()"},
        {"7.3.1", {F(CLOSE, "")}, "C1005()"},
        {"7.3.2", {F(CLOSE, "a")}, "F1002"},
        {"7.3.3", {F(CLOSE, "\x03\xe8")}, "C1000()"},
        {"7.3.4", {F(CLOSE, "\x03\xe8Hello World!")}, "C1000(Hello World!)"},
        {"7.3.5", {F(CLOSE, "\x03\xe8" R123)}, "C1000(" R123 ")"},
        {"7.3.6", {F(CLOSE, "\x03\xe8" R123 "*")}, "F1002"},
        {"7.5.1", {F(CLOSE, "\x03\xe8" KOSME "\xed\xa0\x80")}, "F1007"},
        {"7.13.1", {F(CLOSE, "\x13\x88")}, "F1002"},
        {"7.13.2", {F(CLOSE, "\xff\xff")}, "F1002"},
    };
    RUN(vectors);
}

/* 7.7.1 to 7.9.9: what may be on the wire. */
static void close_codes(void **state)
{
    (void)state;
    static const uint16_t codes[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012,
                                     1013, 1014, 3000, 3999, 4000, 4999, 0,    999,  1004, 1005,
                                     1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < COUNT(codes); i++) {
        const char payload[] = {(char)(codes[i] >> 8), (char)codes[i]};
        char expected[16];
        struct wire wire = {0};
        snprintf(expected, sizeof(expected), i < 16 ? "C%u()" : "F1002", codes[i]);
        wire_frame(&wire, CLOSE, payload, sizeof(payload));
        expect_everywhere("7.7, 7.9", &wire, LIMIT, expected);
        wire_free(&wire);
    }
}

/* A message as large as the limit passes; one byte more is refused with the header that says so. */
static void the_limit(void **state)
{
    (void)state;
    static const uint8_t key[4] = {0};
    struct wire wire = {0};
    wire_frame(&wire, TEXT, "12345678", 8);
    wire_frame(&wire, WS_TEXT, "1234", 4);
    wire_frame(&wire, 0, "", 0);
    wire_frame(&wire, LAST, "5678", 4);
    wire_frame(&wire, TEXT, "1", 1);
    expect_everywhere("at it", &wire, 8, "T(12345678)T(12345678)T(1)");
    wire_frame(&wire, WS_TEXT, "12345", 5);
    wire_header(&wire, LAST, 4, 0, key);
    expect_everywhere("fragments", &wire, 8, "T(12345678)T(12345678)T(1)F1009");
    wire_free(&wire);
    wire_header(&wire, BINARY, 9, 0, key);
    expect_everywhere("a frame", &wire, 8, "F1009");
    wire_free(&wire);
    wire_header(&wire, BINARY, INT64_MAX, 8, key);
    expect_everywhere("a huge frame", &wire, LIMIT, "F1009");
    wire_free(&wire);
    wire_frame(&wire, BINARY, "", 0);
    wire_frame(&wire, BINARY, "1", 1);
    expect_everywhere("none", &wire, 0, "B()F1009");
    wire_free(&wire);
}

/* A header alone takes no memory, however much it announces; bytes take twice their number. */
static void memory_follows_the_bytes(void **state)
{
    (void)state;
    static const uint8_t key[4] = {0};
    struct ws_reader reader;
    struct wire wire = {0};
    struct str payload;
    size_t consumed;
    start(&reader, LIMIT);
    wire_header(&wire, BINARY, LIMIT, 8, key);
    assert_int_equal(ws_reader_next(&reader, wire.data, wire.size, &consumed, &payload),
                     WS_EVENT_MORE);
    assert_null(reader.message.data);
    for (size_t size = 1000; size < 100 * 1000; size += 1000) {
        char bytes[1000] = {0};
        assert_int_equal(ws_reader_next(&reader, bytes, 1000, &consumed, &payload), WS_EVENT_MORE);
        assert_true(reader.message.capacity <= 2 * size);
    }
    wire_free(&wire);
    ws_reader_free(&reader);
}

/* One frame in one buffer is borrowed from it; other messages can be taken over. */
static void messages_are_borrowed_or_taken(void **state)
{
    (void)state;
    struct ws_reader reader;
    struct ws_buffer taken;
    struct wire wire = {0};
    struct str payload;
    size_t consumed;
    start(&reader, LIMIT);
    wire_frame(&wire, TEXT, "Hello", 5);
    assert_int_equal(ws_reader_next(&reader, wire.data, wire.size, &consumed, &payload),
                     WS_EVENT_TEXT);
    assert_ptr_equal(payload.p, wire.data + 6);
    assert_false(ws_reader_take(&reader, &taken));
    wire_free(&wire);
    wire_frame(&wire, WS_TEXT, "Hel", 3);
    wire_frame(&wire, LAST, "lo", 2);
    assert_int_equal(ws_reader_next(&reader, wire.data, wire.size, &consumed, &payload),
                     WS_EVENT_TEXT);
    assert_true(ws_reader_take(&reader, &taken));
    assert_int_equal(taken.size, 5);
    assert_memory_equal(taken.data, "Hello", 5);
    assert_null(reader.message.data);
    ws_buffer_free(&taken);
    wire_free(&wire);
    ws_reader_free(&reader);
}

static void no_memory_fails_the_connection(void **state)
{
    (void)state;
    struct wire wire = {0};
    wire_frame(&wire, WS_TEXT, "Hel", 3);
    mem_fail_after(0);
    struct writer transcript = {.limit = 100};
    struct ws_reader reader;
    start(&reader, LIMIT);
    struct str payload;
    size_t consumed;
    enum ws_event event = ws_reader_next(&reader, wire.data, wire.size, &consumed, &payload);
    mem_fail_never();
    assert_int_equal(event, WS_EVENT_FAILED);
    transcript_add(&transcript, event, &reader, payload);
    writer_add(&transcript, "", 1);
    assert_string_equal(transcript.data, "F1011");
    writer_free(&transcript);
    ws_reader_free(&reader);
    wire_free(&wire);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Any change of a valid stream gives the same events whole and in pieces. */
static void mutated(void **state)
{
    (void)state;
    uint32_t seed = 1;
    struct wire wire = {0};
    wire_frame(&wire, WS_TEXT, "Hello-\xc2\xb5@", 9);
    wire_frame(&wire, PING, "ping", 4);
    wire_frame(&wire, LAST, "\xe2\x82\xac", 3);
    wire_frame(&wire, BINARY, FE125 FE125, 250);
    wire_frame(&wire, CLOSE, "\x03\xe8gone", 6);
    for (int i = 0; i < 20000; i++) {
        struct writer whole, pieces;
        struct wire changed = {0};
        wire_bytes(&changed, wire.data, wire.size);
        for (uint32_t n = next_random(&seed) % 4; n < 4; n++)
            changed.data[next_random(&seed) % changed.size] ^= (char)(1u << next_random(&seed) % 8);
        writer_init(&whole, 1 << 20);
        writer_init(&pieces, 1 << 20);
        read_in_pieces(&changed, LIMIT, changed.size, 1, &whole);
        read_in_pieces(&changed, LIMIT, 1 + next_random(&seed) % 9, 1 + next_random(&seed) % 40,
                       &pieces);
        assert_int_equal(whole.size, pieces.size);
        assert_true(whole.size == 0 || memcmp(whole.data, pieces.data, whole.size) == 0);
        writer_free(&whole);
        writer_free(&pieces);
        wire_free(&changed);
    }
    wire_free(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc),
        cmocka_unit_test(sizes),
        cmocka_unit_test(pings_and_pongs),
        cmocka_unit_test(reserved_bits),
        cmocka_unit_test(opcodes),
        cmocka_unit_test(fragments),
        cmocka_unit_test(texts),
        cmocka_unit_test(a_bad_text_fails_early),
        cmocka_unit_test(closes),
        cmocka_unit_test(close_codes),
        cmocka_unit_test(the_limit),
        cmocka_unit_test(memory_follows_the_bytes),
        cmocka_unit_test(messages_are_borrowed_or_taken),
        cmocka_unit_test(no_memory_fails_the_connection),
        cmocka_unit_test(mutated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
