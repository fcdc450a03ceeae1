#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/tls/tls.h"
#include "serve/engine/host.h"
#include "threaded.h"
#include "tls_client.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>

/* Threads that serve by TLS, the stand-by, and clients in threads of their own: a connection is
 * read by the application's thread while the leader sends, contexts are replaced under way. */

enum {
    THREADS = 3,
    CLIENTS = 4,
    ROUNDS = 25,
    LARGE = 3 * 1000 * 1000,
    RECORD = 16 * 1024,
    STREAMED = 64 * 1024, /* what is larger is read from the socket by the application */
};

static struct {
    struct engine *engine;
    int listener, file;
    struct sockaddr_in address;
    pthread_t threads[THREADS];
    atomic_int released;
} world;

static char large[LARGE];
static struct identity identity;
static SSL_CTX *server;

/* The application: what comes is sent back, while it comes; else a file is sent. */

static void send_file(struct request *request)
{
    char text[24];
    int size = snprintf(text, sizeof(text), "%d", LARGE);
    response_start(request, "200 OK", 6);
    response_field(request, STR("Content-Length"), (struct str){text, (size_t)size});
    if (response_file(request, world.file, 0, LARGE) == RESPONSE_OK)
        response_finish(request);
}

static enum run_result run(void *app, struct request *request)
{
    char bytes[20 * 1000];
    bool kept;
    ssize_t n;
    (void)app;
    require(strcmp(tls_version(request->conn->tls), "TLSv1.3") == 0);
    if (request->head.framing == HEAD_NO_BODY) {
        send_file(request);
        return RUN_DONE;
    }
    response_start(request, "200 OK", 6);
    while ((n = body_read(request, bytes, sizeof(bytes))) > 0)
        response_write(request, bytes, (size_t)n, NULL, &kept, false);
    if (n == 0)
        response_finish(request);
    return RUN_DONE;
}

static void release(void *app, void *ref)
{
    (void)app;
    require(ref == &world);
    atomic_fetch_add(&world.released, 1);
}

static const struct app_ops ops = {
    .run = run,
    .attach = threaded_app_nothing,
    .detach = threaded_app_nothing,
    .interrupted = served_app_interrupted,
    .note = threaded_app_note,
    .wait = threaded_app_wait,
    .release = release,
};

/* Names are asked by the threads of the host alone, as if the stand-by could not run Python. */

static _Thread_local bool is_host;

static bool can_ask(void *app)
{
    (void)app;
    return is_host;
}

static int ask(void *app, struct tls *tls, const char *name)
{
    (void)tls;
    (void)app;
    require(strcmp(name, "server.example") == 0);
    return 0;
}

static struct tls_context *create_context(void)
{
    static const struct tls_names names = {can_ask, ask, NULL};
    struct tls_context_options options = {.names = &names, .ref = &world, .ktls = true};
    return tls_context_create(server, &options);
}

/* The server */

static void *serve(void *argument)
{
    is_host = true;
    host_run(world.engine, argument);
    return NULL;
}

