#include "serve/engine/rehearsal.h"

#include "serve/conn/http1.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct listener *make_listener(struct engine *engine)
{
    struct listener *listener = &engine->listeners[engine->listener_count];

    *listener = (struct listener){
        .io = {.fd = -1},
        .local = engine->listeners[0].local,
        .inner = true,
        .protocol = &http1_protocol,
    };
    return listener;
}

static struct peer ourselves(const struct listener *listener)
{
    struct peer peer = {.family = listener->local ? AF_UNIX : AF_INET};
    uint32_t address = htonl(INADDR_LOOPBACK);

    if (!listener->local)
        memcpy(peer.address, &address, sizeof(address));
    return peer;
}

static int open_pair(int fds[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        return -1;
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    fcntl(fds[0], F_SETFL, fcntl(fds[0], F_GETFL) | O_NONBLOCK);
    return 0;
}

/* Without a deadline: the requests come one after the other. */
static int add_connection(struct engine *engine, struct listener *listener, int fd)
{
    struct peer peer = ourselves(listener);
    struct conn *conn = conn_create(engine, listener, fd, &peer);

    if (!conn) {
        errno = ENOMEM;
        close(fd);
        return -1;
    }
    if (conn_watch(engine, conn) == 0)
        return 0;
    int saved = errno;
    conn_close(engine, conn);
    errno = saved;
    return -1;
}

int rehearsal_connect(struct engine *engine)
{
    int fds[2];

    if (engine->listener_count == 0 || !engine_lead(engine)) {
        errno = EBUSY;
        return -1;
    }
    int result = open_pair(fds);
    if (result == 0 && add_connection(engine, make_listener(engine), fds[0]) < 0) {
        int saved = errno;
        close(fds[1]);
        errno = saved;
        result = -1;
    }
    int saved = errno;
    if (result == 0)
        engine_pause(engine, PAUSE_REHEARSAL);
    engine_yield(engine);
    errno = saved;
    return result < 0 ? -1 : fds[1];
}

void rehearsal_end(struct engine *engine)
{
    atomic_store(&engine->rehearsed, true);
    engine_kick(engine);
    ready_wake(&engine->ready);
}
