/*
 * The engine with no Python: answers "Hello" to a request without a body and the body to one that
 * has any. Serves on loopback until SIGTERM or SIGINT:
 *
 *     echo [--later | --websocket] [--http2] [--threads N] [--loop NAME]
 *          [--certificates FILE --key FILE] [PORT]
 *
 * --later: see echo_later.h. --websocket: see echo_websocket.h. --http2: by prior knowledge, or
 * offered by ALPN. The files are PEM; with them it speaks TLS.
 */
#include "base/mem.h"
#include "demo/echo_later.h"
#include "demo/echo_websocket.h"
#include "net/tls/tls.h"
#include "serve/conn/http1.h"
#include "serve/conn/http2.h"
#include "serve/engine/host.h"
#include "serve/request/response.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct engine *engine;
static int signal_pipe[2];

static void add_length(struct request *request, uint64_t n)
{
    char text[24];
    int size = snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    response_field(request, STR("Content-Length"), (struct str){text, (size_t)size});
}

static void echo_body(struct request *request)
{
    char piece[64 * 1024];
    bool kept;
    ssize_t n;
    if (request->body.complete)
        add_length(request, request->body.stored);
    while ((n = body_read(request, piece, sizeof(piece))) > 0)
        if (response_write(request, piece, (size_t)n, NULL, &kept, false) != RESPONSE_OK)
            return;
    if (n == 0)
        response_finish(request);
}

static enum run_result run(void *app, struct request *request)
{
    static const char hello[] = "Hello, World!\n";
    bool kept;
    (void)app;
    response_start(request, "200 OK", 6);
    response_field(request, STR("Content-Type"), STR("text/plain"));
    if (request->head.framing != HEAD_NO_BODY) {
        echo_body(request);
        return RUN_DONE;
    }
    add_length(request, sizeof(hello) - 1);
    response_write(request, hello, sizeof(hello) - 1, NULL, &kept, true);
    response_finish(request);
    return RUN_DONE;
}

static void nothing(void *app)
{
    (void)app;
}

/* The only signals that are caught end the server. */
static bool interrupted(void *app)
{
    (void)app;
    return false;
}

static void note(void *app, enum note_level level, const char *text)
{
    (void)app;
    fprintf(stderr, "[%d] %s\n", (int)level, text);
}

static int wait_for(void *app, int fd, short events, int timeout_ms)
{
    (void)app;
    return socket_wait(fd, events, timeout_ms);
}

static void no_release(void *app, void *ref)
{
    (void)app;
    (void)ref;
}

static struct app_ops ops = {
    .run = run,
    .attach = nothing,
    .detach = nothing,
    .interrupted = interrupted,
    .note = note,
    .wait = wait_for,
    .release = no_release,
};

static void *thread_main(void *argument)
{
    (void)argument;
    host_run(engine, false);
    return NULL;
}

static void stop(int signal_number)
{
    (void)signal_number;
    (void)!write(signal_pipe[1], "", 1);
}

