#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/openssl.h"
#include "net/tls.h"
#include "served.h"
#include "tls_client.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* TLS through the whole engine: the client is OpenSSL's own, in the same thread. */

enum { LARGE = 5 * 1000 * 1000, ITEM = 300 * 1000, TURNS = 50 * 1000 };

static struct identity server_identity, other_identity, client_identity;
static SSL_CTX *server;
static struct tls_client client;
static struct conn *conn;
static const char *backend; /* of the loop */
static size_t piece;        /* bytes of the client that arrive at a time */

static char large[LARGE];
static char *got; /* what the client has read */
static size_t got_size;

/* The application */

static bool was_https;

static void run_hello(struct request *request)
{
    bool kept;
    was_https = request->head.https;
    response_start(request, "200 OK", 6);
    response_field(request, STR("Content-Length"), STR("5"));
    response_write(request, "hello", 5, NULL, &kept, true);
    response_finish(request);
}

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

static void run_cut(struct request *request)
{
    bool kept;
    response_start(request, "200 OK", 6);
    response_field(request, STR("Content-Length"), STR("100"));
    response_write(request, "hello", 5, NULL, &kept, false);
    response_finish(request);
}

/* The client's side */

/* What the server has sent; false when there is nothing. */
static bool take(void)
{
    char bytes[64 * 1024];
    ssize_t n = -1;
    bool moved = false;
    while (served.client >= 0 &&
           (n = recv(served.client, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        assert_int_equal(BIO_write(client.from, bytes, (int)n), n);
        moved = true;
    }
    if (n == 0)
        BIO_set_mem_eof_return(client.from, 0);
    return moved;
}

/* One piece of what the client wants to send; false when there is nothing. */
static bool give(void)
{
    char bytes[64 * 1024];
    size_t most = piece && piece < sizeof(bytes) ? piece : sizeof(bytes);
    char *at;
    long there = BIO_get_mem_data(client.to, &at);
    if (there <= 0 || served.client < 0)
        return false;
    ssize_t sent =
        send(served.client, at, (size_t)there < most ? (size_t)there : most, MSG_NOSIGNAL);
    if (sent > 0)
        assert_int_equal(BIO_read(client.to, bytes, (int)sent), sent);
    return sent > 0;
}

static bool turn(void)
{
    bool moved = give();
    moved |= served_turn();
    moved |= take();
    return moved;
}

/* Reads all that is there. The result of the read that gave nothing: an SSL_ERROR_… */
static int read_all(void)
{
    int n;
    while ((n = SSL_read(client.ssl, got + got_size, 64 * 1024)) > 0)
        got_size += (size_t)n;
    got[got_size] = '\0';
    return SSL_get_error(client.ssl, n);
}

/* Turns until nothing moves any more. */
static int settle(void)
{
    int error = SSL_ERROR_NONE;
    for (int quiet = 0, turns = 0; quiet < 4; turns++) {
        size_t before = got_size;
        bool moved = turn();
        error = read_all();
        quiet = moved || got_size > before ? 0 : quiet + 1;
        assert_true(turns < TURNS);
    }
    return error;
}

static void say(const char *data, size_t n)
{
    while (n > 0) {
        int some = SSL_write(client.ssl, data, n > ITEM ? ITEM : (int)n);
        assert_true(some > 0);
        data += some;
        n -= (size_t)some;
    }
}

static const char *ask(const char *text)
{
    got_size = 0;
    say(text, strlen(text));
    settle();
    return got;
}

static void open_engine(void (*run)(struct request *request))
{
    static const struct tls_context_options plain_options;
    struct engine_options options = served_options();
    options.debug = true;
    options.loop = backend;
    served_open(&options, run);
    served.reads_while_waiting = false;
    served.tls = tls_context_create(server, &plain_options);
    got = malloc(LARGE + 1000 * 1000);
    got_size = 0;
    piece = 0;
}

/* The last use is the test's. */
static void close_engine(void)
{
    struct tls_context *context = served.tls;
    served_close();
    if (context) {
        assert_true(tls_context_drop(context));
        tls_context_destroy(context);
    }
    tls_client_free(&client);
    client = (struct tls_client){0};
    free(got);
}

static void begin(int version, bool small)
{
    if (!client.context)
        client = tls_client_create(version);
    tls_client_begin(&client, false);
    conn = served_connect(small);
}

static void shake_hands(void)
{
    for (int turns = 0; !SSL_is_init_finished(client.ssl); turns++) {
        int result = SSL_do_handshake(client.ssl);
        if (result != 1)
            assert_int_equal(SSL_get_error(client.ssl, result), SSL_ERROR_WANT_READ);
        turn();
        assert_true(turns < TURNS);
    }
    settle();
}

static void connect_client(int version, bool small)
{
    begin(version, small);
    shake_hands();
}

static const struct {
    int version;
    const char *name;
} versions[] = {{TLS1_2_VERSION, "TLSv1.2"}, {TLS1_3_VERSION, "TLSv1.3"}};

#define FOR_EACH_VERSION(i) for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)

static const char hello_request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

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
        assert_int_equal(conn->state, CONN_IDLE);
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
            assert_int_equal(conn->state, CONN_FLUSH);
            settle();
            assert_body(large, LARGE);
            assert_int_equal(conn->state, CONN_IDLE);
            assert_int_equal(served.releases, 0);
            got_size = 0;
            assert_non_null(strstr(ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), "200 OK"));
            close_engine();
        }
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

