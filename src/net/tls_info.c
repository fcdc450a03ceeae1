#include "net/tls_private.h"

#include "base/mem.h"

const char *tls_version(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    const char *version = openssl.SSL_get_version(tls->ssl);
    pthread_mutex_unlock(&tls->lock);
    return version;
}

struct tls_cipher tls_cipher(struct tls *tls)
{
    struct tls_cipher out = {0};
    pthread_mutex_lock(&tls->lock);
    const SSL_CIPHER *cipher = openssl.SSL_get_current_cipher(tls->ssl);
    if (cipher)
        out = (struct tls_cipher){
            .name = openssl.SSL_CIPHER_get_name(cipher),
            .version = openssl.SSL_CIPHER_get_version(cipher),
            .bits = openssl.SSL_CIPHER_get_bits(cipher, NULL),
        };
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

/* A server's list of what the client sent is without the client's own certificate. */
static int encode_issuer(SSL *ssl, unsigned index, char **der, size_t *size)
{
    const OPENSSL_STACK *chain = (const OPENSSL_STACK *)openssl.SSL_get_peer_cert_chain(ssl);
    if (!chain || index >= (unsigned)openssl.OPENSSL_sk_num(chain))
        return 0;
    return encode(openssl.OPENSSL_sk_value(chain, (int)index), der, size);
}

int tls_peer_certificate(struct tls *tls, unsigned index, char **der, size_t *size)
{
    pthread_mutex_lock(&tls->lock);
    int result = index == 0 ? encode_own(tls->ssl, der, size)
                            : encode_issuer(tls->ssl, index - 1, der, size);
    pthread_mutex_unlock(&tls->lock);
    return result;
}
