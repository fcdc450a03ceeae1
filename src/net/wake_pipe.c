#include "net/wake_pipe.h"

#include "base/forked.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int wake_pipe_open(struct wake_pipe *wake)
{
    int ends[2];
    if (pipe(ends) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        forked_close(ends[i]);
    }
    *wake = (struct wake_pipe){.read = ends[0], .write = ends[1]};
    return 0;
}

void wake_pipe_close(struct wake_pipe *wake)
{
    forked_forget(wake->read);
    forked_forget(wake->write);
    close(wake->read);
    close(wake->write);
}

int wake_pipe_write(struct wake_pipe *wake)
{
    int saved = errno;
    int error = write(wake->write, "", 1) < 0 && errno != EAGAIN ? errno : 0;
    errno = saved;
    return error;
}

void wake_pipe_drain(struct wake_pipe *wake)
{
    char bytes[64];
    while (read(wake->read, bytes, sizeof(bytes)) > 0)
        ;
}
