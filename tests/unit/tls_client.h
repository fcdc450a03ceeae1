#ifndef TESTS_UNIT_TLS_CLIENT_H
#define TESTS_UNIT_TLS_CLIENT_H

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <stdbool.h>
#include <string.h>

/*
 * Certificates made for the test, and a client of TLS that has no socket: what it wants to send is
 * taken from it in pieces of any size, and what has come is given to it.
 */

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static inline struct identity identity_create(const char *name, long days)
{
    struct identity identity = {EVP_EC_gen("P-256"), X509_new()};
    X509_NAME *subject = X509_NAME_new();
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_version(identity.certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(identity.certificate), 7);
    X509_gmtime_adj(X509_getm_notBefore(identity.certificate), -24 * 3600);
    X509_gmtime_adj(X509_getm_notAfter(identity.certificate), days * 24 * 3600);
    X509_set_subject_name(identity.certificate, subject);
    X509_set_issuer_name(identity.certificate, subject);
    X509_set_pubkey(identity.certificate, identity.key);
    assert_true(X509_sign(identity.certificate, identity.key, EVP_sha256()) > 0);
    X509_NAME_free(subject);
    return identity;
}

static inline void identity_free(struct identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
}

static inline SSL_CTX *identity_context(const SSL_METHOD *method, const struct identity *identity)
{
    SSL_CTX *context = SSL_CTX_new(method);
    assert_non_null(context);
    if (identity) {
        assert_int_equal(SSL_CTX_use_certificate(context, identity->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(context, identity->key), 1);
    }
    return context;
}

struct tls_client {
    SSL_CTX *context;
    SSL *ssl;
    BIO *from, *to; /* the server: what it sent, what it shall get */
    SSL_SESSION *session;
};

/* As little state as can be: SSL_CTX_sess_set_new_cb() has no other place for it. */
static SSL_SESSION *tls_client_session;

static inline int tls_client_keep(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(tls_client_session);
    tls_client_session = session;
    return 1;
}

static inline struct tls_client tls_client_create(int version)
{
    struct tls_client client = {.context = identity_context(TLS_client_method(), NULL)};
    SSL_CTX_set_min_proto_version(client.context, version);
    SSL_CTX_set_max_proto_version(client.context, version);
    SSL_CTX_set_session_cache_mode(client.context, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(client.context, tls_client_keep);
    return client;
}

/* A new connection of the same client; `again`: by the session of an earlier one. */
static inline void tls_client_begin(struct tls_client *client, bool again)
{
    if (client->ssl) /* or its session is forgotten */
        SSL_set_shutdown(client->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(client->ssl);
    client->ssl = SSL_new(client->context);
    client->from = BIO_new(BIO_s_mem());
    client->to = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(client->from, -1);
    SSL_set_bio(client->ssl, client->from, client->to);
    SSL_set_connect_state(client->ssl);
    if (again) {
        assert_non_null(tls_client_session);
        assert_int_equal(SSL_set_session(client->ssl, tls_client_session), 1);
    }
}

static inline void tls_client_free(struct tls_client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    SSL_SESSION_free(tls_client_session);
    tls_client_session = NULL;
}

#endif
