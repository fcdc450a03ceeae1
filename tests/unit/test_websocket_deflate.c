/* permessage-deflate: both streams, the reader and the writer with it, and what bounds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proto/websocket/writer.h"
#include "websocket_wire.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { LIMIT = 16 * 1024 * 1024 };

static struct ws_deflate_terms terms_of(uint8_t window, bool takeover)
{
    return (struct ws_deflate_terms){
        .agreed = true,
        .server_takeover = takeover,
        .client_takeover = takeover,
        .server_window = window,
        .client_window = window,
    };
}

static void expect_of(const struct ws_deflate_terms *terms, const struct wire *wire, size_t limit,
                      size_t first, size_t step, const char *expected)
{
    struct writer transcript;
    struct ws_reader reader;
    bool open = true;
    writer_init(&transcript, 1 << 20);
    ws_reader_init(&reader, limit, terms, &ws_memory_heap);
    for (size_t at = 0, n = first; open && at < wire->size; at += n, n = step) {
        if (n > wire->size - at)
            n = wire->size - at;
        open = transcript_feed(&transcript, &reader, wire->data + at, n);
    }
    ws_reader_free(&reader);
    writer_add(&transcript, "", 1);
    if (strcmp(transcript.data, expected) != 0)
        fail_msg("%zu bytes, then %zu: %s, not %s", first, step, transcript.data, expected);
    writer_free(&transcript);
}

static void expect_everywhere(const struct ws_deflate_terms *terms, const struct wire *wire,
                              size_t limit, const char *expected)
{
    for (size_t step = 1; step <= wire->size; step++) {
        expect_of(terms, wire, limit, step, wire->size, expected);
        expect_of(terms, wire, limit, step, step, expected);
    }
}

#define HELLO "\xf2\x48\xcd\xc9\xc9\x07\x00"
#define HELLO_AGAIN "\xf2\x00\x11\x00\x00" /* with context takeover */
#define HELLO_STORED "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"
#define HELLO_LAST "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"                    /* BFINAL is set */
#define HELLO_TWO "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00" /* of two blocks */

static void compressed(struct wire *wire, const char *payload, size_t size)
{
    wire_frame(wire, TEXT | RSV1, payload, size);
}

#define COMPRESSED(wire, payload) compressed(wire, payload, sizeof(payload) - 1)

/* RFC 7692 §7.2.3. */
static void the_examples_of_the_rfc(void **state)
{
    (void)state;
    struct ws_deflate_terms terms = terms_of(15, true);
    struct wire wire = {0};
    COMPRESSED(&wire, HELLO);
    COMPRESSED(&wire, HELLO_AGAIN);
    COMPRESSED(&wire, HELLO_STORED);
    COMPRESSED(&wire, HELLO_LAST);
    COMPRESSED(&wire, HELLO_AGAIN);
    COMPRESSED(&wire, HELLO_TWO);
    wire_frame(&wire, WS_TEXT | RSV1, HELLO, 3);
    wire_frame(&wire, PING, "p", 1);
    wire_frame(&wire, LAST, HELLO "" + 3, 4);
    COMPRESSED(&wire, "\x00"); /* empty */
    wire_frame(&wire, TEXT, "plain", 5);
    wire_frame(&wire, BINARY | RSV1, HELLO, 7);
    expect_everywhere(&terms, &wire, LIMIT,
                      "T(Hello)T(Hello)T(Hello)T(Hello)T(Hello)T(Hello)P(p)T(Hello)T()T(plain)"
                      "B(Hello)");
    wire_free(&wire);
}

static void bad_data(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *transcript;
    } vectors[] = {
#define BAD(text, transcript) {text, sizeof(text) - 1, transcript}
        BAD("\xff\xff", "F1007"),                     /* a reserved block type */
        BAD("\xf2\x48\xcd\xc9", "F1007"),             /* cut within a block */
        BAD("\xf3\x48\xcd\xc9\xc9\x07\x00", "F1007"), /* a last block without what must follow */
        BAD("", "F1007"),                             /* not even a block's header */
        BAD(HELLO_AGAIN, "F1007"),                    /* refers to bytes before the first */
        BAD("\x00\x05\x00\xfa\xfe\x48", "F1007"),     /* a stored block whose length is wrong */
        BAD("\x6a\x04\x00", "F1007"),                 /* no UTF-8 inside */
    };
    struct ws_deflate_terms terms = terms_of(15, true);
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct wire wire = {0};
        compressed(&wire, vectors[i].bytes, vectors[i].size);
        expect_everywhere(&terms, &wire, LIMIT, vectors[i].transcript);
        wire_free(&wire);
    }
}

