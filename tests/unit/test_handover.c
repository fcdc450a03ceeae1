#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backends.h"
#include "serve/dispatch/handover.h"
#include "serve/engine/host.h"
#include "serve/engine/limits.h"
#include "serve/engine/loop_host.h"
#include "threaded.h"

#include <poll.h>

/*
 * Two workers of one generation in one process: two engines with a thread and a stand-by each, a
 * listener each, and one exchange. Every wait ends on a condition.
 */

enum {
    WORKERS = 2,
    MANY = 40,
    LARGEST = 3 * 1024 * 1024,
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

#define FOLDED "GET /last-field HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n c\r\n\r\n"

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

static enum run_result run(void *app, struct request *request)
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
    if (str_eq(target, STR("/last-field"))) {
        const struct head_field *field = &request->head.fields[request->head.field_count - 1];
        target = head_slice(request->input, field->value, field->value_len);
    }
    int size = snprintf(text, sizeof(text), "%d %.*s %zu %u", (int)(worker - workers),
                        (int)target.n, target.p, total, sum);
    served_put(request, text, (size_t)size, NULL, &(bool){false});
    atomic_fetch_add(&worker->runs, 1);
    return RUN_DONE;
}

/* As long as another thread computes and does not let go of the interpreter. */
static void attach(void *app)
{
    while (atomic_load(&((struct worker *)app)->hogged))
        usleep(1000);
}

static void note(void *app, enum note_level level, const char *text)
{
    (void)app;
    if (level >= NOTE_WARNING)
        fail_msg("%s", text);
}

static const struct app_ops ops = {
    .run = run,
    .attach = attach,
    .detach = threaded_app_nothing,
    .interrupted = served_app_interrupted,
    .note = note,
    .wait = threaded_app_wait,
};

/* The workers */

static void *serve(void *argument)
{
    host_run(((struct worker *)argument)->engine, true);
    return NULL;
}

/* The worker whose queue has bounds. */
static int bounded = -1;

static void start_worker(struct worker *worker, const char *loop)
{
    struct engine_options options = threaded_options(1, loop);
    options.exchange = &exchange;
    options.own_listeners = true;
    options.number = (uint32_t)(worker - workers) + 1;
    options.max_queue = worker - workers == bounded ? MANY : 0;
    options.limits.permit_obsolete_folding = true;
    worker->listener = threaded_listen(&worker->address);
    assert_int_equal(pipe(worker->go_on), 0);
    worker->engine = engine_create(&options, &ops, worker, &worker->listener, 1);
    assert_non_null(worker->engine);
    pthread_create(&worker->thread, NULL, serve, worker);
}

static void close_worker(struct worker *worker)
{
    engine_destroy(worker->engine);
    worker->engine = NULL;
    close(worker->listener);
    close(worker->go_on[0]);
    close(worker->go_on[1]);
}

static void join_worker(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
    close_worker(worker);
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
    return threaded_connect(&workers[worker].address);
}

static const char *answer(int client)
{
    static _Thread_local char body[1024];
    threaded_answer(client, body, sizeof(body));
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
    threaded_ask(client, "/wait");
    wait_for_count(&workers[worker].begun, before + 1);
    return client;
}

