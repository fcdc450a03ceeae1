#include "net/tls/tls_private.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* A context of our own: where Python's own cannot be used, it is made again as it was described. */

struct tls_made {
    SSL_CTX *ssl_ctx;
    unsigned protocols_size;
    unsigned char protocols[TLS_PROTOCOLS_MAX];
};

/* As Python's ssl does: without a protocol in common, the handshake goes on without one. */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *theirs, unsigned size, void *arg)
{
    const struct tls_made *made = arg;
    (void)ssl;
    int found = openssl.SSL_select_next_proto((unsigned char **)out, out_size, made->protocols,
                                              made->protocols_size, theirs, size);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* ---- commands that SSL_CONF_cmd() has not ---- */

static int verify_file(SSL_CTX *ssl_ctx, const char *path)
{
    return openssl.SSL_CTX_load_verify_locations(ssl_ctx, path, NULL);
}

static int verify_directory(SSL_CTX *ssl_ctx, const char *path)
{
    return openssl.SSL_CTX_load_verify_locations(ssl_ctx, NULL, path);
}

/* Of the keys in the commands after it. */
static int password(SSL_CTX *ssl_ctx, const char *value)
{
    openssl.SSL_CTX_set_default_passwd_cb_userdata(ssl_ctx, (void *)value);
    return 1;
}

static int identity_hint(SSL_CTX *ssl_ctx, const char *hint)
{
    return openssl.SSL_CTX_use_psk_identity_hint
               ? openssl.SSL_CTX_use_psk_identity_hint(ssl_ctx, hint)
               : 0;
}

static const struct {
    const char *name;
    int (*run)(SSL_CTX *ssl_ctx, const char *value);
} commands[] = {
    {"LoadVerifyFile", verify_file},
    {"LoadVerifyDirectory", verify_directory},
    {"Password", password},
    {"PSKIdentityHint", identity_hint},
};

static bool run(SSL_CTX *ssl_ctx, SSL_CONF_CTX *conf, const struct tls_command *command)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, command->name) == 0)
            return commands[i].run(ssl_ctx, command->value) > 0;
    return openssl.SSL_CONF_cmd(conf, command->name, command->value) > 0;
}

/* ---- the context ---- */

static bool explain(const char *what, char *error, size_t size)
{
    unsigned long code = openssl.ERR_peek_error();
    const char *reason = code ? openssl.ERR_reason_error_string(code) : NULL;
    snprintf(error, size, "%s: %s", what, reason ? reason : "OpenSSL refuses it");
    openssl.ERR_clear_error();
    return false;
}

static bool run_commands(SSL_CTX *ssl_ctx, SSL_CONF_CTX *conf, const struct tls_recipe *recipe,
                         char *error, size_t size)
{
    openssl.SSL_CONF_CTX_set_flags(conf, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_SERVER |
                                             SSL_CONF_FLAG_CERTIFICATE);
    openssl.SSL_CONF_CTX_set_ssl_ctx(conf, ssl_ctx);
    for (size_t i = 0; i < recipe->command_count; i++)
        if (!run(ssl_ctx, conf, &recipe->commands[i]))
            return explain(recipe->commands[i].name, error, size);
    return openssl.SSL_CONF_CTX_finish(conf) > 0 || explain("SSL_CONF_CTX", error, size);
}

static void set_flags(SSL_CTX *ssl_ctx, const struct tls_recipe *recipe)
{
    static const unsigned char session_context[] = "monoceros";
    X509_VERIFY_PARAM *verify = openssl.SSL_CTX_get0_param(ssl_ctx);
    openssl.X509_VERIFY_PARAM_clear_flags(verify, ~recipe->verify_flags);
    openssl.X509_VERIFY_PARAM_set_flags(verify, recipe->verify_flags);
    openssl.SSL_CTX_clear_options(ssl_ctx, ~recipe->options);
    openssl.SSL_CTX_set_options(ssl_ctx, recipe->options);
    openssl.SSL_CTX_set_session_id_context(ssl_ctx, session_context, sizeof(session_context) - 1);
}

static bool set_protocols(struct tls_made *made, const struct tls_recipe *recipe)
{
    if (recipe->protocols_size > TLS_PROTOCOLS_MAX)
        return false;
    made->protocols_size = (unsigned)recipe->protocols_size;
    if (recipe->protocols_size == 0)
        return true;
    memcpy(made->protocols, recipe->protocols, recipe->protocols_size);
    openssl.SSL_CTX_set_alpn_select_cb(made->ssl_ctx, select_protocol, made);
    return true;
}

static bool set_up(struct tls_made *made, const struct tls_recipe *recipe, char *error, size_t size)
{
    SSL_CONF_CTX *conf = openssl.SSL_CONF_CTX_new();
    if (!conf)
        return explain("SSL_CONF_CTX_new", error, size);
    password(made->ssl_ctx, ""); /* with NULL it would ask at the terminal */
    bool done = run_commands(made->ssl_ctx, conf, recipe, error, size);
    password(made->ssl_ctx, NULL);
    openssl.SSL_CONF_CTX_free(conf);
    if (!done)
        return false;
    set_flags(made->ssl_ctx, recipe);
    return set_protocols(made, recipe) || explain("protocols of ALPN", error, size);
}

struct tls_made *tls_make(const struct tls_recipe *recipe, char *error, size_t size)
{
    struct tls_made *made = mem_alloc(sizeof(*made));
    if (!made) {
        snprintf(error, size, "no memory");
        return NULL;
    }
    *made = (struct tls_made){.ssl_ctx = NULL};
    openssl.ERR_clear_error();
    made->ssl_ctx = openssl.SSL_CTX_new(openssl.TLS_server_method());
    bool done =
        made->ssl_ctx ? set_up(made, recipe, error, size) : explain("SSL_CTX_new", error, size);
    if (done)
        return made;
    tls_unmake(made);
    return NULL;
}

SSL_CTX *tls_made_context(const struct tls_made *made)
{
    return made->ssl_ctx;
}

void tls_unmake(struct tls_made *made)
{
    openssl.SSL_CTX_free(made->ssl_ctx);
    mem_free(made);
}
