#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/http1/chunked.h"
#include "serve/engine/host.h"
#include "serve/engine/loop_host.h"
#include "serve/request/later.h"
#include "threaded.h"

#include <fcntl.h>
#include <poll.h>

/*
 * An application that answers later: by a timer's thread, or from events. Thousands of its requests
 * are under way at a time, and clients leave at any moment. All host threads and the timer's share
 * one lock, as threads of Python do: whoever holds it is attached.
 */

enum { THREADS_MAX = 3, CLIENTS = 1500, TASKS_MAX = 4 * CLIENTS };

struct kind {
    const char *loop;
    uint32_t threads; /* 0: a foreign loop */
};

/* A request that runs. Never freed before the end: no event may come after `finished`. */
struct task {
    struct request *request;
    struct task *next; /* of those that the timer will answer */
    bool finished, gone;
};

static struct {
    struct engine *engine;
    int listener;
    struct sockaddr_in address;
    pthread_t threads[THREADS_MAX], timer;
    uint32_t thread_count;
    pthread_mutex_t attached, lock;
    pthread_cond_t wake;
    struct task *first; /* for the timer; under lock, as the next two */
    bool hold, ends;    /* it does nothing yet, ends when all is done */
    struct task tasks[TASKS_MAX];
    atomic_uint begun, finished, gone, due;
} world;

/* The application */

static void finish(struct task *task, const char *text)
{
    bool kept;
    require(!task->finished);
    if (text)
        served_put(task->request, text, strlen(text), NULL, &kept);
    else
        response_abort(task->request);
    task->finished = true;
    atomic_fetch_add(&world.finished, 1);
    engine_finish(world.engine, task->request);
}

static struct task *begin(struct request *request)
{
    unsigned number = atomic_fetch_add(&world.begun, 1);
    require(number < TASKS_MAX);
    struct task *task = &world.tasks[number];
    *task = (struct task){.request = request};
    request->call = task;
    return task;
}

static void give_to_timer(struct task *task)
{
    pthread_mutex_lock(&world.lock);
    task->next = world.first;
    world.first = task;
    pthread_cond_signal(&world.wake);
    pthread_mutex_unlock(&world.lock);
}

static void end_echo(struct task *task, bool whole)
{
    if (whole)
        response_finish(task->request);
    else
        response_abort(task->request);
    task->finished = true;
    atomic_fetch_add(&world.finished, 1);
    engine_finish(world.engine, task->request);
}

/* Sends back what has come of the body, as long as the client takes it. */
static void echo(struct task *task)
{
    struct request *request = task->request;
    char piece[5000];
    bool kept;
    for (;;) {
        if (!response_room(request)) {
            request_ask(request, REQUEST_ROOM);
            return;
        }
        ssize_t n = body_take(request, piece, sizeof(piece));
        if (n == BODY_NOT_YET) {
            request_ask(request, REQUEST_BODY);
            return;
        }
        if (n <= 0 ||
            response_write(request, piece, (size_t)n, NULL, &kept, false) != RESPONSE_OK) {
            end_echo(task, n == BODY_END);
            return;
        }
    }
}

static void begin_echo(struct task *task)
{
    request_ask(task->request, REQUEST_GONE);
    response_start(task->request, "200 OK", 6);
    echo(task);
}

static enum run_result run(void *app, struct request *request)
{
    bool kept;
    struct str target = request_target(request);
    (void)app;
    if (str_eq(target, STR("/now"))) {
        served_put(request, "now", 3, NULL, &kept);
        return RUN_DONE;
    }
    struct task *task = begin(request);
    if (str_eq(target, STR("/echo")))
        begin_echo(task);
    else if (str_eq(target, STR("/within")))
        finish(task, "within");
    else if (str_eq(target, STR("/gone")))
        request_ask(request, REQUEST_GONE);
    else if (str_eq(target, STR("/deadline")))
        request_ask(request, REQUEST_DEADLINE);
    else if (str_eq(target, STR("/timer")))
        give_to_timer(task);
    else {
        request_ask(request, REQUEST_GONE);
        give_to_timer(task);
    }
    return RUN_LATER;
}

