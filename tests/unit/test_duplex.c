/* A WebSocket over a socket pair: the test is the connection, the application and the client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/socket.h"
#include "serve/conn/duplex.h"
#include "serve/engine/limits.h"
#include "websocket_wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 64 * 1024, START_MS = 1000, SOCKET_BUFFER = 32 * 1024 };

struct world {
    struct duplex duplex;
    struct budget budget;
    uint64_t now_ms;
    int server, client;
    enum duplex_want want;
    bool ended; /* the connection has taken note of DUPLEX_END */
    atomic_uint raised;
    atomic_bool attend;
    int drains; /* the application takes all messages as soon as one has come: so many so far */
    char kept[PIECE]; /* what was read, and not consumed */
    size_t kept_size;
    pthread_mutex_t lock; /* of the output */
    char *out;
    size_t out_size;
    struct wire wire; /* what the client is to send */
};

/* The connection's side. */

static void append(struct world *world, const char *bytes, size_t n)
{
    world->out = realloc(world->out, world->out_size + n + 1);
    wire_require(world->out != NULL);
    memcpy(world->out + world->out_size, bytes, n);
    world->out_size += n;
}

static void flush(struct world *world)
{
    pthread_mutex_lock(&world->lock);
    ssize_t n = world->out_size > 0 ? socket_send(world->server, world->out, world->out_size) : 0;
    if (n > 0) {
        world->out_size -= (size_t)n;
        memmove(world->out, world->out + n, world->out_size);
    }
    pthread_mutex_unlock(&world->lock);
}

static bool link_send(void *conn, const struct iovec *parts, int count)
{
    struct world *world = conn;
    pthread_mutex_lock(&world->lock);
    for (int i = 0; i < count; i++)
        append(world, parts[i].iov_base, parts[i].iov_len);
    pthread_mutex_unlock(&world->lock);
    flush(world);
    return true;
}

static size_t link_queued(void *conn)
{
    struct world *world = conn;
    pthread_mutex_lock(&world->lock);
    size_t size = world->out_size;
    pthread_mutex_unlock(&world->lock);
    return size;
}

static void link_raise(void *conn, unsigned events)
{
    struct world *world = conn;
    atomic_fetch_or(&world->raised, events);
    struct duplex_message *message;
    while (world->drains > 0 && duplex_next(&world->duplex, &message) == DUPLEX_MESSAGE) {
        duplex_drop(&world->duplex, message);
        world->drains++;
    }
}

static void link_attend(void *conn)
{
    struct world *world = conn;
    atomic_store(&world->attend, true);
}

static const struct duplex_link link_ops = {link_send, link_queued, link_raise, link_attend};

