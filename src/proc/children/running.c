#include "proc/children/running.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__

#include <sys/syscall.h>

static uint32_t thread_number(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

#else

static uint32_t thread_number(void)
{
    return 0;
}

#endif

uint32_t running_thread(void)
{
    /* Asked for once a thread; no request runs in a process that forks workers. */
    static _Thread_local uint32_t number;

    if (number == 0)
        number = thread_number();
    return number;
}

static uint8_t copy(char *to, size_t size, struct str from)
{
    size_t n = from.n < size ? from.n : size;

    memcpy(to, from.p, n);
    return (uint8_t)n;
}

int running_begin(struct running *running, int64_t now_ms, struct str method, struct str path)
{
    uint64_t mask = atomic_load_explicit(&running->mask, memory_order_relaxed);
    int place = ~mask ? __builtin_ctzll(~mask) : RUNNING_MAX;

    if (place >= RUNNING_MAX)
        return -1;
    struct running_request *request = &running->list[place];
    request->since = now_ms;
    request->thread = running_thread();
    request->method_len = copy(request->method, RUNNING_METHOD_MAX, method);
    request->path_len = copy(request->path, RUNNING_PATH_MAX, path);
    atomic_store_explicit(&running->mask, mask | (uint64_t)1 << place, memory_order_release);
    return place;
}

void running_end(struct running *running, int place)
{
    uint64_t mask = atomic_load_explicit(&running->mask, memory_order_relaxed);

    if (place >= 0)
        atomic_store_explicit(&running->mask, mask & ~((uint64_t)1 << place), memory_order_release);
}

static int by_age(const void *a, const void *b)
{
    const struct running_request *x = a, *y = b;

    return (x->since > y->since) - (x->since < y->since);
}

static void bring_into_range(struct running_request *request, int64_t now_ms)
{
    if (request->method_len > RUNNING_METHOD_MAX)
        request->method_len = RUNNING_METHOD_MAX;
    if (request->path_len > RUNNING_PATH_MAX)
        request->path_len = RUNNING_PATH_MAX;
    if (request->since < 0 || request->since > now_ms)
        request->since = now_ms;
}

unsigned running_copy(const struct running *running, int64_t now_ms,
                      struct running_request list[RUNNING_MAX])
{
    uint64_t mask = atomic_load_explicit(&running->mask, memory_order_acquire);
    unsigned count = 0;

    for (int i = 0; i < RUNNING_MAX; i++) {
        if (!(mask & (uint64_t)1 << i))
            continue;
        list[count] = running->list[i];
        bring_into_range(&list[count++], now_ms);
    }
    qsort(list, count, sizeof(list[0]), by_age);
    return count;
}
