#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guarded.h"
#include "proto/crc32c.h"
#include "proto/proxy.h"

/*
 * A header and what is to be made of it, in one line of text:
 *   PROTOCOL SIZE CLIENT PORT SERVER PORT
 * or the words of a refusal, "partial" or "absent".
 */
struct vector {
    const char *data;
    size_t size;
    const char *expected;
};

#define BOTH (PROXY_V1 | PROXY_V2)
#define BYTES(text) .data = (text), .size = sizeof(text) - 1
#define LINE "Invalid PROXY line: "
#define HEADER "Invalid PROXY header: "
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static const char *end_text(const struct proxy *proxy, const struct proxy_end *end, char *out)
{
    if (proxy->family == PROXY_UNIX)
        snprintf(out, INET6_ADDRSTRLEN, "%.*s", (int)end->path.n, end->path.p);
    else if (proxy->family == PROXY_NOBODY)
        snprintf(out, INET6_ADDRSTRLEN, "-");
    else
        assert_non_null(inet_ntop(proxy->family == PROXY_INET ? AF_INET : AF_INET6, end->address,
                                  out, INET6_ADDRSTRLEN));
    return out;
}

static void summarize(enum proxy_result result, const struct proxy *proxy, char *out, size_t size)
{
    char client[INET6_ADDRSTRLEN], server[INET6_ADDRSTRLEN];
    if (result == PROXY_OK)
        snprintf(out, size, "%s %zu %s %u %s %u", proxy->protocol, proxy->size,
                 end_text(proxy, &proxy->client, client), proxy->client.port,
                 end_text(proxy, &proxy->server, server), proxy->server.port);
    else if (result == PROXY_ERROR)
        snprintf(out, size, "%s", proxy_error_text(proxy));
    else
        snprintf(out, size, "%s", result == PROXY_PARTIAL ? "partial" : "absent");
}

/* Whole, and byte by byte with a guard behind each: no prefix of a good header is refused. */
static void check(const struct vector *vector, unsigned versions, const struct guarded *guarded)
{
    struct proxy proxy;
    char text[256];
    enum proxy_result result = PROXY_PARTIAL;
    enum proxy_result whole = proxy_parse(
        &proxy, guarded_at_end(guarded, vector->data, vector->size), vector->size, versions);
    summarize(whole, &proxy, text, sizeof text);
    assert_string_equal(text, vector->expected);
    for (size_t n = 0; n <= vector->size && result == PROXY_PARTIAL; n++) {
        result = proxy_parse(&proxy, guarded_at_end(guarded, vector->data, n), n, versions);
        assert_true(result != PROXY_OK || n == proxy.size);
    }
    assert_int_equal(result, whole);
}

static void run(const struct vector *vectors, size_t count, unsigned versions)
{
    struct guarded guarded = guarded_open();
    for (size_t i = 0; i < count; i++)
        check(&vectors[i], versions, &guarded);
    guarded_close(&guarded);
}

#define RUN(vectors, versions) run(vectors, sizeof(vectors) / sizeof(vectors)[0], versions)

static void lines(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET"),
         "TCP4 42 192.0.2.1 56324 192.0.2.2 443"},
        {BYTES("PROXY TCP4 255.255.255.255 0.0.0.0 0 65535\r\n"),
         "TCP4 44 255.255.255.255 0 0.0.0.0 65535"},
        {BYTES("PROXY TCP6 2001:DB8:0:0:1:0:0:1 ::1 1 2\r\n"), "TCP6 41 2001:db8::1:0:0:1 1 ::1 2"},
        {BYTES("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1:0 1 2\r\n"),
         "TCP6 47 ::ffff:192.0.2.1 1 2001:db8::1:0 2"},
        {BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
               "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
         "TCP6 104 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535"},
        {BYTES("PROXY UNKNOWN\r\n"), "UNKNOWN 15 - 0 - 0"},
        {BYTES("PROXY UNKNOWN \0 anything, ::1 \xff\r\n"), "UNKNOWN 33 - 0 - 0"},
        {BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
               "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
         "UNKNOWN 107 - 0 - 0"},
    };
    RUN(vectors, BOTH);
    RUN(vectors, PROXY_V1);
}

