#include "proc/loop/pipe.h"

#include <fcntl.h>
#include <unistd.h>

/* Not by pipe2(2), which not every system has: no fork happens meanwhile. */
int pipe_open(int fds[2], bool blocking)
{
    if (pipe(fds) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        if (!blocking)
            fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK);
    }
    return 0;
}

void pipe_close(int fds[2])
{
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}
