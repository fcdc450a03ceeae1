/* WebSockets on connections of the engine: the test is the client and the application. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/conn/websocket.h"
#include "serve/engine/limits.h"
#include "served.h"
#include "websocket_wire.h"

#include <sys/socket.h>

#define HANDSHAKE                                                                                  \
    "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"   \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ACCEPTED "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define ENDS_WITH(text, end)                                                                       \
    (strlen(text) >= strlen(end) && strcmp((text) + strlen(text) - strlen(end), end) == 0)

enum { PATIENT_TURNS = 20000, STREAM = 1024 * 1024 };

/* The application: sends messages back, unless it is to do something else. */
static struct {
    struct request *request; /* accepted and not finished */
    enum { ECHO, DEAF, LEAVES, SHOUTS } mode;
    const char *subprotocol, *field;
    int messages, ends;
    unsigned events; /* all that were given */
    uint16_t code;
    char reason[WS_REASON_MAX + 1];
    size_t shouted;
} app;

static struct conn *conn;
static struct wire wire;

static void end(struct request *request)
{
    struct str reason;
    app.code = websocket_code(request, &reason);
    memcpy(app.reason, reason.p, reason.n);
    app.reason[reason.n] = '\0';
    app.ends++;
    app.request = NULL;
    engine_finish(served.engine, request);
}

static void echo_on(struct request *request)
{
    struct duplex_message *message;
    enum duplex_next next;
    while ((next = websocket_next(request, &message)) == DUPLEX_MESSAGE) {
        app.messages++;
        enum duplex_sent sent = websocket_send(request, message->text, message->payload);
        websocket_drop(request, message);
        if (sent == DUPLEX_FULL) {
            websocket_ask(request, REQUEST_ROOM);
            return;
        }
    }
    if (next == DUPLEX_GONE)
        end(request);
    else
        websocket_ask(request, REQUEST_BODY | REQUEST_DEADLINE);
}

static void shout_on(struct request *request)
{
    static const char line[4096] = "shout";
    enum duplex_sent sent = DUPLEX_SENT;
    while (app.shouted < STREAM && sent == DUPLEX_SENT) {
        sent = websocket_send(request, false, (struct str){line, sizeof(line)});
        app.shouted += sizeof(line);
    }
    if (sent == DUPLEX_CLOSED)
        end(request);
    else if (sent == DUPLEX_FULL)
        websocket_ask(request, REQUEST_ROOM);
    else
        echo_on(request);
}

static void go_on(struct request *request)
{
    if (app.mode == ECHO)
        echo_on(request);
    else if (app.mode == SHOUTS)
        shout_on(request);
    else if (app.mode == LEAVES) {
        app.request = NULL;
        engine_finish(served.engine, request);
    }
}

static void events(struct request *request, unsigned happened)
{
    app.events |= happened;
    go_on(request);
}

static enum run_result begin(struct request *request)
{
    struct ws_handshake handshake;
    struct str subprotocol = {app.subprotocol, app.subprotocol ? strlen(app.subprotocol) : 0};
    bool kept;
    enum ws_handshake_result asked = websocket_asked(request, &handshake);
    if (asked != WS_HANDSHAKE_OK) {
        if (asked == WS_HANDSHAKE_NONE)
            served_put(request, "plain", 5, NULL, &kept);
        else
            websocket_refuse(request, asked, &handshake);
        return RUN_DONE;
    }
    enum response_error error = websocket_begin(request, subprotocol);
    if (error == RESPONSE_OK && app.field)
        error = response_field(request, STR("X-Field"), (struct str){app.field, strlen(app.field)});
    if (error == RESPONSE_OK)
        error = websocket_accept(request);
    if (error == RESPONSE_NO_MEMORY)
        served_put(request, "no memory", 9, NULL, &kept);
    if (error != RESPONSE_OK)
        return RUN_DONE;
    app.request = request;
    go_on(request);
    return RUN_LATER;
}

/* The client */

static void open_with(const struct engine_options *options, int mode, bool small)
{
    memset(&app, 0, sizeof(app));
    app.mode = mode;
    served_open_later(options, begin, events);
    conn = served_connect(small);
    served_ask(HANDSHAKE "\r\n");
    assert_memory_equal(served.output, "HTTP/1.1 101 Switching Protocols\r\n", 34);
    const char *end = strstr(served.output, "\r\n\r\n");
    assert_non_null(end);
    served.output_size -= (size_t)(end + 4 - served.output);
    memmove(served.output, end + 4, served.output_size);
}

static void open_in(int mode)
{
    struct engine_options options = served_options();
    open_with(&options, mode, false);
}

