#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/http1/chunked.h"
#include "tls_served.h"

#include <sys/mman.h>

/* Requests and answers over TLS, and how a connection ends. */

enum { LARGE = 5 * 1000 * 1000, CHUNK = 1000, CHUNKS = 10 };

static char large[LARGE];

/* The application */

static void run_echo(struct request *request)
{
    char bytes[10 * 1000];
    bool kept;
    ssize_t n;
    response_start(request, "200 OK", 6);
    while ((n = body_read(request, bytes, sizeof(bytes))) > 0)
        response_write(request, bytes, (size_t)n, NULL, &kept, false);
    assert_int_equal(n, 0);
    response_finish(request);
}

static void add_length(struct request *request, size_t n)
{
    char text[24];
    snprintf(text, sizeof(text), "%zu", n);
    response_field(request, STR("Content-Length"), (struct str){text, strlen(text)});
}

static void run_large(struct request *request)
{
    response_start(request, "200 OK", 6);
    add_length(request, LARGE);
    for (size_t at = 0; at < LARGE; at += ITEM) {
        bool kept = false;
        size_t n = LARGE - at < ITEM ? LARGE - at : ITEM;
        response_write(request, large + at, n, &served, &kept, false);
        served.releases -= kept; /* as many as were given */
    }
    response_finish(request);
}

/* Memory, reference and file take turns in the queue. */
static void run_mixed(struct request *request)
{
    int file = memfd_create("large", MFD_CLOEXEC);
    bool kept = false;
    assert_int_equal(write(file, large, LARGE), LARGE);
    response_start(request, "200 OK", 6);
    add_length(request, LARGE);
    response_write(request, large, 10 * 1000, NULL, &kept, false);
    response_file(request, file, 10 * 1000, 2000 * 1000);
    response_write(request, large + 2010 * 1000, 7, NULL, &kept, false);
    response_file(request, file, 2010 * 1000 + 7, LARGE - 2010 * 1000 - 7);
    response_finish(request);
    close(file);
}

static long fails_at; /* an allocation while the chunks are written */

static void run_chunks(struct request *request)
{
    bool kept;
    response_start(request, "200 OK", 6);
    mem_fail_once(fails_at);
    for (int i = 0; i < CHUNKS; i++)
        response_write(request, large + i * CHUNK, CHUNK, NULL, &kept, false);
    response_finish(request);
    mem_fail_never();
}

static void run_cut(struct request *request)
{
    bool kept;
    response_start(request, "200 OK", 6);
    response_field(request, STR("Content-Length"), STR("100"));
    response_write(request, "hello", 5, NULL, &kept, false);
    response_finish(request);
}

static void assert_body(const char *body, size_t n)
{
    const char *at = strstr(got, "\r\n\r\n");
    assert_non_null(at);
    at += 4;
    assert_int_equal(got + got_size - at, n);
    assert_memory_equal(at, body, n);
}

/* Tests */

static void answers_requests(void **state)
{
    (void)state;
    FOR_EACH_VERSION(i)
    {
        open_engine(run_hello);
        connect_client(versions[i].version, false);
        assert_int_equal(conn->activity, ACTIVITY_IDLE);
        assert_null(conn->request);
        assert_string_equal(tls_version(conn->tls), versions[i].name);
        assert_non_null(strstr(ask(hello_request), "\r\n\r\nhello"));
        assert_non_null(strstr(ask(hello_request), "\r\n\r\nhello"));
        assert_true(was_https);
        assert_int_equal(served.runs, 2);
        assert_int_equal(served.engine->metrics->handshakes, 1);
        assert_int_equal(served.engine->metrics->handshakes_failed, 0);
        close_engine();
    }
}

static void answers_one_byte_at_a_time(void **state)
{
    (void)state;
    FOR_EACH_VERSION(i)
    {
        open_engine(run_echo);
        begin(versions[i].version, false);
        piece = 1;
        shake_hands();
        ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world");
        assert_non_null(strstr(got, "hello world"));
        ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
            "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        assert_non_null(strstr(got, "abc"));
        close_engine();
    }
}

/* More than one request in a record, and more than one record in what is read at once. */
static void answers_what_was_read_ahead(void **state)
{
    (void)state;
    open_engine(run_hello);
    connect_client(TLS1_3_VERSION, false);
    for (int i = 0; i < 40; i++) {
        say(hello_request, sizeof(hello_request) - 1);
        say(hello_request, sizeof(hello_request) - 1);
    }
    settle();
    assert_int_equal(served.runs, 80);
    close_engine();
}

