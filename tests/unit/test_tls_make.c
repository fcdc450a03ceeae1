#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "net/tls/tls.h"
#include "tls_client.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <unistd.h>

/* A context of our own, made of commands. */

static char folder[] = "/tmp/test_tls_make.XXXXXX";
static char certificate_file[64], key_file[64], locked_file[64];
static struct identity identity;

static FILE *create(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    return file;
}

static int set_up(void **state)
{
    char error[256];
    (void)state;
    assert_true(tls_load(NULL, 0, error, sizeof(error)));
    assert_non_null(mkdtemp(folder));
    identity = identity_create("made.test", 2);
    FILE *file = create(certificate_file, sizeof(certificate_file), "cert.pem");
    assert_int_equal(PEM_write_X509(file, identity.certificate), 1);
    fclose(file);
    file = create(key_file, sizeof(key_file), "key.pem");
    assert_int_equal(PEM_write_PrivateKey(file, identity.key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    file = create(locked_file, sizeof(locked_file), "locked.pem");
    assert_int_equal(PEM_write_PrivateKey(file, identity.key, EVP_aes_128_cbc(),
                                          (const unsigned char *)"secret", 6, NULL, NULL),
                     1);
    fclose(file);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(certificate_file);
    unlink(key_file);
    unlink(locked_file);
    rmdir(folder);
    identity_free(&identity);
    return 0;
}

static struct tls_made *make(const struct tls_command *commands, size_t count, char error[256])
{
    struct tls_recipe recipe = {
        .commands = commands,
        .command_count = count,
        .options = SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET,
        .verify_flags = X509_V_FLAG_X509_STRICT,
        .protocols = "\x02h2\x08http/1.1",
        .protocols_size = 12,
    };
    return tls_make(&recipe, error, 256);
}

/* Moves what one side of a handshake has written to the other. */
static void carry(SSL *from, SSL *to)
{
    char bytes[16384];
    int n = BIO_read(SSL_get_wbio(from), bytes, sizeof(bytes));
    if (n > 0)
        assert_int_equal(BIO_write(SSL_get_rbio(to), bytes, n), n);
}

static SSL *with_memory(SSL_CTX *context)
{
    SSL *ssl = SSL_new(context);
    assert_non_null(ssl);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    return ssl;
}

/* The protocol that the server has chosen, "" for none. */
static void shake_hands(SSL_CTX *made, const char *offered, char chosen[16])
{
    const unsigned char *name;
    unsigned size;
    SSL_CTX *context = identity_context(TLS_client_method(), NULL);
    SSL *server = with_memory(made), *client = with_memory(context);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    SSL_set_alpn_protos(client, (const unsigned char *)offered, (unsigned)strlen(offered));
    for (int i = 0; i < 10 && !(SSL_is_init_finished(server) && SSL_is_init_finished(client));
         i++) {
        SSL_do_handshake(client);
        carry(client, server);
        SSL_do_handshake(server);
        carry(server, client);
    }
    assert_true(SSL_is_init_finished(server) && SSL_is_init_finished(client));
    X509 *sent = SSL_get1_peer_certificate(client);
    assert_int_equal(X509_cmp(sent, identity.certificate), 0);
    X509_free(sent);
    SSL_get0_alpn_selected(client, &name, &size);
    snprintf(chosen, 16, "%.*s", (int)size, (const char *)name);
    SSL_free(server);
    SSL_free(client);
    SSL_CTX_free(context);
}

static void a_context_serves(void **state)
{
    const struct tls_command commands[] = {
        {"Certificate", certificate_file}, {"PrivateKey", key_file},
        {"MinProtocol", "TLSv1.2"},        {"LoadVerifyFile", certificate_file},
        {"LoadVerifyDirectory", folder},
    };
    char error[256] = "", chosen[16];
    (void)state;
    struct tls_made *made = make(commands, 5, error);
    assert_string_equal(error, "");
    assert_non_null(made);
    SSL_CTX *context = tls_made_context(made);
    assert_int_equal(tls_options(context), SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    assert_int_equal(X509_VERIFY_PARAM_get_flags(SSL_CTX_get0_param(context)),
                     X509_V_FLAG_X509_STRICT);
    assert_int_equal(SSL_CTX_get_min_proto_version(context), TLS1_2_VERSION);
    shake_hands(context, "\x08http/1.1\x02h2", chosen);
    assert_string_equal(chosen, "h2"); /* the server's order */
    shake_hands(context, "\x08http/1.0", chosen);
    assert_string_equal(chosen, "");
    tls_unmake(made);
}

static void a_password_opens_the_keys_after_it(void **state)
{
    const struct tls_command right[] = {
        {"Certificate", certificate_file}, {"Password", "secret"}, {"PrivateKey", locked_file}};
    const struct tls_command wrong[] = {
        {"Certificate", certificate_file}, {"Password", "guess"}, {"PrivateKey", locked_file}};
    const struct tls_command none[] = {{"Certificate", certificate_file},
                                       {"PrivateKey", locked_file}};
    char error[256], chosen[16];
    (void)state;
    struct tls_made *made = make(right, 3, error);
    assert_non_null(made);
    shake_hands(tls_made_context(made), "\x02h2", chosen);
    tls_unmake(made);
    assert_null(make(wrong, 3, error));
    assert_memory_equal(error, "PrivateKey: ", 12);
    assert_null(make(none, 2, error)); /* and no question at the terminal */
    assert_memory_equal(error, "PrivateKey: ", 12);
}

static void a_refused_command_is_named(void **state)
{
    const struct tls_command bad[] = {
        {"CipherString", "NONE-SUCH"},
        {"Certificate", "/nonexistent/cert.pem"},
        {"NoSuchCommand", "1"},
        {"LoadVerifyFile", "/nonexistent/ca.pem"},
    };
    char error[256];
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(make(&bad[i], 1, error));
        assert_memory_equal(error, bad[i].name, strlen(bad[i].name));
        assert_int_equal(ERR_peek_error(), 0);
    }
}

static void protocols_have_a_limit(void **state)
{
    static const char many[TLS_PROTOCOLS_MAX + 1] = {1, 'x'};
    struct tls_recipe recipe = {.protocols = many, .protocols_size = sizeof(many)};
    char error[256];
    (void)state;
    assert_null(tls_make(&recipe, error, sizeof(error)));
    assert_memory_equal(error, "protocols of ALPN", 17);
}

static void no_memory(void **state)
{
    char error[256];
    (void)state;
    mem_fail_after(0);
    assert_null(make(NULL, 0, error));
    mem_fail_never();
    assert_string_equal(error, "no memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_context_serves),
        cmocka_unit_test(a_password_opens_the_keys_after_it),
        cmocka_unit_test(a_refused_command_is_named),
        cmocka_unit_test(protocols_have_a_limit),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
