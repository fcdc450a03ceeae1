#include "proc/port/private.h"

#include <errno.h>

#ifdef __linux__

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* "gunicorn-master-PID-" and a secret, so that no other process takes the name before us. Its size,
 * or 0 with errno. */
static socklen_t make_name(struct sockaddr_un *name)
{
    uint64_t secret[2];

    if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
        return 0;
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(name->sun_path + 1, sizeof(name->sun_path) - 1,
                     "gunicorn-master-%d-%016" PRIx64 "%016" PRIx64, (int)getpid(), secret[0],
                     secret[1]);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

int private_listen(int backlog)
{
    struct sockaddr_un name;
    socklen_t size = make_name(&name);
    int fd = size ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;

    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&name, size) < 0 || listen(fd, backlog) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

#else

int private_listen(int backlog)
{
    (void)backlog;
    errno = EOPNOTSUPP;
    return -1;
}

#endif
