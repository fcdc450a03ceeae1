#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guarded.h"
#include "proto/websocket/close.h"
#include "proto/websocket/frame.h"
#include "proto/websocket/mask.h"
#include "proto/websocket/utf8.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Every size and every place in the registers, at both ends of memory that may be touched. */
static void masks_every_size_and_alignment(void **state)
{
    (void)state;
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    struct guarded guarded = guarded_open();
    char plain[300], expected[300];
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (char)(i * 7);
    for (uint64_t position = 0; position < 5; position++) {
        for (size_t size = 0; size <= sizeof(plain); size++) {
            for (size_t i = 0; i < size; i++)
                expected[i] = (char)(plain[i] ^ key[(position + i) % 4]);
            char *end = guarded_at_end(&guarded, plain, size);
            ws_mask(end, end, size, key, position);
            assert_memory_equal(end, expected, size);
            char *begin = guarded_at_begin(&guarded, plain, size);
            ws_mask(begin, end, size, key, position);
            assert_memory_equal(begin, plain, size);
        }
    }
    guarded_close(&guarded);
}

/* One character by the definition of RFC 3629 §3; its bytes, or 0. */
static size_t character(const uint8_t *p, size_t n)
{
    size_t size = p[0] < 0x80       ? 1
                  : p[0] >> 5 == 6  ? 2
                  : p[0] >> 4 == 14 ? 3
                  : p[0] >> 3 == 30 ? 4
                                    : 0;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t code = size == 1 ? p[0] : p[0] & (0x7fu >> size);
    if (size == 0 || size > n)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[size] || code > 0x10ffff || surrogate ? 0 : size;
}

static bool text_is_valid(const uint8_t *p, size_t n)
{
    for (size_t size; n > 0; p += size, n -= size)
        if ((size = character(p, n)) == 0)
            return false;
    return true;
}

static bool checked(const uint8_t *p, size_t n)
{
    uint8_t text = WS_UTF8_START;
    return ws_utf8_check(&text, (const char *)p, n) && ws_utf8_complete(text);
}

static void utf8_of_every_three_bytes(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 1u << 24; code++) {
        uint8_t bytes[] = {(uint8_t)(code >> 16), (uint8_t)(code >> 8), (uint8_t)code};
        if (checked(bytes, 3) != text_is_valid(bytes, 3))
            fail_msg("%06x", code);
    }
}

static void utf8_of_four_bytes(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 1u << 24; code++) {
        uint8_t bytes[] = {(uint8_t)(0xf0 | code >> 18 >> 2), (uint8_t)(code >> 14),
                           (uint8_t)(code >> 7), (uint8_t)(0x80 | (code & 0x7f))};
        if (checked(bytes, 4) != text_is_valid(bytes, 4))
            fail_msg("%02x%02x%02x%02x", bytes[0], bytes[1], bytes[2], bytes[3]);
    }
}

/* The same character at every distance from the blocks that are checked at once. */
static void utf8_at_every_place(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\xc2\xb5", "\xe2\x82\xac", "\xf0\x9f\xa6\x84", "\xed\xa0\x80",
        "\xf5",     "\x80",         "\xc0\x80",         "\xf4\x90\x80\x80"};
    struct guarded guarded = guarded_open();
    for (size_t i = 0; i < COUNT(texts); i++) {
        size_t n = strlen(texts[i]);
        for (size_t before = 0; before < 70; before++) {
            char bytes[80];
            memset(bytes, 'a', sizeof(bytes));
            memcpy(bytes + before, texts[i], n);
            for (size_t behind = 0; behind < 4; behind++) {
                size_t size = before + n + behind;
                uint8_t *data = (uint8_t *)guarded_at_end(&guarded, bytes, size);
                assert_int_equal(checked(data, size), i < 3);
            }
        }
    }
    guarded_close(&guarded);
}

static void utf8_fails_at_the_first_bad_byte(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t good; /* bytes until the one that cannot follow */
    } vectors[] = {
        {"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80", 6},
        {"\xed\x9f\xbf\xed\xa0", 4},
        {"\xe0\x9f\x80", 1},
        {"\xf0\x8f\xbf\xbf", 1},
        {"a\xc1", 1},
        {"\xff", 0},
        {"\xf1\x80\x80z", 3},
    };
    for (size_t i = 0; i < COUNT(vectors); i++) {
        uint8_t text = WS_UTF8_START;
        for (size_t at = 0; at < vectors[i].good; at++)
            assert_true(ws_utf8_check(&text, vectors[i].bytes + at, 1));
        assert_false(ws_utf8_check(&text, vectors[i].bytes + vectors[i].good, 1));
        assert_false(ws_utf8_check(&text, "a", 1));
        assert_false(ws_utf8_complete(text));
    }
}

