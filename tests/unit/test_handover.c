#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/handover.h"
#include "serve/host.h"
#include "serve/limits.h"
#include "serve/response.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Two workers of one generation in one process: two engines with a thread and a stand-by each, a
 * listener each, and one exchange. Every wait ends on a condition.
 */

enum {
    WORKERS = 2,
    MANY = 40,
    LARGEST = 3 * 1024 * 1024,
    SOON_MS = 30 * 1000,
};

struct worker {
    struct engine *engine;
    pthread_t thread;
    int listener;
    struct sockaddr_in address;
    int go_on[2]; /* a pipe: a "/wait" that runs here may end */
    atomic_int begun, runs;
    atomic_bool hogged; /* its threads cannot attach */
};

static struct worker workers[WORKERS];
static struct exchange exchange;
static char upload[LARGEST];

/* The application: says who runs it, and what it got. */

static unsigned sum_of(const char *data, size_t n, unsigned sum)
{
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + (unsigned char)data[i];
    return sum;
}

static void run(void *app, struct request *request)
{
    struct worker *worker = app;
    struct str target = request_target(request);
    char text[256], piece[4096], byte;
    unsigned sum = 0;
    size_t total = 0;
    ssize_t n;
    if (str_eq(target, STR("/wait"))) {
        atomic_fetch_add(&worker->begun, 1);
        assert_int_equal(read(worker->go_on[0], &byte, 1), 1);
    }
    while ((n = body_read(request, piece, sizeof(piece))) > 0) {
        sum = sum_of(piece, (size_t)n, sum);
        total += (size_t)n;
    }
    assert_int_equal(n, 0);
    int size = snprintf(text, sizeof(text), "%d %.*s %zu %u", (int)(worker - workers),
                        (int)target.n, target.p, total, sum);
    char length[24];
    snprintf(length, sizeof(length), "%d", size);
    response_start(request, "200 OK", 6);
    response_field(request, STR("Content-Length"), (struct str){length, strlen(length)});
    response_write(request, text, (size_t)size, NULL, &(bool){false}, true);
    response_finish(request);
    request->conn->served++;
    atomic_fetch_add(&worker->runs, 1);
}

/* As long as another thread computes and does not let go of the interpreter. */
static void attach(void *app)
{
    while (atomic_load(&((struct worker *)app)->hogged))
        usleep(1000);
}

static void detach(void *app)
{
    (void)app;
}

static bool interrupted(void *app)
{
    (void)app;
    return true;
}

static void note(void *app, enum note_level level, const char *text)
{
    (void)app;
    if (level >= NOTE_WARNING)
        fail_msg("%s", text);
}

static int wait_for(void *app, int fd, short events, int timeout_ms)
{
    (void)app;
    return socket_wait(fd, events, timeout_ms);
}

static const struct app_ops ops = {
    .run = run,
    .attach = attach,
    .detach = detach,
    .interrupted = interrupted,
    .note = note,
    .wait = wait_for,
};

/* The workers */

static void *serve(void *argument)
{
    host_run(((struct worker *)argument)->engine, true);
    return NULL;
}

static void listen_on_loopback(struct worker *worker)
{
    socklen_t size = sizeof(worker->address);
    worker->address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    worker->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(worker->listener, (struct sockaddr *)&worker->address, size), 0);
    assert_int_equal(listen(worker->listener, 100), 0);
    assert_int_equal(getsockname(worker->listener, (struct sockaddr *)&worker->address, &size), 0);
}

/* The worker whose queue has bounds. */
static int bounded = -1;

static void start_worker(struct worker *worker, const char *loop)
{
    static const struct forwarded forwarded;
    static const struct trust trust;
    struct engine_options options = {
        .limits = {.request_line = 4094, .fields = 100, .field_size = 8190},
        .forwarded = &forwarded,
        .trust = &trust,
        .keepalive_ms = 60 * 1000,
        .worker_connections = 1000,
        .threads = 1,
        .standby = true,
        .loop = loop,
        .exchange = &exchange,
        .max_queue = worker - workers == bounded ? MANY : 0,
        .seat = (uint32_t)(worker - workers),
    };
    listen_on_loopback(worker);
    assert_int_equal(pipe(worker->go_on), 0);
    worker->engine = engine_create(&options, &ops, worker, &worker->listener, 1);
    assert_non_null(worker->engine);
    pthread_create(&worker->thread, NULL, serve, worker);
}

