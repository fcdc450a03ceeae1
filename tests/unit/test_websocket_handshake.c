#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/http1/parse.h"
#include "proto/websocket/handshake.h"
#include "proto/websocket/sha1.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void hex(const uint8_t *digest, char *text)
{
    for (int i = 0; i < SHA1_SIZE; i++)
        sprintf(text + 2 * i, "%02x", digest[i]);
}

/* FIPS 180-2's examples, and the sizes where a block more is needed. */
static void digests(void **state)
{
    (void)state;
    static const struct {
        char byte;
        size_t size;
        const char *digest;
    } vectors[] = {
        {'a', 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {'a', 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a"},
        {'a', 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699"},
        {'a', 63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5"},
        {'a', 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d"},
        {'a', 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"},
    };
    uint8_t digest[SHA1_SIZE];
    char text[2 * SHA1_SIZE + 1];
    sha1(STR("abc"), digest);
    hex(digest, text);
    assert_string_equal(text, "a9993e364706816aba3e25717850c26c9cd0d89d");
    for (size_t i = 0; i < COUNT(vectors); i++) {
        char *bytes = malloc(vectors[i].size + 1);
        memset(bytes, vectors[i].byte, vectors[i].size + 1);
        sha1((struct str){bytes, vectors[i].size}, digest);
        hex(digest, text);
        assert_string_equal(text, vectors[i].digest);
        free(bytes);
    }
}

/* RFC 6455 §1.3. */
static void the_accept_value(void **state)
{
    (void)state;
    char accept[WS_ACCEPT_SIZE + 1] = {0};
    ws_handshake_accept(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#define START "GET /chat HTTP/1.1\r\nHost: example.com\r\n"
#define ASKS "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define END "\r\n"

struct opened {
    char *data;
    struct head head;
    struct ws_handshake handshake;
    enum ws_handshake_result result;
};

static struct opened open_with(const char *text)
{
    struct opened opened = {.data = strdup(text)};
    struct http1_limits none = {0};
    head_init(&opened.head);
    struct http1_parser parser = {0};
    assert_int_equal(http1_parse(&parser, &opened.head, opened.data, strlen(text), &none),
                     HTTP1_OK);
    opened.result = ws_handshake_read(&opened.head, opened.data, &opened.handshake);
    return opened;
}

static void opened_free(struct opened *opened)
{
    head_free(&opened->head);
    free(opened->data);
}

static void handshakes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum ws_handshake_result result;
    } vectors[] = {
        {START ASKS KEY VERSION END, WS_HANDSHAKE_OK},
        {START "Upgrade: WebSocket\r\nConnection: keep-alive, UPGRADE\r\n" KEY VERSION END,
         WS_HANDSHAKE_OK},
        {START "Upgrade: h2c\r\nUpgrade: foo/1, websocket\r\nConnection: close\r\n"
               "Connection: upgrade\r\n" KEY VERSION END,
         WS_HANDSHAKE_OK},
        {START ASKS KEY VERSION "Content-Length: 0\r\n" END, WS_HANDSHAKE_OK},
        {START KEY VERSION END, WS_HANDSHAKE_NONE},
        {START "Upgrade: websocket\r\n" KEY VERSION END, WS_HANDSHAKE_UPGRADE},
        {START "Upgrade: websocket\r\n" END, WS_HANDSHAKE_NONE},
        {START "Connection: upgrade\r\n" KEY VERSION END, WS_HANDSHAKE_NONE},
        {START "Upgrade: websockets\r\nConnection: upgrade\r\n" KEY VERSION END, WS_HANDSHAKE_NONE},
        {START "Upgrade: websocket/13\r\nConnection: upgrade\r\n" KEY VERSION END,
         WS_HANDSHAKE_NONE},
        {START "Upgrade: websocket\r\nConnection: upgraded\r\n" KEY VERSION END,
         WS_HANDSHAKE_UPGRADE},
        {"GET /chat HTTP/1.0\r\nHost: a\r\n" ASKS KEY VERSION END, WS_HANDSHAKE_NONE},
        {"POST /chat HTTP/1.1\r\nHost: a\r\n" ASKS KEY VERSION END, WS_HANDSHAKE_NONE},
        {"HEAD /chat HTTP/1.1\r\nHost: a\r\n" ASKS KEY VERSION END, WS_HANDSHAKE_NONE},
        {START ASKS KEY END, WS_HANDSHAKE_UPGRADE},
        {START ASKS KEY "Sec-WebSocket-Version: 8\r\n" END, WS_HANDSHAKE_UPGRADE},
        {START ASKS KEY "Sec-WebSocket-Version: 013\r\n" END, WS_HANDSHAKE_UPGRADE},
        {START ASKS KEY VERSION VERSION END, WS_HANDSHAKE_UPGRADE},
        {START ASKS KEY "Sec-WebSocket-Version: 13, 8\r\n" END, WS_HANDSHAKE_UPGRADE},
        {START ASKS "Sec-WebSocket-Version: 8\r\n" END, WS_HANDSHAKE_UPGRADE},
        {START ASKS VERSION END, WS_HANDSHAKE_BAD},
        {START ASKS KEY KEY VERSION END, WS_HANDSHAKE_BAD},
        {START ASKS VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n" END, WS_HANDSHAKE_BAD},
        {START ASKS VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ===\r\n" END,
         WS_HANDSHAKE_BAD},
        {START ASKS VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=\r\n" END,
         WS_HANDSHAKE_BAD},
        {START ASKS VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZS*ub25jZQ==\r\n" END,
         WS_HANDSHAKE_BAD},
        {START ASKS VERSION "Sec-WebSocket-Key:\r\n" END, WS_HANDSHAKE_BAD},
        {START ASKS KEY VERSION "Content-Length: 5\r\n" END "hello", WS_HANDSHAKE_BAD},
        {START ASKS KEY VERSION "Transfer-Encoding: chunked\r\n" END, WS_HANDSHAKE_BAD},
        {START ASKS KEY VERSION "Sec-WebSocket-Protocol: a b\r\n" END, WS_HANDSHAKE_BAD},
        {START ASKS KEY VERSION "Sec-WebSocket-Protocol:\r\n" END, WS_HANDSHAKE_BAD},
        {START ASKS KEY VERSION "Sec-WebSocket-Protocol: a, b/c\r\n" END, WS_HANDSHAKE_BAD},
        {START ASKS KEY VERSION "Sec-WebSocket-Extensions: permessage-deflate;\r\n" END,
         WS_HANDSHAKE_BAD},
    };
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct opened opened = open_with(vectors[i].text);
        if (opened.result != vectors[i].result)
            fail_msg("%s\n  %d, not %d", vectors[i].text, opened.result, vectors[i].result);
        assert_int_equal(opened.handshake.problem != NULL,
                         opened.result == WS_HANDSHAKE_BAD ||
                             opened.result == WS_HANDSHAKE_UPGRADE);
        if (opened.result == WS_HANDSHAKE_OK)
            assert_true(str_eq(opened.handshake.key, STR("dGhlIHNhbXBsZSBub25jZQ==")));
        opened_free(&opened);
    }
}

static void subprotocols_in_order(void **state)
{
    (void)state;
    static const char *const names[] = {"chat", "superchat", "v2.json"};
    struct opened opened =
        open_with(START ASKS KEY VERSION "Sec-WebSocket-Protocol: chat, , superchat\r\n"
                                         "Sec-WebSocket-Protocol:v2.json\r\n" END);
    struct ws_subprotocols walk = {0};
    struct str name;
    assert_int_equal(opened.result, WS_HANDSHAKE_OK);
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_true(ws_subprotocols_next(&opened.head, opened.data, &walk, &name));
        assert_true(str_eq(name, (struct str){names[i], strlen(names[i])}));
    }
    assert_false(ws_subprotocols_next(&opened.head, opened.data, &walk, &name));
    opened_free(&opened);
}

#define DEFLATE "permessage-deflate"

/* NULL: no offer is acceptable; "": the field is malformed. */
static void offers(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *answer;
    } vectors[] = {
        {DEFLATE, DEFLATE},
        {DEFLATE "; client_max_window_bits", DEFLATE "; client_max_window_bits=12"},
        {DEFLATE ";client_max_window_bits=15", DEFLATE "; client_max_window_bits=12"},
        {DEFLATE ";client_max_window_bits=10", DEFLATE "; client_max_window_bits=10"},
        {DEFLATE ";client_max_window_bits=\"8\"", DEFLATE "; client_max_window_bits=8"},
        {DEFLATE " ; server_max_window_bits = 9", DEFLATE "; server_max_window_bits=9"},
        {DEFLATE "; server_max_window_bits=15", DEFLATE "; server_max_window_bits=12"},
        {DEFLATE "; server_max_window_bits=\"1\\0\"", DEFLATE "; server_max_window_bits=10"},
        {DEFLATE "; server_no_context_takeover", DEFLATE "; server_no_context_takeover"},
        {DEFLATE "; client_no_context_takeover;server_max_window_bits=8;client_max_window_bits;"
                 "server_no_context_takeover",
         DEFLATE "; server_no_context_takeover; client_no_context_takeover; "
                 "server_max_window_bits=8; client_max_window_bits=12"},
        {DEFLATE "; client_no_context_takeover; client_max_window_bits=12; "
                 "server_no_context_takeover; server_max_window_bits=15",
         DEFLATE "; server_no_context_takeover; client_no_context_takeover; "
                 "server_max_window_bits=12; client_max_window_bits=12"},
        {"x-webkit-deflate-frame, " DEFLATE, DEFLATE},
        {"foo; bar=\"baz\"; x,, ," DEFLATE ",", DEFLATE},
        {DEFLATE "; unknown, " DEFLATE "; server_no_context_takeover, " DEFLATE,
         DEFLATE "; server_no_context_takeover"},
        {DEFLATE "; server_max_window_bits=7, " DEFLATE, DEFLATE},
        {DEFLATE "; unknown", NULL},
        {DEFLATE "; unknown=1", NULL},
        {DEFLATE "; server_max_window_bits", NULL},
        {DEFLATE "; server_max_window_bits=16", NULL},
        {DEFLATE "; server_max_window_bits=08", NULL},
        {DEFLATE "; server_max_window_bits=100", NULL},
        {DEFLATE "; server_max_window_bits=+9", NULL},
        {DEFLATE "; client_max_window_bits=7", NULL},
        {DEFLATE "; client_max_window_bits=x", NULL},
        {DEFLATE "; client_max_window_bits=1:", ""},
        {DEFLATE "; server_no_context_takeover=1", NULL},
        {DEFLATE "; client_no_context_takeover=true", NULL},
        {DEFLATE "; client_no_context_takeover; client_no_context_takeover", NULL},
        {DEFLATE "; client_max_window_bits; client_max_window_bits=10", NULL},
        {DEFLATE "; server_max_window_bits=9; server_max_window_bits=9", NULL},
        {"permessage-deflat", NULL},
        {"permessage-deflated", NULL},
        {"bbf-usp-protocol", NULL},
        {"", ""},
        {" , ", ""},
        {DEFLATE ";", ""},
        {DEFLATE " x", ""},
        {DEFLATE "; a=", ""},
        {DEFLATE "; a=\"", ""},
        {DEFLATE "; a=\"\"", ""},
        {DEFLATE "; a=\"b", ""},
        {DEFLATE "; a=\"b\\\"", ""},
        {DEFLATE "; a=\"b c\"", ""},
        {DEFLATE "; a=\"b\"c", ""},
        {DEFLATE "; =b", ""},
        {"; a", ""},
    };
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct ws_deflate_terms terms = {0};
        struct str value = {vectors[i].offer, strlen(vectors[i].offer)};
        bool valid = ws_extension_offer(value, &terms);
        bool malformed = vectors[i].answer != NULL && vectors[i].answer[0] == '\0';
        if (valid == malformed || (valid && terms.agreed != (vectors[i].answer != NULL)))
            fail_msg("%s: valid %d, agreed %d", vectors[i].offer, valid, terms.agreed);
        if (!valid || !terms.agreed)
            continue;
        char answer[WS_EXTENSION_MAX];
        assert_int_equal(ws_extension_answer(&terms, answer), strlen(vectors[i].answer));
        assert_string_equal(answer, vectors[i].answer);
    }
}

static void the_first_acceptable_field_counts(void **state)
{
    (void)state;
    struct opened opened = open_with(
        START ASKS KEY VERSION "Sec-WebSocket-Extensions: foo, " DEFLATE "; bar\r\n"
                               "Sec-WebSocket-Extensions: " DEFLATE "; server_max_window_bits=9\r\n"
                               "Sec-WebSocket-Extensions: " DEFLATE "\r\n" END);
    assert_int_equal(opened.result, WS_HANDSHAKE_OK);
    assert_true(opened.handshake.deflate.agreed);
    assert_int_equal(opened.handshake.deflate.server_window, 9);
    assert_int_equal(opened.handshake.deflate.client_window, 15);
    opened_free(&opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests),    cmocka_unit_test(the_accept_value),
        cmocka_unit_test(handshakes), cmocka_unit_test(subprotocols_in_order),
        cmocka_unit_test(offers),     cmocka_unit_test(the_first_acceptable_field_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