/* Without takeover each message starts with an empty window. */
static void no_takeover(void **state)
{
    (void)state;
    struct ws_deflate_terms terms = terms_of(15, false);
    struct wire wire = {0};
    COMPRESSED(&wire, HELLO);
    COMPRESSED(&wire, HELLO);
    COMPRESSED(&wire, HELLO_AGAIN);
    expect_everywhere(&terms, &wire, LIMIT, "T(Hello)T(Hello)F1007");
    wire_free(&wire);
}

static void reserved_bits(void **state)
{
    (void)state;
    struct ws_deflate_terms terms = terms_of(15, true);
    struct wire wire = {0};
    wire_frame(&wire, WS_TEXT | RSV1, HELLO, 3);
    wire_frame(&wire, LAST | RSV1, HELLO "" + 3, 4);
    expect_everywhere(&terms, &wire, LIMIT, "F1002");
    wire_free(&wire);
    wire_frame(&wire, TEXT | 0x20, HELLO, 7);
    expect_everywhere(&terms, &wire, LIMIT, "F1002");
    wire_free(&wire);
}

/* Memory that is counted, and refused beyond `limit` bytes. */
struct counted {
    struct ws_memory memory;
    size_t now, most, limit;
};

static void *counted_resize(void *owner, void *block, size_t old, size_t size)
{
    struct counted *counted = owner;
    assert_true(old <= counted->now && (block != NULL) == (old > 0));
    if (counted->now - old + size > counted->limit)
        return NULL;
    void *resized = ws_memory_heap.resize(NULL, block, old, size);
    if (size > 0 && resized == NULL)
        return NULL;
    counted->now = counted->now - old + size;
    counted->most = counted->now > counted->most ? counted->now : counted->most;
    return resized;
}

static void counted_init(struct counted *counted, size_t limit)
{
    *counted = (struct counted){{counted_resize, counted}, 0, 0, limit};
}

/* Sends a message as a server does and gives its frames, masked, to a client's wire. */
static void send_message(struct ws_deflater *deflater, struct str payload, size_t room_size,
                         struct wire *wire)
{
    struct ws_writer writer;
    struct ws_piece piece;
    char *room = malloc(room_size);
    ws_writer_begin(&writer, WS_BINARY, payload, deflater);
    do {
        ws_writer_next(&writer, room, room_size, &piece);
        wire_frame(wire, (uint8_t)piece.header[0], piece.payload.p, piece.payload.n);
    } while (!piece.last);
    free(room);
}

static void fill(char *bytes, size_t size, unsigned kind)
{
    static const char json[] =
        "{\"AutobahnPython\": 0.6, \"method\": \"sumRange\", \"args\": [1]} ";
    uint32_t seed = kind * 77 + 1;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        bool noise = kind == 2 || (kind == 1 && (seed >> 20) % 9 == 0);
        bytes[i] = noise ? (char)(seed >> 24) : json[i % (sizeof(json) - 1)];
    }
}

/* 12 and 13: each size and window, with and without takeover, messages in fragments of several
 * sizes. */
static void round_trips(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 16, 64, 249, 256, 257, 1024, 4096, 32767, 65536, 131072};
    static const size_t rooms[] = {WS_DEFLATE_ROOM, 1000, 65536};
    char *payload = malloc(131072);
    for (unsigned kind = 0; kind < 3 * 2 * 8; kind++) {
        uint8_t window = (uint8_t)(WS_WINDOW_LEAST + kind / 6 % 8);
        struct ws_deflate_terms terms = terms_of(window, kind / 3 % 2 == 0);
        struct ws_deflater *deflater =
            ws_deflater_new(&ws_memory_heap, window, terms.server_takeover);
        struct ws_reader reader = {0};
        struct writer expected;
        struct wire wire = {0};
        writer_init(&expected, 10000);
        for (size_t i = 0; i < COUNT(sizes) * 2; i++) {
            struct str message = {payload, sizes[i % COUNT(sizes)]};
            fill(payload, message.n, kind % 3);
            transcript_add(&expected, WS_EVENT_BINARY, &reader, message);
            send_message(deflater, message, rooms[i % COUNT(rooms)], &wire);
        }
        writer_add(&expected, "", 1);
        expect_of(&terms, &wire, LIMIT, 1 << 16, 1 << 16, expected.data);
        expect_of(&terms, &wire, LIMIT, 977, 977, expected.data);
        ws_deflater_free(deflater);
        wire_free(&wire);
        writer_free(&expected);
    }
    free(payload);
}