/* A request that is longer than a record and than the first buffer. */
static void answers_long_heads(void **state)
{
    char *text = malloc(80 * 1000);
    (void)state;
    open_engine(run_hello);
    connect_client(TLS1_3_VERSION, false);
    size_t n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 9; i++)
        n += (size_t)sprintf(text + n, "X-%d: %08000d\r\n", i, i);
    strcpy(text + n, "\r\n");
    assert_non_null(strstr(ask(text), "200 OK"));
    free(text);
    close_engine();
}

static void first_request_comes_with_the_handshake(void **state)
{
    (void)state;
    FOR_EACH_VERSION(i)
    {
        open_engine(run_hello);
        begin(versions[i].version, false);
        while (!SSL_is_init_finished(client.ssl)) {
            SSL_do_handshake(client.ssl);
            if (!SSL_is_init_finished(client.ssl))
                turn();
        }
        assert_non_null(strstr(ask(hello_request), "\r\n\r\nhello"));
        close_engine();
    }
}

static void echoes_large_bodies(void **state)
{
    char head[100];
    (void)state;
    FOR_EACH_VERSION(i)
    {
        open_engine(run_echo);
        connect_client(versions[i].version, false);
        snprintf(head, sizeof(head), "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                 LARGE);
        say(head, strlen(head));
        say(large, LARGE);
        assert_int_equal(settle(), SSL_ERROR_ZERO_RETURN);
        assert_body(large, LARGE);
        close_engine();
    }
}

/* The socket takes some KiB: what it does not is queued in memory, as references and in a file. */
static void slow_readers_get_all(void **state)
{
    static void (*const runs[])(struct request *) = {run_large, run_mixed};
    (void)state;
    for (size_t run = 0; run < 2; run++)
        FOR_EACH_VERSION(i)
        {
            open_engine(runs[run]);
            connect_client(versions[i].version, true);
            say(hello_request, sizeof(hello_request) - 1);
            give();
            served_turn();
            assert_int_equal(conn->activity, ACTIVITY_FLUSH);
            settle();
            assert_body(large, LARGE);
            assert_int_equal(conn->activity, ACTIVITY_IDLE);
            assert_int_equal(served.releases, 0);
            got_size = 0;
            assert_non_null(strstr(ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), "200 OK"));
            close_engine();
        }
}

/* A client with little memory takes no larger records (RFC 6066 §4). */
static void small_records_are_sent_to_who_asks(void **state)
{
    static const uint8_t sizes[] = {TLSEXT_max_fragment_length_512,
                                    TLSEXT_max_fragment_length_4096};
    (void)state;
    for (size_t size = 0; size < 2; size++)
        FOR_EACH_VERSION(i)
        {
            open_engine(run_mixed);
            client = tls_client_create(versions[i].version);
            SSL_CTX_set_tlsext_max_fragment_length(client.context, sizes[size]);
            connect_client(versions[i].version, size == 0);
            say(hello_request, sizeof(hello_request) - 1);
            settle();
            assert_body(large, LARGE);
            assert_int_equal(conn->activity, ACTIVITY_IDLE);
            close_engine();
        }
}

/* A record that waits to leave may hold more than the queue had memory for. */
static void a_queue_without_memory_repeats_nothing(void **state)
{
    (void)state;
    fails_at = 0;
    for (bool failed = true; failed; fails_at++) {
        struct chunked chunked;
        size_t consumed, produced;
        open_engine(run_chunks);
        connect_client(TLS1_3_VERSION, true);
        served.reads_while_waiting = true;
        served.output_size = 0;
        say(hello_request, sizeof(hello_request) - 1);
        give();
        served_turn();
        failed = mem_failed();
        if (served.output_size > 0)
            BIO_write(client.from, served.output, (int)served.output_size);
        settle();
        char *body = strstr(got, "\r\n\r\n") + 4;
        chunked_init(&chunked, 0, 0);
        assert_int_equal(
            chunked_decode(&chunked, body, (size_t)(got + got_size - body), &consumed, &produced),
            CHUNKED_DONE);
        assert_int_equal(produced, CHUNK * CHUNKS);
        assert_memory_equal(body, large, produced);
        close_engine();
    }
    assert_true(fails_at > 3);
}

