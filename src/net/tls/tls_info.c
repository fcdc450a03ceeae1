#include "net/tls/tls_private.h"

#include "base/mem.h"

#include <string.h>

const char *tls_version(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    const char *version = openssl.SSL_get_version(tls->ssl);
    pthread_mutex_unlock(&tls->lock);
    return version;
}

static struct tls_cipher describe(const SSL_CIPHER *cipher)
{
    return (struct tls_cipher){
        .name = openssl.SSL_CIPHER_get_name(cipher),
        .version = openssl.SSL_CIPHER_get_version(cipher),
        .bits = openssl.SSL_CIPHER_get_bits(cipher, NULL),
    };
}

struct tls_cipher tls_cipher(struct tls *tls)
{
    struct tls_cipher out = {0};
    pthread_mutex_lock(&tls->lock);
    const SSL_CIPHER *cipher = openssl.SSL_get_current_cipher(tls->ssl);
    if (cipher)
        out = describe(cipher);
    pthread_mutex_unlock(&tls->lock);
    return out;
}

static int size_of(const OPENSSL_STACK *stack)
{
    return stack ? openssl.OPENSSL_sk_num(stack) : 0;
}

static bool has(const OPENSSL_STACK *stack, const void *item)
{
    for (int i = 0; i < size_of(stack); i++)
        if (openssl.OPENSSL_sk_value(stack, i) == item)
            return true;
    return false;
}

bool tls_shared_cipher(struct tls *tls, unsigned index, struct tls_cipher *out)
{
    bool found = false;
    pthread_mutex_lock(&tls->lock);
    const OPENSSL_STACK *ours = (const OPENSSL_STACK *)openssl.SSL_get_ciphers(tls->ssl);
    const OPENSSL_STACK *theirs = (const OPENSSL_STACK *)openssl.SSL_get_client_ciphers(tls->ssl);
    for (int i = 0; !found && i < size_of(ours); i++) {
        const SSL_CIPHER *cipher = openssl.OPENSSL_sk_value(ours, i);
        found = has(theirs, cipher) && index-- == 0;
        if (found)
            *out = describe(cipher);
    }
    pthread_mutex_unlock(&tls->lock);
    return found;
}

int tls_pending(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    int n = openssl.SSL_pending(tls->ssl);
    pthread_mutex_unlock(&tls->lock);
    return n;
}

/* The first message Finished: the client's, or ours when a session was resumed. */
size_t tls_binding(struct tls *tls, char out[TLS_BINDING_MAX])
{
    pthread_mutex_lock(&tls->lock);
    size_t size = openssl.SSL_session_reused(tls->ssl)
                      ? openssl.SSL_get_finished(tls->ssl, out, TLS_BINDING_MAX)
                      : openssl.SSL_get_peer_finished(tls->ssl, out, TLS_BINDING_MAX);
    pthread_mutex_unlock(&tls->lock);
    return size < TLS_BINDING_MAX ? size : TLS_BINDING_MAX;
}

struct tls_session tls_session(struct tls *tls)
{
    struct tls_session out = {.id_size = 0};
    unsigned size = 0;
    pthread_mutex_lock(&tls->lock);
    const SSL_SESSION *session = openssl.SSL_get_session(tls->ssl);
    if (session) {
        const unsigned char *id = openssl.SSL_SESSION_get_id(session, &size);
        out.id_size = size < TLS_SESSION_ID_MAX ? size : TLS_SESSION_ID_MAX;
        memcpy(out.id, id, out.id_size);
        out.time = openssl.SSL_SESSION_get_time(session);
        out.timeout = openssl.SSL_SESSION_get_timeout(session);
        out.lifetime_hint = openssl.SSL_SESSION_get_ticket_lifetime_hint(session);
        out.has_ticket = openssl.SSL_SESSION_has_ticket(session);
    }
    pthread_mutex_unlock(&tls->lock);
    return out;
}

bool tls_resumed(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    bool resumed = openssl.SSL_session_reused(tls->ssl);
    pthread_mutex_unlock(&tls->lock);
    return resumed;
}

const char *tls_server_name(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    const char *name = openssl.SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    pthread_mutex_unlock(&tls->lock);
    return name;
}

const char *tls_protocol(struct tls *tls, size_t *size)
{
    const unsigned char *name = NULL;
    unsigned int n = 0;
    pthread_mutex_lock(&tls->lock);
    openssl.SSL_get0_alpn_selected(tls->ssl, &name, &n);
    pthread_mutex_unlock(&tls->lock);
    *size = n;
    return (const char *)name;
}

static int encode(X509 *certificate, char **der, size_t *size)
{
    int n = openssl.i2d_X509(certificate, NULL);
    unsigned char *out = n > 0 ? mem_alloc((size_t)n) : NULL;
    if (!out)
        return -1;
    *der = (char *)out;
    *size = (size_t)n;
    openssl.i2d_X509(certificate, &out);
    return 1;
}

static int encode_own(SSL *ssl, char **der, size_t *size)
{
    X509 *certificate = openssl.SSL_get1_peer_certificate(ssl);
    if (!certificate)
        return 0;
    int result = encode(certificate, der, size);
    openssl.X509_free(certificate);
    return result;
}

static int encode_of(const OPENSSL_STACK *chain, unsigned index, char **der, size_t *size)
{
    if (index >= (unsigned)size_of(chain))
        return 0;
    return encode(openssl.OPENSSL_sk_value(chain, (int)index), der, size);
}

/* A server's list of the client's certificates is without the client's own one. */
static int encode_issuer(SSL *ssl, unsigned index, char **der, size_t *size)
{
    return encode_of((const OPENSSL_STACK *)openssl.SSL_get_peer_cert_chain(ssl), index, der, size);
}

int tls_peer_certificate(struct tls *tls, unsigned index, char **der, size_t *size)
{
    pthread_mutex_lock(&tls->lock);
    int result = index == 0 ? encode_own(tls->ssl, der, size)
                            : encode_issuer(tls->ssl, index - 1, der, size);
    pthread_mutex_unlock(&tls->lock);
    return result;
}

int tls_verified_certificate(struct tls *tls, unsigned index, char **der, size_t *size)
{
    pthread_mutex_lock(&tls->lock);
    const OPENSSL_STACK *chain = (const OPENSSL_STACK *)openssl.SSL_get0_verified_chain(tls->ssl);
    int result = encode_of(chain, index, der, size);
    pthread_mutex_unlock(&tls->lock);
    return result;
}