static void lines_that_are_malformed(void **state)
{
    (void)state;
#define FIELDS LINE "two addresses and two ports, one space apart, are expected"
#define ADDRESS LINE "an address does not have the form of its family"
#define PORT LINE "a port is no decimal number from 0 to 65535"
    static const struct vector vectors[] = {
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"), FIELDS},
        {BYTES("PROXY TCP4\r\n"), FIELDS},
        {BYTES("PROXY TCP4 \r\n"), FIELDS},
        {BYTES("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"), FIELDS},
        {BYTES("PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n"), FIELDS},
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"), FIELDS},
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"), FIELDS},
        {BYTES("PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n"), ADDRESS},
        {BYTES("PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n"), ADDRESS},
        {BYTES("PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n"), ADDRESS},
        {BYTES("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"), ADDRESS},
        {BYTES("PROXY TCP4 192.0.2.1 ::1 1 2\r\n"), ADDRESS},
        {BYTES("PROXY TCP6 192.0.2.1 ::1 1 2\r\n"), ADDRESS},
        {BYTES("PROXY TCP6 fe80::1%lo ::1 1 2\r\n"), ADDRESS},
        {BYTES("PROXY TCP6 1::2::3 ::1 1 2\r\n"), ADDRESS},
        {BYTES("PROXY TCP6 00000000000000000000000000000000000000000000000000::1 ::1 1 2\r\n"),
         ADDRESS},
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n"), PORT},
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 1_0\r\n"), PORT},
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"), PORT},
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n"), PORT},
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 100000\r\n"), PORT},
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 \t2\r\n"), PORT},
        {BYTES("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"),
         LINE "the protocol is none of TCP4, TCP6 and UNKNOWN"},
        {BYTES("PROXY UNKNOWN2\r\n"), LINE "the protocol is none of TCP4, TCP6 and UNKNOWN"},
        {BYTES("PROXY \r\n"), LINE "the protocol is none of TCP4, TCP6 and UNKNOWN"},
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"), LINE "the line does not end with CRLF"},
        {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rG"), LINE "the line does not end with CRLF"},
        {BYTES("PROXY UNKNOWN fffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
               "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
         LINE "no CRLF within 107 bytes"},
    };
    RUN(vectors, BOTH);
}

static void no_headers(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {BYTES("GET / HTTP/1.1\r\n\r\n"), "absent"},
        {BYTES("P"), "partial"},
        {BYTES("PROXY"), "partial"},
        {BYTES("PROXY/"), "absent"},
        {BYTES("proxy "), "absent"},
        {BYTES("\r\nGET"), "absent"},
        {BYTES("\r\n\r\n\0\r\nQUIT"), "partial"},
        {BYTES("\r\n\r\n\0\r\nQUIT\r"), "absent"},
        {BYTES("\x16\x03\x01"), "absent"},
        {BYTES(""), "partial"},
    };
    static const struct vector other_version[] = {
        {BYTES("PROXY UNKNOWN\r\n"), "absent"},
        {BYTES("P"), "absent"},
        {BYTES(SIGNATURE "\x20\0\0\0"), "LOCAL 16 - 0 - 0"},
    };
    static const struct vector first_version[] = {
        {BYTES(SIGNATURE "\x20\0\0\0"), "absent"},
        {BYTES("\r"), "absent"},
    };
    RUN(vectors, BOTH);
    RUN(other_version, PROXY_V2);
    RUN(first_version, PROXY_V1);
}

#define INET4 "\xc0\0\2\1\xc0\0\2\2\x01\0\x01\xbb"
#define INET6                                                                                      \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"                                                     \
    "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1\0\1\0\2"
#define ZEROS10 "\0\0\0\0\0\0\0\0\0\0"
#define ZEROS100 ZEROS10 ZEROS10 ZEROS10 ZEROS10 ZEROS10 ZEROS10 ZEROS10 ZEROS10 ZEROS10 ZEROS10
#define NO_TLV HEADER "malformed TLV"

static void binary_headers(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {BYTES(SIGNATURE "\x21\x11\0\x0c" INET4 "GET"), "TCP4 28 192.0.2.1 256 192.0.2.2 443"},
        {BYTES(SIGNATURE "\x21\x12\0\x0c" INET4), "UDP4 28 192.0.2.1 256 192.0.2.2 443"},
        {BYTES(SIGNATURE "\x21\x21\0\x24" INET6), "TCP6 52 2001:db8::1 1 ::ffff:192.0.2.1 2"},
        {BYTES(SIGNATURE "\x21\x22\0\x24" INET6), "UDP6 52 2001:db8::1 1 ::ffff:192.0.2.1 2"},
        {BYTES(SIGNATURE "\x21\x31\0\xd8"
                         "/run/cli" ZEROS100 "/run/srv" ZEROS100),
         "UNIX 232 /run/cli 0 /run/srv 0"},
        {BYTES(SIGNATURE "\x21\x31\0\xd8"
                         "/run/cl\n" ZEROS100 "/run/srv" ZEROS100),
         HEADER "control character in the path of a Unix socket"},
        {BYTES(SIGNATURE "\x20\0\0\0GET"), "LOCAL 16 - 0 - 0"},
        {BYTES(SIGNATURE "\x20\x11\0\x0c" INET4), "LOCAL 28 - 0 - 0"},
        {BYTES(SIGNATURE "\x20\xff\0\3\xff\xff\xff"), "LOCAL 19 - 0 - 0"},
        {BYTES(SIGNATURE "\x21\0\0\0"), "UNSPEC 16 - 0 - 0"},
        {BYTES(SIGNATURE "\x21\x10\0\1x"), "UNSPEC 17 - 0 - 0"},
        {BYTES(SIGNATURE "\x21\x01\0\1x"), "UNSPEC 17 - 0 - 0"},
        {BYTES(SIGNATURE "\x21\x11\0\x12" INET4 "\x04\0\3\0\0\0"),
         "TCP4 34 192.0.2.1 256 192.0.2.2 443"},
        {BYTES(SIGNATURE "\x10"), HEADER "the version is not 2"},
        {BYTES(SIGNATURE "\x22"), HEADER "the command is neither LOCAL nor PROXY"},
        {BYTES(SIGNATURE "\x21\x41"), HEADER "unknown address family"},
        {BYTES(SIGNATURE "\x21\x13"), HEADER "unknown transport protocol"},
        {BYTES(SIGNATURE "\x21\x11\0\x0b" INET4),
         HEADER "shorter than the addresses of its family"},
        {BYTES(SIGNATURE "\x21\x21\0\x0c" INET4),
         HEADER "shorter than the addresses of its family"},
        {BYTES(SIGNATURE "\x21\x11\x3f\xf1"), HEADER "longer than 16384 bytes"},
        {BYTES(SIGNATURE "\x21\x11\x3f\xf0"), "partial"},
        {BYTES(SIGNATURE "\x21\x11\0\x0d" INET4 "\4"), NO_TLV},
        {BYTES(SIGNATURE "\x21\x11\0\x0f" INET4 "\4\0\1"), NO_TLV},
        {BYTES(SIGNATURE "\x21\x11\0\x10" INET4 "\2\0\1\n"), NO_TLV},
        {BYTES(SIGNATURE "\x21\x11\0\x12" INET4 "\3\0\3abc"), NO_TLV},
        {BYTES(SIGNATURE "\x21\x11\0\x13" INET4 "\x20\0\4\1\0\0\0"), NO_TLV},
        {BYTES(SIGNATURE "\x21\x11\0\x17" INET4 "\x20\0\x08\1\0\0\0\0\x21\0\1"), NO_TLV},
        {BYTES(SIGNATURE "\x21\x11\0\x14" INET4 "\2\0\1a\2\0\1a"),
         HEADER "a TLV that must be unique occurs twice"},
        {BYTES(SIGNATURE "\x21\x11\0\x13" INET4 "\3\0\4\0\0\0\0"), HEADER "wrong CRC32c"},
    };
    RUN(vectors, BOTH);
    RUN(vectors, PROXY_V2);
}