/* "/gone" ends by that, "/either" by the timer. */
static void client_gone(struct task *task)
{
    require(!task->gone);
    task->gone = true;
    atomic_fetch_add(&world.gone, 1);
    if (str_eq(request_target(task->request), STR("/gone")))
        finish(task, NULL);
}

static void on_events(void *app, struct request *request, unsigned events)
{
    struct task *task = request->call;
    (void)app;
    require(!task->finished && task->request == request);
    if (events & REQUEST_GONE)
        client_gone(task);
    if (events & (REQUEST_BODY | REQUEST_ROOM))
        echo(task);
    if (events & REQUEST_DEADLINE) {
        atomic_fetch_add(&world.due, 1);
        finish(task, "late");
    }
}

static void attach(void *app)
{
    (void)app;
    pthread_mutex_lock(&world.attached);
}

static void detach(void *app)
{
    (void)app;
    pthread_mutex_unlock(&world.attached);
}

static const struct app_ops ops = {
    .run = run,
    .events = on_events,
    .attach = attach,
    .detach = detach,
    .note = threaded_app_note,
    .wait = threaded_app_wait,
};

/* The timer: answers all that it has, a moment after it got the first. */

static struct task *timer_take(void)
{
    pthread_mutex_lock(&world.lock);
    while ((!world.first || world.hold) && !world.ends)
        pthread_cond_wait(&world.wake, &world.lock);
    struct task *list = world.first;
    world.first = NULL;
    pthread_mutex_unlock(&world.lock);
    return list;
}

static void *timer_main(void *argument)
{
    struct task *task;
    while ((task = timer_take())) {
        usleep(500);
        while (task) {
            struct task *next = task->next;
            attach(NULL);
            finish(task, "later");
            detach(NULL);
            task = next;
        }
    }
    return argument;
}

static void hold_timer(bool hold)
{
    pthread_mutex_lock(&world.lock);
    world.hold = hold;
    pthread_cond_signal(&world.wake);
    pthread_mutex_unlock(&world.lock);
}

static void end_timer(void)
{
    pthread_mutex_lock(&world.lock);
    world.ends = true;
    pthread_cond_signal(&world.wake);
    pthread_mutex_unlock(&world.lock);
    pthread_join(world.timer, NULL);
}

/* The hosts */

static void *serve(void *argument)
{
    attach(NULL);
    host_run(world.engine, false);
    detach(NULL);
    return argument;
}

static void turn(void)
{
    struct engine *engine = world.engine;
    loop_host_step(engine);
    loop_host_give_events(engine);
    while (loop_host_ready(engine))
        loop_host_run_one(engine);
    engine_collect(engine);
    loop_host_rest(engine);
}

static void *loop(void *argument)
{
    struct pollfd fds[] = {
        {.fd = loop_host_fd(world.engine), .events = POLLIN},
        {.fd = loop_host_news(world.engine), .events = POLLIN},
    };
    while (!atomic_load(&world.engine->stopped)) {
        require(poll(fds, 2, SOON_MS) > 0);
        if (fds[1].revents)
            loop_host_heard(world.engine, true);
        attach(NULL);
        turn();
        detach(NULL);
    }
    return argument;
}

static struct engine_options options_for(const struct kind *kind)
{
    struct engine_options options = threaded_options(kind->threads, kind->loop);
    options.worker_connections = 2 * CLIENTS;
    options.loop_host = kind->threads == 0;
    options.sign_of_life_ms = SOON_MS / 2;
    return options;
}

static void open_server(const struct kind *kind, const struct engine_options *options)
{
    memset(&world, 0, sizeof(world));
    pthread_mutex_init(&world.attached, NULL);
    pthread_mutex_init(&world.lock, NULL);
    pthread_cond_init(&world.wake, NULL);
    world.listener = threaded_listen(&world.address);
    require(listen(world.listener, CLIENTS) == 0); /* no client connects a second time */
    world.engine = engine_create(options, &ops, NULL, &world.listener, 1);
    require(world.engine);
    require(pthread_create(&world.timer, NULL, timer_main, NULL) == 0);
    world.thread_count = kind->threads ? kind->threads : 1;
    for (uint32_t i = 0; i < world.thread_count; i++)
        require(pthread_create(&world.threads[i], NULL, kind->threads ? serve : loop, NULL) == 0);
}

