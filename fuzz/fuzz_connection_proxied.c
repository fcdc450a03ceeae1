/* A connection that may begin with a PROXY header, through the whole engine: world.h. */
#include "world.h"

#include "proto/proxy.h"

static const struct wire plain = {
    .send = plain_send,
    .recv = plain_recv,
    .end = plain_end,
    .proxy_versions = PROXY_V1 | PROXY_V2,
};

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
