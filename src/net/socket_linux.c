#include "net/socket_system.h"

#include <sys/sendfile.h>

int socket_system_accept(int listener, struct sockaddr *from, socklen_t *size)
{
    return accept4(listener, from, size, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int socket_system_pair(int type, int ends[2])
{
    return socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends);
}

ssize_t socket_system_sendfile(int fd, int file, off_t *offset, size_t size)
{
    return sendfile(fd, file, offset, size);
}