/* It drains, with the requests that are under way; all of them end. */
static void close_server(void)
{
    attach(NULL);
    engine_drain(world.engine);
    detach(NULL);
    for (uint32_t i = 0; i < world.thread_count; i++)
        pthread_join(world.threads[i], NULL);
    end_timer();
    require(atomic_load(&world.begun) == atomic_load(&world.finished));
    require(atomic_load(&world.engine->metrics->running) == 0);
    require(atomic_load(&world.engine->dormant) == 0);
    require(atomic_load(&world.engine->ready.due_count) == 0);
    engine_destroy(world.engine);
    close(world.listener);
    pthread_cond_destroy(&world.wake);
    pthread_mutex_destroy(&world.lock);
    pthread_mutex_destroy(&world.attached);
}

static bool all_finished(void)
{
    return atomic_load(&world.finished) == atomic_load(&world.begun);
}

/* Looks every millisecond whether it is so: SOON_MS at most. */
static void await_until(bool (*is_so)(void))
{
    uint64_t until = clock_ms() + SOON_MS;
    while (!is_so()) {
        require(clock_ms() < until);
        usleep(1000);
    }
}

/* The clients */

static int clients[CLIENTS];

static void assert_answers(int client, const char *expected)
{
    char body[64];
    require(threaded_answer(client, body, sizeof(body)) == strlen(expected));
    require(strcmp(body, expected) == 0);
}

/* Tests */

static void a_timer_answers(void **state)
{
    struct engine_options options = options_for(*state);
    open_server(*state, &options);
    int client = threaded_connect(&world.address);
    for (int i = 0; i < 20; i++) {
        threaded_ask(client, i % 2 ? "/timer" : "/now");
        assert_answers(client, i % 2 ? "later" : "now");
        threaded_ask(client, "/within");
        assert_answers(client, "within");
    }
    close(client);
    close_server();
}

static void thousands_are_answered_later(void **state)
{
    static const char *const paths[] = {"/timer", "/either", "/now", "/within"};
    static const char *const answers[] = {"later", "later", "now", "within"};
    struct engine_options options = options_for(*state);
    open_server(*state, &options);
    hold_timer(true);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = threaded_connect(&world.address);
        threaded_ask(clients[i], paths[i % 4]);
        if (i % 8 == 1) /* an end of the input is no end of the client */
            shutdown(clients[i], SHUT_WR);
    }
    for (int i = 0; i < CLIENTS; i++)
        if (i % 4 >= 2)
            assert_answers(clients[i], answers[i % 4]);
    hold_timer(false);
    for (int i = 0; i < CLIENTS; i++) {
        if (i % 4 < 2)
            assert_answers(clients[i], answers[i % 4]);
        close(clients[i]);
    }
    require(atomic_load(&world.gone) > 0);
    close_server();
}

static bool all_gone(void)
{
    return atomic_load(&world.gone) == CLIENTS / 2;
}

static void clients_that_leave_are_noticed(void **state)
{
    struct engine_options options = options_for(*state);
    open_server(*state, &options);
    hold_timer(true);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = threaded_connect(&world.address);
        threaded_ask(clients[i], i % 2 ? "/gone" : "/either");
        if (i % 4 < 2) /* some before the request runs */
            close(clients[i]);
    }
    await_until(all_gone);
    require(atomic_load(&world.gone) == CLIENTS / 2);
    for (int i = 0; i < CLIENTS; i++)
        if (i % 4 == 3)
            close(clients[i]);
    hold_timer(false);
    for (int i = 0; i < CLIENTS; i++)
        if (i % 4 == 2) {
            assert_answers(clients[i], "later");
            close(clients[i]);
        }
    await_until(all_finished);
    close_server();
}

/* Each comes to an end while its client leaves. */
static void clients_leave_as_they_are_answered(void **state)
{
    struct engine_options options = options_for(*state);
    open_server(*state, &options);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            clients[i] = threaded_connect(&world.address);
            threaded_ask(clients[i], "/either");
            if (i >= 10)
                close(clients[i - 10]);
        }
        for (int i = CLIENTS - 10; i < CLIENTS; i++)
            close(clients[i]);
    }
    await_until(all_finished);
    close_server();
}