static void assert_slice(struct str slice, const char *expected)
{
    assert_int_equal(slice.n, strlen(expected));
    assert_memory_equal(slice.p, expected, slice.n);
}

static void values_of_tlvs(void **state)
{
    (void)state;
    static const char data[] = SIGNATURE "\x21\x11\0\x46" INET4 "\2\0\x0b"
                                         "example.com"
                                         "\5\0\3\0\1\2"
                                         "\x20\0\x23\3\0\0\0\0"
                                         "\x21\0\7TLSv1.3"
                                         "\x22\0\4anna"
                                         "\x23\0\6cipher"
                                         "\x25\0\1x";
    struct proxy proxy;
    assert_int_equal(sizeof data - 1, 16 + 0x46);
    assert_int_equal(proxy_parse(&proxy, data, sizeof data - 1, BOTH), PROXY_OK);
    assert_slice(proxy.authority, "example.com");
    assert_int_equal(proxy.unique_id.n, 3);
    assert_memory_equal(proxy.unique_id.p, "\0\1\2", 3);
    assert_true(proxy.tls.there && proxy.tls.certificate && proxy.tls.verified);
    assert_slice(proxy.tls.version, "TLSv1.3");
    assert_slice(proxy.tls.common_name, "anna");
    assert_slice(proxy.tls.cipher, "cipher");
}

