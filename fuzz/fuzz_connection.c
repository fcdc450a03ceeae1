/* A connection through the whole engine: world.h. */
#include "world.h"

static const struct wire plain = {.send = plain_send, .recv = plain_recv, .end = plain_end};

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
