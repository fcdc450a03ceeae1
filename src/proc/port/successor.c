#include "proc/port/successor.h"

#include "proc/loop/pipe.h"

#include <unistd.h>

static int on_pipe(struct pollable *self, short revents, int64_t now)
{
    struct successor *successor = (struct successor *)self;
    char byte;
    ssize_t n = read(self->fd, &byte, 1);

    (void)revents, (void)now;
    if (n < 0)
        return 0;
    successor_forget(successor);
    if (n > 0)
        successor->answers(successor->ctx);
    return 0;
}

void successor_init(struct successor *successor, struct pollables *pollables,
                    void (*answers)(void *ctx), void *ctx)
{
    *successor = (struct successor){.answers = answers, .ctx = ctx};
    pollable_init(&successor->pollable, on_pipe);
    successor->pollable.events = POLLIN;
    pollables_add(pollables, &successor->pollable);
}

int successor_await(struct successor *successor)
{
    int ends[2];

    successor_forget(successor);
    if (pipe_open(ends, false) < 0)
        return -1;
    successor->pollable.fd = ends[0];
    return ends[1];
}

void successor_forget(struct successor *successor)
{
    if (successor->pollable.fd >= 0)
        close(successor->pollable.fd);
    successor->pollable.fd = -1;
}