static void goes_on_after_a_continue(void **state)
{
    (void)state;
    open_engine(run_echo);
    connect_client(TLS1_3_VERSION, false);
    ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_string_equal(got, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_non_null(strstr(ask("hi"), "hi"));
    close_engine();
}

/* After each number of bytes: none is too few to leave something behind. */
static void clients_may_go_at_any_byte(void **state)
{
    (void)state;
    FOR_EACH_VERSION(i)
    {
        bool whole = false;
        for (size_t bytes = 0; !whole; bytes += 3) {
            open_engine(run_hello);
            begin(versions[i].version, false);
            size_t left = bytes;
            SSL_do_handshake(client.ssl);
            for (int turns = 0; turns < 20; turns++) {
                piece = left;
                char *at;
                size_t before = (size_t)BIO_get_mem_data(client.to, &at);
                if (left > 0 && give())
                    left -= before - (size_t)BIO_get_mem_data(client.to, &at);
                served_turn();
                take();
                if (SSL_do_handshake(client.ssl) == 1 && !whole && left > 0)
                    SSL_write(client.ssl, hello_request, sizeof(hello_request) - 1);
                whole = served.runs > 0;
            }
            close(served.client);
            served.client = -1;
            served_turn();
            served_turn();
            assert_false(served_is_open());
            close_engine();
        }
    }
}

static void end_is_said_when_all_was_sent(void **state)
{
    (void)state;
    FOR_EACH_VERSION(i)
    {
        open_engine(run_hello);
        connect_client(versions[i].version, false);
        say("GET / HTTP/1.0\r\n\r\n", 18);
        assert_int_equal(settle(), SSL_ERROR_ZERO_RETURN);
        assert_non_null(strstr(got, "hello"));
        close_engine();

        open_engine(run_hello);
        connect_client(versions[i].version, false);
        served_expire(conn);
        assert_int_equal(settle(), SSL_ERROR_ZERO_RETURN);
        close_engine();
    }
}

static void end_is_not_said_when_an_answer_is_cut(void **state)
{
    (void)state;
    open_engine(run_cut);
    connect_client(TLS1_3_VERSION, false);
    say(hello_request, sizeof(hello_request) - 1);
    assert_int_not_equal(settle(), SSL_ERROR_ZERO_RETURN);
    assert_non_null(strstr(got, "hello"));
    assert_false(served_is_open());
    close_engine();
}

/* A client that says that it sends nothing more still gets its answer. */
static void half_closed_clients_are_answered(void **state)
{
    (void)state;
    FOR_EACH_VERSION(i)
    {
        open_engine(run_hello);
        connect_client(versions[i].version, false);
        say(hello_request, sizeof(hello_request) - 1);
        SSL_shutdown(client.ssl);
        settle();
        served_turn();
        assert_int_equal(served.runs, 1);
        assert_non_null(strstr(got, "hello"));
        assert_false(served_is_open());
        close_engine();

        open_engine(run_hello);
        connect_client(versions[i].version, false);
        say(hello_request, 10);
        SSL_shutdown(client.ssl);
        settle();
        assert_int_equal(served.runs, 0);
        assert_false(served_is_open());
        close_engine();
    }
}

static void broken_records_end_the_connection(void **state)
{
    (void)state;
    open_engine(run_hello);
    connect_client(TLS1_3_VERSION, false);
    assert_int_equal(send(served.client, "\x17\x03\x03\x00\x20", 5, 0), 5);
    assert_int_equal(send(served.client, "0123456789abcdef0123456789abcdef", 32, 0), 32);
    settle();
    assert_false(served_is_open());
    assert_non_null(strstr(served.notes, "TLS with ip= failed: "));
    assert_int_equal(served.engine->metrics->closed[CLOSE_TLS], 1);
    close_engine();
}

/* What was read before it is no reason to wait for more. */
static void a_broken_record_behind_a_good_one(void **state)
{
    char bytes[256];
    (void)state;
    open_engine(run_hello);
    connect_client(TLS1_3_VERSION, false);
    say(hello_request, 10);
    int n = BIO_read(client.to, bytes, sizeof(bytes) - 5);
    assert_true(n > 0);
    memcpy(bytes + n, "\x17\x03\x03\x00\x00", 5);
    assert_int_equal(send(served.client, bytes, (size_t)n + 5, 0), n + 5);
    settle();
    assert_false(served_is_open());
    assert_int_equal(served.engine->metrics->closed[CLOSE_TLS], 1);
    close_engine();
}

/* Answers to them fill the socket, so that nothing of the application's can be taken. */
static void new_keys_for_a_client_that_does_not_read(void **state)
{
    (void)state;
    open_engine(run_hello);
    connect_client(TLS1_3_VERSION, true);
    say(hello_request, sizeof(hello_request) - 1);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(client.ssl), 1);
    }
    while (give() || served_turn())
        ;
    assert_int_equal(served.runs, 1);
    settle();
    assert_body("hello", 5);
    close_engine();
}