static void say(unsigned first, const char *payload)
{
    wire_frame(&wire, first, payload, strlen(payload));
    served_send(wire.data, wire.size);
    wire_free(&wire);
}

static void say_close(uint16_t code)
{
    char payload[] = {(char)(code >> 8), (char)code};
    wire_frame(&wire, CLOSE, payload, 2);
    served_send(wire.data, wire.size);
    wire_free(&wire);
}

/* What has come since the last time is exactly this. */
static void assert_heard(const char *bytes, size_t n)
{
    served_answer();
    assert_int_equal(served.output_size, n);
    assert_memory_equal(served.output, bytes, n);
    served.output_size = 0;
}

#define HEARD(text) assert_heard(text, sizeof(text) - 1)

/* Turns until the condition holds; it must within some seconds. */
#define UNTIL(condition)                                                                           \
    for (int turns = 0; !(condition); turns++) {                                                   \
        served_turn();                                                                             \
        assert_true(turns < PATIENT_TURNS);                                                        \
        usleep(100);                                                                               \
    }

static bool client_sees_end(void)
{
    char byte;
    return recv(served.client, &byte, 1, MSG_DONTWAIT) == 0;
}

static void close_world(void)
{
    served_close();
    conn = NULL;
}

/* Opening */

static void test_handshake(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    memset(&app, 0, sizeof(app));
    app.subprotocol = "chat.v2";
    app.field = "value";
    served_open_later(&options, begin, events);
    served_connect(false);
    served_ask(HANDSHAKE "Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n"
                         "Sec-WebSocket-Extensions: permessage-deflate; "
                         "client_max_window_bits\r\n\r\n");
    assert_string_equal(served_dateless(), "HTTP/1.1 101 Switching Protocols\r\n"
                                           "Server: gunicorn\r\nDate: DATE\r\n"
                                           "Connection: upgrade\r\nUpgrade: websocket\r\n" ACCEPTED
                                           "Sec-WebSocket-Protocol: chat.v2\r\n"
                                           "Sec-WebSocket-Extensions: permessage-deflate; "
                                           "client_max_window_bits=12\r\n"
                                           "X-Field: value\r\n\r\n");
    assert_int_equal(served.engine->websockets, 1);
    assert_int_equal(served.engine->metrics->connections[ACTIVITY_WEBSOCKET], 1);
    close_world();
}

static void test_refusals(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    memset(&app, 0, sizeof(app));
    served_open_later(&options, begin, events);
    served_connect(false);
    const char *answer = served_ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n"
                                    "Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\r\n");
    assert_memory_equal(answer, "HTTP/1.1 426 Upgrade Required\r\n", 31);
    assert_non_null(strstr(answer, "\r\nSec-WebSocket-Version: 13\r\n"));
    answer = served_ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(ENDS_WITH(answer, "plain"));
    answer = served_ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n"
                        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n");
    assert_memory_equal(answer, "HTTP/1.1 400 Bad Request\r\n", 26);
    close_world();
}

/* A client that does not wait for the answer. */
static void test_frames_behind_the_head(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    memset(&app, 0, sizeof(app));
    served_open_later(&options, begin, events);
    served_connect(false);
    wire_bytes(&wire, HANDSHAKE "\r\n", sizeof(HANDSHAKE "\r\n") - 1);
    wire_frame(&wire, TEXT, "early", 5);
    served_send(wire.data, wire.size);
    wire_free(&wire);
    served_answer();
    assert_true(ENDS_WITH(served.output, "\r\n\r\n\x81\x05"
                                         "early"));
    close_world();
}

/* Messages */

static void test_echo(void **state)
{
    (void)state;
    open_in(ECHO);
    say(TEXT, "one");
    HEARD("\x81\x03one");
    say(BINARY, "two");
    HEARD("\x82\x03two");
    say(PING, "p");
    HEARD("\x8a\x01p");
    assert_int_equal(app.messages, 2);
    say_close(1000);
    HEARD("\x88\x02\x03\xe8");
    assert_int_equal(app.ends, 1);
    assert_int_equal(app.code, 1000);
    assert_true(client_sees_end());
    assert_false(served_is_open());
    assert_int_equal(served.engine->websockets, 0);
    assert_int_equal(served.engine->metrics->closed[CLOSE_ANSWERED], 1);
    assert_int_equal(served.engine->metrics->responses[1], 1);
    close_world();
}