static struct world *world_open(const struct duplex_options *options,
                                const struct ws_deflate_terms *terms, uint64_t memory)
{
    static const struct ws_deflate_terms none;
    struct world *world = calloc(1, sizeof(*world));
    int pair[2], size = SOCKET_BUFFER;
    wire_require(world != NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    for (int i = 0; i < 2; i++)
        setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    world->server = pair[0];
    world->client = pair[1];
    world->now_ms = START_MS;
    pthread_mutex_init(&world->lock, NULL);
    budget_init(&world->budget, memory, 0);
    assert_true(duplex_init(&world->duplex, options, terms != NULL ? terms : &none, &link_ops,
                            world, &world->budget, START_MS));
    return world;
}

static struct world *world_plain(void)
{
    static const struct duplex_options options = {.message_max = 1 << 20};
    return world_open(&options, NULL, 0);
}

static void world_close(struct world *world)
{
    duplex_destroy(&world->duplex);
    assert_int_equal(atomic_load(&world->budget.memory), 0);
    budget_destroy(&world->budget);
    close(world->server);
    close(world->client);
    pthread_mutex_destroy(&world->lock);
    free(world->out);
    wire_free(&world->wire);
    free(world);
}

/* Gives what was kept, then what the socket has, until it is empty or reading pauses. */
static void pump(struct world *world)
{
    flush(world);
    duplex_sent(&world->duplex);
    if (atomic_exchange(&world->attend, false))
        world->want = duplex_attend(&world->duplex, world->now_ms);
    while (world->want == DUPLEX_READ) {
        size_t consumed;
        if (world->kept_size == 0) {
            ssize_t n = socket_recv(world->server, world->kept, sizeof(world->kept));
            if (n < 0)
                return;
            if (n == 0) {
                duplex_hung_up(&world->duplex);
                world->want = DUPLEX_END;
                return;
            }
            world->kept_size = (size_t)n;
        }
        world->want = duplex_received(&world->duplex, world->kept, world->kept_size, &consumed,
                                      world->now_ms);
        world->kept_size -= consumed;
        memmove(world->kept, world->kept + consumed, world->kept_size);
    }
}

/* Time goes by, as far as the connection's timer. */
static void sleep_until(struct world *world, uint64_t now_ms)
{
    while (world->duplex.deadline_ms != 0 && world->duplex.deadline_ms <= now_ms) {
        world->now_ms = world->duplex.deadline_ms;
        world->want = duplex_expired(&world->duplex, world->now_ms);
        if (world->duplex.deadline_ms <= world->now_ms && world->duplex.deadline_ms != 0)
            fail_msg("a deadline that does not move");
    }
    world->now_ms = now_ms;
}

/* The client's side. */

static void client_sends(struct world *world)
{
    while (world->wire.size > 0) {
        ssize_t n = socket_send(world->client, world->wire.data, world->wire.size);
        if (n < 0)
            return;
        world->wire.size -= (size_t)n;
        memmove(world->wire.data, world->wire.data + n, world->wire.size);
    }
}

static void sends(struct world *world, unsigned first, const char *payload, size_t n)
{
    wire_frame(&world->wire, first, payload, n);
    do {
        client_sends(world);
        pump(world);
    } while (world->wire.size > 0 && world->want == DUPLEX_READ);
}

#define SENDS(world, first, text) sends(world, first, text, sizeof(text) - 1)

/* The server's frames as a transcript like that of a reader; long payloads by their size. */
static char *client_reads(struct world *world)
{
    static char transcript[4096];
    static uint8_t frames[4 << 20];
    size_t size = 0, at = 0;
    ssize_t n;
    int length = 0;
    transcript[0] = '\0';
    do {
        n = socket_recv(world->client, frames + size, sizeof(frames) - size);
        size += n > 0 ? (size_t)n : 0;
        flush(world);
    } while (n > 0 || link_queued(world) > 0);
    duplex_sent(&world->duplex);
    while (at + 2 <= size) {
        static const char names[] = "+TB.....CPO";
        uint8_t first = frames[at], short_size = frames[at + 1];
        uint64_t payload = short_size;
        size_t header = 2;
        unsigned bytes = short_size < 126 ? 0 : short_size == 126 ? 2 : 8;
        if (bytes > 0)
            payload = 0;
        for (unsigned i = 0; i < bytes; i++)
            payload = payload << 8 | frames[at + header++];
        const char *text = (const char *)frames + at + header;
        length += snprintf(transcript + length, sizeof(transcript) - (size_t)length, "%s%c",
                           (first & RSV1) != 0 ? "z" : "", names[first & 15]);
        if ((first & 15) == WS_CLOSE && payload >= 2) {
            length += snprintf(transcript + length, sizeof(transcript) - (size_t)length, "%d",
                               (uint8_t)text[0] << 8 | (uint8_t)text[1]);
            text += 2, payload -= 2, header += 2;
        }
        if (payload > 40 || (first & RSV1) != 0 || first == (FIN | WS_PING))
            length += snprintf(transcript + length, sizeof(transcript) - (size_t)length,
                               "(%d bytes)", (int)payload);
        else
            length += snprintf(transcript + length, sizeof(transcript) - (size_t)length, "(%.*s)",
                               (int)payload, text);
        at += header + payload;
    }
    assert_int_equal(at, size);
    return transcript;
}

/* The application's side. */

static void echo(struct world *world)
{
    struct duplex_message *message;
    while (duplex_next(&world->duplex, &message) == DUPLEX_MESSAGE) {
        duplex_send(&world->duplex, message->text, message->payload);
        duplex_drop(&world->duplex, message);
        pump(world);
    }
}

static void expect_gone(struct world *world, uint16_t code, const char *reason)
{
    struct duplex_message *message;
    assert_int_equal(world->want, DUPLEX_END);
    assert_true((atomic_load(&world->raised) & DUPLEX_INPUT) != 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(duplex_next(&world->duplex, &message), DUPLEX_GONE);
    assert_int_equal(world->duplex.code, code);
    assert_int_equal(world->duplex.reason_size, strlen(reason));
    assert_memory_equal(world->duplex.reason, reason, strlen(reason));
    assert_int_equal(duplex_send(&world->duplex, true, STR("late")), DUPLEX_CLOSED);
    assert_int_equal(world->duplex.deadline_ms, 0);
}

static void expect_message(struct world *world, bool text, const char *payload)
{
    struct duplex_message *message;
    assert_int_equal(duplex_next(&world->duplex, &message), DUPLEX_MESSAGE);
    assert_int_equal(message->text, text);
    assert_true(str_eq(message->payload, (struct str){payload, strlen(payload)}));
    duplex_drop(&world->duplex, message);
}

static void messages_are_echoed(void **state)
{
    (void)state;
    struct world *world = world_plain();
    SENDS(world, TEXT, "Hello");
    assert_int_equal(atomic_load(&world->raised), DUPLEX_INPUT);
    SENDS(world, WS_BINARY, "a");
    SENDS(world, LAST, "b");
    SENDS(world, TEXT, "");
    echo(world);
    assert_string_equal(client_reads(world), "T(Hello)B(ab)T()");
    world_close(world);
}

static void pings_are_answered_without_the_application(void **state)
{
    (void)state;
    struct world *world = world_plain();
    SENDS(world, PING, "one");
    SENDS(world, WS_TEXT, "Hel");
    SENDS(world, PING, "");
    SENDS(world, PONG, "unasked");
    assert_string_equal(client_reads(world), "O(one)O()");
    assert_int_equal(atomic_load(&world->raised), 0);
    world_close(world);
}

/* What came before the close frame is given first; what comes behind it is not. */
static void the_client_closes(void **state)
{
    (void)state;
    struct world *world = world_plain();
    wire_frame(&world->wire, TEXT, "last", 4);
    wire_frame(&world->wire, CLOSE, "\x0f\xa1why", 5);
    SENDS(world, TEXT, "behind");
    assert_string_equal(client_reads(world), "C4001()");
    expect_message(world, true, "last");
    expect_gone(world, 4001, "why");
    world_close(world);
}

static void a_close_without_a_code(void **state)
{
    (void)state;
    struct world *world = world_plain();
    SENDS(world, CLOSE, "");
    assert_string_equal(client_reads(world), "C()");
    expect_gone(world, WS_CLOSE_NONE, "");
    world_close(world);
}

static void the_application_closes(void **state)
{
    (void)state;
    struct world *world = world_plain();
    struct duplex_message *message;
    SENDS(world, TEXT, "unread");
    duplex_close(&world->duplex, 3000, STR("bye"));
    duplex_close(&world->duplex, 1011, STR("twice"));
    assert_int_equal(duplex_send(&world->duplex, true, STR("late")), DUPLEX_CLOSED);
    assert_int_equal(duplex_next(&world->duplex, &message), DUPLEX_NOTHING);
    pump(world);
    assert_int_equal(world->duplex.deadline_ms, START_MS + DUPLEX_CLOSE_MS);
    SENDS(world, TEXT, "dropped");
    SENDS(world, PING, "unanswered");
    assert_int_equal(world->want, DUPLEX_READ);
    SENDS(world, CLOSE, "\x0b\xb8");
    assert_string_equal(client_reads(world), "C3000(bye)");
    expect_gone(world, 3000, "");
    world_close(world);
}

static void a_close_that_is_not_answered(void **state)
{
    (void)state;
    struct world *world = world_plain();
    duplex_close(&world->duplex, 1000, STR(""));
    pump(world);
    sleep_until(world, START_MS + DUPLEX_CLOSE_MS - 1);
    assert_int_equal(world->want, DUPLEX_READ);
    SENDS(world, TEXT, "chatter prolongs nothing");
    sleep_until(world, START_MS + DUPLEX_CLOSE_MS);
    expect_gone(world, WS_CLOSE_ABNORMAL, "");
    world_close(world);
}

static void violations(void **state)
{
    (void)state;
    static const struct {
        unsigned first;
        const char *payload, *answer, *reason;
    } vectors[] = {
        {FIN | 3, "", "C1002(unknown opcode)", "unknown opcode"},
        {LAST, "", "C1002(continuation without a message)", "continuation without a message"},
        {TEXT, "\xff", "C1007(invalid UTF-8)", "invalid UTF-8"},
        {BINARY, "12345678901", "C1009(message too large)", "message too large"},
        {CLOSE, "\x03\xed", "C1002(invalid close frame)", "invalid close frame"},
    };
    static const struct duplex_options options = {.message_max = 10};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct world *world = world_open(&options, NULL, 0);
        sends(world, vectors[i].first, vectors[i].payload, strlen(vectors[i].payload));
        assert_string_equal(client_reads(world), vectors[i].answer);
        expect_gone(world, WS_CLOSE_ABNORMAL, vectors[i].reason);
        world_close(world);
    }
}

/* Messages before a violation are answered before it is reported, if that does not take long. */
static void what_came_before_a_violation_is_answered(void **state)
{
    (void)state;
    for (int late = 0; late < 3; late++) {
        struct world *world = world_plain();
        struct duplex_message *message;
        SENDS(world, TEXT, "good");
        SENDS(world, FIN | 3, "");
        SENDS(world, TEXT, "not read");
        assert_int_equal(world->want, DUPLEX_PAUSE);
        assert_string_equal(client_reads(world), "");
        if (late < 2)
            expect_message(world, true, "good");
        pump(world);
        assert_int_equal(duplex_send(&world->duplex, true, STR("answer")), DUPLEX_SENT);
        if (late > 0)
            sleep_until(world, START_MS + DUPLEX_CLOSE_MS);
        else
            assert_int_equal(duplex_next(&world->duplex, &message), DUPLEX_NOTHING);
        pump(world);
        assert_string_equal(client_reads(world), "T(answer)C1002(unknown opcode)");
        if (late == 2)
            expect_message(world, true, "good");
        expect_gone(world, WS_CLOSE_ABNORMAL, "unknown opcode");
        world_close(world);
    }
}

/* The application that waits for room learns of the end. */
static void a_sender_learns_of_the_end(void **state)
{
    (void)state;
    struct world *world = world_plain();
    char payload[10000] = {0};
    while (duplex_send(&world->duplex, false, (struct str){payload, sizeof(payload)}) !=
           DUPLEX_FULL)
        ;
    shutdown(world->client, SHUT_WR);
    pump(world);
    assert_int_equal(atomic_load(&world->raised), DUPLEX_INPUT | DUPLEX_ROOM | DUPLEX_OVER);
    assert_int_equal(duplex_pending(&world->duplex) & DUPLEX_OVER, DUPLEX_OVER);
    expect_gone(world, WS_CLOSE_ABNORMAL, "");
    world_close(world);
}

static void the_client_vanishes(void **state)
{
    (void)state;
    struct world *world = world_plain();
    SENDS(world, TEXT, "last");
    shutdown(world->client, SHUT_WR);
    pump(world);
    expect_message(world, true, "last");
    expect_gone(world, WS_CLOSE_ABNORMAL, "");
    world_close(world);
}

/* A client that sends more than the application takes is not read; nothing is lost. */
static void reading_waits_for_the_application(void **state)
{
    (void)state;
    enum { COUNT = 2000, SIZE = 1000 };
    struct world *world = world_plain();
    struct duplex_message *message;
    char payload[SIZE] = {0};
    for (int i = 0; i < COUNT; i++) {
        snprintf(payload, sizeof(payload), "%d", i);
        wire_frame(&world->wire, BINARY, payload, sizeof(payload));
    }
    int taken = 0, pauses = 0;
    while (taken < COUNT) {
        client_sends(world);
        pump(world);
        assert_true(atomic_load(&world->budget.memory) < DUPLEX_READ_AHEAD + 4 * SIZE);
        pauses += world->want == DUPLEX_PAUSE;
        while (duplex_next(&world->duplex, &message) == DUPLEX_MESSAGE) {
            assert_int_equal(atoi(message->payload.p), taken++);
            duplex_drop(&world->duplex, message);
        }
    }
    assert_true(pauses > COUNT * SIZE / (2 * DUPLEX_READ_AHEAD));
    world_close(world);
}

/* Another thread takes the message that was too much before the leader stops reading. */
static void reading_goes_on_at_once(void **state)
{
    (void)state;
    struct world *world = world_plain();
    char payload[DUPLEX_READ_AHEAD] = {0};
    struct wire *wire = &world->wire;
    size_t consumed;
    wire_frame(wire, BINARY, payload, sizeof(payload));
    wire_frame(wire, TEXT, "next", 4);
    world->drains = 1;
    assert_int_equal(
        duplex_received(&world->duplex, wire->data, wire->size, &consumed, world->now_ms),
        DUPLEX_READ);
    assert_int_equal(consumed, wire->size);
    assert_int_equal(world->drains, 1 + 2);
    world_close(world);
}

static void sending_waits_for_the_client(void **state)
{
    (void)state;
    struct world *world = world_plain();
    char payload[10000] = {0};
    struct str message = {payload, sizeof(payload)};
    enum duplex_sent sent = DUPLEX_SENT;
    int count = 0;
    for (; sent == DUPLEX_SENT; count++)
        sent = duplex_send(&world->duplex, false, message);
    assert_int_equal(sent, DUPLEX_FULL);
    assert_true(link_queued(world) <= DUPLEX_QUEUED + sizeof(payload) + WS_HEADER_OWN_MAX);
    pump(world);
    assert_int_equal(atomic_load(&world->raised), 0);
    client_reads(world);
    assert_int_equal(atomic_load(&world->raised), DUPLEX_ROOM);
    assert_int_equal(duplex_send(&world->duplex, false, message), DUPLEX_SENT);
    world_close(world);
}

/* A second sender does not make the first one wait for ever. */
static void two_senders_wait_for_the_client(void **state)
{
    (void)state;
    struct world *world = world_plain();
    char payload[10000] = {0};
    struct str message = {payload, sizeof(payload)};
    while (duplex_send(&world->duplex, false, message) == DUPLEX_SENT)
        ;
    while (link_queued(world) > DUPLEX_QUEUED - sizeof(payload)) {
        socket_recv(world->client, payload, sizeof(payload));
        flush(world);
    }
    assert_true(link_queued(world) > DUPLEX_QUEUED / 2);
    duplex_sent(&world->duplex);
    assert_int_equal(duplex_send(&world->duplex, false, (struct str){payload, 1}), DUPLEX_FULL);
    client_reads(world);
    assert_int_equal(atomic_load(&world->raised), DUPLEX_ROOM);
    world_close(world);
}

/* A client that pings and reads nothing gets the last pong, and fills no memory. */
static void pongs_do_not_pile_up(void **state)
{
    (void)state;
    struct world *world = world_plain();
    char payload[10000] = {0};
    while (duplex_send(&world->duplex, false, (struct str){payload, sizeof(payload)}) !=
           DUPLEX_FULL)
        ;
    size_t queued = link_queued(world);
    for (int i = 0; i < 10000; i++)
        SENDS(world, PING, "ping");
    SENDS(world, PING, "last");
    assert_true(link_queued(world) <= queued);
    client_reads(world);
    assert_string_equal(client_reads(world), "O(last)");
    world_close(world);
}

static const struct duplex_options pinging = {
    .message_max = 1 << 20, .ping_interval_ms = 20000, .ping_timeout_ms = 5000};

static void silent_clients_are_closed(void **state)
{
    (void)state;
    struct world *world = world_open(&pinging, NULL, 0);
    sleep_until(world, START_MS + 19999);
    assert_string_equal(client_reads(world), "");
    sleep_until(world, START_MS + 20000);
    assert_string_equal(client_reads(world), "P(4 bytes)");
    sleep_until(world, START_MS + 24999);
    assert_int_equal(world->want, DUPLEX_READ);
    sleep_until(world, START_MS + 25000);
    assert_string_equal(client_reads(world), "C1011(keepalive ping timeout)");
    expect_gone(world, WS_CLOSE_ABNORMAL, "keepalive ping timeout");
    world_close(world);
}

/* Any byte shows that the client is there. */
static void clients_that_send_are_not(void **state)
{
    (void)state;
    struct world *world = world_open(&pinging, NULL, 0);
    for (uint64_t round = 1; round < 10; round++) {
        sleep_until(world, START_MS + round * 20000);
        assert_string_equal(client_reads(world), "P(4 bytes)");
        sleep_until(world, world->now_ms + 4000);
        if (round % 2 == 0)
            SENDS(world, PONG, "");
        else
            SENDS(world, 0 == round - 1 ? WS_TEXT : WS_CONTINUATION, "part");
    }
    assert_int_equal(world->want, DUPLEX_READ);
    world_close(world);
}

/* Nor those whose answer is not read, since the application is busy. */
static void a_busy_application_closes_nobody(void **state)
{
    (void)state;
    struct world *world = world_open(&pinging, NULL, 0);
    char payload[DUPLEX_READ_AHEAD] = {0};
    sends(world, BINARY, payload, sizeof(payload));
    assert_int_equal(world->want, DUPLEX_PAUSE);
    sleep_until(world, START_MS + 100000);
    assert_int_equal(world->want, DUPLEX_PAUSE);
    assert_string_equal(client_reads(world), "P(4 bytes)");
    SENDS(world, PONG, "");
    struct duplex_message *message;
    assert_int_equal(duplex_next(&world->duplex, &message), DUPLEX_MESSAGE);
    duplex_drop(&world->duplex, message);
    pump(world);
    assert_int_equal(world->want, DUPLEX_READ);
    sleep_until(world, START_MS + 101000);
    assert_int_equal(world->want, DUPLEX_READ);
    world_close(world);
}

/* At the worker's end: the code at once; what the client sends until it answers is given. */
static void the_worker_ends(void **state)
{
    (void)state;
    struct world *world = world_plain();
    duplex_drain(&world->duplex, WS_CLOSE_RESTART, world->now_ms);
    assert_string_equal(client_reads(world), "C1012()");
    assert_int_equal(duplex_send(&world->duplex, true, STR("late")), DUPLEX_CLOSED);
    SENDS(world, TEXT, "on its way");
    SENDS(world, CLOSE, "\x03\xf4");
    expect_message(world, true, "on its way");
    expect_gone(world, WS_CLOSE_RESTART, "");
    world_close(world);
}

static void compression(void **state)
{
    (void)state;
    static const struct ws_deflate_terms terms = {true, true, true, 12, 12, false, false};
    static const struct duplex_options options = {.message_max = 1 << 20};
    struct world *world = world_open(&options, &terms, 0);
    char payload[5000];
    memset(payload, 'x', sizeof(payload));
    SENDS(world, TEXT | RSV1, "\xf2\x48\xcd\xc9\xc9\x07\x00");
    expect_message(world, true, "Hello");
    duplex_send(&world->duplex, true, (struct str){payload, sizeof(payload)});
    duplex_send(&world->duplex, true, STR("short"));
    char *frames = client_reads(world);
    assert_memory_equal(frames, "zT(", 3);
    assert_true(atoi(frames + 3) < 100);
    assert_non_null(strstr(frames, ")T(short)"));
    world_close(world);
}

/* The budget refuses a message: 1011, and all memory goes back. */
static void no_memory(void **state)
{
    (void)state;
    static const struct duplex_options options = {.message_max = 1 << 20};
    struct world *world = world_open(&options, NULL, 64 * 1024);
    char payload[20000] = {0};
    sends(world, WS_BINARY, payload, sizeof(payload));
    assert_string_equal(client_reads(world), "C1011(out of memory)");
    expect_gone(world, WS_CLOSE_ABNORMAL, "out of memory");
    world_close(world);
}

enum { ROUNDS = 3000 };

static void *application(void *argument)
{
    struct world *world = argument;
    struct duplex_message *message;
    enum duplex_next next;
    while ((next = duplex_next(&world->duplex, &message)) != DUPLEX_GONE) {
        if (next == DUPLEX_NOTHING) {
            sched_yield();
            continue;
        }
        while (duplex_send(&world->duplex, message->text, message->payload) == DUPLEX_FULL &&
               (atomic_fetch_and(&world->raised, ~(unsigned)DUPLEX_ROOM) & DUPLEX_ROOM) == 0)
            sched_yield();
        duplex_drop(&world->duplex, message);
    }
    return NULL;
}

/* The application in a thread of its own, beside the leader and the client. */
static void in_two_threads(void **state)
{
    (void)state;
    struct world *world = world_plain();
    char payload[200] = {0}, bytes[PIECE];
    size_t received = 0;
    pthread_t thread;
    for (int i = 0; i < ROUNDS; i++)
        wire_frame(&world->wire, BINARY, payload, sizeof(payload));
    wire_frame(&world->wire, CLOSE, "\x03\xe8", 2);
    assert_int_equal(pthread_create(&thread, NULL, application, world), 0);
    while (world->want != DUPLEX_END) {
        client_sends(world);
        pump(world);
        ssize_t n = socket_recv(world->client, bytes, sizeof(bytes));
        received += n > 0 ? (size_t)n : 0;
    }
    pthread_join(thread, NULL);
    assert_true(received > 0);
    assert_int_equal(world->duplex.code, 1000);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_echoed),
        cmocka_unit_test(pings_are_answered_without_the_application),
        cmocka_unit_test(the_client_closes),
        cmocka_unit_test(a_close_without_a_code),
        cmocka_unit_test(the_application_closes),
        cmocka_unit_test(a_close_that_is_not_answered),
        cmocka_unit_test(violations),
        cmocka_unit_test(what_came_before_a_violation_is_answered),
        cmocka_unit_test(a_sender_learns_of_the_end),
        cmocka_unit_test(the_client_vanishes),
        cmocka_unit_test(reading_waits_for_the_application),
        cmocka_unit_test(reading_goes_on_at_once),
        cmocka_unit_test(sending_waits_for_the_client),
        cmocka_unit_test(two_senders_wait_for_the_client),
        cmocka_unit_test(pongs_do_not_pile_up),
        cmocka_unit_test(silent_clients_are_closed),
        cmocka_unit_test(clients_that_send_are_not),
        cmocka_unit_test(a_busy_application_closes_nobody),
        cmocka_unit_test(the_worker_ends),
        cmocka_unit_test(compression),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(in_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
