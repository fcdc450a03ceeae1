#include "base/clock.h"
#include "base/forked.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int open_pipe(int fds[2])
{
    if (pipe(fds) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        forked_close(fds[i]);
    }
    return 0;
}

int ready_init(struct ready *ready, _Atomic uint32_t *length, bool with_pipe)
{
    ready->length = length;
    pthread_mutex_init(&ready->lock, NULL);
    pthread_cond_init(&ready->wake, NULL);
    ready->head = ready->tail = ready->claimed = NULL;
    ready->taken = 0;
    ready->waiting = ready->wakes = 0;
    list_init(&ready->due);
    atomic_store(&ready->due_count, 0);
    ready->pipe[0] = ready->pipe[1] = -1;
    return with_pipe ? open_pipe(ready->pipe) : 0;
}

void ready_destroy(struct ready *ready)
{
    for (int i = 0; i < 2; i++) {
        forked_forget(ready->pipe[i]);
        if (ready->pipe[i] >= 0)
            close(ready->pipe[i]);
    }
    pthread_mutex_destroy(&ready->lock);
    pthread_cond_destroy(&ready->wake);
}

/* The lock is held, for a change that is about to be made or has been. */
static void check(const struct ready *ready)
{
    assert(!ready->head == !ready->tail);
    assert(!ready->tail || !ready->tail->next);
    assert(!ready->head == (atomic_load_explicit(ready->length, memory_order_relaxed) == 0));
    (void)ready;
}

void ready_push(struct ready *ready, struct request *head, struct request *tail, uint32_t count)
{
    tail->next = NULL;
    pthread_mutex_lock(&ready->lock);
    if (ready->tail)
        ready->tail->next = head;
    else
        ready->head = head;
    ready->tail = tail;
    metrics_set(ready->length, atomic_load_explicit(ready->length, memory_order_relaxed) + count);
    check(ready);
    pthread_mutex_unlock(&ready->lock);
}

/* A request that is pushed at this moment is seen by ready_wait(). */
struct request *ready_pop(struct ready *ready)
{
    if (atomic_load_explicit(ready->length, memory_order_relaxed) == 0)
        return NULL;
    pthread_mutex_lock(&ready->lock);
    struct request *request = ready->head;
    if (request) {
        ready->head = request->next;
        if (!ready->head)
            ready->tail = NULL;
        request->next = NULL;
        metrics_drop(ready->length);
        ready->taken++;
    }
    check(ready);
    pthread_mutex_unlock(&ready->lock);
    return request;
}

/* The lock is held. The pointer to the request, or the one that is NULL. */
static struct request **find(struct ready *ready, const struct request *request,
                             struct request **before)
{
    struct request **at = &ready->head;
    *before = NULL;
    while (*at && *at != request) {
        *before = *at;
        at = &(*at)->next;
    }
    return at;
}

/* The lock is held. Its thread finds out by ready_keep(). */
static bool take_claim(struct ready *ready, struct request *request)
{
    struct request **at = &ready->claimed;
    while (*at && *at != request)
        at = &(*at)->next;
    if (!*at)
        return false;
    *at = request->next;
    request->next = NULL;
    return true;
}

bool ready_remove(struct ready *ready, struct request *request)
{
    struct request *before;
    pthread_mutex_lock(&ready->lock);
    struct request **at = find(ready, request, &before);
    bool found = *at;
    if (found) {
        *at = request->next;
        if (ready->tail == request)
            ready->tail = before;
        request->next = NULL;
        metrics_drop(ready->length);
        ready->taken++;
    } else {
        found = take_claim(ready, request);
    }
    check(ready);
    pthread_mutex_unlock(&ready->lock);
    return found;
}

void ready_while_waiting(struct ready *ready, struct request *request,
                         void (*function)(struct request *request))
{
    struct request *before;
    pthread_mutex_lock(&ready->lock);
    if (*find(ready, request, &before))
        function(request);
    pthread_mutex_unlock(&ready->lock);
}

struct request *ready_take(struct ready *ready, bool (*wanted)(const struct request *request),
                           uint32_t keep, uint32_t most)
{
    struct request *list = NULL, **end = &list, **at = &ready->head, *last = NULL;
    pthread_mutex_lock(&ready->lock);
    while (*at) {
        struct request *request = *at;
        if (keep > 0 || most == 0 || !wanted(request)) {
            keep -= keep > 0;
            last = request;
            at = &request->next;
            continue;
        }
        *at = request->next;
        *end = request;
        end = &request->next;
        metrics_drop(ready->length);
        ready->taken++;
        most--;
    }
    ready->tail = last;
    *end = NULL;
    check(ready);
    pthread_mutex_unlock(&ready->lock);
    return list;
}

