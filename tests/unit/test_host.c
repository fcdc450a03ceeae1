#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backends.h"
#include "serve/engine/host.h"
#include "threaded.h"

#include <signal.h>

/* Threads that serve, the stand-by, and clients in other threads. */

enum {
    THREADS_MAX = 4,
    CLIENTS = 6,
    ROUNDS = 40,
    LARGE = 400 * 1000,
};

static struct {
    struct engine *engine;
    int listener, signals[2];
    struct sockaddr_in address;
    pthread_t threads[THREADS_MAX];
    uint32_t thread_count;
    int begun[2], go_on[2]; /* pipes: "/wait" has begun, and may go on */
    atomic_int runs, refs, interruptions, attached;
} world;

static char large[LARGE];

/* The application */

static void put(struct request *request, const char *data, size_t n)
{
    bool kept = false;
    atomic_fetch_add(&world.refs, 1);
    served_put(request, data, n, &world, &kept);
    if (!kept)
        atomic_fetch_sub(&world.refs, 1);
}

static void put_body(struct request *request)
{
    static _Thread_local char body[LARGE];
    size_t size = 0;
    ssize_t n;
    while ((n = body_read(request, body + size, sizeof(body) - size)) > 0)
        size += (size_t)n;
    response_start(request, "200 OK", 6);
    response_write(request, body, size, NULL, &(bool){false}, true);
    response_finish(request);
}

/* Until the client has gone, as either side may find out. */
static void stream(struct request *request)
{
    enum response_error error;
    response_start(request, "200 OK", 6);
    do {
        bool kept = false;
        atomic_fetch_add(&world.refs, 1);
        error = response_write(request, large, LARGE, &world, &kept, false);
        if (!kept)
            atomic_fetch_sub(&world.refs, 1);
    } while (error == RESPONSE_OK);
    response_abort(request);
}

static enum run_result run(void *app, struct request *request)
{
    struct str target = request_target(request);
    char byte;
    (void)app;
    atomic_fetch_add(&world.runs, 1);
    if (str_eq(target, STR("/wait"))) {
        assert_int_equal(write(world.begun[1], "x", 1), 1);
        assert_int_equal(read(world.go_on[0], &byte, 1), 1);
    }
    if (str_eq(target, STR("/slow")))
        usleep(1000);
    if (str_eq(target, STR("/stream"))) {
        stream(request);
        return RUN_DONE;
    }
    if (str_eq(target, STR("/large")))
        put(request, large, LARGE);
    else if (request->head.framing != HEAD_NO_BODY)
        put_body(request);
    else
        put(request, target.p, target.n);
    return RUN_DONE;
}

static void attach(void *app)
{
    (void)app;
    atomic_fetch_add(&world.attached, 1);
}

static void detach(void *app)
{
    (void)app;
    atomic_fetch_sub(&world.attached, 1);
}

static bool interrupted(void *app)
{
    (void)app;
    atomic_fetch_add(&world.interruptions, 1);
    return false;
}

static void release(void *app, void *ref)
{
    (void)app;
    assert_ptr_equal(ref, &world);
    atomic_fetch_sub(&world.refs, 1);
}

static int wait_for(void *app, int fd, short events, int timeout_ms)
{
    detach(app);
    int result = socket_wait(fd, events, timeout_ms);
    attach(app);
    return result;
}

static const struct app_ops ops = {
    .run = run,
    .attach = attach,
    .detach = detach,
    .interrupted = interrupted,
    .note = threaded_app_note,
    .wait = wait_for,
    .release = release,
};

/* The server */

static void *serve_as_main(void *argument)
{
    (void)argument;
    attach(NULL);
    host_run(world.engine, true);
    return NULL;
}

static void *serve(void *argument)
{
    (void)argument;
    attach(NULL);
    host_run(world.engine, false);
    return NULL;
}

static void open_server(void **state, uint32_t threads, bool standby)
{
    struct engine_options options = threaded_options(threads, *state);
    options.standby = standby;
    memset(&world, 0, sizeof(world));
    world.listener = threaded_listen(&world.address);
    assert_int_equal(pipe(world.begun) | pipe(world.go_on) |
                         socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, world.signals),
                     0);
    world.engine = engine_create(&options, &ops, NULL, &world.listener, 1);
    assert_non_null(world.engine);
    assert_int_equal(engine_watch_signals(world.engine, world.signals[0]), 0);
    world.thread_count = threads;
    for (uint32_t i = 0; i < threads; i++)
        pthread_create(&world.threads[i], NULL, i == 0 ? serve_as_main : serve, NULL);
}