static void join_worker(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
    engine_destroy(worker->engine);
    worker->engine = NULL;
    close(worker->listener);
    close(worker->go_on[0]);
    close(worker->go_on[1]);
}

static void open_workers(void **state)
{
    memset(workers, 0, sizeof(workers));
    assert_int_equal(exchange_open(&exchange), 0);
    for (int i = 0; i < WORKERS; i++)
        start_worker(&workers[i], *state);
}

static void close_workers(void)
{
    for (int i = 0; i < WORKERS; i++) {
        if (!workers[i].engine)
            continue;
        engine_stop(workers[i].engine);
        join_worker(&workers[i]);
    }
    assert_true(exchange_is_empty(&exchange));
    exchange_close(&exchange);
}

/* The clients */

static int connect_to(int worker)
{
    struct timeval patience = {.tv_sec = SOON_MS / 1000};
    const struct sockaddr_in *address = &workers[worker].address;
    int client = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(client, (const struct sockaddr *)address, sizeof(*address)), 0);
    return client;
}

static void send_all(int client, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(client, data, n, MSG_NOSIGNAL);
        assert_true(sent > 0);
        data += sent;
        n -= (size_t)sent;
    }
}

static void ask(int client, const char *path)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    send_all(client, text, (size_t)n);
}

/* The body of the next answer, byte by byte, so that what follows stays where it is. */
static const char *answer(int client)
{
    static _Thread_local char got[1024];
    size_t have = 0, need = 0;
    char *body = NULL;
    while (!body || have < need) {
        assert_true(have < sizeof(got) - 1);
        assert_int_equal(recv(client, got + have, 1, 0), 1);
        got[++have] = '\0';
        if (!body && have >= 4 && memcmp(got + have - 4, "\r\n\r\n", 4) == 0) {
            const char *length = strstr(got, "\r\nContent-Length: ");
            assert_non_null(length);
            body = got + have;
            need = have + strtoul(length + 18, NULL, 10);
        }
    }
    return body;
}

static void assert_answer(int client, const char *expected)
{
    assert_string_equal(answer(client), expected);
}

static void wait_for_count(atomic_int *counter, int count)
{
    for (int ms = 0; atomic_load(counter) < count && ms < SOON_MS; ms++)
        usleep(1000);
    assert_true(atomic_load(counter) >= count);
}

/* The only thread of a worker runs a request that lasts until release(). */
static int occupy(int worker)
{
    int client = connect_to(worker), before = atomic_load(&workers[worker].begun);
    ask(client, "/wait");
    wait_for_count(&workers[worker].begun, before + 1);
    return client;
}

/* The same for whichever worker gets it, among other requests. */
static int occupy_either(int worker, int *which)
{
    int client = connect_to(worker);
    int before[WORKERS] = {workers[0].begun, workers[1].begun};
    ask(client, "/wait");
    for (int ms = 0; ms < SOON_MS; ms++) {
        for (*which = 0; *which < WORKERS; ++*which)
            if (workers[*which].begun > before[*which])
                return client;
        usleep(1000);
    }
    fail_msg("nobody runs it");
    return -1;
}

static void release(int worker)
{
    assert_int_equal(write(workers[worker].go_on[1], "x", 1), 1);
}

static void release_and_close(int worker, int client)
{
    char expected[32];
    snprintf(expected, sizeof(expected), "%d /wait 0 0", worker);
    release(worker);
    assert_answer(client, expected);
    close(client);
}

static bool has_waiting(int worker)
{
    return !ready_empty(&workers[worker].engine->ready);
}

/* Tests */

static void an_idle_worker_runs_what_waits_in_a_busy_one(void **state)
{
    open_workers(state);
    int kept = connect_to(0);
    ask(kept, "/a");
    assert_answer(kept, "0 /a 0 0");
    int busy = occupy(0);
    ask(kept, "/b");
    assert_answer(kept, "1 /b 0 0");
    /* The connection lives on there. */
    release_and_close(0, busy);
    for (int i = 0; i < 10; i++) {
        ask(kept, "/c");
        assert_answer(kept, "1 /c 0 0");
    }
    /* And comes back when that one is busy. */
    busy = occupy(1);
    ask(kept, "/d");
    assert_answer(kept, "0 /d 0 0");
    release_and_close(1, busy);
    close(kept);
    close_workers();
}

