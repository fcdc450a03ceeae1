#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http2_client.h"
#include "proto/http1/parse.h"
#include "proto/http2/session.h"
#include "proto/http2/upgrade.h"
#include "serve/conn/http2.h"
#include "serve/conn/websocket.h"
#include "served.h"

/* The upgrade from HTTP/1.1, and WebSockets on streams: heads, and what memory refuses. */

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define START "GET /a HTTP/1.1\r\nHost: h\r\n"
#define ASKS "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
#define SETTINGS(value) "HTTP2-Settings: " value "\r\n"
#define END "\r\n"
#define TWO "AAMAAABkAAQAAP__" /* streams 100, window 65535 */
#define ELEVEN TWO TWO TWO TWO TWO "AAMAAABk"
#define THIRTY_THREE ELEVEN ELEVEN ELEVEN

struct read {
    char *data;
    struct head head;
    struct http2_upgrade upgrade;
    enum http2_asked asked;
};

static struct read read_head(const char *text)
{
    struct read read = {.data = strdup(text)};
    struct http1_limits none = {0};
    struct http1_parser parser = {0};
    head_init(&read.head);
    assert_int_equal(http1_parse(&parser, &read.head, read.data, strlen(text), &none), HTTP1_OK);
    read.asked = http2_upgrade_read(&read.head, read.data, &read.upgrade);
    return read;
}

static void read_free(struct read *read)
{
    head_free(&read->head);
    free(read->data);
}

static void what_is_asked(void **state)
{
    static const struct {
        const char *text;
        enum http2_asked asked;
    } vectors[] = {
        {START ASKS SETTINGS(TWO) END, HTTP2_ASKED},
        {START ASKS SETTINGS("") END, HTTP2_ASKED},
        {START ASKS SETTINGS("AAMAAABk") END, HTTP2_ASKED},
        {START "Connection: upgrade\r\nConnection: http2-settings\r\nUpgrade: x, H2C\r\n" SETTINGS(
             "AAQAAP__") END,
         HTTP2_ASKED},
        /* It is not asked for. */
        {START END, HTTP2_NOT_ASKED},
        {START SETTINGS(TWO) END, HTTP2_NOT_ASKED},
        {START "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2\r\n" SETTINGS(TWO) END,
         HTTP2_NOT_ASKED},
        {START "Connection: HTTP2-Settings\r\nUpgrade: h2c\r\n" SETTINGS(TWO) END, HTTP2_NOT_ASKED},
        {"GET /a HTTP/1.0\r\n" ASKS SETTINGS(TWO) END, HTTP2_NOT_ASKED},
        /* It is asked for wrongly. */
        {START ASKS END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS(TWO) SETTINGS(TWO) END, HTTP2_ASKED_WRONGLY},
        {START "Connection: Upgrade\r\nUpgrade: h2c\r\n" SETTINGS(TWO) END, HTTP2_ASKED_WRONGLY},
        /* No base64url, and no whole number of settings. */
        {START ASKS SETTINGS("AAQAAP//") END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS("AAQA AP__") END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS("AAQAAP_") END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS("AAQAAP__A") END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS("AAQAAP__===") END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS("=") END, HTTP2_ASKED},
        /* More than 32. */
        {START ASKS SETTINGS(THIRTY_THREE) END, HTTP2_ASKED_WRONGLY},
        /* Values: push 2, window 2^31, frames of 2^14 - 1 and 2^24, extended CONNECT 2, priorities
         * 2. */
        {START ASKS SETTINGS("AAIAAAAB") END, HTTP2_ASKED},
        {START ASKS SETTINGS("AAIAAAAC") END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS("AASAAAAA") END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS("AAUAAD__") END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS("AAUBAAAA") END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS("AAgAAAAB") END, HTTP2_ASKED},
        {START ASKS SETTINGS("AAgAAAAC") END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS("AAkAAAAC") END, HTTP2_ASKED_WRONGLY},
        {START ASKS SETTINGS("AAkAAAAB") END, HTTP2_ASKED},
        {START ASKS SETTINGS("AP8AAAAC") END, HTTP2_ASKED},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct read read = read_head(vectors[i].text);
        if (read.asked != vectors[i].asked)
            fail_msg("%s", vectors[i].text);
        assert_int_equal(read.upgrade.problem != NULL, read.asked == HTTP2_ASKED_WRONGLY);
        read_free(&read);
    }
}

