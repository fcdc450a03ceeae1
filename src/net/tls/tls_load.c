#include "net/tls/tls_private.h"

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct openssl openssl;
struct tls_process tls_process;

struct function {
    const char *name;
    size_t at; /* in struct openssl */
    bool optional;
};

static const struct function functions[] = {
#define OPENSSL_ENTRY(name) {#name, offsetof(struct openssl, name), false},
    OPENSSL_FUNCTIONS(OPENSSL_ENTRY)
#undef OPENSSL_ENTRY
#define OPENSSL_ENTRY(name) {#name, offsetof(struct openssl, name), true},
        OPENSSL_OPTIONAL(OPENSSL_ENTRY)
#undef OPENSSL_ENTRY
};

/*
 * All of them from one place: two libraries must not be mixed. Returns the name that is missing, or
 * NULL.
 */
static const char *find_all(void *handle)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *found = dlsym(handle, functions[i].name);
        if (!found && !functions[i].optional)
            return functions[i].name;
        *(void **)((char *)&openssl + functions[i].at) = found;
    }
    return NULL;
}

/* A socket without a connection is told so by the kernel's TLS, where there is one. */
#ifdef TCP_ULP
static bool kernel_has_tls(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool has = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) < 0 && errno == ENOTCONN;
    close(fd);
    return has;
}
#else
static bool kernel_has_tls(void)
{
    return false;
}
#endif

/*
 * Whether a library that is loaded for the whole process (LD_PRELOAD) has another OpenSSL: Python's
 * ssl module uses that one, and so may the library that was found, in part.
 */
static bool is_mixed(void)
{
    void *ssl = dlsym(RTLD_DEFAULT, "SSL_new");
    void *crypto = dlsym(RTLD_DEFAULT, "OpenSSL_version_num");
    return (ssl && ssl != *(void **)&openssl.SSL_new) ||
           (crypto && crypto != *(void **)&openssl.OpenSSL_version_num);
}

static bool find_library(void *handle, unsigned long version, char *error, size_t size)
{
    const char *missing = find_all(handle ? handle : RTLD_DEFAULT);
    if (missing) {
        snprintf(error, size, "%s of OpenSSL 3.0 or later is missing", missing);
        return false;
    }
    if (is_mixed()) {
        snprintf(error, size, "another OpenSSL is loaded for the whole process (LD_PRELOAD)");
        return false;
    }
    unsigned long found = openssl.OpenSSL_version_num();
    if (version && found != version) {
        snprintf(error, size, "OpenSSL %#lx was found, where ssl has %#lx", found, version);
        return false;
    }
    return true;
}

bool tls_load(void *handle, unsigned long version, char *error, size_t size)
{
    if (tls_process.loaded)
        return true;
    if (!find_library(handle, version, error, size))
        return false;
    tls_process.connection_key =
        openssl.CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, NULL, NULL, NULL);
    tls_process.bio = tls_bio_method();
    if (tls_process.connection_key < 0 || !tls_process.bio) {
        snprintf(error, size, "TLS: no memory");
        return false;
    }
    tls_process.kernel_tls = kernel_has_tls();
    tls_process.loaded = true;
    return true;
}
