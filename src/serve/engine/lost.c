#include "base/forked.h"
#include "base/mem.h"
#include "net/socket_system.h"
#include "serve/engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Descriptors of the engine that the application closes, though they are not its own. */

void engine_mark(struct engine *engine, int fd)
{
    struct stat file;
    if (fd < 0 || fstat(fd, &file) < 0)
        return;
    size_t size = sizeof(struct mark) * (engine->mark_count + 1);
    struct mark *marks = mem_realloc(engine->marks, size);
    if (!marks)
        return; /* not looked at, that is all */
    engine->marks = marks;
    marks[engine->mark_count++] = (struct mark){fd, file.st_dev, file.st_ino};
}

static bool is_there(const struct mark *mark)
{
    struct stat file;
    if (fstat(mark->fd, &file) < 0)
        return false;
    errno = 0; /* it is there, but another file's */
    return file.st_dev == mark->dev && file.st_ino == mark->ino;
}

void engine_look_at_marks(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->mark_count; i++) {
        if (is_there(&engine->marks[i]))
            continue;
        engine_lose(engine, "fstat", errno ? errno : EBADF);
        return;
    }
}

/* The number becomes a socket whose peer has left. -1 with errno. */
static int substitute(int fd)
{
    int ends[2];
    if (socket_system_pair(SOCK_STREAM, ends) < 0)
        return -1;
    int result = dup2(ends[0], fd);
    close(ends[0]);
    close(ends[1]);
    if (result >= 0)
        forked_substitute(fd);
    return result < 0 ? -1 : fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int engine_renumber(int fd)
{
    if (!forked_is_registered(fd))
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (moved >= 0 && substitute(fd) == 0)
        return moved;
    int error = errno;
    if (moved >= 0)
        close(moved);
    close(fd);
    errno = error;
    return -1;
}