static void resume(struct tls_client *again, bool expected)
{
    tls_client_begin(again, true);
    conn = served_connect(false);
    shake_hands();
    assert_int_equal(SSL_session_reused(again->ssl), expected);
    assert_int_equal(tls_resumed(conn->tls), expected);
    assert_non_null(strstr(ask(hello_request), "\r\n\r\nhello"));
}

static void sessions_are_resumed(void **state)
{
    (void)state;
    FOR_EACH_VERSION(i)
    {
        open_engine(run_hello);
        connect_client(versions[i].version, false);
        ask(hello_request);
        resume(&client, true);
        resume(&client, true);
        assert_int_equal(served.engine->metrics->handshakes_resumed, 2);
        close_engine();
    }
}

/* As two workers have it: the ticket of the one is good for the other. */
static void tickets_are_shared(void **state)
{
    static const struct tls_context_options options;
    char keys[256];
    (void)state;
    FOR_EACH_VERSION(i)
    {
        SSL_CTX *sibling = identity_context(TLS_server_method(), &server_identity);
        SSL_CTX_set_session_id_context(sibling, (const unsigned char *)"test", 4);
        size_t size = tls_ticket_keys_size(server);
        assert_true(size > 0 && size <= sizeof(keys));
        memset(keys, 'k', sizeof(keys));
        assert_int_equal(tls_set_ticket_keys(server, keys, size), 0);
        assert_int_equal(tls_set_ticket_keys(sibling, keys, size - 1), -1);
        assert_int_equal(tls_set_ticket_keys(sibling, keys, size), 0);
        open_engine(run_hello);
        connect_client(versions[i].version, false);
        ask(hello_request);
        struct tls_client kept = client;
        struct tls_context *before = served.tls;
        served_close();
        assert_true(tls_context_drop(before));
        tls_context_destroy(before);
        free(got);
        open_engine(run_hello);
        assert_true(tls_context_drop(served.tls));
        tls_context_destroy(served.tls);
        served.tls = tls_context_create(sibling, &options);
        client = kept;
        resume(&client, true);
        close_engine();
        SSL_CTX_free(sibling);
    }
}

static void plain_http_is_told(void **state)
{
    static const char *const requests[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "OPTIONS * HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        open_engine(run_hello);
        conn = served_connect(false);
        assert_int_equal(conn->state, CONN_HANDSHAKE);
        const char *answer = served_ask(requests[i]);
        assert_non_null(strstr(answer, "HTTP/1.1 400 Bad Request\r\n"));
        assert_non_null(strstr(answer, "https://"));
        assert_non_null(strstr(served.notes, "Plain HTTP"));
        assert_int_equal(conn->state, CONN_LINGER);
        assert_int_equal(served.runs, 0);
        assert_int_equal(served.engine->metrics->handshakes_failed, 1);
        close_engine();
    }
}