static void join_server(void)
{
    for (uint32_t i = 0; i < world.thread_count; i++)
        pthread_join(world.threads[i], NULL);
    assert_int_equal(atomic_load(&world.attached), (int)world.thread_count);
    engine_destroy(world.engine);
    assert_int_equal(atomic_load(&world.refs), 0);
    int fds[] = {world.listener, world.begun[0],   world.begun[1],  world.go_on[0],
                 world.go_on[1], world.signals[0], world.signals[1]};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
}

static void stop_server(void)
{
    engine_stop(world.engine);
    join_server();
}

/* The clients */

static int connect_client(void)
{
    return threaded_connect(&world.address);
}

static void say(int client, const char *text)
{
    threaded_send(client, text, strlen(text));
}

static const char *answer(int client, size_t *size)
{
    static _Thread_local char body[LARGE + 1];
    *size = threaded_answer(client, body, sizeof(body));
    return body;
}

static void assert_answers(int client, const char *expected)
{
    size_t n;
    const char *body = answer(client, &n);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(body, expected, n);
}

static void assert_refused(int client)
{
    char got[16];
    assert_int_equal(recv(client, got, 13, MSG_WAITALL), 13);
    assert_memory_equal(got, "HTTP/1.1 400 ", 13);
}

static void wait_until_begun(void)
{
    char byte;
    assert_int_equal(read(world.begun[0], &byte, 1), 1);
}

static void wait_for_runs(int count)
{
    for (int ms = 0; atomic_load(&world.runs) < count && ms < SOON_MS; ms++)
        usleep(1000);
    assert_true(atomic_load(&world.runs) >= count);
}

static void let_go_on(void)
{
    assert_int_equal(write(world.go_on[1], "x", 1), 1);
}

/* Tests */

static void one_after_the_other(void **state)
{
    open_server(state, 1, true);
    int client = connect_client();
    for (int i = 0; i < 100; i++) {
        threaded_ask(client, "/a");
        assert_answers(client, "/a");
    }
    close(client);
    stop_server();
}

static void the_stand_by_serves_while_all_are_busy(void **state)
{
    for (uint32_t threads = 1; threads <= 2; threads++) {
        open_server(state, threads, true);
        int busy[2], reader = connect_client(), other = connect_client();
        threaded_ask(reader, "/large");
        wait_for_runs(1);
        for (uint32_t i = 0; i < threads; i++) {
            busy[i] = connect_client();
            threaded_ask(busy[i], "/wait");
            wait_until_begun();
        }
        /* Who reads slowly gets its answer, who speaks nonsense is refused, new ones are let in. */
        size_t n;
        const char *body = answer(reader, &n);
        assert_int_equal(n, LARGE);
        assert_memory_equal(body, large, LARGE);
        say(other, "nonsense\r\n\r\n");
        assert_refused(other);
        int late = connect_client();
        say(late, "nonsense\r\n\r\n");
        assert_refused(late);
        threaded_ask(reader, "/a");
        for (uint32_t i = 0; i < threads; i++)
            let_go_on();
        for (uint32_t i = 0; i < threads; i++) {
            assert_answers(busy[i], "/wait");
            close(busy[i]);
        }
        assert_answers(reader, "/a");
        close(reader);
        close(other);
        close(late);
        stop_server();
    }
}

static void one_thread_serves_while_the_other_is_busy(void **state)
{
    for (int standby = 0; standby < 2; standby++) {
        open_server(state, 2, standby);
        int busy = connect_client(), other = connect_client();
        threaded_ask(busy, "/wait");
        wait_until_begun();
        for (int i = 0; i < 20; i++) {
            threaded_ask(other, "/a");
            assert_answers(other, "/a");
        }
        let_go_on();
        assert_answers(busy, "/wait");
        close(busy);
        close(other);
        stop_server();
    }
}