static void open_server(const char *backend)
{
    struct engine_options options = threaded_options(THREADS, backend);
    memset(&world, 0, sizeof(world));
    world.listener = threaded_listen(&world.address);
    setsockopt(world.listener, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    world.file = memfd_create("large", MFD_CLOEXEC);
    assert_int_equal(write(world.file, large, LARGE), LARGE);
    world.engine = engine_create(&options, &ops, NULL, &world.listener, 1);
    require(world.engine);
    world.engine->options.stream_body = STREAMED;
    engine_set_tls(world.engine, 0, create_context());
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_create(&world.threads[i], NULL, serve, i == 0 ? &world : NULL);
}

static void close_server(int contexts)
{
    engine_stop(world.engine);
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(world.threads[i], NULL);
    engine_destroy(world.engine);
    close(world.listener);
    close(world.file);
    require(atomic_load(&world.released) == contexts);
}

/* The clients */

struct peer_of_server {
    int fd;
    SSL *ssl;
};

static struct peer_of_server connect_client(SSL_CTX *context)
{
    struct peer_of_server peer = {.fd = threaded_connect(&world.address)};
    peer.ssl = SSL_new(context);
    SSL_set_tlsext_host_name(peer.ssl, "server.example");
    SSL_set_fd(peer.ssl, peer.fd);
    require(SSL_connect(peer.ssl) == 1);
    return peer;
}

static void disconnect(struct peer_of_server *peer)
{
    SSL_shutdown(peer->ssl);
    SSL_free(peer->ssl);
    close(peer->fd);
}

static SSL_CTX *client_context(void)
{
    SSL_CTX *context = identity_context(TLS_client_method(), NULL);
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    return context;
}

static size_t write_some(struct peer_of_server *peer, size_t at)
{
    size_t n = LARGE - at < RECORD ? LARGE - at : RECORD, done;
    int result = SSL_write_ex(peer->ssl, large + at, n, &done);
    require(result == 1 || SSL_get_error(peer->ssl, result) == SSL_ERROR_WANT_WRITE);
    return result == 1 ? done : 0;
}

static size_t read_some(struct peer_of_server *peer, char *out, bool *ended)
{
    size_t n;
    int result = SSL_read_ex(peer->ssl, out, RECORD, &n);
    int error = SSL_get_error(peer->ssl, result);
    require(result == 1 || error == SSL_ERROR_WANT_READ || error == SSL_ERROR_ZERO_RETURN);
    *ended = error == SSL_ERROR_ZERO_RETURN;
    return result == 1 ? n : 0;
}

/* Sends all it can, reads seldom: the server has to queue, and to send on while it still reads. */
static void *stream(void *argument)
{
    SSL_CTX *context = client_context();
    struct peer_of_server peer = connect_client(context);
    char head[128], *got = malloc(LARGE * 2);
    size_t sent = 0, have = 0;
    bool ended = false;
    (void)argument;
    int size = snprintf(head, sizeof(head), "POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n", LARGE);
    require(SSL_write(peer.ssl, head, size) == size);
    SSL_set_mode(peer.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    fcntl(peer.fd, F_SETFL, O_NONBLOCK);
    for (int turn = 0; !ended; turn++) {
        struct pollfd poller = {.fd = peer.fd, .events = POLLIN};
        poller.events |= sent < LARGE ? POLLOUT : 0;
        require(poll(&poller, 1, SOON_MS) > 0);
        if ((poller.revents & POLLOUT) && turn % 3 != 0)
            sent += write_some(&peer, sent);
        else if (poller.revents & POLLIN)
            have += read_some(&peer, got + have, &ended);
    }
    char *body = memmem(got, have, "\r\n\r\n", 4);
    require(body);
    body += 4;
    require(got + have - body == LARGE);
    require(memcmp(body, large, LARGE) == 0);
    disconnect(&peer);
    SSL_CTX_free(context);
    free(got);
    return NULL;
}

static void *ask_again_and_again(void *argument)
{
    static const char request[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nping";
    SSL_CTX *context = client_context();
    char got[1024];
    (void)argument;
    for (int round = 0; round < ROUNDS; round++) {
        struct peer_of_server peer = connect_client(context);
        for (int i = 0; i < 3; i++) {
            int n = 0;
            require(SSL_write(peer.ssl, request, sizeof(request) - 1) > 0);
            do {
                int some = SSL_read(peer.ssl, got + n, (int)sizeof(got) - n - 1);
                require(some > 0);
                n += some;
                got[n] = '\0';
            } while (!strstr(got, "\r\n0\r\n\r\n"));
            require(strstr(got, "\r\nping\r\n"));
        }
        disconnect(&peer);
    }
    SSL_CTX_free(context);
    return NULL;
}

static void *fetch_files(void *argument)
{
    SSL_CTX *context = client_context();
    struct peer_of_server peer = connect_client(context);
    char *got = malloc(LARGE + 1024);
    (void)argument;
    for (int round = 0; round < 5; round++) {
        static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        size_t have = 0, n;
        char *body = NULL;
        require(SSL_write(peer.ssl, request, sizeof(request) - 1) > 0);
        do {
            require(SSL_read_ex(peer.ssl, got + have, LARGE + 1024 - have, &n) == 1);
            have += n;
            body = memmem(got, have, "\r\n\r\n", 4);
        } while (!body || got + have - body - 4 < LARGE);
        require(memcmp(body + 4, large, LARGE) == 0);
    }
    disconnect(&peer);
    SSL_CTX_free(context);
    free(got);
    return NULL;
}

static void run_clients(void *(*client)(void *argument))
{
    pthread_t threads[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&threads[i], NULL, client, NULL);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
}

/* Tests */

static void bodies_stream_both_ways(void **state)
{
    open_server(*state);
    run_clients(stream);
    close_server(1);
}

static void many_connections_shake_hands(void **state)
{
    open_server(*state);
    run_clients(ask_again_and_again);
    assert_int_equal(world.engine->metrics->handshakes, CLIENTS * ROUNDS);
    close_server(1);
}

static void files_are_sent(void **state)
{
    open_server(*state);
    run_clients(fetch_files);
    close_server(1);
}

static atomic_bool done;

static void *replace_contexts(void *argument)
{
    int *count = argument;
    while (!atomic_load(&done)) {
        engine_set_tls(world.engine, 0, create_context());
        ++*count;
        usleep(1000);
    }
    return NULL;
}

static void contexts_are_replaced_under_load(void **state)
{
    pthread_t thread;
    int count = 1;
    open_server(*state);
    atomic_store(&done, false);
    pthread_create(&thread, NULL, replace_contexts, &count);
    run_clients(ask_again_and_again);
    atomic_store(&done, true);
    pthread_join(thread, NULL);
    close_server(count);
}

static int set_up(void **state)
{
    char error[200];
    (void)state;
    assert_false(tls_load(NULL, 1, error, sizeof(error))); /* another version than ssl's */
    assert_non_null(strstr(error, "where ssl has 0x1"));
    assert_true(tls_load(NULL, 0, error, sizeof(error)));
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)(i * 7 + i / 251 + i / 65521);
    identity = identity_create("server.example", 30);
    server = identity_context(TLS_server_method(), &identity);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    SSL_CTX_free(server);
    identity_free(&identity);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(bodies_stream_both_ways, NULL),
        cmocka_unit_test_prestate(bodies_stream_both_ways, "poll"),
        cmocka_unit_test_prestate(files_are_sent, NULL),
        cmocka_unit_test_prestate(files_are_sent, "poll"),
        cmocka_unit_test_prestate(many_connections_shake_hands, NULL),
        cmocka_unit_test_prestate(many_connections_shake_hands, "poll"),
        cmocka_unit_test_prestate(contexts_are_replaced_under_load, NULL),
        cmocka_unit_test_prestate(contexts_are_replaced_under_load, "poll"),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
