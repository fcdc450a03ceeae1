#include "net/tls/tls_private.h"

#include "base/mem.h"

/* NULL for a connection that is none of ours, but of the same SSL_CTX. */
static struct tls *connection_of(const SSL *ssl)
{
    return openssl.SSL_get_ex_data(ssl, tls_process.connection_key);
}

/* Called again when the client has to say hello a second time. */
static int ask_application(SSL *ssl, int *alert, void *unused)
{
    (void)unused;
    struct tls *tls = connection_of(ssl);
    const struct tls_context_options *options = tls ? &tls->context->options : NULL;
    if (!tls || tls->asked || !options->names || !options->names->ask)
        return SSL_TLSEXT_ERR_OK;
    tls->asked = true;
    const char *name = openssl.SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    *alert = options->names->ask(options->app, tls, name);
    return *alert ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_OK;
}

static int wait_for_thread(SSL *ssl, int *alert, void *unused)
{
    (void)alert;
    (void)unused;
    struct tls *tls = connection_of(ssl);
    return !tls || tls_can_ask(tls) ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_RETRY;
}

static unsigned find_key(SSL *ssl, const char *identity, unsigned char *key, unsigned size)
{
    struct tls *tls = connection_of(ssl);
    const struct tls_context_options *options = tls ? &tls->context->options : NULL;
    if (!tls || !identity || !options->names || !options->names->find_key)
        return 0;
    return options->names->find_key(options->app, identity, key, size);
}

void tls_context_hook(SSL_CTX *ssl_ctx)
{
    openssl.SSL_CTX_set_keylog_callback(ssl_ctx, NULL);
    openssl.SSL_CTX_set_msg_callback(ssl_ctx, NULL);
    openssl.SSL_CTX_callback_ctrl(ssl_ctx, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                                  (void (*)(void))ask_application);
    openssl.SSL_CTX_set_client_hello_cb(ssl_ctx, wait_for_thread, NULL);
}

struct tls_context *tls_context_create(SSL_CTX *ssl_ctx, const struct tls_context_options *options)
{
    struct tls_context *context = mem_alloc(sizeof(*context));
    if (!context)
        return NULL;
    *context = (struct tls_context){.ssl_ctx = ssl_ctx, .options = *options, .uses = 1};
    openssl.SSL_CTX_up_ref(ssl_ctx);
    tls_context_hook(ssl_ctx);
    if (options->names && options->names->find_key && openssl.SSL_CTX_set_psk_server_callback)
        openssl.SSL_CTX_set_psk_server_callback(ssl_ctx, find_key);
    return context;
}

void *tls_context_ref(const struct tls_context *context)
{
    return context->options.ref;
}

void tls_context_use(struct tls_context *context)
{
    atomic_fetch_add_explicit(&context->uses, 1, memory_order_relaxed);
}

bool tls_context_drop(struct tls_context *context)
{
    return atomic_fetch_sub_explicit(&context->uses, 1, memory_order_acq_rel) == 1;
}

void tls_context_destroy(struct tls_context *context)
{
    openssl.SSL_CTX_free(context->ssl_ctx);
    mem_free(context);
}

struct tls_context **tls_context_next(struct tls_context *context)
{
    return &context->next;
}

bool tls_can_ask(const struct tls *tls)
{
    const struct tls_context_options *options = &tls->context->options;
    return !options->names || !options->names->can_ask || options->names->can_ask(options->app);
}

int tls_set_context(struct tls *tls, SSL_CTX *ssl_ctx)
{
    tls_context_hook(ssl_ctx);
    return openssl.SSL_set_SSL_CTX(tls->ssl, ssl_ctx) ? 0 : -1;
}

uint64_t tls_options(const SSL_CTX *ssl_ctx)
{
    return openssl.SSL_CTX_get_options(ssl_ctx);
}

int tls_verify_mode(const SSL_CTX *ssl_ctx)
{
    return openssl.SSL_CTX_get_verify_mode(ssl_ctx);
}

size_t tls_ticket_keys_size(SSL_CTX *ssl_ctx)
{
    return (size_t)openssl.SSL_CTX_ctrl(ssl_ctx, SSL_CTRL_GET_TLSEXT_TICKET_KEYS, 0, NULL);
}

int tls_set_ticket_keys(SSL_CTX *ssl_ctx, const void *keys, size_t size)
{
    long set =
        openssl.SSL_CTX_ctrl(ssl_ctx, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, (long)size, (void *)keys);
    openssl.ERR_clear_error();
    return set == 1 ? 0 : -1;
}