static void the_settings(void **state)
{
    static const uint8_t settings[] = {0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 0xff, 0xff};
    (void)state;
    struct read read = read_head(START ASKS SETTINGS(TWO) END);
    assert_int_equal(read.upgrade.size, sizeof(settings));
    assert_memory_equal(read.upgrade.settings, settings, sizeof(settings));
    read_free(&read);
}

static void what_the_application_does_not_see(void **state)
{
    (void)state;
    struct read read = read_head(START ASKS SETTINGS(TWO) "X-Other: 1\r\n" END);
    http2_upgrade_apply(&read.head, read.data);
    assert_int_equal(read.head.major, 2);
    assert_int_equal(read.head.minor, 0);
    for (uint32_t i = 0; i < read.head.field_count; i++) {
        const struct head_field *field = &read.head.fields[i];
        struct str name = head_slice(read.data, field->name, field->name_len);
        bool stays = str_ieq(name, STR("host")) || str_ieq(name, STR("x-other"));
        assert_int_equal(field->id != FIELD_DROPPED, stays);
    }
    read_free(&read);
}

/* A client that upgrades, and talks on */

static struct h2_client client;

static void talk(void)
{
    for (int quiet = 0; quiet < 3;) {
        struct str bytes = h2_bytes(&client);
        if (send(served.client, bytes.p, bytes.n, MSG_NOSIGNAL) < 0)
            bytes.n = 0;
        bool ran = served_turn();
        served.output_size = 0;
        served_read();
        h2_receive(&client, served.output, served.output_size);
        quiet = ran || bytes.n > 0 || served.output_size > 0 ? 0 : quiet + 1;
    }
}

/* What follows the 101 is given to the client of HTTP/2. */
static bool is_switched(void)
{
    const char *end = strstr(served.output, END END);
    if (!end || strncmp(served.output, "HTTP/1.1 101 ", 13) != 0)
        return false;
    size_t at = (size_t)(end - served.output) + 4;
    h2_receive(&client, served.output + at, served.output_size - at);
    return true;
}

static struct engine_options upgrading(void)
{
    struct engine_options options = served_options();
    options.protocol = &cleartext_protocol;
    options.http2_upgrade = true;
    return options;
}

static bool upgrade(const char *request)
{
    static const uint8_t settings[] = {0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 0xff, 0xff};
    size_t n = strlen(request);
    h2_open(&client);
    nghttp2_session_upgrade2(client.ng, settings, sizeof(settings), 0, NULL);
    struct conn *conn = served_connect(false);
    if (!conn)
        return false;
    /* The client's preface may come behind the request, at once. */
    struct str bytes = h2_bytes(&client);
    bool sent = send(served.client, request, n, MSG_NOSIGNAL) == (ssize_t)n &&
                send(served.client, bytes.p, bytes.n, MSG_NOSIGNAL) == (ssize_t)bytes.n;
    served_answer();
    return sent && is_switched();
}

static void answer_path(struct request *request)
{
    char part[4096];
    size_t size = 0;
    for (ssize_t n; (n = body_read(request, part, sizeof(part))) > 0;)
        size += (size_t)n;
    struct str target = request_target(request);
    served_put(request, target.p, target.n, NULL, &(bool){false});
}

#define POSTS                                                                                      \
    "POST /post HTTP/1.1\r\nHost: h\r\n" ASKS SETTINGS(TWO) "Content-Length: 3\r\n" END "abc"

static void the_request_is_stream_1(void **state)
{
    struct engine_options options = upgrading();
    (void)state;
    served_open(&options, answer_path);
    assert_true(upgrade(POSTS));
    h2_get(&client, "/next");
    talk();
    const char *lines = h2_lines(&client);
    assert_non_null(strstr(lines, "1 closed 0 with 5: /post"));
    assert_non_null(strstr(lines, "3 closed 0 with 5: /next"));
    h2_close(&client);
    served_close();
}

