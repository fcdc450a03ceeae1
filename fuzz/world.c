#include "world.h"

#include "base/mem.h"
#include "net/tls/tls.h"
#include "serve/engine/host.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SOCKET_SIZE = 4 * 1024, /* so that large answers have to wait */
    END_TURNS = 100 * 1000, /* turns of the loop in which a connection must end */
};

struct world world;

_Noreturn void world_fail(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    abort();
}

static enum run_result run(void *app, struct request *request)
{
    (void)app;
    app_run(request);
    return world.put_off == request ? RUN_LATER : RUN_DONE;
}

static void nothing(void *app)
{
    (void)app;
}

ssize_t plain_send(int fd, unsigned kind, const void *data, size_t n)
{
    (void)kind;
    return send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t plain_recv(int fd, void *data, size_t n)
{
    return recv(fd, data, n, MSG_DONTWAIT);
}

void plain_end(int fd)
{
    shutdown(fd, SHUT_WR);
}

static bool receive(size_t n);

/* This thread is about to wait for the client, who is the same thread. */
static void read_all(void *app)
{
    (void)app;
    while (receive(BLOCK_SIZE))
        ;
}

static bool go_on(void *app)
{
    (void)app;
    return true;
}

static void note(void *app, enum note_level level, const char *text)
{
    (void)app;
    (void)level;
    if (strncmp(text, "Invalid request", 15) == 0)
        world.invalid++;
    require(world.invalid <= 1 || world.wire->streams);
}

static void release(void *app, void *ref)
{
    (void)app;
    require(ref == &world && world.refs > 0);
    world.refs--;
}

static void limit_budget(uint64_t most)
{
    world.engine->budget.memory_max = world.engine->budget.disk_max = most;
}

static int wait_for(void *app, int fd, short events, int timeout_ms)
{
    if (events & POLLOUT)
        read_all(app);
    if (fd < 0) { /* for memory, which no other place gives back */
        limit_budget(0);
        mem_fail_never();
    }
    return socket_wait(fd, events, timeout_ms);
}

static const struct app_ops ops = {
    .run = run,
    .attach = nothing,
    .detach = read_all,
    .interrupted = go_on,
    .note = note,
    .wait = wait_for,
    .cut_off = nothing,
    .release = release,
};

/* Turns the loop once and runs what became ready; as the leader, or having given the lead away. */
static void turn(bool lead)
{
    struct engine *engine = world.engine;
    struct request *request;
    world.turns++;
    require(engine_lead(engine));
    engine_step(engine, 0);
    if (!lead)
        engine_yield(engine);
    while ((request = engine_poll(engine))) {
        host_leave_engine(engine);
        host_run_one(engine, request);
    }
    if (lead)
        engine_yield(engine);
    engine_collect(engine);
}

/* The client */

static bool receive(size_t n)
{
    if (world.client < 0)
        return false;
    require(world.output_size + n <= OUTPUT_MAX);
    ssize_t got = world.wire->recv(world.client, world.output + world.output_size, n);
    if (got > 0)
        world.output_size += (size_t)got;
    return got > 0;
}

static void send_piece(unsigned kind, const uint8_t *data, size_t n, bool lead)
{
    for (int tries = 0; n > 0 && tries < 8 && world.client >= 0 && !world.half_closed; tries++) {
        ssize_t sent = world.wire->send(world.client, kind, data, n);
        if (sent > 0) {
            data += sent;
            n -= (size_t)sent;
        }
        turn(lead);
    }
}

static void close_client(void)
{
    if (world.client >= 0)
        close(world.client);
    world.client = -1;
    world.may_be_cut = true;
}

void world_end_input(void)
{
    if (world.client >= 0 && !world.half_closed)
        world.wire->end(world.client);
    world.half_closed = true;
}

/* Every deadline that there is has passed. */
static void expire(void)
{
    struct engine *engine = world.engine;
    struct list *lists[] = {&engine->idle, &engine->crowd, &engine->active};
    require(engine_lead(engine));
    for (int i = 0; i < 3; i++) {
        if (list_empty(lists[i]))
            continue;
        struct conn *conn = list_entry(lists[i]->next, struct conn, link);
        if (conn->timer.deadline > engine->now_ms)
            engine->now_ms = conn->timer.deadline;
        conn_expired(engine, conn);
    }
    engine_yield(engine);
    world.may_be_cut = true;
}

enum { SPECIAL_EXPIRE, SPECIAL_DRAIN, SPECIAL_GO_ON, SPECIAL_MEMORY_BACK, SPECIAL_NO_MEMORY };

/* The last arguments: others have used the budget up, or given it back; a new connection needs
 * room, or the worker has to end. */
enum { SPECIAL_CUT_OFF = 28, SPECIAL_ROOM, SPECIAL_BUDGET_BACK, SPECIAL_NO_BUDGET };

/* The connections were silent for long. */
static void make_room(void)
{
    struct engine *engine = world.engine;
    struct list *lists[] = {&engine->idle, &engine->crowd};
    require(engine_lead(engine));
    for (int i = 0; i < 2; i++)
        if (!list_empty(lists[i]))
            list_entry(lists[i]->next, struct conn, link)->mark_ms = 0;
    engine_make_way(engine);
    engine_yield(engine);
}

static void cut_off(void)
{
    engine_drain(world.engine);
    require(engine_lead(world.engine));
    engine_step(world.engine, 0);
    drain_cut_off(world.engine);
    engine_yield(world.engine);
}

static void special(unsigned argument)
{
    switch (argument) {
    case SPECIAL_EXPIRE:
        expire();
        break;
    case SPECIAL_DRAIN:
        engine_drain(world.engine);
        break;
    case SPECIAL_GO_ON:
        app_finish_put_off();
        break;
    case SPECIAL_MEMORY_BACK:
        mem_fail_never();
        break;
    case SPECIAL_BUDGET_BACK:
        limit_budget(0);
        break;
    case SPECIAL_NO_BUDGET:
        world.may_be_cut = true;
        limit_budget(1);
        break;
    case SPECIAL_ROOM:
        world.may_be_cut = true;
        make_room();
        break;
    case SPECIAL_CUT_OFF:
        world.may_be_cut = true;
        cut_off();
        break;
    default:
        world.may_be_cut = true;
        mem_fail_after((long)argument - SPECIAL_NO_MEMORY);
        break;
    }
}

static void act(const uint8_t *input, size_t size, bool lead)
{
    while (size > 0) {
        unsigned kind = *input & 7u, argument = *input >> 3;
        input++, size--;
        if (kind <= 2 && size > 0) {
            size_t n = *input + 1u + argument * 256u;
            input++, size--;
            n = n < size ? n : size;
            send_piece(kind, input, n, lead);
            input += n;
            size -= n;
        } else if (kind == 3) {
            turn(lead);
        } else if (kind == 4) {
            receive((argument + 1) * 512u);
        } else if (kind == 5) {
            world_end_input();
        } else if (kind == 6) {
            close_client();
        } else if (kind == 7) {
            special(argument);
        }
    }
}

/* One input */

static void open_world(const struct wire *wire, uint8_t settings, int *server)
{
    static const struct forwarded forwarded;
    static const struct trust trust;
    struct engine_options options = {
        .limits = {.request_line = settings & SETTING_SMALL_LIMITS ? 64 : 4094,
                   .fields = settings & SETTING_SMALL_LIMITS ? 3 : 100,
                   .field_size = settings & SETTING_SMALL_LIMITS ? 64 : 8190},
        .forwarded = &forwarded,
        .trust = &trust,
        .protocol = wire->protocol,
        .gateways = &trust,
        .proxies = &trust,
        .proxy_versions = wire->proxy_versions,
        .keepalive_ms = settings & SETTING_NO_KEEPALIVE ? 0 : 3600 * 1000,
        .header_timeout_ms = 60 * 1000,
        .send_timeout_ms = 60 * 1000,
        .worker_connections = 10,
        .threads = 1,
        .loop = settings & SETTING_POLL ? "poll" : NULL,
    };
    int ends[2], size = SOCKET_SIZE;
    char *output = world.output;
    memset(&world, 0, sizeof(world));
    world.output = output;
    world.wire = wire;
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    if (settings & SETTING_SMALL_SOCKET)
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    world.client = ends[1];
    *server = ends[0];
    world.engine = engine_create(&options, &ops, NULL, NULL, 0);
    require(world.engine != NULL);
}

/* The client says that nothing more comes and reads on: now the connection must end. */
static void run_out(bool lead)
{
    mem_fail_never();
    limit_budget(0);
    world_end_input();
    for (int turns = 0; world.engine->connections > 0; turns++) {
        require(turns < END_TURNS);
        /* The poll backend looks for the rest of a header by its timer, and a body that waits for
         * room has one, too. */
        if (turns == END_TURNS / 10 && (world.wire->proxy_versions || world.wire->streams))
            expire();
        app_finish_put_off();
        turn(lead);
        read_all(NULL);
    }
    read_all(NULL);
}

void world_init(void)
{
    world.output = malloc(OUTPUT_MAX);
    require(world.output != NULL);
    app_init();
}

static void connect_client(struct tls_context *tls, int server)
{
    static struct listener listener = {.local = true};
    static const struct peer peer = {.family = AF_UNIX};
    listener.tls = tls;
    require(engine_lead(world.engine));
    struct conn *conn = conn_accept(world.engine, &listener, server, &peer);
    require(conn != NULL);
    conn_read(world.engine, conn);
    engine_yield(world.engine);
}

void world_run(const struct wire *wire, struct tls_context *tls, const uint8_t *input, size_t size)
{
    int server;
    bool lead = (input[0] & SETTING_LEAD) != 0;
    open_world(wire, input[0], &server);
    connect_client(tls, server);
    act(input + 1, size - 1, lead);
    run_out(lead);
    engine_destroy(world.engine);
    require(world.refs == 0);
    if (world.client >= 0)
        close(world.client);
    if (wire->check)
        wire->check();
    else
        answers_check();
}