static void a_deadline_is_an_event(void **state)
{
    struct engine_options options = options_for(*state);
    options.request_timeout_ms = 30;
    options.request_grace_ms = SOON_MS;
    open_server(*state, &options);
    int client = threaded_connect(&world.address);
    threaded_ask(client, "/deadline");
    assert_answers(client, "late");
    threaded_ask(client, "/now");
    assert_answers(client, "now");
    close(client);
    require(atomic_load(&world.due) == 1);
    close_server();
}

static void the_end_of_the_worker_is_a_deadline(void **state)
{
    struct engine_options options = options_for(*state);
    options.graceful_ms = 50;
    open_server(*state, &options);
    int client = threaded_connect(&world.address), other = threaded_connect(&world.address);
    threaded_ask(client, "/deadline");
    threaded_ask(other, "/now");
    assert_answers(other, "now");
    engine_drain(world.engine);
    assert_answers(client, "late");
    require(atomic_load(&world.due) == 1);
    close(client);
    close(other);
    close_server();
}

/* Runs that have no thread count for limit_concurrency, and not for max_queue. */
static void bounds_count_what_runs(void **state)
{
    const struct kind *kind = *state;
    struct engine_options options = options_for(kind);
    char head[1024];
    options.max_queue = 1;
    options.limit_concurrency = 8;
    open_server(kind, &options);
    hold_timer(true);
    for (int i = 0; i < 8; i++) {
        clients[i] = threaded_connect(&world.address);
        threaded_ask(clients[i], "/timer");
        while (atomic_load(&world.begun) <= (unsigned)i)
            usleep(100);
        require(atomic_load(&world.engine->metrics->running) >= (unsigned)i + 1);
    }
    int refused = threaded_connect(&world.address);
    threaded_ask(refused, "/now");
    threaded_head(refused, head, sizeof(head));
    require(strncmp(head, "HTTP/1.1 503 ", 13) == 0);
    close(refused);
    hold_timer(false);
    for (int i = 0; i < 8; i++) {
        assert_answers(clients[i], "later");
        close(clients[i]);
    }
    close_server();
}

/* Bodies that come while they are sent back */

enum { BODY = 200 * 1000, ECHOERS = 6, ROUNDS = 25 };

static char body[BODY];

/* The client's side of one echo: what it sends, and what has come back behind the answer's head. */
struct exchange_of {
    int fd;
    const char *data;
    size_t size, sent, got;
    char *back; /* of size + 4 KiB: with the head and the chunks' frames */
};