static int listen_on(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 2048) < 0) {
        fprintf(stderr, "echo: port %u: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *size,
                           const unsigned char *offered, unsigned offered_size, void *argument)
{
    static const unsigned char own[] = "\2h2\10http/1.1";
    (void)ssl;
    (void)argument;
    int result = SSL_select_next_proto((unsigned char **)(uintptr_t)out, size, own, sizeof(own) - 1,
                                       offered, offered_size);
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void speak_tls(const char *certificates, const char *key, bool http2)
{
    struct tls_context_options options = {.ktls = true};
    char error[256];
    SSL_CTX *ssl_ctx = SSL_CTX_new(TLS_server_method());
    if (!ssl_ctx || SSL_CTX_use_certificate_chain_file(ssl_ctx, certificates) != 1 ||
        SSL_CTX_use_PrivateKey_file(ssl_ctx, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "echo: %s, %s: no certificate and its key\n", certificates, key);
        exit(1);
    }
    if (!tls_load(NULL, 0, error, sizeof(error))) {
        fprintf(stderr, "echo: %s\n", error);
        exit(1);
    }
    if (http2)
        SSL_CTX_set_alpn_select_cb(ssl_ctx, choose_protocol, NULL);
    engine_set_tls(engine, 0, tls_context_create(ssl_ctx, &options));
    SSL_CTX_free(ssl_ctx);
}

struct arguments {
    bool later, websocket, http2;
    uint32_t threads;
    const char *loop, *certificates, *key;
    uint16_t port;
};

static struct arguments read_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"later", no_argument, NULL, 'l'},      {"websocket", no_argument, NULL, 'w'},
        {"http2", no_argument, NULL, '2'},      {"threads", required_argument, NULL, 't'},
        {"loop", required_argument, NULL, 'b'}, {"certificates", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},  {0},
    };
    struct arguments arguments = {.threads = 1, .port = 8000};
    for (int name; (name = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        if (name == 'l')
            arguments.later = true;
        else if (name == 'w')
            arguments.websocket = true;
        else if (name == '2')
            arguments.http2 = true;
        else if (name == 't')
            arguments.threads = (uint32_t)atoi(optarg);
        else if (name == 'b')
            arguments.loop = optarg;
        else if (name == 'c')
            arguments.certificates = optarg;
        else if (name == 'k')
            arguments.key = optarg;
        else
            exit(2);
    }
    if (optind < argc)
        arguments.port = (uint16_t)atoi(argv[optind]);
    return arguments;
}

/* Until a signal ends it. */
static void serve(uint32_t threads)
{
    pthread_t *others = mem_alloc(sizeof(*others) * threads);
    uint32_t started = 1;
    while (others && started < threads &&
           pthread_create(&others[started], NULL, thread_main, NULL) == 0)
        started++;
    host_run(engine, true);
    for (uint32_t i = 1; i < started; i++)
        pthread_join(others[i], NULL);
    mem_free(others);
}

int main(int argc, char **argv)
{
    static const struct forwarded forwarded;
    static const struct trust trust;
    static const struct protocol *const protocols[] = {&http2_protocol, &http1_protocol, NULL};
    struct arguments arguments = read_arguments(argc, argv);
    int listener = listen_on(arguments.port);
    struct engine_options options = {
        .limits = {.request_line = 4094, .fields = 100, .field_size = 8190},
        .forwarded = &forwarded,
        .trust = &trust,
        .keepalive_ms = 2000,
        .header_timeout_ms = 60 * 1000,
        .send_timeout_ms = 60 * 1000,
        .worker_connections = 20000,
        .threads = arguments.threads,
        .standby = true,
        .loop = arguments.loop,
        .at_head = arguments.later,
        .websocket_message_max = 16 * 1024 * 1024,
    };
    if (arguments.http2 && arguments.certificates)
        options.alpn = protocols;
    else if (arguments.http2)
        options.protocol = &http2_protocol;
    if (arguments.later) {
        ops.run = later_run;
        ops.events = later_events;
    } else if (arguments.websocket) {
        ops.run = websocket_run;
        ops.events = websocket_events;
    }
    engine = engine_create(&options, &ops, NULL, &listener, 1);
    if (!engine || pipe2(signal_pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
        engine_watch_signals(engine, signal_pipe[0]) < 0) {
        perror("echo");
        return 1;
    }
    if (arguments.later && !later_open(engine)) {
        perror("echo");
        return 1;
    }
    if (arguments.certificates && arguments.key)
        speak_tls(arguments.certificates, arguments.key, arguments.http2);
    signal(SIGPIPE, SIG_IGN); /* sendfile() */
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    serve(arguments.threads);
    if (arguments.later)
        later_close();
    engine_destroy(engine);
    close(signal_pipe[0]);
    close(signal_pipe[1]);
    close(listener);
    return 0;
}
