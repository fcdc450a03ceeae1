#include "net/socket_system.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* For every system. A process that another thread forks meanwhile may inherit the descriptor. */
static int set_up(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
                   fcntl(fd, F_SETFD, FD_CLOEXEC) < 0
               ? -1
               : 0;
}

static void close_all(const int *fds, int count)
{
    int saved = errno;
    for (int i = 0; i < count; i++)
        close(fds[i]);
    errno = saved;
}

int socket_system_accept(int listener, struct sockaddr *from, socklen_t *size)
{
    int fd = accept(listener, from, size);
    if (fd < 0 || set_up(fd) == 0)
        return fd;
    close_all(&fd, 1);
    return -1;
}

int socket_system_pair(int type, int ends[2])
{
    if (socketpair(AF_UNIX, type, 0, ends) < 0)
        return -1;
    if (set_up(ends[0]) == 0 && set_up(ends[1]) == 0)
        return 0;
    close_all(ends, 2);
    return -1;
}

/* Its shape differs: BSD's and Apple's are not used. */
ssize_t socket_system_sendfile(int fd, int file, off_t *offset, size_t size)
{
    (void)fd;
    (void)file;
    (void)offset;
    (void)size;
    errno = ENOSYS;
    return -1;
}