static void keys_are_renewed(void **state)
{
    (void)state;
    open_engine(run_hello);
    connect_client(TLS1_3_VERSION, false);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_non_null(strstr(ask(hello_request), "\r\n\r\nhello"));
    }
    close_engine();
}

static void ask_for_keys(int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(SSL_key_update(client.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(client.ssl), 1);
    }
}

static void say_byte_by_byte(size_t n)
{
    for (size_t i = 0; i < n; i++)
        say("x", 1);
}

static void too_many_new_keys_end_the_connection(void **state)
{
    (void)state;
    open_engine(run_hello);
    connect_client(TLS1_3_VERSION, false);
    ask_for_keys(20);
    assert_non_null(strstr(ask(hello_request), "hello"));
    ask_for_keys(500);
    settle();
    assert_false(served_is_open());
    assert_non_null(strstr(served.notes, "failed: too many key updates"));
    assert_int_equal(served.engine->metrics->closed[CLOSE_TLS], 1);
    close_engine();
}

/* Each record of data earns some of a key update. */
static void new_keys_between_data_are_welcome(void **state)
{
    (void)state;
    open_engine(run_echo);
    connect_client(TLS1_3_VERSION, false);
    ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6400\r\n\r\n");
    for (int i = 0; i < 100; i++) {
        say_byte_by_byte(64);
        ask_for_keys(1);
        settle();
    }
    assert_non_null(strstr(got, "xxxxx"));
    assert_true(served_is_open());
    close_engine();
}

/* Other connections are looked at between them. */
static void small_records_come_in_turns(void **state)
{
    (void)state;
    open_engine(run_echo);
    connect_client(TLS1_3_VERSION, false);
    ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n");
    say_byte_by_byte(2000);
    assert_true(give());
    uint64_t before = 0;
    for (int turns = 0; served.runs == 0; turns++) {
        uint64_t stored = conn->request->body.stored;
        assert_true(stored - before <= 300);
        assert_true(turns < TURNS);
        before = stored;
        served_turn();
    }
    settle();
    assert_non_null(strstr(got, "xxxxx"));
    close_engine();
}

int main(void)
{
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)(i * 7 + i / 251 + i / 65521);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_requests),
        cmocka_unit_test(answers_one_byte_at_a_time),
        cmocka_unit_test(answers_what_was_read_ahead),
        cmocka_unit_test(answers_long_heads),
        cmocka_unit_test(first_request_comes_with_the_handshake),
        cmocka_unit_test(echoes_large_bodies),
        cmocka_unit_test(slow_readers_get_all),
        cmocka_unit_test(small_records_are_sent_to_who_asks),
        cmocka_unit_test(a_queue_without_memory_repeats_nothing),
        cmocka_unit_test(goes_on_after_a_continue),
        cmocka_unit_test(clients_may_go_at_any_byte),
        cmocka_unit_test(end_is_said_when_all_was_sent),
        cmocka_unit_test(end_is_not_said_when_an_answer_is_cut),
        cmocka_unit_test(half_closed_clients_are_answered),
        cmocka_unit_test(broken_records_end_the_connection),
        cmocka_unit_test(a_broken_record_behind_a_good_one),
        cmocka_unit_test(keys_are_renewed),
        cmocka_unit_test(new_keys_for_a_client_that_does_not_read),
        cmocka_unit_test(too_many_new_keys_end_the_connection),
        cmocka_unit_test(new_keys_between_data_are_welcome),
        cmocka_unit_test(small_records_come_in_turns),
    };
    return RUN_TLS_TESTS(tests);
}
