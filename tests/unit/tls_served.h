#ifndef TESTS_UNIT_TLS_SERVED_H
#define TESTS_UNIT_TLS_SERVED_H

#include "net/tls/tls.h"
#include "served.h"
#include "tls_client.h"

/*
 * TLS through the whole engine: the client is OpenSSL's own, in the same thread. Whoever tests
 * lets bytes go to and fro by turns, as many at a time as it likes.
 */

enum { GOT_MAX = 6 * 1000 * 1000, ITEM = 300 * 1000, TURNS = 50 * 1000 };

static struct identity server_identity, other_identity, client_identity;
static SSL_CTX *server;
static struct tls_client client;
static struct conn *conn;
static const char *backend; /* of the loop */
static size_t piece;        /* bytes of the client that arrive at a time */

static char *got; /* what the client has read */
static size_t got_size;

/* The application, mostly */

static bool was_https;

static inline void run_hello(struct request *request)
{
    bool kept;
    was_https = request->head.https;
    response_start(request, "200 OK", 6);
    response_field(request, STR("Content-Length"), STR("5"));
    response_write(request, "hello", 5, NULL, &kept, true);
    response_finish(request);
}

/* The client's side */

/* What the server has sent; false when there is nothing. */
static inline bool take(void)
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
static inline bool give(void)
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

static inline bool turn(void)
{
    bool moved = give();
    moved |= served_turn();
    moved |= take();
    return moved;
}

/* Reads all that is there. The result of the read that gave nothing: an SSL_ERROR_… */
static inline int read_all(void)
{
    int n;
    while ((n = SSL_read(client.ssl, got + got_size, 64 * 1024)) > 0)
        got_size += (size_t)n;
    got[got_size] = '\0';
    return SSL_get_error(client.ssl, n);
}

/* Turns until nothing moves any more. */
static inline int settle(void)
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

static inline void say(const char *data, size_t n)
{
    while (n > 0) {
        int some = SSL_write(client.ssl, data, n > ITEM ? ITEM : (int)n);
        assert_true(some > 0);
        data += some;
        n -= (size_t)some;
    }
}

static inline const char *ask(const char *text)
{
    got_size = 0;
    say(text, strlen(text));
    settle();
    return got;
}

/* The server's side */

static inline void open_engine(void (*run)(struct request *request))
{
    static const struct tls_context_options plain_options;
    struct engine_options options = served_options();
    options.debug = true;
    options.loop = backend;
    served_open(&options, run);
    served.reads_while_waiting = false;
    served.tls = tls_context_create(server, &plain_options);
    got = malloc(GOT_MAX);
    got_size = 0;
    piece = 0;
}

/* The last use is the test's. */
static inline void close_engine(void)
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

static inline void begin(int version, bool small)
{
    if (!client.context)
        client = tls_client_create(version);
    tls_client_begin(&client, false);
    conn = served_connect(small);
}

static inline void shake_hands(void)
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

static inline void connect_client(int version, bool small)
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

static inline int set_up(void **state)
{
    char error[200];
    (void)state;
    assert_true(tls_load(NULL, 0, error, sizeof(error)));
    server_identity = identity_create("server.example", 30);
    other_identity = identity_create("other.example", 30);
    client_identity = identity_create("client.example", 30);
    server = identity_context(TLS_server_method(), &server_identity);
    SSL_CTX_set_session_id_context(server, (const unsigned char *)"test", 4);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    SSL_CTX_free(server);
    identity_free(&server_identity);
    identity_free(&other_identity);
    identity_free(&client_identity);
    return 0;
}

/* With each backend of the loop. */
#define RUN_TLS_TESTS(tests)                                                                       \
    (cmocka_run_group_tests(tests, set_up, tear_down) +                                            \
     (backend = "poll", cmocka_run_group_tests(tests, set_up, tear_down)))

#endif
