#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/dispatch/handover.h"
#include "serve/engine/host.h"
#include "serve/engine/loop_host.h"
#include "threaded.h"

#include <fcntl.h>
#include <poll.h>

/*
 * Workers with a foreign loop each, which sleeps until it is told, and an exchange between them.
 * Their applications block for longer or shorter than the stand-by's tick, their clients rest or
 * not, and at any time they are told to end. Each wait ends by what somebody else does: whoever is
 * forgotten is found out by SOON_MS.
 */

enum { WORKERS = 2, CLIENTS = 3, REQUESTS = 12, ROUNDS = 12, KEEPALIVE_MS = 20, TICKS_US = 9000 };

struct worker {
    struct engine *engine;
    pthread_t thread;
    int listener;
    struct sockaddr_in address;
    int signals[2]; /* a pipe */
};

struct client {
    pthread_t thread;
    int fd;
    unsigned seed;
};

static struct worker workers[WORKERS];
static struct exchange exchange;

static void rest(unsigned *seed)
{
    unsigned us = (unsigned)rand_r(seed) % TICKS_US;
    if (us % 2)
        usleep(us);
}

/* The application */

static enum run_result run(void *app, struct request *request)
{
    static _Thread_local unsigned seed = 1;
    (void)app;
    rest(&seed);
    served_put(request, "hello", 5, NULL, &(bool){false});
    return RUN_DONE;
}

static const struct app_ops ops = {
    .run = run,
    .attach = threaded_app_nothing,
    .detach = threaded_app_nothing,
    .note = threaded_app_note,
    .wait = threaded_app_wait,
};

/* The loop */

static void turn(struct engine *engine)
{
    loop_host_step(engine);
    if (atomic_exchange(&engine->interrupted, false))
        engine_drain(engine);
    while (loop_host_ready(engine))
        loop_host_run_one(engine);
    engine_collect(engine);
    loop_host_rest(engine);
}

static void *loop(void *argument)
{
    struct engine *engine = argument;
    struct pollfd fds[] = {
        {.fd = loop_host_fd(engine), .events = POLLIN},
        {.fd = loop_host_news(engine), .events = POLLIN},
    };
    while (!atomic_load(&engine->stopped)) {
        require(poll(fds, 2, SOON_MS) > 0);
        if (fds[1].revents)
            loop_host_heard(engine, true);
        turn(engine);
    }
    return NULL;
}

static void start_worker(struct worker *worker, uint32_t keepalive_ms)
{
    struct engine_options options = threaded_options(1, "epoll");
    options.loop_host = true;
    options.sign_of_life_ms = SOON_MS;
    options.keepalive_ms = keepalive_ms;
    options.exchange = &exchange;
    options.number = (uint32_t)(worker - workers) + 1;
    worker->listener = threaded_listen(&worker->address);
    require(pipe(worker->signals) == 0);
    fcntl(worker->signals[0], F_SETFL, O_NONBLOCK);
    worker->engine = engine_create(&options, &ops, worker, &worker->listener, 1);
    require(worker->engine);
    require(engine_watch_signals(worker->engine, worker->signals[0]) == 0);
    require(pthread_create(&worker->thread, NULL, loop, worker->engine) == 0);
}

static void join_worker(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
    engine_destroy(worker->engine);
    close(worker->listener);
    close(worker->signals[0]);
    close(worker->signals[1]);
}

/* The clients: each asks until the worker that ends does not want it any more. */

static bool ask(int fd)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", end[] = "\r\n\r\nhello";
    char last[sizeof(end)] = "";
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
        return false;
    while (strcmp(last, end) != 0) {
        memmove(last, last + 1, sizeof(last) - 1);
        ssize_t n = recv(fd, last + sizeof(last) - 2, 1, 0);
        require(n >= 0 || errno == ECONNRESET);
        if (n <= 0)
            return false;
    }
    return true;
}

static void *be_client(void *argument)
{
    struct client *client = argument;
    for (int i = 0; i < REQUESTS && ask(client->fd); i++)
        rest(&client->seed);
    close(client->fd);
    return NULL;
}

static void serve_for_a_while(uint32_t keepalive_ms, unsigned seed)
{
    struct client clients[WORKERS * CLIENTS];
    require(exchange_open(&exchange) == 0);
    for (int i = 0; i < WORKERS; i++)
        start_worker(&workers[i], keepalive_ms);
    for (int i = 0; i < WORKERS * CLIENTS; i++) {
        clients[i].seed = seed * 100 + (unsigned)i;
        clients[i].fd = threaded_connect(&workers[i % WORKERS].address);
        require(pthread_create(&clients[i].thread, NULL, be_client, &clients[i]) == 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        for (int pauses = rand_r(&seed) % 4; pauses >= 0; pauses--)
            rest(&seed);
        require(write(workers[i].signals[1], "x", 1) == 1);
    }
    for (int i = 0; i < WORKERS * CLIENTS; i++)
        pthread_join(clients[i].thread, NULL);
    for (int i = 0; i < WORKERS; i++)
        join_worker(&workers[i]);
    require(exchange_is_empty(&exchange));
    exchange_close(&exchange);
}

static void nobody_is_forgotten(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++)
        serve_for_a_while(round % 2 ? KEEPALIVE_MS : SOON_MS, round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