static void pipelined_requests_stay_in_order(void **state)
{
    open_workers(state);
    int busy = occupy(0), kept = connect_to(0);
    const char *two =
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 H";
    send_all(kept, two, strlen(two));
    assert_answer(kept, "1 /1 0 0");
    assert_answer(kept, "1 /2 0 0");
    send_all(kept, "TTP/1.1\r\nHost: a\r\n\r\n", 20);
    assert_answer(kept, "1 /3 0 0");
    close(kept);
    release_and_close(0, busy);
    close_workers();
}

static void post(int client, size_t n, bool chunked)
{
    char text[128];
    if (!chunked) {
        snprintf(text, sizeof(text), "POST /p HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", n);
        send_all(client, text, strlen(text));
        send_all(client, upload, n);
        return;
    }
    snprintf(text, sizeof(text), "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    send_all(client, text, strlen(text));
    for (size_t at = 0, size; at < n; at += size) {
        size = n - at < 1000 ? n - at : 1000;
        snprintf(text, sizeof(text), "%zx\r\n", size);
        send_all(client, text, strlen(text));
        send_all(client, upload + at, size);
        send_all(client, "\r\n", 2);
    }
    send_all(client, "0\r\n\r\n", 5);
}

/* In the message, in a file made for it, in a file that was there; and the next request behind. */
static void bodies_are_handed_over(void **state)
{
    static const size_t sizes[] = {1, 500, 7000, 16 * 1024, 100 * 1000, 1024 * 1024, LARGEST};
    open_workers(state);
    int busy = occupy(0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int chunked = 0; chunked < 2; chunked++) {
            char expected[64];
            int client = connect_to(0);
            post(client, sizes[i], chunked);
            ask(client, "/next");
            snprintf(expected, sizeof(expected), "1 /p %zu %u", sizes[i],
                     sum_of(upload, sizes[i], 0));
            assert_answer(client, expected);
            assert_answer(client, "1 /next 0 0");
            close(client);
        }
    release_and_close(0, busy);
    close_workers();
}

/* Who is free first takes what waits, whoever had it. */
static void while_all_are_busy_it_waits_for_either(void **state)
{
    for (int first = 0; first < WORKERS; first++) {
        char expected[32];
        open_workers(state);
        int busy[WORKERS] = {occupy(0), occupy(1)}, kept = connect_to(0);
        ask(kept, "/a");
        while (exchange_is_empty(&exchange))
            usleep(1000);
        release_and_close(first, busy[first]);
        snprintf(expected, sizeof(expected), "%d /a 0 0", first);
        assert_answer(kept, expected);
        close(kept);
        release_and_close(!first, busy[!first]);
        close_workers();
    }
}

/* All have got stuck since it was sent, and the queue has bounds: a worker sees to them. */
static void what_nobody_takes_is_taken_back(void **state)
{
    bounded = 1;
    open_workers(state);
    bounded = -1;
    int kept = connect_to(0);
    ask(kept, "/a");
    assert_answer(kept, "0 /a 0 0");
    int first = occupy(0), second = occupy(1);
    ask(kept, "/b");
    for (int ms = 0; !has_waiting(1) && ms < SOON_MS; ms++)
        usleep(1000);
    assert_int_equal(exchange_waiting(&exchange), 0);
    release_and_close(1, second);
    assert_answer(kept, "1 /b 0 0");
    release_and_close(0, first);
    close(kept);
    close_workers();
}

/* More than the exchange holds. */
static void what_does_not_fit_waits_here(void **state)
{
    const int small = 4096;
    open_workers(state);
    setsockopt(exchange.give, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    int busy[WORKERS] = {occupy(0), occupy(1)}, kept[MANY];
    for (int i = 0; i < MANY; i++) {
        kept[i] = connect_to(0);
        ask(kept[i], "/a");
    }
    while (!has_waiting(0) || exchange_is_empty(&exchange))
        usleep(1000);
    release_and_close(1, busy[1]);
    for (int i = 0; i < MANY; i++) {
        assert_answer(kept[i], "1 /a 0 0");
        close(kept[i]);
    }
    release_and_close(0, busy[0]);
    close_workers();
}

/* A worker that makes way runs what is in the exchange before it ends, its own included. */
static void nothing_is_left_behind_by_draining(void **state)
{
    open_workers(state);
    int busy[WORKERS] = {occupy(0), occupy(1)}, kept[MANY];
    for (int i = 0; i < MANY; i++) {
        kept[i] = connect_to(i % WORKERS);
        ask(kept[i], "/a");
    }
    while (exchange_is_empty(&exchange))
        usleep(1000);
    for (int i = 0; i < WORKERS; i++)
        engine_drain(workers[i].engine);
    release_and_close(0, busy[0]);
    release_and_close(1, busy[1]);
    for (int i = 0; i < MANY; i++) {
        assert_string_equal(answer(kept[i]) + 1, " /a 0 0");
        assert_int_equal(recv(kept[i], (char[1]){0}, 1, 0), 0);
        close(kept[i]);
    }
    for (int i = 0; i < WORKERS; i++)
        join_worker(&workers[i]);
    close_workers();
}

/* One that has nobody beside it keeps its requests. */
static void alone_it_keeps_what_waits(void **state)
{
    open_workers(state);
    engine_stop(workers[1].engine);
    join_worker(&workers[1]);
    int busy = occupy(0), kept = connect_to(0);
    ask(kept, "/a");
    while (!has_waiting(0))
        usleep(1000);
    assert_true(exchange_is_empty(&exchange));
    release_and_close(0, busy);
    assert_answer(kept, "0 /a 0 0");
    close(kept);
    close_workers();
}

/* The thread has taken the request, and cannot run it. */
static void a_request_is_taken_back_from_who_cannot_attach(void **state)
{
    open_workers(state);
    int kept = connect_to(0);
    atomic_store(&workers[0].hogged, true);
    ask(kept, "/a");
    assert_answer(kept, "1 /a 0 0");
    atomic_store(&workers[0].hogged, false);
    int other = connect_to(0);
    ask(other, "/b");
    answer(other);
    close(kept);
    close(other);
    close_workers();
}

static void *keep_asking(void *argument)
{
    int client = *(int *)argument;
    for (int i = 0; i < MANY; i++) {
        ask(client, "/a");
        assert_string_equal(answer(client) + 1, " /a 0 0");
    }
    return NULL;
}

/* Clients that never rest, while the workers take turns at being stuck. */
static void nothing_is_lost_while_workers_get_stuck(void **state)
{
    enum { CLIENTS = 8 };
    pthread_t threads[CLIENTS];
    int clients[CLIENTS];
    open_workers(state);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = connect_to(i % WORKERS);
        pthread_create(&threads[i], NULL, keep_asking, &clients[i]);
    }
    for (int i = 0; i < 10; i++) {
        int stuck, client = occupy_either(i % WORKERS, &stuck);
        usleep(6000); /* longer than a tick of the stand-by, and of no consequence else */
        release_and_close(stuck, client);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        close(clients[i]);
    }
    close_workers();
}

/* A worker's number has no bound, its seats have; a worker that cannot open leaves them alone. */
static void an_engine_that_could_not_open(void **state)
{
    struct engine_options options = {
        .threads = 1, .loop = "none", .exchange = &exchange, .seat = 1000 * 1000 * 1000};
    (void)state;
    assert_int_equal(exchange_open(&exchange), 0);
    assert_null(engine_create(&options, &ops, NULL, NULL, 0));
    assert_int_equal(errno, EINVAL);
    exchange_close(&exchange);
}

static int fill(void **state)
{
    (void)state;
    for (size_t i = 0; i < LARGEST; i++)
        upload[i] = (char)(i * 7 + (i >> 12));
    return 0;
}

#define WITH(test, backend) {#test " (" backend ")", test, NULL, NULL, (void *)backend}
#define WITH_EACH(test) WITH(test, "epoll"), WITH(test, "poll")

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EACH(an_idle_worker_runs_what_waits_in_a_busy_one),
        WITH_EACH(pipelined_requests_stay_in_order),
        WITH_EACH(bodies_are_handed_over),
        WITH_EACH(while_all_are_busy_it_waits_for_either),
        WITH_EACH(what_nobody_takes_is_taken_back),
        WITH_EACH(what_does_not_fit_waits_here),
        WITH_EACH(nothing_is_left_behind_by_draining),
        WITH_EACH(alone_it_keeps_what_waits),
        WITH_EACH(a_request_is_taken_back_from_who_cannot_attach),
        WITH_EACH(nothing_is_lost_while_workers_get_stuck),
        cmocka_unit_test(an_engine_that_could_not_open),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
