#include "net/loop.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static const struct loop_ops *const backends[] = {
#ifdef LOOP_EPOLL
    &loop_epoll_ops,
#endif
#ifdef LOOP_KQUEUE
    &loop_kqueue_ops,
#endif
    &loop_poll_ops,
};

struct loop *loop_create(const char *name)
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
        if (!name || strcmp(name, backends[i]->name) == 0)
            return backends[i]->create();
    errno = EINVAL;
    return NULL;
}