static void a_certificate_that_was_not_verified(void **state)
{
    (void)state;
    static const char without[] = SIGNATURE "\x21\x11\0\x14" INET4 "\x20\0\5\1\0\0\0\0";
    static const char invalid[] = SIGNATURE "\x21\x11\0\x14" INET4 "\x20\0\5\5\0\0\0\x0a";
    static const char plain[] = SIGNATURE "\x21\x11\0\x14" INET4 "\x20\0\5\0\0\0\0\1";
    struct proxy proxy;
    assert_int_equal(proxy_parse(&proxy, without, sizeof without - 1, BOTH), PROXY_OK);
    assert_true(proxy.tls.there && !proxy.tls.certificate && !proxy.tls.verified);
    assert_int_equal(proxy_parse(&proxy, invalid, sizeof invalid - 1, BOTH), PROXY_OK);
    assert_true(proxy.tls.there && proxy.tls.certificate && !proxy.tls.verified);
    assert_int_equal(proxy_parse(&proxy, plain, sizeof plain - 1, BOTH), PROXY_OK);
    assert_false(proxy.tls.there);
}

static void checksums(void **state)
{
    (void)state;
    uint32_t crc = crc32c_add(crc32c_add(CRC32C_START, "1234", 4), "56789", 5);
    assert_int_equal(crc32c_end(crc), 0xe3069283);

    char data[] = SIGNATURE "\x21\x11\0\x17" INET4 "\3\0\4\0\0\0\0\2\0\1a";
    size_t size = sizeof data - 1;
    uint32_t sum = htonl(crc32c_end(crc32c_add(CRC32C_START, data, size)));
    struct proxy proxy;
    memcpy(data + 31, &sum, sizeof sum);
    assert_int_equal(proxy_parse(&proxy, data, size, BOTH), PROXY_OK);
    for (size_t i = 16; i < size; i++) {
        data[i] ^= 1;
        assert_int_equal(proxy_parse(&proxy, data, size, BOTH), PROXY_ERROR);
        data[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),          cmocka_unit_test(lines_that_are_malformed),
        cmocka_unit_test(no_headers),     cmocka_unit_test(binary_headers),
        cmocka_unit_test(values_of_tlvs), cmocka_unit_test(a_certificate_that_was_not_verified),
        cmocka_unit_test(checksums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