static void utf8_is_cut_between_characters(void **state)
{
    (void)state;
    const char text[] = "a\xc2\xb5\xe2\x82\xac\xf0\x9f\xa6\x84";
    static const size_t cut[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
    for (size_t limit = 0; limit < COUNT(cut); limit++)
        assert_int_equal(ws_utf8_cut(text, 10, limit), cut[limit]);
}

struct header {
    const char *bytes;
    size_t size;
    uint64_t length;
    uint8_t error;
    bool deflate;
};

#define BYTES(text) .bytes = (text), .size = sizeof(text) - 1
#define KEY "\x01\x02\x03\x04"

static const struct header headers[] = {
    {BYTES("\x81\x80" KEY), .length = 0},
    {BYTES("\x82\xfd" KEY), .length = 125},
    {BYTES("\x82\xfe\x00\x7e" KEY), .length = 126},
    {BYTES("\x82\xfe\xff\xff" KEY), .length = 65535},
    {BYTES("\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00" KEY), .length = 65536},
    {BYTES("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" KEY), .length = INT64_MAX},
    {BYTES("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00" KEY), .error = WS_BAD_LENGTH},
    {BYTES("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff" KEY), .error = WS_BAD_LENGTH},
    {BYTES("\x82\xfe\x00\x7d" KEY), .error = WS_BAD_LENGTH},
    {BYTES("\x82\xfe\x00\x00" KEY), .error = WS_BAD_LENGTH},
    {BYTES("\x89\xfd" KEY), .length = 125},
    {BYTES("\x89\xfe"), .error = WS_CONTROL_TOO_LONG},
    {BYTES("\x88\xff"), .error = WS_CONTROL_TOO_LONG},
    {BYTES("\x81\x05"), .error = WS_BAD_MASK},
    {BYTES("\x09"), .error = WS_CONTROL_PARTED},
    {BYTES("\x0a"), .error = WS_CONTROL_PARTED},
    {BYTES("\x08"), .error = WS_CONTROL_PARTED},
    {BYTES("\xc1"), .error = WS_BAD_RESERVED},
    {BYTES("\xc1\x80" KEY), .deflate = true},
    {BYTES("\x42\x80" KEY), .deflate = true},
    {BYTES("\xc0"), .deflate = true, .error = WS_BAD_RESERVED},
    {BYTES("\xc9"), .deflate = true, .error = WS_BAD_RESERVED},
    {BYTES("\xa1"), .deflate = true, .error = WS_BAD_RESERVED},
    {BYTES("\x91"), .deflate = true, .error = WS_BAD_RESERVED},
    {BYTES("\xb1"), .error = WS_BAD_RESERVED},
    {BYTES("\x83"), .error = WS_BAD_OPCODE},
    {BYTES("\x87"), .error = WS_BAD_OPCODE},
    {BYTES("\x8b"), .error = WS_BAD_OPCODE},
    {BYTES("\x8f"), .error = WS_BAD_OPCODE},
};

/* The header in two calls, each with no byte to spare. */
static void read_split(const struct header *header, const struct guarded *guarded, size_t split)
{
    struct ws_frame frame;
    size_t consumed, at = 0;
    ws_frame_init(&frame);
    enum ws_frame_result result = WS_FRAME_MORE;
    for (size_t n = split; result == WS_FRAME_MORE && at < header->size; n = header->size - at) {
        char *data = guarded_at_end(guarded, header->bytes + at, n);
        result = ws_frame_read(&frame, data, n, header->deflate, &consumed);
        assert_true(result != WS_FRAME_MORE || consumed == n);
        at += consumed;
    }
    assert_int_equal(at, header->size);
    assert_int_equal(frame.error, header->error);
    if (header->error != WS_NO_ERROR)
        return;
    assert_int_equal(result, WS_FRAME_READY);
    assert_int_equal(frame.length, header->length);
    assert_int_equal(frame.opcode, header->bytes[0] & 15);
    assert_int_equal(frame.fin, (header->bytes[0] & 0x80) != 0);
    assert_int_equal(frame.compressed, (header->bytes[0] & 0x40) != 0);
    assert_memory_equal(frame.key, KEY, 4);
}

static void headers_at_each_split(void **state)
{
    (void)state;
    struct guarded guarded = guarded_open();
    for (const struct header *header = headers; header < headers + COUNT(headers); header++)
        for (size_t split = 0; split <= header->size; split++)
            read_split(header, &guarded, split);
    guarded_close(&guarded);
}

static void writes_headers(void **state)
{
    (void)state;
    static const struct {
        enum ws_opcode opcode;
        bool fin, compressed;
        uint64_t length;
        const char *bytes;
        size_t size;
    } vectors[] = {
        {WS_TEXT, true, false, 5, BYTES("\x81\x05")},
        {WS_TEXT, false, false, 3, BYTES("\x01\x03")},
        {WS_CONTINUATION, true, false, 2, BYTES("\x80\x02")},
        {WS_PONG, true, false, 125, BYTES("\x8a\x7d")},
        {WS_BINARY, true, false, 256, BYTES("\x82\x7e\x01\x00")},
        {WS_BINARY, true, true, 126, BYTES("\xc2\x7e\x00\x7e")},
        {WS_BINARY, true, false, 65535, BYTES("\x82\x7e\xff\xff")},
        {WS_BINARY, true, false, 65536, BYTES("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00")},
    };
    for (size_t i = 0; i < COUNT(vectors); i++) {
        char to[WS_HEADER_OWN_MAX];
        size_t n = ws_frame_write(to, vectors[i].opcode, vectors[i].fin, vectors[i].compressed,
                                  vectors[i].length);
        assert_int_equal(n, vectors[i].size);
        assert_memory_equal(to, vectors[i].bytes, n);
    }
}

/* IANA's registry, as of 2026: 1004 is reserved, 1005, 1006 and 1015 are not for the wire. */
static void close_codes(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        bool registered =
            code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
        bool allowed = registered || (code >= 3000 && code <= 4999);
        assert_int_equal(ws_close_allowed((uint16_t)code), allowed);
    }
}

