#include "net/tls/tls_private.h"

#include "net/socket.h"

#include <errno.h>

/*
 * A filter before OpenSSL's own BIO of a socket. It calls the socket itself: to know whether it
 * gave less than was asked for, so that no further call has to find out, and so that a client that
 * has gone is no signal. Calls about TLS in the kernel are left to the BIO behind it.
 */

static bool in_kernel(BIO *bio, int what)
{
    return openssl.BIO_ctrl(openssl.BIO_next(bio), what, 0, NULL) > 0;
}

/* The BIO behind does it. */
static int pass(BIO *bio, int n)
{
    openssl.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    openssl.BIO_copy_next_retry(bio);
    return n;
}

static int failed(BIO *bio, struct tls *tls, int retry)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        openssl.BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
    else
        tls->socket_errno = errno;
    return -1;
}

static int bio_read(BIO *bio, char *data, int size)
{
    struct tls *tls = openssl.BIO_get_data(bio);
    if (tls->kernel_may && in_kernel(bio, BIO_CTRL_GET_KTLS_RECV))
        return pass(bio, openssl.BIO_read(openssl.BIO_next(bio), data, size));
    openssl.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    if (!tls->ready && tls->reads-- == 0) {
        tls->paused = true;
        errno = EAGAIN;
        return failed(bio, tls, BIO_FLAGS_READ);
    }
    ssize_t n = socket_recv(tls->fd, data, (size_t)size);
    tls->drained = n < size;
    if (n < 0)
        return failed(bio, tls, BIO_FLAGS_READ);
    if (n == 0)
        tls->eof = true;
    else if (!tls->first_byte)
        tls->first_byte = (unsigned char)data[0];
    return (int)n;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    struct tls *tls = openssl.BIO_get_data(bio);
    if (tls->kernel_may && in_kernel(bio, BIO_CTRL_GET_KTLS_SEND))
        return pass(bio, openssl.BIO_write(openssl.BIO_next(bio), data, size));
    openssl.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    ssize_t n = tls->more ? socket_send_more(tls->fd, data, (size_t)size)
                          : socket_send(tls->fd, data, (size_t)size);
    return n < 0 ? failed(bio, tls, BIO_FLAGS_WRITE) : (int)n;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    struct tls *tls = openssl.BIO_get_data(bio);
    if (command == BIO_CTRL_EOF && tls->eof)
        return 1;
    return openssl.BIO_ctrl(openssl.BIO_next(bio), command, number, pointer);
}

BIO_METHOD *tls_bio_method(void)
{
    int index = openssl.BIO_get_new_index();
    BIO_METHOD *method =
        index < 0 ? NULL : openssl.BIO_meth_new(index | BIO_TYPE_FILTER, "monoceros");
    if (!method)
        return NULL;
    openssl.BIO_meth_set_read(method, bio_read);
    openssl.BIO_meth_set_write(method, bio_write);
    openssl.BIO_meth_set_ctrl(method, bio_control);
    return method;
}

BIO *tls_bio_create(struct tls *tls)
{
    BIO *filter = openssl.BIO_new(tls_process.bio);
    BIO *socket = filter ? openssl.BIO_new_socket(tls->fd, BIO_NOCLOSE) : NULL;
    if (!socket) {
        openssl.BIO_free_all(filter);
        return NULL;
    }
    openssl.BIO_set_data(filter, tls);
    openssl.BIO_set_init(filter, 1);
    return openssl.BIO_push(filter, socket);
}