/* A receiver that keeps exactly 2^8 bytes follows what we send it, byte by byte. */
static void the_smallest_window(void **state)
{
    (void)state;
    char bytes[1000];
    struct ws_deflater *deflater = ws_deflater_new(&ws_memory_heap, WS_WINDOW_LEAST, true);
    struct wire wire = {0};
    struct ws_deflate_terms terms = terms_of(WS_WINDOW_LEAST, true);
    struct ws_reader reader = {0};
    struct writer expected = {.limit = 10000};
    for (size_t period = 200; period < 300; period++) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)((i % period) * 131 >> 3);
        send_message(deflater, (struct str){bytes, sizeof(bytes)}, 1000, &wire);
        transcript_add(&expected, WS_EVENT_BINARY, &reader, (struct str){bytes, sizeof(bytes)});
    }
    writer_add(&expected, "", 1);
    expect_of(&terms, &wire, LIMIT, 1, 1, expected.data);
    ws_deflater_free(deflater);
    wire_free(&wire);
    writer_free(&expected);
}

/* A gigabyte of zeros in a megabyte: refused at the limit, with no more memory than that. */
static void bombs_are_refused_by_what_they_expand_to(void **state)
{
    (void)state;
    struct counted counted;
    struct ws_reader reader;
    struct ws_deflate_terms terms = terms_of(15, true);
    struct wire wire = {0};
    enum { ZEROS = 64 << 20, SMALL = 100 * 1000 };
    char *zeros = calloc(1, ZEROS);
    struct ws_deflater *deflater = ws_deflater_new(&ws_memory_heap, 15, true);
    send_message(deflater, (struct str){zeros, ZEROS}, 1 << 20, &wire);
    assert_true(wire.size < ZEROS / 200);
    counted_init(&counted, SIZE_MAX);
    ws_reader_init(&reader, SMALL, &terms, &counted.memory);
    struct writer transcript = {.limit = 100};
    transcript_feed(&transcript, &reader, wire.data, wire.size);
    writer_add(&transcript, "", 1);
    assert_string_equal(transcript.data, "F1009");
    assert_true(counted.most < SMALL * 2 + 50 * 1024);
    assert_int_equal(counted.now, 0);
    writer_free(&transcript);
    wire_free(&wire);
    ws_deflater_free(deflater);
    free(zeros);
}

/* The limit is exact. */
static void messages_up_to_the_limit(void **state)
{
    (void)state;
    struct ws_deflate_terms terms = terms_of(15, true);
    struct wire wire = {0};
    COMPRESSED(&wire, HELLO);
    expect_everywhere(&terms, &wire, 5, "T(Hello)");
    expect_everywhere(&terms, &wire, 4, "F1009");
    expect_everywhere(&terms, &wire, 0, "F1009");
    wire_free(&wire);
    COMPRESSED(&wire, "\x00");
    expect_everywhere(&terms, &wire, 0, "T()");
    wire_free(&wire);
}

/* What a connection keeps of both streams after a message: at most 100 KiB, with any window. */
static void memory_after_a_message(void **state)
{
    (void)state;
    enum { KEPT = 100 * 1024 };
    static const struct {
        uint8_t client, server;
        size_t most;
    } vectors[] = {{15, WS_DEFLATE_WINDOW, KEPT}, {WS_INFLATE_WINDOW, WS_DEFLATE_WINDOW, KEPT / 2}};
    char *payload = malloc(1 << 20);
    fill(payload, 1 << 20, 1);
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct counted counted;
        struct ws_reader reader;
        struct ws_deflate_terms terms = terms_of(vectors[i].client, true);
        struct wire wire = {0};
        struct writer transcript = {.limit = 100};
        counted_init(&counted, SIZE_MAX);
        struct ws_deflater *deflater = ws_deflater_new(&counted.memory, vectors[i].server, true);
        send_message(deflater, (struct str){payload, 1 << 20}, 1 << 16, &wire);
        ws_reader_init(&reader, LIMIT, &terms, &counted.memory);
        transcript_feed(&transcript, &reader, wire.data, wire.size);
        print_message("windows of %u and %u bits: %zu bytes\n", vectors[i].client,
                      vectors[i].server, counted.now);
        assert_true(counted.now <= vectors[i].most);
        ws_reader_free(&reader);
        ws_deflater_free(deflater);
        assert_int_equal(counted.now, 0);
        writer_free(&transcript);
        wire_free(&wire);
    }
    free(payload);
}

