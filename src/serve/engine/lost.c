#include "base/mem.h"
#include "serve/engine/engine.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

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