static void test_violation(void **state)
{
    (void)state;
    static const char reserved[] = "\xf3\x80kkkk and what follows is not read";
    open_in(ECHO);
    served_send(reserved, sizeof(reserved) - 1);
    served_answer();
    assert_memory_equal(served.output, "\x88", 1);
    assert_memory_equal(served.output + 2, "\x03\xea", 2);
    assert_int_equal(app.ends, 1);
    assert_int_equal(app.code, 1006);
    assert_true(client_sees_end());
    close_world();
}

static void test_message_too_large(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    options.websocket_message_max = 4;
    open_with(&options, ECHO, false);
    say(TEXT, "four");
    HEARD("\x81\x04"
          "four");
    say(TEXT, "five!");
    served_answer();
    assert_memory_equal(served.output + 2, "\x03\xf1", 2);
    close_world();
}

/* Ends */

static void test_application_closes(void **state)
{
    (void)state;
    open_in(DEAF);
    websocket_close(app.request, 4000, STR("bye"));
    HEARD("\x88\x05\x0f\xa0"
          "bye");
    say(TEXT, "dropped");
    say_close(4000);
    app.mode = ECHO;
    websocket_ask(app.request, REQUEST_BODY);
    served_answer();
    assert_int_equal(app.messages, 0);
    assert_int_equal(app.code, 4000);
    assert_true(client_sees_end());
    assert_false(served_is_open());
    close_world();
}

/* The close handshake goes on without the application. */
static void test_application_leaves(void **state)
{
    (void)state;
    open_in(LEAVES);
    HEARD("\x88\x02\x03\xe8");
    assert_true(served_is_open());
    assert_int_equal(served.engine->websockets, 0);
    say_close(1000);
    served_answer();
    assert_true(client_sees_end());
    assert_false(served_is_open());
    close_world();
}

static void test_client_leaves(void **state)
{
    (void)state;
    open_in(ECHO);
    say(TEXT, "last");
    close(served.client);
    served.client = -1;
    UNTIL(!served_is_open());
    assert_int_equal(app.messages, 1);
    assert_int_equal(app.ends, 1);
    assert_int_equal(app.code, 1006);
    close_world();
}

/* The connection stays until the application is through. */
static void test_client_leaves_a_deaf_application(void **state)
{
    (void)state;
    open_in(DEAF);
    close(served.client);
    served.client = -1;
    served_answer();
    assert_true(served_is_open());
    assert_int_equal(websocket_send(app.request, true, STR("x")), DUPLEX_CLOSED);
    app.mode = ECHO;
    websocket_ask(app.request, REQUEST_BODY);
    UNTIL(!served_is_open());
    assert_int_equal(app.ends, 1);
    close_world();
}

/* Back-pressure */

static void test_application_is_slow(void **state)
{
    (void)state;
    char payload[1001];
    size_t sent = 0;
    memset(payload, 'm', 1000);
    payload[1000] = '\0';
    open_in(DEAF);
    wire_frame(&wire, TEXT, payload, 1000);
    while (sent < STREAM && send(served.client, wire.data, wire.size, MSG_NOSIGNAL) > 0) {
        sent += wire.size;
        served_turn();
    }
    assert_in_range(sent, DUPLEX_READ_AHEAD, STREAM - 1);
    assert_in_range(served.engine->budget.memory, DUPLEX_READ_AHEAD, 3 * DUPLEX_READ_AHEAD);
    app.mode = ECHO;
    websocket_ask(app.request, REQUEST_BODY);
    size_t expected = sent / wire.size;
    wire_free(&wire);
    served.output_size = 0;
    for (int i = 0; i < 100 && (size_t)app.messages < expected - 1; i++)
        served_answer();
    assert_in_range(app.messages, expected - 1, expected);
    close_world();
}

static void test_client_is_slow(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    open_with(&options, SHOUTS, true);
    served.reads_while_waiting = false;
    UNTIL(app.shouted == STREAM);
    served_answer();
    assert_int_equal(served.waits, 0);
    assert_true(app.events & REQUEST_ROOM);
    close_world();
}

static void test_client_takes_nothing(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    options.send_timeout_ms = 20;
    memset(&app, 0, sizeof(app));
    app.mode = SHOUTS;
    served_open_later(&options, begin, events);
    served_connect(true);
    served_say(HANDSHAKE "\r\n");
    UNTIL(!served_is_open());
    assert_in_range(app.shouted, DUPLEX_QUEUED, 2 * DUPLEX_QUEUED);
    assert_int_equal(app.ends, 1);
    assert_int_equal(served.engine->metrics->closed[CLOSE_SEND_TIMEOUT], 1);
    close_world();
}

/* Times */