/* Each allocation fails in turn: an error, and nothing is left. */
static void memory_that_is_refused(void **state)
{
    (void)state;
    struct ws_deflate_terms terms = terms_of(15, true);
    struct wire wire = {0};
    char bytes[4096] = {0};
    struct ws_deflater *other = ws_deflater_new(&ws_memory_heap, 15, true);
    send_message(other, (struct str){bytes, sizeof(bytes)}, 1 << 16, &wire);
    ws_deflater_free(other);
    bool failed = true;
    for (size_t limit = 0; failed; limit += 500) {
        struct counted counted;
        struct ws_reader reader;
        struct writer transcript = {.limit = 100};
        counted_init(&counted, limit);
        ws_reader_init(&reader, LIMIT, &terms, &counted.memory);
        failed = !transcript_feed(&transcript, &reader, wire.data, wire.size);
        writer_add(&transcript, "", 1);
        if (failed)
            assert_string_equal(transcript.data, "F1011");
        struct ws_deflater *deflater = ws_deflater_new(&counted.memory, 12, true);
        ws_deflater_free(deflater);
        ws_reader_free(&reader);
        assert_int_equal(counted.now, 0);
        writer_free(&transcript);
    }
    wire_free(&wire);
}

static void plain_messages_are_parted(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        unsigned pieces;
    } vectors[] = {{0, 1}, {5, 1}, {WS_FRAGMENT, 1}, {WS_FRAGMENT + 1, 2}, {3 * WS_FRAGMENT, 3}};
    char *payload = malloc(3 * WS_FRAGMENT);
    fill(payload, 3 * WS_FRAGMENT, 2);
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct str message = {payload, vectors[i].size};
        struct ws_deflate_terms none = {0};
        struct writer expected = {.limit = 100};
        struct ws_reader reader = {0};
        struct wire wire = {0};
        send_message(NULL, message, 1, &wire);
        assert_int_equal(wire.frames, vectors[i].pieces);
        transcript_add(&expected, WS_EVENT_BINARY, &reader, message);
        writer_add(&expected, "", 1);
        expect_of(&none, &wire, LIMIT, 4096, 4096, expected.data);
        writer_free(&expected);
        wire_free(&wire);
    }
    free(payload);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Changed bytes of a compressed message: refused, or a message within the limit; nothing worse. */
static void mutated(void **state)
{
    (void)state;
    uint32_t seed = 7;
    struct ws_deflate_terms terms = terms_of(10, true);
    char payload[2000];
    fill(payload, sizeof(payload), 1);
    struct ws_deflater *deflater = ws_deflater_new(&ws_memory_heap, 10, true);
    struct wire wire = {0};
    for (int i = 0; i < 3; i++)
        send_message(deflater, (struct str){payload, sizeof(payload)}, 700, &wire);
    for (int i = 0; i < 5000; i++) {
        struct wire changed = {0};
        struct ws_reader reader;
        struct writer transcript = {.limit = 10000};
        wire_bytes(&changed, wire.data, wire.size);
        for (uint32_t n = next_random(&seed) % 4; n < 4; n++)
            changed.data[next_random(&seed) % changed.size] ^= (char)(1u << next_random(&seed) % 8);
        ws_reader_init(&reader, 10000, &terms, &ws_memory_heap);
        transcript_feed(&transcript, &reader, changed.data, changed.size);
        assert_true(reader.message.size <= 10001);
        ws_reader_free(&reader);
        writer_free(&transcript);
        wire_free(&changed);
    }
    ws_deflater_free(deflater);
    wire_free(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc),
        cmocka_unit_test(bad_data),
        cmocka_unit_test(no_takeover),
        cmocka_unit_test(reserved_bits),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(the_smallest_window),
        cmocka_unit_test(bombs_are_refused_by_what_they_expand_to),
        cmocka_unit_test(messages_up_to_the_limit),
        cmocka_unit_test(memory_after_a_message),
        cmocka_unit_test(memory_that_is_refused),
        cmocka_unit_test(plain_messages_are_parted),
        cmocka_unit_test(mutated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
