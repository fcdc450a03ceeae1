#include "proc/port/port.h"

#include "base/mem.h"
#include "net/socket.h"
#include "proc/port/peer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static int on_listener(struct pollable *self, short revents, int64_t now);

void port_init(struct port *port, struct pollables *pollables, const struct port_protocol *protocol,
               void *ctx)
{
    *port = (struct port){.pollables = pollables, .protocol = protocol, .ctx = ctx, .fd = -1};
    pollable_init(&port->listener, on_listener);
    port->listener.events = POLLIN;
    pollables_add(pollables, &port->listener);
}

static void drop(struct port_client *client)
{
    struct port *port = client->port;
    bool waits = client->state == PORT_WAIT;

    pollable_remove(&client->pollable);
    for (unsigned i = 0; i < PORT_CLIENTS; i++)
        if (port->clients[i] == client)
            port->clients[i] = NULL;
    if (waits && port->protocol->gone)
        port->protocol->gone(client);
    close(client->pollable.fd);
    writer_free(&client->answer);
    mem_free(client);
}

void port_close(struct port *port)
{
    for (unsigned i = 0; i < PORT_CLIENTS; i++)
        if (port->clients[i])
            drop(port->clients[i]);
    pollable_remove(&port->listener);
    port->fd = -1;
}

static void arm(struct port *port)
{
    port->listener.fd = port->paused ? -1 : port->fd;
    port->listener.deadline = INT64_MAX;
}

void port_listen(struct port *port, int fd)
{
    port->fd = fd;
    arm(port);
}

void port_pause(struct port *port, bool paused)
{
    port->paused = paused;
    arm(port);
}

bool port_has_clients(const struct port *port)
{
    for (unsigned i = 0; i < PORT_CLIENTS; i++)
        if (port->clients[i])
            return true;
    return false;
}

/* ---- one client ---- */

static int on_client(struct pollable *self, short revents, int64_t now);

static void set_state(struct port_client *client, enum port_state state)
{
    client->state = state;
    client->pollable.events = state == PORT_SEND ? POLLOUT : state == PORT_WAIT ? 0 : POLLIN;
}

void port_consume(struct port_client *client, size_t n)
{
    assert(n <= client->size);
    client->size -= n;
    memmove(client->input, client->input + n, client->size);
}

void port_answer(struct port_client *client, int64_t now)
{
    client->pollable.deadline = now + client->port->protocol->limit_ms;
    set_state(client, PORT_SEND);
}

void port_end(struct port_client *client, int64_t now)
{
    client->ends = true;
    port_answer(client, now);
}

void port_wait(struct port_client *client, int64_t now, int64_t ms)
{
    client->pollable.deadline = now + ms;
    set_state(client, PORT_WAIT);
}

/* ---- steps of a client: each false when it is to be dropped ---- */

static bool receive(struct port_client *client)
{
    size_t room = client->port->protocol->input_max - client->size;
    ssize_t n = room ? socket_recv(client->pollable.fd, client->input + client->size, room) : 0;

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    client->size += (size_t)n;
    return true;
}

/* All of the answer has left. */
static bool finish(struct port_client *client)
{
    if (client->ends || !client->port->protocol->lasts) {
        set_state(client, PORT_END);
        return shutdown(client->pollable.fd, SHUT_WR) == 0;
    }
    writer_free(&client->answer);
    client->sent = 0;
    set_state(client, PORT_READ);
    return true;
}

static bool send_answer(struct port_client *client)
{
    struct writer *out = &client->answer;

    if (out->error) {
        client->port->protocol->failed(client->port->ctx, out->error);
        return false;
    }
    while (client->sent < out->size) {
        int fd = client->pollable.fd;
        ssize_t n = socket_send(fd, out->data + client->sent, out->size - client->sent);

        if (n < 0)
            return errno == EAGAIN;
        client->sent += (size_t)n;
    }
    return finish(client);
}

static bool discard(const struct port_client *client)
{
    char waste[4096];
    ssize_t n = socket_recv(client->pollable.fd, waste, sizeof(waste));

    return n > 0 || (n < 0 && errno == EAGAIN);
}

/* Requests that are there already, as long as answers leave. False: drop it; *result is that of
 * received(), and if it is negative, the client may be freed. */
static bool go_on(struct port_client *client, int64_t now, int *result)
{
    const struct port_protocol *protocol = client->port->protocol;
    bool stays = true;

    while (stays) {
        enum port_state before = client->state;
        size_t size = client->size;

        if (client->state == PORT_READ && size > 0)
            *result = protocol->received(client, now);
        if (*result < 0)
            break;
        if (client->state == PORT_SEND)
            stays = send_answer(client);
        if (client->state == before && client->size == size)
            break;
    }
    return stays;
}

static int serve(struct port_client *client, int64_t now)
{
    int result = 0;
    bool stays = true;

    if (client->state == PORT_READ)
        stays = receive(client);
    if (stays)
        stays = go_on(client, now, &result);
    if (result < 0)
        return result;
    if (stays && client->state == PORT_END)
        stays = discard(client);
    if (!stays)
        drop(client);
    return result;
}

int port_answer_late(struct port_client *client, int64_t now)
{
    int result = 0;

    port_answer(client, now);
    if (!go_on(client, now, &result))
        drop(client);
    return result;
}

static int on_client(struct pollable *self, short revents, int64_t now)
{
    struct port_client *client = (struct port_client *)self;

    if (revents && !(client->state == PORT_WAIT && revents & (POLLERR | POLLHUP)))
        return serve(client, now);
    drop(client);
    return 0;
}

/* ---- new clients ---- */

/* A free place; else that of the client that has been here for longest. */
static unsigned make_place(struct port *port)
{
    unsigned oldest = 0;

    for (unsigned i = 0; i < PORT_CLIENTS; i++) {
        if (!port->clients[i])
            return i;
        if (port->clients[i]->pollable.deadline < port->clients[oldest]->pollable.deadline)
            oldest = i;
    }
    drop(port->clients[oldest]);
    return oldest;
}

static void take_client(struct port *port, int fd, int64_t now)
{
    struct port_client *client = mem_alloc(sizeof(*client) + port->protocol->input_max);

    if (!client)
        port->protocol->failed(port->ctx, ENOMEM);
    if (!client || (port->own_user && !peer_is_own_user(fd))) {
        mem_free(client);
        close(fd);
        return;
    }
    *client = (struct port_client){.port = port};
    pollable_init(&client->pollable, on_client);
    client->pollable.fd = fd;
    client->pollable.deadline = now + port->protocol->limit_ms;
    set_state(client, PORT_READ);
    writer_init(&client->answer, PORT_ANSWER);
    port->clients[make_place(port)] = client;
    pollables_add(port->pollables, &client->pollable);
}

/* The client that could not be accepted is gone, and the next one may be tried at once. */
static bool is_passing(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == ECONNABORTED || error == EINTR;
}

static void rest(struct port *port, int error, int64_t now)
{
    port->listener.fd = -1;
    port->listener.deadline = now + PORT_PAUSE_MS;
    if (now < port->log_at)
        return;
    port->log_at = now + PORT_LOG_MS;
    port->protocol->failed(port->ctx, error);
}

static int on_listener(struct pollable *self, short revents, int64_t now)
{
    struct port *port = (struct port *)self;
    struct peer peer;

    arm(port);
    for (int i = 0; revents && i < PORT_CLIENTS; i++) {
        int fd = socket_accept(port->fd, &peer);

        if (fd < 0) {
            if (!is_passing(errno))
                rest(port, errno, now);
            break;
        }
        take_client(port, fd, now);
    }
    return 0;
}