/* The lock is held. A list goes where its requests stood, which is by age. */
static void put_back(struct ready *ready, struct request *list)
{
    struct request **at = &ready->head;
    while (list) {
        struct request *request = list;
        list = list->next;
        while (*at && (*at)->ready_ns <= request->ready_ns)
            at = &(*at)->next;
        request->next = *at;
        *at = request;
        at = &request->next;
        if (!request->next)
            ready->tail = request;
        metrics_raise(ready->length);
        ready->taken--;
    }
    check(ready);
}

void ready_return(struct ready *ready, struct request *list)
{
    pthread_mutex_lock(&ready->lock);
    put_back(ready, list);
    pthread_mutex_unlock(&ready->lock);
}

void ready_claim(struct ready *ready, struct request *request)
{
    request->claimed_ms = clock_ms();
    pthread_mutex_lock(&ready->lock);
    request->next = ready->claimed;
    ready->claimed = request;
    pthread_mutex_unlock(&ready->lock);
}

bool ready_keep(struct ready *ready, struct request *request)
{
    pthread_mutex_lock(&ready->lock);
    bool found = take_claim(ready, request);
    pthread_mutex_unlock(&ready->lock);
    return found;
}

unsigned ready_unclaim(struct ready *ready, uint64_t now_ms)
{
    unsigned result = 0;
    pthread_mutex_lock(&ready->lock);
    struct request **at = &ready->claimed;
    while (*at) {
        struct request *request = *at;
        if (now_ms <= request->claimed_ms + STANDBY_TICK_MS) {
            result |= CLAIMS_LEFT;
            at = &request->next;
            continue;
        }
        *at = request->next;
        request->next = NULL;
        put_back(ready, request);
        result |= CLAIMS_BACK;
    }
    pthread_mutex_unlock(&ready->lock);
    return result;
}

uint32_t ready_depth(struct ready *ready, uint32_t *taken)
{
    pthread_mutex_lock(&ready->lock);
    uint32_t depth = atomic_load_explicit(ready->length, memory_order_relaxed);
    *taken = ready->taken;
    pthread_mutex_unlock(&ready->lock);
    return depth;
}

bool ready_empty(const struct ready *ready)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&ready->lock; /* the queue stays as it is */
    pthread_mutex_lock(lock);
    bool empty = !ready->head;
    pthread_mutex_unlock(lock);
    return empty;
}

uint64_t ready_since(struct ready *ready)
{
    pthread_mutex_lock(&ready->lock);
    uint64_t since_ns = ready->head ? ready->head->ready_ns : 0;
    pthread_mutex_unlock(&ready->lock);
    return since_ns;
}

bool ready_has_waiter(struct ready *ready)
{
    pthread_mutex_lock(&ready->lock);
    bool waits = ready->waiting > ready->wakes;
    pthread_mutex_unlock(&ready->lock);
    return waits;
}

static void wake_locked(struct ready *ready, uint32_t count)
{
    while (count-- > 0 && ready->wakes < ready->waiting) {
        ready->wakes++;
        pthread_cond_signal(&ready->wake);
    }
}

/* A full pipe is fine: the loop has not looked yet. */
static void tell_loop(struct ready *ready)
{
    int saved = errno;
    (void)!write(ready->pipe[1], "", 1);
    errno = saved;
}

void ready_wake(struct ready *ready)
{
    if (ready->pipe[1] >= 0) {
        tell_loop(ready);
        return;
    }
    pthread_mutex_lock(&ready->lock);
    wake_locked(ready, 1);
    pthread_mutex_unlock(&ready->lock);
}

void ready_wake_all(struct ready *ready)
{
    if (ready->pipe[1] >= 0)
        tell_loop(ready);
    pthread_mutex_lock(&ready->lock);
    wake_locked(ready, ready->waiting);
    pthread_mutex_unlock(&ready->lock);
}

static bool must_go(struct engine *engine, bool main_thread)
{
    return !atomic_load(&engine->lead) || atomic_load(&engine->stopped) ||
           (main_thread && atomic_load(&engine->interrupted));
}

/*
 * Waits until woken. A thread that gives up leadership without going on to lead, or pushes with no
 * thread to run it, wakes one; a lead that is free already is seen here, under the lock, and so is
 * a signal, which is the main thread's alone: another may have taken the turn meant for it.
 */
void ready_wait(struct ready *ready, struct engine *engine, bool main_thread)
{
    pthread_mutex_lock(&ready->lock);
    ready->waiting++;
    while (ready->wakes == 0 && !ready->head && list_empty(&ready->due) &&
           !must_go(engine, main_thread))
        pthread_cond_wait(&ready->wake, &ready->lock);
    ready->waiting--;
    if (ready->wakes > 0)
        ready->wakes--;
    pthread_mutex_unlock(&ready->lock);
}