/* Requests that all threads are busy with go on being collected, and are run in the end. */
static void what_waits_is_run(void **state)
{
    open_server(state, 2, true);
    int busy[2], waiting[CLIENTS];
    for (int i = 0; i < 2; i++) {
        busy[i] = connect_client();
        threaded_ask(busy[i], "/wait");
        wait_until_begun();
    }
    for (int i = 0; i < CLIENTS; i++) {
        waiting[i] = connect_client();
        threaded_ask(waiting[i], "/a");
    }
    let_go_on();
    let_go_on();
    for (int i = 0; i < CLIENTS; i++) {
        assert_answers(waiting[i], "/a");
        close(waiting[i]);
    }
    for (int i = 0; i < 2; i++) {
        assert_answers(busy[i], "/wait");
        close(busy[i]);
    }
    stop_server();
}

static void converse(int client, int round)
{
    static const char post[] = "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello";
    char got[512];
    size_t n;
    threaded_ask(client, "/one");
    threaded_ask(client, round % 3 ? "/two" : "/slow");
    threaded_ask(client, round % 7 ? "/three" : "/large");
    assert_answers(client, "/one");
    assert_answers(client, round % 3 ? "/two" : "/slow");
    if (round % 7) {
        assert_answers(client, "/three");
    } else {
        const char *body = answer(client, &n);
        assert_int_equal(n, LARGE);
        assert_memory_equal(body, large, LARGE);
    }
    int other = connect_client();
    if (round % 5) {
        say(other, post);
        ssize_t size = 0, more;
        while ((more = recv(other, got + size, sizeof(got) - 1 - (size_t)size, 0)) > 0)
            size += more;
        assert_true(size > 5 && memcmp(got + size - 5, "hello", 5) == 0);
    } else {
        threaded_ask(other, "/large"); /* and does not wait for it */
    }
    close(other);
}

static void clients_that_leave_a_stream(void **state)
{
    open_server(state, THREADS_MAX, true);
    for (int i = 0; i < 40; i++) {
        int client = connect_client();
        threaded_ask(client, "/stream");
        assert_int_equal(recv(client, (char[1]){0}, 1, 0), 1);
        if (i & 1)
            usleep(3000);
        close(client);
    }
    stop_server();
}

static void *be_a_client(void *argument)
{
    int client = connect_client();
    (void)argument;
    for (int i = 0; i < ROUNDS; i++)
        converse(client, i);
    close(client);
    return NULL;
}

static void many_clients_and_threads(void **state)
{
    pthread_t clients[CLIENTS];
    open_server(state, THREADS_MAX, true);
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&clients[i], NULL, be_a_client, NULL);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    assert_true(atomic_load(&world.runs) >= CLIENTS * ROUNDS * 3);
    stop_server();
}

static void a_signal_ends_it(void **state)
{
    for (uint32_t threads = 1; threads <= THREADS_MAX; threads += 3)
        for (int i = 0; i < 20; i++) {
            open_server(state, threads, i & 1);
            assert_int_equal(write(world.signals[1], "x", 1), 1);
            join_server();
        }
}

static void a_signal_waits_for_the_last_answer(void **state)
{
    open_server(state, 1, true);
    int busy = connect_client();
    threaded_ask(busy, "/wait");
    wait_until_begun();
    assert_int_equal(write(world.signals[1], "x", 1), 1);
    let_go_on();
    size_t n;
    answer(busy, &n);
    close(busy);
    join_server();
    assert_int_equal(atomic_load(&world.interruptions), 1);
}

static void stopped_at_once(void **state)
{
    for (int i = 0; i < 20; i++) {
        open_server(state, THREADS_MAX, i & 1);
        if (i & 2) {
            int client = connect_client();
            threaded_ask(client, "/a");
            assert_answers(client, "/a");
            close(client);
        }
        stop_server();
    }
}

static int make_large(void **state)
{
    (void)state;
    for (int i = 0; i < LARGE; i++)
        large[i] = (char)('a' + (i / 7 + i) % 26);
    return 0;
}

#define WITH(test, backend) {#test " (" backend ")", test, NULL, NULL, (void *)backend}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EACH(one_after_the_other),
        WITH_EACH(the_stand_by_serves_while_all_are_busy),
        WITH_EACH(one_thread_serves_while_the_other_is_busy),
        WITH_EACH(what_waits_is_run),
        WITH_EACH(many_clients_and_threads),
        WITH_EACH(clients_that_leave_a_stream),
        WITH_EACH(a_signal_ends_it),
        WITH_EACH(a_signal_waits_for_the_last_answer),
        WITH_EACH(stopped_at_once),
    };
    signal(SIGPIPE, SIG_IGN); /* as Python has it: sendfile() cannot be told */
    return cmocka_run_group_tests(tests, make_large, NULL);
}
