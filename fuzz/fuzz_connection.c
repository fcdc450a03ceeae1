/* A connection through the whole engine: world.h. */
#include "world.h"

#include <sys/socket.h>

static ssize_t plain_send(int fd, unsigned kind, const void *data, size_t n)
{
    (void)kind;
    return send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t plain_recv(int fd, void *data, size_t n)
{
    return recv(fd, data, n, MSG_DONTWAIT);
}

static void plain_end(int fd)
{
    shutdown(fd, SHUT_WR);
}

static const struct wire plain = {plain_send, plain_recv, plain_end};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    world_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size >= 2)
        world_run(&plain, NULL, input, size);
    return 0;
}
