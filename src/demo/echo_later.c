#include "demo/echo_later.h"

#include "serve/request/later.h"
#include "serve/request/response.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

enum { TIMER_MS = 10, PIECE = 16 * 1024 };

/* Requests that wait for the timer, linked by their `call`. */
static struct {
    struct engine *engine;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct request *first;
    bool ends;
} timer = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void answer(struct request *request, const char *text, size_t n)
{
    char length[24];
    bool kept;
    int size = snprintf(length, sizeof(length), "%zu", n);
    response_start(request, "200 OK", 6);
    response_field(request, STR("Content-Length"), (struct str){length, (size_t)size});
    response_write(request, text, n, NULL, &kept, true);
    response_finish(request);
}

/* The timer */

static struct request *take_waiting(void)
{
    pthread_mutex_lock(&timer.lock);
    while (!timer.first && !timer.ends)
        pthread_cond_wait(&timer.wake, &timer.lock);
    struct request *list = timer.ends ? NULL : timer.first;
    timer.first = NULL;
    pthread_mutex_unlock(&timer.lock);
    return list;
}

static void *timer_main(void *argument)
{
    const struct timespec pause = {.tv_nsec = TIMER_MS * 1000000};
    struct request *request;
    while ((request = take_waiting())) {
        nanosleep(&pause, NULL);
        while (request) {
            struct request *next = request->call;
            answer(request, "later\n", 6);
            engine_finish(timer.engine, request);
            request = next;
        }
    }
    return argument;
}

static void give_to_timer(struct request *request)
{
    pthread_mutex_lock(&timer.lock);
    request->call = timer.first;
    timer.first = request;
    pthread_cond_signal(&timer.wake);
    pthread_mutex_unlock(&timer.lock);
}

bool later_open(struct engine *engine)
{
    timer.engine = engine;
    errno = pthread_create(&timer.thread, NULL, timer_main, NULL);
    return errno == 0;
}

void later_close(void)
{
    pthread_mutex_lock(&timer.lock);
    timer.ends = true;
    pthread_cond_signal(&timer.wake);
    pthread_mutex_unlock(&timer.lock);
    pthread_join(timer.thread, NULL);
}

/* Bodies */

static void end(struct request *request, bool whole)
{
    if (whole)
        response_finish(request);
    else
        response_abort(request);
    engine_finish(request->engine, request);
}

/* Sends back what has come, as long as the client takes it. */
static void echo_on(struct request *request)
{
    char piece[PIECE];
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
            end(request, n == BODY_END);
            return;
        }
    }
}

enum run_result later_run(void *app, struct request *request)
{
    (void)app;
    if (request->head.framing != HEAD_NO_BODY) {
        response_start(request, "200 OK", 6);
        echo_on(request);
    } else if (str_eq(request_target(request), STR("/timer"))) {
        give_to_timer(request);
    } else {
        answer(request, "Hello, World!\n", 14);
        return RUN_DONE;
    }
    return RUN_LATER;
}

void later_events(void *app, struct request *request, unsigned events)
{
    (void)app;
    (void)events;
    echo_on(request);
}
