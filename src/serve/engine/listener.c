#include "serve/engine/engine.h"

#include "base/forked.h"
#include "base/mem.h"
#include "serve/dispatch/handover.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Accepting, and the listeners. */

/* Accepting */

static void log_accept_error(struct engine *engine, int error)
{
    if (engine_may_log(&engine->accept_logged_ms))
        engine_note(engine, NOTE_ERROR, "Cannot accept a connection: %s", strerror(error));
}

/* Linux says EMFILE even when no client waits: then none has to be closed for it. */
static void accept_failed(struct engine *engine, struct listener *listener, int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK || error == ECONNABORTED || error == EINTR)
        return;
    if (engine_is_lost(error)) {
        engine_lose(engine, "accept", error);
        return;
    }
    if (socket_wait(listener->io.fd, POLLIN, 0) == 0 || engine_make_room(engine))
        return;
    log_accept_error(engine, error);
    engine_pause_for(engine, PAUSE_ERROR, ACCEPT_PAUSE_MS);
}

static bool accept_one(struct engine *engine, struct listener *listener)
{
    struct peer peer;
    if (!engine_has_room(engine)) {
        engine_wait_for_room(engine);
        return false;
    }
    int fd = socket_accept(listener->io.fd, &peer);
    if (fd >= 0)
        fd = engine_renumber(fd);
    if (fd < 0) {
        accept_failed(engine, listener, errno);
        return false;
    }
    if (!engine_has_place(engine))
        engine_make_way(engine);
    struct conn *conn = conn_accept(engine, listener, fd, &peer);
    if (!conn) {
        log_accept_error(engine, ENOMEM);
        close(fd);
        return false;
    }
    conn_read(engine, conn);
    return true;
}

/* One for each worker that has nothing to do; when none has, clients are not to wait for turns. */
static int shared_batch(struct engine *engine)
{
    const struct exchange *exchange = engine->options.exchange;
    bool alone = exchange && exchange_resting(exchange, engine->options.number) == 0;
    return alone ? ACCEPT_BATCH_SHARED : 1;
}

static void listener_ready(struct io *io, unsigned events, void *context)
{
    (void)events;
    struct engine *engine = context;
    struct listener *listener = list_entry(io, struct listener, io);
    int batch = engine_has_rivals(engine) ? shared_batch(engine) : ACCEPT_BATCH;
    for (int i = 0; i < batch; i++)
        if (!engine->listening || atomic_load(&engine->lost) || !accept_one(engine, listener))
            break;
    engine_pass_turn(engine, listener);
}

void listeners_empty(struct engine *engine)
{
    assert_leader(engine);
    for (uint32_t i = 0; i < engine->listener_count; i++)
        while (accept_one(engine, &engine->listeners[i]))
            ;
}

/* Life */

static int listener_open(struct engine *engine, struct listener *listener, int fd)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);
    if (getsockname(fd, (struct sockaddr *)&name, &size) < 0)
        return -1;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    *listener = (struct listener){
        .io = {.fd = fd, .on_event = listener_ready},
        .local = name.ss_family == AF_UNIX,
        .protocol = engine->options.protocol,
    };
    forked_replace(fd);
    engine_mark(engine, fd);
    return loop_add(engine->loop, &listener->io, LOOP_LISTEN);
}

bool listeners_open(struct engine *engine, const int *fds, uint32_t count)
{
    engine->listeners = mem_alloc(sizeof(*engine->listeners) * (count + 1)); /* see rehearsal.h */
    if (!engine->listeners)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (listener_open(engine, &engine->listeners[i], fds[i]) < 0)
            return false;
        engine->listener_count++;
    }
    engine->listening = true;
    return true;
}