static void test_pings(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    options.websocket_ping_interval_ms = 5;
    open_with(&options, ECHO, false);
    UNTIL((served_read(), served.output_size >= 6));
    assert_memory_equal(served.output, "\x89\x04\0\0\0\0", 6);
    say(PONG, "any");
    served.output_size = 0;
    UNTIL((served_read(), served.output_size >= 6));
    assert_memory_equal(served.output, "\x89\x04\1\0\0\0", 6);
    close_world();
}

static void test_silence(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    options.websocket_ping_interval_ms = 5;
    options.websocket_ping_timeout_ms = 5;
    open_with(&options, ECHO, false);
    UNTIL(app.ends == 1);
    served_read();
    assert_int_equal(app.code, 1006);
    assert_string_equal(app.reason, "keepalive ping timeout");
    assert_memory_equal(served.output + 6 + 2, "\x03\xf3", 2);
    close_world();
}

static void test_request_timeout_is_for_the_handshake(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    options.request_timeout_ms = 1000;
    open_with(&options, DEAF, false);
    assert_int_equal(app.request->deadline.serial, 0);
    close_world();
}

/* Room and admission */

static void test_is_not_closed_to_make_room(void **state)
{
    (void)state;
    open_in(ECHO);
    assert_true(engine_lead(served.engine));
    served.engine->now_ms += 3600 * 1000;
    assert_false(engine_make_room(served.engine));
    engine_yield(served.engine);
    assert_int_equal(served.engine->connections, 1);
    close_world();
}

static void test_does_not_count_as_concurrent(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    options.limit_concurrency = 1;
    open_with(&options, ECHO, false);
    int first = served.client;
    served.client = -1;
    served_connect(false);
    assert_true(ENDS_WITH(served_ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "plain"));
    close(first);
    close_world();
}

/* The end of the worker */

static void test_drain(void **state)
{
    (void)state;
    open_in(ECHO);
    engine_drain(served.engine);
    UNTIL((served_read(), served.output_size >= 4));
    HEARD("\x88\x02\x03\xf4");
    say(TEXT, "under way");
    assert_int_equal(app.messages, 1);
    say_close(1012);
    UNTIL(atomic_load(&served.engine->stopped));
    assert_int_equal(app.code, 1012);
    assert_int_equal(served.engine->metrics->closed[CLOSE_DRAINED], 1);
    close_world();
}

/* graceful_timeout is over, and neither the client nor the application is through. */
static void test_cut_off(void **state)
{
    (void)state;
    struct engine_options options = served_options();
    options.graceful_ms = 50;
    open_with(&options, ECHO, false);
    engine_drain(served.engine);
    UNTIL(app.ends == 1);
    assert_true(app.events & REQUEST_DEADLINE);
    assert_int_equal(app.code, 1006);
    UNTIL(atomic_load(&served.engine->stopped));
    close_world();
}

static void test_engine_ends_before_the_application(void **state)
{
    (void)state;
    open_in(DEAF);
    say(TEXT, "nobody asks");
    close_world();
}

/* Memory */

static void test_without_memory(void **state)
{
    (void)state;
    bool accepted = false;
    for (unsigned n = 1; n < 100 && !accepted; n++) {
        struct engine_options options = served_options();
        memset(&app, 0, sizeof(app));
        served_open_later(&options, begin, events);
        served_connect(false);
        mem_fail_after(n);
        served_ask(HANDSHAKE "\r\n");
        mem_fail_never();
        accepted = app.request;
        assert_true(accepted || served.output_size == 0 || ENDS_WITH(served.output, "no memory") ||
                    !served_is_open());
        close_world();
    }
    assert_true(accepted);
}

static void test_memory_of_an_idle_one(void **state)
{
    (void)state;
    open_in(ECHO);
    say(TEXT, "hello");
    HEARD("\x81\x05hello");
    assert_in_range(atomic_load(&served.engine->budget.memory), 1, 3 * 1024);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_frames_behind_the_head),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_violation),
        cmocka_unit_test(test_message_too_large),
        cmocka_unit_test(test_application_closes),
        cmocka_unit_test(test_application_leaves),
        cmocka_unit_test(test_client_leaves),
        cmocka_unit_test(test_client_leaves_a_deaf_application),
        cmocka_unit_test(test_application_is_slow),
        cmocka_unit_test(test_client_is_slow),
        cmocka_unit_test(test_client_takes_nothing),
        cmocka_unit_test(test_pings),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_request_timeout_is_for_the_handshake),
        cmocka_unit_test(test_is_not_closed_to_make_room),
        cmocka_unit_test(test_does_not_count_as_concurrent),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_engine_ends_before_the_application),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_memory_of_an_idle_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
