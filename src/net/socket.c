#include "net/socket.h"

#include "base/system.h"
#include "net/socket_system.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void peer_set(struct peer *peer, const struct sockaddr_storage *from)
{
    *peer = (struct peer){.family = from->ss_family};
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        peer->port = ntohs(in->sin_port);
        memcpy(peer->address, &in->sin_addr, 4);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        peer->port = ntohs(in6->sin6_port);
        memcpy(peer->address, &in6->sin6_addr, 16);
    }
}

int socket_accept(int listener, struct peer *peer)
{
    struct sockaddr_storage from;
    socklen_t size = sizeof(from);
    from.ss_family = AF_UNIX;
    int fd = socket_system_accept(listener, (struct sockaddr *)&from, &size);
    if (fd >= 0)
        peer_set(peer, &from);
    return fd;
}

void socket_peer_of(int fd, struct peer *peer)
{
    struct sockaddr_storage from;
    socklen_t size = sizeof(from);
    from.ss_family = AF_UNIX;
    if (getpeername(fd, (struct sockaddr *)&from, &size) < 0)
        from.ss_family = AF_UNIX;
    peer_set(peer, &from);
}

const char *peer_text(const struct peer *peer, char out[PEER_TEXT_SIZE])
{
    out[0] = '\0';
    if (peer->family == AF_INET || peer->family == AF_INET6)
        inet_ntop(peer->family, peer->address, out, PEER_TEXT_SIZE);
    return out;
}

static ssize_t recv_flagged(int fd, void *data, size_t size, int flags)
{
    ssize_t n;
    do
        n = recv(fd, data, size, MSG_DONTWAIT | flags);
    while (n < 0 && errno == EINTR);
    return n;
}

ssize_t socket_recv(int fd, void *data, size_t size)
{
    return recv_flagged(fd, data, size, 0);
}

ssize_t socket_peek(int fd, void *data, size_t size)
{
    return recv_flagged(fd, data, size, MSG_PEEK);
}

static ssize_t send_flagged(int fd, const void *data, size_t size, int flags)
{
    ssize_t n;
    do
        n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
    while (n < 0 && errno == EINTR);
    return n;
}

ssize_t socket_send(int fd, const void *data, size_t size)
{
    return send_flagged(fd, data, size, 0);
}

ssize_t socket_send_more(int fd, const void *data, size_t size)
{
    return send_flagged(fd, data, size, SYSTEM_MSG_MORE);
}

ssize_t socket_sendv(int fd, const struct iovec *parts, int count, bool more)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
    int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? SYSTEM_MSG_MORE : 0);
    ssize_t n;
    do
        n = sendmsg(fd, &message, flags);
    while (n < 0 && errno == EINTR);
    return n;
}

ssize_t socket_send_copies(int fd, int file, off_t *offset, size_t size)
{
    char piece[16 * 1024];
    ssize_t n;
    do
        n = pread(file, piece, size < sizeof(piece) ? size : sizeof(piece), *offset);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        n = socket_send(fd, piece, (size_t)n);
    if (n > 0)
        *offset += n;
    return n;
}

ssize_t socket_sendfile(int fd, int file, off_t *offset, size_t size)
{
    ssize_t n;
    do
        n = socket_system_sendfile(fd, file, offset, size);
    while (n < 0 && errno == EINTR);
    /* Not every file system gives pages away. */
    return n < 0 && (errno == EINVAL || errno == ENOSYS)
               ? socket_send_copies(fd, file, offset, size)
               : n;
}

bool socket_has_data(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

#ifndef POLLRDHUP
#define POLLRDHUP 0 /* other systems show the end only when it is read */
#endif

enum socket_peer socket_peer(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN | POLLRDHUP};
    char byte;
    if (poll(&pollfd, 1, 0) <= 0)
        return PEER_THERE;
    if (pollfd.revents & (POLLERR | POLLHUP | POLLNVAL))
        return PEER_GONE;
    bool ended = pollfd.revents & POLLRDHUP || recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
    return ended ? PEER_SILENT : PEER_THERE;
}

void socket_reset_at_close(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

int socket_wait(int fd, short events, int timeout_ms)
{
    struct pollfd pollfd = {.fd = fd, .events = events};
    int n;
    do
        n = poll(&pollfd, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n;
}

static uint32_t bytes_in(int fd, unsigned long queue)
{
    int bytes = 0;
    return ioctl(fd, queue, &bytes) == 0 && bytes > 0 ? (uint32_t)bytes : 0;
}

uint32_t socket_unread(int fd)
{
    return bytes_in(fd, FIONREAD);
}

uint32_t socket_untaken(int fd)
{
    return bytes_in(fd, TIOCOUTQ);
}
