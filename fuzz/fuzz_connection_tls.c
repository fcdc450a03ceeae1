/*
 * A connection over TLS through the whole engine: world.h. Most handshakes resume a session that
 * was made at the start. The upper bits of the first byte: TLS 1.2 instead of 1.3; no session, and
 * a certificate that the application chooses; the client's end is said in TLS, the socket stays.
 *
 * A piece of kind 0 is sent as it is, one of kind 1 after new keys were asked for, and the bytes of
 * one of kind 2 go past TLS.
 */
#include "world.h"

#define assert_true(condition) require(condition)
#define assert_int_equal(a, b) require((a) == (b))
#define assert_non_null(pointer) require((pointer) != NULL)

#include "../tests/unit/tls_client.h"

#include "net/tls/tls.h"

#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SETTING_TLS12 = 32, SETTING_NO_SESSION = 64, SETTING_END_IN_TLS = 128 };
enum { SEND_PLAIN, SEND_NEW_KEYS, SEND_PAST_TLS };
enum { VERSIONS = 2, RECORD_MAX = 18 * 1024 };

static struct tls_client clients[VERSIONS]; /* TLS 1.3, 1.2 */
static SSL_SESSION *sessions[VERSIONS];
static struct tls_context *contexts[2]; /* the second one asks for the client's name */
static SSL_CTX *other_context;          /* with the certificate that is chosen then */

static struct tls_client *client; /* of the present input */
static bool end_in_tls;

/* What the client has to send leaves; false when the socket does not take all of it. */
static bool flush(int fd)
{
    char *data, gone[RECORD_MAX];
    for (long n; (n = BIO_get_mem_data(client->to, &data)) > 0;) {
        size_t most = (size_t)n < sizeof(gone) ? (size_t)n : sizeof(gone);
        ssize_t sent = send(fd, data, most, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        require(BIO_read(client->to, gone, (int)sent) == sent);
    }
    return true;
}

/* Lets TLS have up to n bytes that came; false when there are none. */
static bool take(int fd, size_t n)
{
    char data[RECORD_MAX];
    ssize_t got = recv(fd, data, n < sizeof(data) ? n : sizeof(data), MSG_DONTWAIT);
    if (got > 0)
        require(BIO_write(client->from, data, (int)got) == got);
    if (got == 0 && world.half_closed) /* nothing is to come from either side */
        shutdown(fd, SHUT_WR);
    return got > 0;
}

/* A second time TLS 1.2 would have to begin anew, which the server refuses. */
static void ask_for_new_keys(void)
{
    if (!SSL_is_init_finished(client->ssl))
        return;
    if (SSL_version(client->ssl) == TLS1_3_VERSION) {
        SSL_key_update(client->ssl, SSL_KEY_UPDATE_REQUESTED);
        return;
    }
    world.may_be_cut = true;
    SSL_renegotiate(client->ssl);
}

static ssize_t tls_client_send(int fd, unsigned kind, const void *data, size_t n)
{
    if (kind == SEND_PAST_TLS) {
        world.may_be_cut = true;
        return send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    ERR_clear_error();
    if (kind == SEND_NEW_KEYS)
        ask_for_new_keys();
    if (!SSL_is_init_finished(client->ssl))
        take(fd, RECORD_MAX);
    if (!flush(fd))
        return -1;
    int written = SSL_write(client->ssl, data, (int)n);
    flush(fd);
    return written;
}

static ssize_t tls_client_recv(int fd, void *data, size_t n)
{
    ERR_clear_error();
    do {
        int got = SSL_read(client->ssl, data, (int)n);
        flush(fd);
        if (got > 0)
            return got;
        if (SSL_get_error(client->ssl, got) == SSL_ERROR_ZERO_RETURN)
            world.said_end = true;
        ERR_clear_error();
    } while (take(fd, n));
    return -1;
}

static void tls_client_end(int fd)
{
    bool whole = flush(fd);
    if (whole && SSL_is_init_finished(client->ssl)) {
        SSL_shutdown(client->ssl);
        ERR_clear_error();
        whole = flush(fd);
    }
    if (!whole)
        world.may_be_cut = true;
    if (!whole || !end_in_tls || !(SSL_get_shutdown(client->ssl) & SSL_SENT_SHUTDOWN))
        shutdown(fd, SHUT_WR);
}

static const struct wire wire = {
    .send = tls_client_send,
    .recv = tls_client_recv,
    .end = tls_client_end,
};

/* The server's side */

/* Not in each turn: the handshake has to be put off and found again. */
static bool can_ask(void *app)
{
    (void)app;
    return world.turns % 3 == 0;
}

static int ask(void *app, struct tls *tls, const char *name)
{
    (void)app;
    (void)name; /* an input may make up a hello of its own */
    require(tls_set_context(tls, other_context) == 0);
    return 0;
}

static void make_contexts(void)
{
    static const struct tls_names names = {can_ask, ask};
    static const struct tls_context_options plain, naming = {.names = &names};
    char error[200];
    require(tls_load(NULL, 0, error, sizeof(error)));
    struct identity identity = identity_create("server", 30);
    struct identity other = identity_create("a.example", 30);
    SSL_CTX *server = identity_context(TLS_server_method(), &identity);
    SSL_CTX *asking = identity_context(TLS_server_method(), &identity);
    other_context = identity_context(TLS_server_method(), &other);
    SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_OFF); /* what grows is a leak */
    SSL_CTX_set_session_cache_mode(asking, SSL_SESS_CACHE_OFF);
    contexts[0] = tls_context_create(server, &plain);
    contexts[1] = tls_context_create(asking, &naming);
    require(contexts[0] && contexts[1]);
    SSL_CTX_free(server);
    SSL_CTX_free(asking);
    identity_free(&identity);
    identity_free(&other);
}

static void begin(bool with_session, size_t version)
{
    SSL_SESSION *session = with_session ? SSL_SESSION_dup(sessions[version]) : NULL;
    client = &clients[version];
    tls_client_begin(client, false);
    if (with_session)
        require(session && SSL_set_session(client->ssl, session));
    else
        require(SSL_set_tlsext_host_name(client->ssl, "a.example"));
    SSL_SESSION_free(session);
}

static void end(void)
{
    SSL_free(client->ssl);
    client->ssl = NULL;
}

/* The tickets that come with a first connection. */
static void make_session(size_t i, int version)
{
    static const char input[] = "\0\0\x1aGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    clients[i] = tls_client_create(version);
    begin(false, i);
    world_run(&wire, contexts[0], (const uint8_t *)input, sizeof(input) - 1);
    end();
    require(tls_client_session != NULL);
    sessions[i] = SSL_SESSION_dup(tls_client_session);
    SSL_CTX_sess_set_new_cb(clients[i].context, NULL);
    SSL_CTX_set_session_cache_mode(clients[i].context, SSL_SESS_CACHE_OFF);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    world_init();
    make_contexts();
    make_session(0, TLS1_3_VERSION);
    make_session(1, TLS1_2_VERSION);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 2)
        return 0;
    bool with_session = !(input[0] & SETTING_NO_SESSION);
    end_in_tls = (input[0] & SETTING_END_IN_TLS) != 0;
    begin(with_session, input[0] & SETTING_TLS12 ? 1 : 0);
    world_run(&wire, contexts[with_session ? 0 : 1], input, size);
    end();
    return 0;
}