static void what_is_no_tls_is_refused(void **state)
{
    (void)state;
    open_engine(run_hello);
    conn = served_connect(false);
    served_send("\x16\x03\x01\x00\x05junk!", 10);
    served_answer();
    assert_int_equal(served.output[0], 0x15); /* an alert */
    assert_non_null(strstr(served.notes, "TLS handshake with ip= failed: "));
    assert_int_equal(conn->state, CONN_LINGER);
    close(served.client);
    served.client = -1;
    served_turn();
    assert_false(served_is_open());
    assert_int_equal(served.engine->metrics->closed[CLOSE_TLS], 1);
    close_engine();
}

static void expire(void)
{
    assert_true(engine_lead(served.engine));
    conn_expired(served.engine, conn);
    engine_yield(served.engine);
}

static void stalled_handshakes_time_out(void **state)
{
    (void)state;
    open_engine(run_hello);
    begin(TLS1_3_VERSION, false);
    assert_true(conn->timer.deadline > 0);
    assert_true(conn->timer.deadline <= conn->since_ms + 60 * 1000);
    uint64_t deadline = conn->timer.deadline;
    SSL_do_handshake(client.ssl);
    piece = 20;
    turn();
    turn();
    assert_int_equal(conn->timer.deadline, deadline); /* bytes do not move it */
    assert_int_equal(conn->state, CONN_HANDSHAKE);
    expire();
    assert_false(served_is_open());
    assert_int_equal(served.engine->metrics->closed[CLOSE_HEADER_TIMEOUT], 1);
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
        expire();
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

static void renegotiation_is_refused(void **state)
{
    (void)state;
    open_engine(run_hello);
    connect_client(TLS1_2_VERSION, false);
    ask(hello_request);
    SSL_renegotiate(client.ssl);
    SSL_do_handshake(client.ssl);
    settle();
    SSL_do_handshake(client.ssl);
    settle();
    assert_int_equal(served.engine->metrics->handshakes, 1);
    close_engine();
}

/* Answers to them fill the socket, so that nothing of the application's can be taken. */
static void new_keys_for_a_client_that_does_not_read(void **state)
{
    (void)state;
    open_engine(run_hello);
    connect_client(TLS1_3_VERSION, true);
    say(hello_request, sizeof(hello_request) - 1);
    for (int i = 0; i < 400; i++) {
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

/* The server's name */

static struct {
    bool may;
    int alert, asked;
    SSL_CTX *context;
    char name[64];
} naming;

static bool can_ask(void *app)
{
    assert_ptr_equal(app, &naming);
    return naming.may;
}

static int ask_name(void *app, struct tls *tls, const char *name)
{
    assert_ptr_equal(app, &naming);
    assert_true(naming.may);
    naming.asked++;
    snprintf(naming.name, sizeof(naming.name), "%s", name ? name : "(none)");
    if (naming.context)
        assert_int_equal(tls_set_context(tls, naming.context), 0);
    return naming.alert;
}

static void open_named(void)
{
    static const struct tls_names names = {can_ask, ask_name};
    struct tls_context_options options = {.names = &names, .app = &naming};
    open_engine(run_hello);
    assert_true(tls_context_drop(served.tls));
    tls_context_destroy(served.tls);
    served.tls = tls_context_create(server, &options);
    naming.may = true;
    naming.alert = naming.asked = 0;
    naming.context = NULL;
}

static void application_chooses_by_name(void **state)
{
    (void)state;
    FOR_EACH_VERSION(i)
    {
        SSL_CTX *other = identity_context(TLS_server_method(), &other_identity);
        open_named();
        naming.context = other;
        begin(versions[i].version, false);
        SSL_set_tlsext_host_name(client.ssl, "other.example");
        shake_hands();
        assert_int_equal(naming.asked, 1);
        assert_string_equal(naming.name, "other.example");
        assert_string_equal(tls_server_name(conn->tls), "other.example");
        X509 *shown = SSL_get1_peer_certificate(client.ssl);
        assert_int_equal(X509_cmp(shown, other_identity.certificate), 0);
        X509_free(shown);
        close_engine();
        SSL_CTX_free(other);
    }
}

static void application_refuses_a_name(void **state)
{
    (void)state;
    open_named();
    naming.alert = SSL_AD_UNRECOGNIZED_NAME;
    begin(TLS1_3_VERSION, false);
    SSL_do_handshake(client.ssl);
    turn();
    assert_int_equal(SSL_do_handshake(client.ssl), -1);
    assert_int_equal(SSL_get_error(client.ssl, -1), SSL_ERROR_SSL);
    assert_string_equal(naming.name, "(none)");
    close_engine();
}

/* Another hello is asked for when the client's first guess of a group is none of ours. */
static void a_second_hello_asks_nobody(void **state)
{
    (void)state;
    SSL_CTX *other = identity_context(TLS_server_method(), &other_identity);
    open_named();
    naming.context = other;
    SSL_CTX_set1_groups_list(server, "P-384");
    SSL_CTX_set1_groups_list(other, "P-384");
    client = tls_client_create(TLS1_3_VERSION);
    SSL_CTX_set1_groups_list(client.context, "P-256:P-384");
    connect_client(TLS1_3_VERSION, false);
    assert_int_equal(naming.asked, 1);
    assert_non_null(strstr(ask(hello_request), "\r\n\r\nhello"));
    close_engine();
    SSL_CTX_free(other);
    SSL_CTX_set1_groups_list(server, "X25519:P-256:P-384");
}

static void handshakes_wait_for_a_thread_that_may_ask(void **state)
{
    (void)state;
    FOR_EACH_VERSION(i)
    {
        open_named();
        naming.may = false;
        begin(versions[i].version, false);
        SSL_do_handshake(client.ssl);
        for (int turns = 0; turns < 5; turns++)
            turn();
        assert_int_equal(naming.asked, 0);
        assert_int_equal(conn->state, CONN_HANDSHAKE);
        assert_false(list_empty(&served.engine->unnamed));
        naming.may = true;
        shake_hands();
        assert_int_equal(naming.asked, 1);
        assert_non_null(strstr(ask(hello_request), "\r\n\r\nhello"));
        close_engine();
    }
}

static void waiting_handshakes_may_end(void **state)
{
    (void)state;
    open_named();
    naming.may = false;
    begin(TLS1_3_VERSION, false);
    SSL_do_handshake(client.ssl);
    turn();
    expire();
    naming.may = true;
    turn();
    assert_false(served_is_open());

    naming.may = false;
    tls_client_begin(&client, false);
    conn = served_connect(false);
    SSL_do_handshake(client.ssl);
    turn();
    close_engine(); /* with one that waits */
}

/* Certificates of clients */

static void demand_certificates(int mode)
{
    X509_STORE_add_cert(SSL_CTX_get_cert_store(server), client_identity.certificate);
    SSL_CTX_set_verify(server, mode, NULL);
}

static void client_certificates_are_shown(void **state)
{
    (void)state;
    demand_certificates(SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    FOR_EACH_VERSION(i)
    {
        char *der = NULL, *issuer;
        size_t size = 0;
        unsigned char *expected = NULL;
        open_engine(run_hello);
        client = tls_client_create(versions[i].version);
        SSL_CTX_use_certificate(client.context, client_identity.certificate);
        SSL_CTX_use_PrivateKey(client.context, client_identity.key);
        connect_client(versions[i].version, false);
        assert_int_equal(tls_peer_certificate(conn->tls, 0, &der, &size), 1);
        assert_int_equal(size, i2d_X509(client_identity.certificate, &expected));
        assert_memory_equal(der, expected, size);
        assert_int_equal(tls_peer_certificate(conn->tls, 1, &issuer, &size), 0);
        assert_int_equal(tls_verify_result(conn->tls), X509_V_OK);
        mem_free(der);
        OPENSSL_free(expected);
        mem_fail_after(0);
        assert_int_equal(tls_peer_certificate(conn->tls, 0, &der, &size), -1);
        mem_fail_never();
        close_engine();
    }
    SSL_CTX_set_verify(server, SSL_VERIFY_NONE, NULL);
}

static void a_missing_certificate_is_refused(void **state)
{
    (void)state;
    demand_certificates(SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    open_engine(run_hello);
    begin(TLS1_3_VERSION, false);
    while (SSL_do_handshake(client.ssl) != 1)
        turn();
    say(hello_request, sizeof(hello_request) - 1);
    assert_int_equal(settle(), SSL_ERROR_SSL); /* the alert is not lost in a reset */
    assert_non_null(strstr(served.notes, "peer did not return a certificate"));
    assert_int_equal(served.runs, 0);
    close_engine();
    SSL_CTX_set_verify(server, SSL_VERIFY_NONE, NULL);
}

static void an_unknown_certificate_is_refused(void **state)
{
    (void)state;
    demand_certificates(SSL_VERIFY_PEER);
    open_engine(run_hello);
    client = tls_client_create(TLS1_3_VERSION);
    SSL_CTX_use_certificate(client.context, other_identity.certificate);
    SSL_CTX_use_PrivateKey(client.context, other_identity.key);
    begin(TLS1_3_VERSION, false);
    while (SSL_do_handshake(client.ssl) != 1)
        turn();
    assert_int_equal(settle(), SSL_ERROR_SSL);
    assert_non_null(strstr(served.notes, "self-signed certificate"));
    close_engine();
    SSL_CTX_set_verify(server, SSL_VERIFY_NONE, NULL);
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *size,
                           const unsigned char *in, unsigned int in_size, void *arg)
{
    (void)ssl;
    (void)arg;
    unsigned char *chosen;
    int result =
        SSL_select_next_proto(&chosen, size, (const unsigned char *)"\x08http/1.1", 9, in, in_size);
    *out = chosen;
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void what_was_agreed_is_told(void **state)
{
    size_t size;
    (void)state;
    open_engine(run_hello);
    SSL_CTX_set_alpn_select_cb(server, choose_protocol, NULL);
    begin(TLS1_3_VERSION, false);
    SSL_set_alpn_protos(client.ssl, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    shake_hands();
    struct tls_cipher cipher = tls_cipher(conn->tls);
    assert_string_equal(cipher.name, SSL_get_cipher_name(client.ssl));
    assert_string_equal(cipher.version, "TLSv1.3");
    assert_true(cipher.bits == 128 || cipher.bits == 256);
    const char *protocol = tls_protocol(conn->tls, &size);
    assert_int_equal(size, 8);
    assert_memory_equal(protocol, "http/1.1", 8);
    assert_null(tls_server_name(conn->tls));
    assert_int_equal(tls_verify_result(conn->tls), X509_V_OK);
    assert_string_equal(tls_verify_text(conn->tls), "ok");

    tls_client_begin(&client, false);
    conn = served_connect(false);
    shake_hands();
    assert_null(tls_protocol(conn->tls, &size));
    close_engine();
    SSL_CTX_set_alpn_select_cb(server, NULL, NULL);
}

/* Contexts */

static void new_connections_use_the_new_context(void **state)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct engine_options options = served_options();
    struct tls_context_options tls_options = {.ref = &served};
    (void)state;
    memset(&served, 0, sizeof(served));
    assert_int_equal(listen(fd, 1) < 0 && bind(fd, &(struct sockaddr){.sa_family = AF_UNIX}, 2), 0);
    served.output = malloc(SERVED_OUTPUT_MAX);
    served.engine = engine_create(&options, &served_ops, NULL, &fd, 1);
    assert_non_null(served.engine);
    struct listener *listener = &served.engine->listeners[0];
    assert_null(engine_use_tls(served.engine, listener));
    struct tls_context *first = tls_context_create(server, &tls_options);
    engine_set_tls(served.engine, 0, first);
    assert_ptr_equal(engine_use_tls(served.engine, listener), first);
    engine_set_tls(served.engine, 0, tls_context_create(server, &tls_options));
    engine_collect(served.engine);
    assert_int_equal(served.releases, 0); /* a connection has the first one still */
    engine_drop_tls(served.engine, first);
    engine_collect(served.engine);
    assert_int_equal(served.releases, 1);
    engine_destroy(served.engine);
    assert_int_equal(served.releases, 2);
    free(served.output);
    close(fd);
}

static void no_memory_is_no_crash(void **state)
{
    (void)state;
    for (long allowed = 0; allowed < 6; allowed++) {
        open_engine(run_hello);
        client = tls_client_create(TLS1_3_VERSION);
        tls_client_begin(&client, false);
        mem_fail_after(allowed);
        conn = served_connect(false);
        SSL_do_handshake(client.ssl);
        for (int i = 0; i < 4; i++) {
            turn();
            if (SSL_do_handshake(client.ssl) == 1 && i == 2)
                SSL_write(client.ssl, hello_request, sizeof(hello_request) - 1);
        }
        mem_fail_never();
        close_engine();
    }
}

static SSL *no_ssl(SSL_CTX *context)
{
    (void)context;
    return NULL;
}

static int no_data(SSL *ssl, int index, void *data)
{
    (void)ssl, (void)index, (void)data;
    return 0;
}

static BIO *no_bio(const BIO_METHOD *method)
{
    (void)method;
    return NULL;
}

static BIO *no_socket(int fd, int close_it)
{
    (void)fd, (void)close_it;
    return NULL;
}

/* What was made before it failed is freed, as AddressSanitizer sees. */
static void openssl_without_memory_is_no_crash(void **state)
{
    const struct openssl real = openssl;
    (void)state;
    for (int i = 0; i < 4; i++) {
        open_engine(run_hello);
        client = tls_client_create(TLS1_3_VERSION);
        if (i == 0)
            openssl.SSL_new = no_ssl;
        else if (i == 1)
            openssl.SSL_set_ex_data = no_data;
        else if (i == 2)
            openssl.BIO_new = no_bio;
        else
            openssl.BIO_new_socket = no_socket;
        assert_null(served_connect(false));
        openssl = real;
        assert_int_equal(served.engine->connections, 0);
        close_engine();
    }
}

static int set_up(void **state)
{
    char error[200];
    (void)state;
    assert_true(tls_load(NULL, error, sizeof(error)));
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)(i * 7 + i / 251 + i / 65521);
    server_identity = identity_create("server.example", 30);
    other_identity = identity_create("other.example", 30);
    client_identity = identity_create("client.example", 30);
    server = identity_context(TLS_server_method(), &server_identity);
    SSL_CTX_set_session_id_context(server, (const unsigned char *)"test", 4);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    SSL_CTX_free(server);
    identity_free(&server_identity);
    identity_free(&other_identity);
    identity_free(&client_identity);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_requests),
        cmocka_unit_test(answers_one_byte_at_a_time),
        cmocka_unit_test(answers_what_was_read_ahead),
        cmocka_unit_test(answers_long_heads),
        cmocka_unit_test(first_request_comes_with_the_handshake),
        cmocka_unit_test(echoes_large_bodies),
        cmocka_unit_test(slow_readers_get_all),
        cmocka_unit_test(goes_on_after_a_continue),
        cmocka_unit_test(sessions_are_resumed),
        cmocka_unit_test(tickets_are_shared),
        cmocka_unit_test(plain_http_is_told),
        cmocka_unit_test(what_is_no_tls_is_refused),
        cmocka_unit_test(stalled_handshakes_time_out),
        cmocka_unit_test(clients_may_go_at_any_byte),
        cmocka_unit_test(end_is_said_when_all_was_sent),
        cmocka_unit_test(end_is_not_said_when_an_answer_is_cut),
        cmocka_unit_test(half_closed_clients_are_answered),
        cmocka_unit_test(broken_records_end_the_connection),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(keys_are_renewed),
        cmocka_unit_test(new_keys_for_a_client_that_does_not_read),
        cmocka_unit_test(application_chooses_by_name),
        cmocka_unit_test(application_refuses_a_name),
        cmocka_unit_test(a_second_hello_asks_nobody),
        cmocka_unit_test(handshakes_wait_for_a_thread_that_may_ask),
        cmocka_unit_test(waiting_handshakes_may_end),
        cmocka_unit_test(client_certificates_are_shown),
        cmocka_unit_test(a_missing_certificate_is_refused),
        cmocka_unit_test(an_unknown_certificate_is_refused),
        cmocka_unit_test(what_was_agreed_is_told),
        cmocka_unit_test(new_connections_use_the_new_context),
        cmocka_unit_test(no_memory_is_no_crash),
        cmocka_unit_test(openssl_without_memory_is_no_crash),
    };
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    backend = "poll";
    return failed + cmocka_run_group_tests(tests, set_up, tear_down);
}