static void close_payloads(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        enum ws_error error;
        uint16_t code;
        const char *reason;
    } vectors[] = {
        {BYTES(""), WS_NO_ERROR, WS_CLOSE_NONE, ""},
        {BYTES("\x03\xe8"), WS_NO_ERROR, 1000, ""},
        {BYTES("\x03\xe9gone \xe2\x82\xac"), WS_NO_ERROR, 1001, "gone \xe2\x82\xac"},
        {BYTES("\x0f\xa0x"), WS_NO_ERROR, 4000, "x"},
        {BYTES("\x03"), WS_BAD_CLOSE, 0, NULL},
        {BYTES("\x03\xed"), WS_BAD_CLOSE, 0, NULL},
        {BYTES("\x00\x00"), WS_BAD_CLOSE, 0, NULL},
        {BYTES("\xff\xff"), WS_BAD_CLOSE, 0, NULL},
        {BYTES("\x03\xe8\xe2\x82"), WS_BAD_TEXT, 0, NULL},
        {BYTES("\x03\xe8\xff"), WS_BAD_TEXT, 0, NULL},
    };
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct str payload = {vectors[i].bytes, vectors[i].size}, reason;
        uint16_t code;
        assert_int_equal(ws_close_read(payload, &code, &reason), vectors[i].error);
        if (vectors[i].error != WS_NO_ERROR)
            continue;
        char to[WS_CONTROL_MAX];
        assert_int_equal(code, vectors[i].code);
        assert_true(str_eq(reason, (struct str){vectors[i].reason, strlen(vectors[i].reason)}));
        assert_int_equal(ws_close_write(to, code, reason), payload.n);
        assert_memory_equal(to, payload.p, payload.n);
    }
}

static void long_reasons_are_cut(void **state)
{
    (void)state;
    char reason[200], to[WS_CONTROL_MAX];
    memset(reason, 'r', sizeof(reason));
    assert_int_equal(ws_close_write(to, 1000, (struct str){reason, sizeof(reason)}),
                     WS_CONTROL_MAX);
    memcpy(reason + 121, "\xe2\x82\xac", 3);
    assert_int_equal(ws_close_write(to, 1000, (struct str){reason, sizeof(reason)}), 123);
}

static void errors_have_a_code_and_words(void **state)
{
    (void)state;
    for (int error = WS_NO_ERROR + 1; error < WS_ERROR_COUNT; error++) {
        size_t n = strlen(ws_error_text((enum ws_error)error));
        assert_true(n > 0 && n <= WS_REASON_MAX);
        assert_true(ws_close_allowed(ws_error_code((enum ws_error)error)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_every_size_and_alignment),
        cmocka_unit_test(utf8_of_every_three_bytes),
        cmocka_unit_test(utf8_of_four_bytes),
        cmocka_unit_test(utf8_at_every_place),
        cmocka_unit_test(utf8_fails_at_the_first_bad_byte),
        cmocka_unit_test(utf8_is_cut_between_characters),
        cmocka_unit_test(headers_at_each_split),
        cmocka_unit_test(writes_headers),
        cmocka_unit_test(close_codes),
        cmocka_unit_test(close_payloads),
        cmocka_unit_test(long_reasons_are_cut),
        cmocka_unit_test(errors_have_a_code_and_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
