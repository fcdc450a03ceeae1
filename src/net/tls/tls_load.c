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

bool tls_load(void *handle, char *error, size_t size)
{
    if (tls_process.loaded)
        return true;
    const char *missing = handle ? find_all(handle) : "SSL_new";
    if (missing && find_all(RTLD_DEFAULT)) {
        snprintf(error, size, "TLS needs OpenSSL 3.0 or later as a shared library: %s is missing",
                 missing);
        return false;
    }
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