static void no_memory_for_an_upgrade(void **state)
{
    static void (*const ways[])(long count) = {mem_fail_once, mem_fail_after};
    struct engine_options options = upgrading();
    (void)state;
    for (size_t way = 0; way < COUNT(ways); way++) {
        for (long count = 0, failed = 1; failed; count++) {
            served_open(&options, answer_path);
            ways[way](count);
            if (upgrade(POSTS)) {
                h2_get(&client, "/next");
                talk();
            }
            failed = mem_failed();
            mem_fail_never();
            assert_int_equal(served.engine->in_flight, 0);
            h2_close(&client);
            served_close();
            assert_true(count < 1000);
        }
    }
}

/* WebSockets on streams */

static const char frames[] = "\x81\x85\0\0\0\0hello"
                             "\x01\x82\0\0\0\0he\x80\x83\0\0\0\0llo"
                             "\x89\x81\0\0\0\0p"
                             "\x88\x82\0\0\0\0\x03\xe8";

static void echo_on(struct request *request)
{
    struct duplex_message *message;
    enum duplex_next next;
    while ((next = websocket_next(request, &message)) == DUPLEX_MESSAGE) {
        websocket_send(request, message->text, message->payload);
        websocket_drop(request, message);
    }
    if (next == DUPLEX_GONE)
        engine_finish(served.engine, request);
    else
        websocket_ask(request, REQUEST_BODY | REQUEST_GONE);
}

static void echo_events(struct request *request, unsigned events)
{
    (void)events;
    echo_on(request);
}

static enum run_result begin_echo(struct request *request)
{
    struct ws_handshake handshake;
    if (websocket_asked(request, &handshake) != WS_HANDSHAKE_OK ||
        websocket_begin(request, STR("")) != RESPONSE_OK ||
        websocket_accept(request) != RESPONSE_OK) {
        served_put(request, "no", 2, NULL, &(bool){false});
        return RUN_DONE;
    }
    echo_on(request);
    return RUN_LATER;
}

static struct engine_options with_websockets(void)
{
    struct engine_options options = served_options();
    options.protocol = &http2_protocol;
    options.at_head = true;
    return options;
}

/* `ended`: the client's frames are whole, else the stream is reset behind them. */
static bool talk_websocket(bool ended)
{
    static const char head[] = ":method CONNECT\n:protocol websocket\n:scheme http\n:path /\n"
                               ":authority a\nsec-websocket-version 13\n"
                               "sec-websocket-extensions permessage-deflate\n";
    h2_open(&client);
    if (!served_connect(false))
        return false;
    talk();
    int32_t id = h2_request(&client, head, frames, sizeof(frames) - 1, !ended);
    talk();
    if (!ended)
        nghttp2_submit_rst_stream(client.ng, 0, id, NGHTTP2_CANCEL);
    talk();
    return true;
}

static void messages_come_and_go(void **state)
{
    struct engine_options options = with_websockets();
    (void)state;
    served_open_later(&options, begin_echo, echo_events);
    assert_true(talk_websocket(true));
    const char *lines = h2_lines(&client);
    assert_non_null(strstr(lines, "1 :status 200\n"));
    assert_non_null(strstr(lines, "1 closed 0 with "));
    assert_int_equal(served.engine->in_flight, 0);
    assert_int_equal(served.engine->websockets, 0);
    h2_close(&client);
    served_close();
}

static void no_memory_for_a_websocket(void **state)
{
    static void (*const ways[])(long count) = {mem_fail_once, mem_fail_after};
    struct engine_options options = with_websockets();
    (void)state;
    for (size_t way = 0; way < 2 * COUNT(ways); way++) {
        for (long count = 0, failed = 1; failed; count++) {
            served_open_later(&options, begin_echo, echo_events);
            ways[way / 2](count);
            talk_websocket(way % 2);
            failed = mem_failed();
            mem_fail_never();
            close(served.client);
            served.client = -1;
            while (served_turn() || served_is_open())
                ;
            assert_int_equal(served.engine->in_flight, 0);
            assert_int_equal(served.engine->websockets, 0);
            h2_close(&client);
            served_close();
            assert_true(count < 1000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked),
        cmocka_unit_test(the_settings),
        cmocka_unit_test(what_the_application_does_not_see),
        cmocka_unit_test(the_request_is_stream_1),
        cmocka_unit_test(no_memory_for_an_upgrade),
        cmocka_unit_test(messages_come_and_go),
        cmocka_unit_test(no_memory_for_a_websocket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