/* The same for whichever worker gets it, among other requests. */
static int occupy_either(int worker, int *which)
{
    int client = connect_to(worker);
    int before[WORKERS] = {workers[0].begun, workers[1].begun};
    threaded_ask(client, "/wait");
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

static void wait_until_one_waits(int worker)
{
    for (int ms = 0; !has_waiting(worker) && ms < SOON_MS; ms++)
        usleep(1000);
}

/* Tests */

static void an_idle_worker_runs_what_waits_in_a_busy_one(void **state)
{
    open_workers(state);
    int kept = connect_to(0);
    threaded_ask(kept, "/a");
    assert_answer(kept, "0 /a 0 0");
    int busy = occupy(0);
    threaded_ask(kept, "/b");
    assert_answer(kept, "1 /b 0 0");
    /* The connection lives on there. */
    release_and_close(0, busy);
    for (int i = 0; i < 10; i++) {
        threaded_ask(kept, "/c");
        assert_answer(kept, "1 /c 0 0");
    }
    /* And comes back when that one is busy. */
    busy = occupy(1);
    threaded_ask(kept, "/d");
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
    threaded_send(kept, two, strlen(two));
    assert_answer(kept, "1 /1 0 0");
    assert_answer(kept, "1 /2 0 0");
    threaded_send(kept, "TTP/1.1\r\nHost: a\r\n\r\n", 20);
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
        threaded_send(client, text, strlen(text));
        threaded_send(client, upload, n);
        return;
    }
    snprintf(text, sizeof(text), "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    threaded_send(client, text, strlen(text));
    for (size_t at = 0, size; at < n; at += size) {
        size = n - at < 1000 ? n - at : 1000;
        snprintf(text, sizeof(text), "%zx\r\n", size);
        threaded_send(client, text, strlen(text));
        threaded_send(client, upload + at, size);
        threaded_send(client, "\r\n", 2);
    }
    threaded_send(client, "0\r\n\r\n", 5);
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
            threaded_ask(client, "/next");
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
        threaded_ask(kept, "/a");
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
    threaded_ask(kept, "/a");
    assert_answer(kept, "0 /a 0 0");
    int first = occupy(0), second = occupy(1);
    threaded_ask(kept, "/b");
    wait_until_one_waits(1);
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
        threaded_ask(kept[i], "/a");
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

/* Its lines are joined where they stand, and are no head any more. The one behind it goes. */
static void a_folded_field_stays_what_it_is(void **state)
{
    open_workers(state);
    int busy = occupy(0), folded = connect_to(0), plain = connect_to(0);
    threaded_send(folded, FOLDED, sizeof(FOLDED) - 1);
    wait_until_one_waits(0);
    threaded_ask(plain, "/a");
    assert_answer(plain, "1 /a 0 0");
    release_and_close(0, busy);
    assert_answer(folded, "0 a b c 0 0");
    close(folded);
    close(plain);
    close_workers();
}

/* A worker that makes way runs what is in the exchange before it ends, its own included. */
static void nothing_is_left_behind_by_draining(void **state)
{
    open_workers(state);
    int busy[WORKERS] = {occupy(0), occupy(1)}, kept[MANY];
    for (int i = 0; i < MANY; i++) {
        kept[i] = connect_to(i % WORKERS);
        threaded_ask(kept[i], "/a");
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

/* With newer workers there, one that drains ends what it runs, and takes nothing more. */
static void who_is_replaced_leaves_what_waits(void **state)
{
    open_workers(state);
    atomic_store(exchange.replaced, 1);
    int busy[WORKERS] = {occupy(0), occupy(1)}, kept = connect_to(0);
    threaded_ask(kept, "/a");
    while (exchange_is_empty(&exchange))
        usleep(1000);
    engine_drain(workers[0].engine);
    while (!atomic_load(&workers[0].engine->metrics->draining))
        usleep(1000);
    release_and_close(0, busy[0]);
    join_worker(&workers[0]);
    release_and_close(1, busy[1]);
    assert_answer(kept, "1 /a 0 0");
    close(kept);
    close_workers();
}

/* What is sent when a worker has made way, and has not gone yet, is for the others. */
static void nothing_is_taken_by_who_has_stopped(void **state)
{
    char head[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    struct engine_options options = threaded_options(1, *state);
    options.standby = false;
    options.exchange = &exchange;
    options.own_listeners = true;
    assert_int_equal(exchange_open(&exchange), 0);
    struct engine *engine = engine_create(&options, &ops, NULL, NULL, 0);
    assert_non_null(engine);
    engine_drain(engine);
    assert_true(engine_lead(engine));
    engine_step(engine, 0);
    assert_true(atomic_load(&engine->stopped));
    struct parcel parcel = {.fd = exchange.take, .file = -1, .pieces = {{head, strlen(head)}}};
    assert_true(exchange_send(&exchange, &parcel));
    engine_yield(engine);
    assert_int_equal(exchange_waiting(&exchange), 1);
    engine_destroy(engine);
    assert_int_equal(exchange_waiting(&exchange), 1);
    exchange_close(&exchange);
}

/* A new worker that has served its time and is not gone yet takes nothing any more. */
static void who_ends_counts_no_longer(void **state)
{
    open_workers(state);
    atomic_store(exchange.replaced, 1);
    engine_drain(workers[1].engine);
    pthread_join(workers[1].thread, NULL);
    int busy = occupy(0), kept = connect_to(0);
    threaded_ask(kept, "/a");
    while (!has_waiting(0) && exchange_is_empty(&exchange))
        usleep(1000);
    engine_drain(workers[0].engine);
    while (!atomic_load(&workers[0].engine->metrics->draining))
        usleep(1000);
    release_and_close(0, busy);
    assert_answer(kept, "0 /a 0 0");
    close(kept);
    join_worker(&workers[0]);
    close_worker(&workers[1]);
    close_workers();
}

/* One that has nobody beside it keeps its requests. */
static void alone_it_keeps_what_waits(void **state)
{
    open_workers(state);
    engine_stop(workers[1].engine);
    join_worker(&workers[1]);
    int busy = occupy(0), kept = connect_to(0);
    threaded_ask(kept, "/a");
    while (!has_waiting(0))
        usleep(1000);
    assert_true(exchange_is_empty(&exchange));
    release_and_close(0, busy);
    assert_answer(kept, "0 /a 0 0");
    close(kept);
    close_workers();
}

/* But what has waited for long is where a successor finds it. */
static void alone_and_stuck_it_keeps_nothing(void **state)
{
    open_workers(state);
    engine_stop(workers[1].engine);
    join_worker(&workers[1]);
    int busy = occupy(0), kept = connect_to(0);
    threaded_ask(kept, "/a");
    while (exchange_is_empty(&exchange))
        usleep(1000);
    assert_false(has_waiting(0));
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
    threaded_ask(kept, "/a");
    assert_answer(kept, "1 /a 0 0");
    atomic_store(&workers[0].hogged, false);
    int other = connect_to(0);
    threaded_ask(other, "/b");
    answer(other);
    close(kept);
    close(other);
    close_workers();
}

static void *keep_asking(void *argument)
{
    int client = *(int *)argument;
    for (int i = 0; i < MANY; i++) {
        threaded_ask(client, "/a");
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

/* The loop may have come in vain while the stand-by led for a moment: it is told to come again. */
static void a_foreign_loop_can_lead_again_after_evening_out(void **state)
{
    struct engine_options options = threaded_options(1, NULL);
    struct sockaddr_in address;
    struct handover_watch watch = {0};
    (void)state;
    options.standby = false; /* it is we */
    options.loop_host = true;
    options.exchange = &exchange;
    options.own_listeners = true;
    options.number = 1;
    assert_int_equal(exchange_open(&exchange), 0);
    exchange_sit(&exchange, 2, 1); /* who has nothing to do */
    int listener = threaded_listen(&address);
    struct engine *engine = engine_create(&options, &ops, NULL, &listener, 1);
    assert_non_null(engine);
    int client = threaded_connect(&address);
    threaded_ask(client, "/a");
    while (!loop_host_ready(engine)) {
        assert_int_equal(socket_wait(loop_host_fd(engine), POLLIN, SOON_MS), 1);
        loop_host_step(engine);
    }
    loop_host_heard(engine, true);
    for (int tick = 0; tick < 2; tick++)
        handover_even_out(engine, &watch);
    assert_int_equal(exchange_waiting(&exchange), 1);
    assert_int_equal(socket_wait(loop_host_news(engine), POLLIN, 0), 1);
    engine_destroy(engine);
    exchange_close(&exchange);
    close(listener);
    close(client);
}

/* A worker's number has no bound, its seats have; a worker that cannot open leaves them alone. */
static void an_engine_that_could_not_open(void **state)
{
    struct engine_options options = {
        .threads = 1, .loop = "none", .exchange = &exchange, .number = 1000 * 1000 * 1000};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EACH(an_idle_worker_runs_what_waits_in_a_busy_one),
        WITH_EACH(pipelined_requests_stay_in_order),
        WITH_EACH(bodies_are_handed_over),
        WITH_EACH(while_all_are_busy_it_waits_for_either),
        WITH_EACH(what_nobody_takes_is_taken_back),
        WITH_EACH(what_does_not_fit_waits_here),
        WITH_EACH(a_folded_field_stays_what_it_is),
        WITH_EACH(nothing_is_left_behind_by_draining),
        WITH_EACH(who_is_replaced_leaves_what_waits),
        WITH_EACH(nothing_is_taken_by_who_has_stopped),
        WITH_EACH(who_ends_counts_no_longer),
        WITH_EACH(alone_it_keeps_what_waits),
        WITH_EACH(alone_and_stuck_it_keeps_nothing),
        WITH_EACH(a_request_is_taken_back_from_who_cannot_attach),
        WITH_EACH(nothing_is_lost_while_workers_get_stuck),
        cmocka_unit_test(a_foreign_loop_can_lead_again_after_evening_out),
        cmocka_unit_test(an_engine_that_could_not_open),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