static bool exchange_once(struct exchange_of *echo, size_t space)
{
    struct pollfd pollfd = {.fd = echo->fd, .events = POLLIN};
    if (echo->sent < echo->size)
        pollfd.events |= POLLOUT;
    require(poll(&pollfd, 1, SOON_MS) > 0);
    if (pollfd.revents & POLLOUT) {
        ssize_t n = send(echo->fd, echo->data + echo->sent, echo->size - echo->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        require(n > 0 || errno == EAGAIN);
        echo->sent += n > 0 ? (size_t)n : 0;
    }
    if (!(pollfd.revents & ~POLLOUT))
        return true;
    require(echo->got < space);
    ssize_t n = recv(echo->fd, echo->back + echo->got, space - echo->got, MSG_DONTWAIT);
    require(n >= 0 || errno == EAGAIN);
    echo->got += n > 0 ? (size_t)n : 0;
    return n != 0;
}

/* The bytes of a chunked answer, in place; how many. */
static size_t unchunk(char *text, size_t n)
{
    struct chunked chunked;
    size_t consumed, produced;
    char *data = memmem(text, n, "\r\n\r\n", 4);
    require(data && strncmp(text, "HTTP/1.1 200 OK\r\n", 17) == 0);
    data += 4;
    chunked_init(&chunked, 0, 0);
    require(chunked_decode(&chunked, data, n - (size_t)(data - text), &consumed, &produced) ==
            CHUNKED_DONE);
    memmove(text, data, produced);
    return produced;
}

static void send_head(int fd, size_t size)
{
    char head[128];
    int n = snprintf(head, sizeof(head),
                     "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     size);
    threaded_send(fd, head, (size_t)n);
}

/* All of it comes back. */
static void echo_all(struct exchange_of *echo, unsigned *seed)
{
    size_t space = 2 * echo->size + 4096;
    echo->back = malloc(space);
    send_head(echo->fd, echo->size);
    while (exchange_once(echo, space))
        if (rand_r(seed) % 50 == 0)
            usleep(1000); /* a client that is slow now and then */
        else if (echo->sent == echo->size && rand_r(seed) % 8 == 0)
            shutdown(echo->fd, SHUT_WR);
    require(unchunk(echo->back, echo->got) == echo->size);
    require(memcmp(echo->back, echo->data, echo->size) == 0);
    free(echo->back);
}

/* Leaves in the midst, with what comes back unread or not. */
static void leave_within(struct exchange_of *echo, unsigned *seed)
{
    size_t space = 2 * echo->size + 4096;
    echo->back = malloc(space);
    send_head(echo->fd, echo->size);
    for (int i = rand_r(seed) % 20; i > 0 && exchange_once(echo, space); i--)
        ;
    free(echo->back);
}

static void *echoer(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct exchange_of echo = {.data = body, .size = 1 + (size_t)rand_r(&seed) % BODY};
        echo.fd = threaded_connect(&world.address);
        if (rand_r(&seed) % 3)
            echo_all(&echo, &seed);
        else
            leave_within(&echo, &seed);
        close(echo.fd);
    }
    return NULL;
}

static void bodies_come_back_as_they_come(void **state)
{
    pthread_t threads[ECHOERS];
    struct engine_options options = options_for(*state);
    options.at_head = true;
    open_server(*state, &options);
    for (size_t i = 0; i < ECHOERS; i++)
        pthread_create(&threads[i], NULL, echoer, (void *)(i + 1));
    for (size_t i = 0; i < ECHOERS; i++)
        pthread_join(threads[i], NULL);
    await_until(all_finished);
    close_server();
}

static bool all_begun(void)
{
    return atomic_load(&world.begun) == CLIENTS;
}

static void thousands_of_bodies_at_a_time(void **state)
{
    char back[8192];
    struct engine_options options = options_for(*state);
    options.at_head = true;
    open_server(*state, &options);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = threaded_connect(&world.address);
        send_head(clients[i], 2000);
        threaded_send(clients[i], body, 1000);
    }
    await_until(all_begun);
    for (int i = 0; i < CLIENTS; i++) {
        if (i % 3 == 0)
            close(clients[i]);
        else
            threaded_send(clients[i], body + 1000, 1000);
    }
    for (int i = 0; i < CLIENTS; i++) {
        size_t got = 0;
        ssize_t n;
        if (i % 3 == 0)
            continue;
        while ((n = recv(clients[i], back + got, sizeof(back) - got, 0)) > 0)
            got += (size_t)n;
        require(n == 0);
        require(unchunk(back, got) == 2000 && memcmp(back, body, 2000) == 0);
        close(clients[i]);
    }
    await_until(all_finished);
    close_server();
}

static struct kind epoll_threads = {"epoll", 3}, epoll_alone = {"epoll", 1},
                   poll_threads = {"poll", 3}, foreign = {"epoll", 0};

#define WITH(test, kind) {#test " (" #kind ")", test, NULL, NULL, &(kind)}
#define WITH_EACH(test)                                                                            \
    WITH(test, epoll_threads), WITH(test, epoll_alone), WITH(test, poll_threads),                  \
        WITH(test, foreign)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EACH(a_timer_answers),
        WITH_EACH(thousands_are_answered_later),
        WITH_EACH(clients_that_leave_are_noticed),
        WITH_EACH(clients_leave_as_they_are_answered),
        WITH_EACH(a_deadline_is_an_event),
        WITH_EACH(the_end_of_the_worker_is_a_deadline),
        WITH_EACH(bounds_count_what_runs),
        WITH_EACH(bodies_come_back_as_they_come),
        WITH_EACH(thousands_of_bodies_at_a_time),
    };
    for (size_t i = 0; i < BODY; i++)
        body[i] = (char)('a' + (i / 7 + i) % 26);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
