#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/tls/openssl.h"
#include "tls_served.h"

/* Handshakes: what is agreed upon, with whom, and by which context. */

/* Sessions */

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

/* What is no handshake */

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

static void plain_http_without_memory(void **state)
{
    enum { ALL = 64 << 20 };
    (void)state;
    open_engine(run_hello);
    conn = served_connect(false);
    served.engine->budget.memory_max = ALL;
    budget_force(&served.engine->budget, ALL);
    assert_string_equal(served_ask(hello_request), "");
    assert_false(served_is_open());
    assert_int_equal(served.engine->metrics->closed[CLOSE_TLS], 1);
    budget_give(&served.engine->budget, ALL);
    close_engine();
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
    served_expire(conn);
    assert_false(served_is_open());
    assert_int_equal(served.engine->metrics->closed[CLOSE_HEADER_TIMEOUT], 1);
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

/* The client's first flight once more, each byte in a record of its own. */
static void cut_into_records(void)
{
    char *at, record[] = {0x16, 3, 1, 0, 1, 0};
    long n = BIO_get_mem_data(client.to, &at);
    char *hello = malloc((size_t)n);
    assert_int_equal(BIO_read(client.to, hello, (int)n), n);
    for (long i = 0, end = 0; i < n; i++) {
        if (i == end) { /* the head of a record */
            end = i + 5 + ((unsigned char)hello[i + 3] << 8 | (unsigned char)hello[i + 4]);
            i += 5;
        }
        record[5] = hello[i];
        BIO_write(client.to, record, sizeof(record));
    }
    free(hello);
}

/* OpenSSL takes them; other clients have their turn meanwhile. */
static void a_hello_of_many_records_comes_in_turns(void **state)
{
    unsigned char protocols[20 * 1000];
    int paused = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(protocols); i++)
        protocols[i] = i % 200 == 0 ? 199 : 'x';
    open_engine(run_hello);
    begin(TLS1_3_VERSION, false);
    assert_int_equal(SSL_set_alpn_protos(client.ssl, protocols, sizeof(protocols)), 0);
    SSL_do_handshake(client.ssl);
    cut_into_records();
    while (give())
        ;
    for (int turns = 0; !SSL_is_init_finished(client.ssl); turns++) {
        turn();
        paused += tls_paused(conn->tls);
        SSL_do_handshake(client.ssl);
        assert_true(turns < TURNS);
    }
    assert_true(paused > 0);
    assert_non_null(strstr(ask(hello_request), "hello"));
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
    static const struct tls_names names = {can_ask, ask_name, NULL};
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
    served_expire(conn);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_are_resumed),
        cmocka_unit_test(tickets_are_shared),
        cmocka_unit_test(plain_http_is_told),
        cmocka_unit_test(plain_http_without_memory),
        cmocka_unit_test(what_is_no_tls_is_refused),
        cmocka_unit_test(stalled_handshakes_time_out),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(a_hello_of_many_records_comes_in_turns),
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
    return RUN_TLS_TESTS(tests);
}
