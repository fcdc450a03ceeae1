#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include "net/socket.h"
#include "net/tls/tls.h"

#include <poll.h>

/* Reading from and writing to a connection: its socket or, unless `tls` is NULL, TLS on it. */

static inline ssize_t transport_recv(int fd, struct tls *tls, void *data, size_t size)
{
    return tls ? tls_recv(tls, data, size) : socket_recv(fd, data, size);
}

/* May give more than was offered: see tls_send(). */
static inline ssize_t transport_sendv(int fd, struct tls *tls, const struct iovec *parts, int count,
                                      bool more)
{
    if (tls)
        return tls_send(tls, parts, count, more);
    return count == 1 && !more ? socket_send(fd, parts[0].iov_base, parts[0].iov_len)
                               : socket_sendv(fd, parts, count, more);
}

/*
 * Leaves the offset to the caller, which knows how many other bytes have left. `copies`: see
 * socket_send_copies().
 */
static inline ssize_t transport_sendfile(int fd, struct tls *tls, int file, off_t offset,
                                         size_t size, bool copies)
{
    if (tls)
        return tls_sendfile(tls, file, offset, size);
    return copies ? socket_send_copies(fd, file, &offset, size)
                  : socket_sendfile(fd, file, &offset, size);
}

/* There may be more to read, for which no event will come: it is other clients' turn. */
static inline bool transport_paused(const struct tls *tls)
{
    return tls && tls_paused(tls);
}

/* The event to wait for after EAGAIN: POLLIN, POLLOUT. */
static inline short transport_recv_waits(const struct tls *tls)
{
    return tls ? tls_recv_waits(tls) : POLLIN;
}

static inline short transport_send_waits(const struct tls *tls)
{
    return tls ? tls_send_waits(tls) : POLLOUT;
}

#endif
