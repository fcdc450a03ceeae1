#include "base/clock.h"
#include "base/forked.h"
#include "base/mem.h"
#include "net/tls/tls.h"
#include "serve/access/access_log.h"
#include "serve/conn/http1.h"
#include "serve/dispatch/handover.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The engine's beginning and its end, and its descriptors beside those of clients. */

/* Signals and the master */

/* The bytes are the numbers of the signals, as Python's wake-up descriptor has them. */
static void signal_came(struct io *io, unsigned events, void *context)
{
    (void)events;
    struct engine *engine = context;
    char bytes[256];
    ssize_t n;
    do {
        n = read(io->fd, bytes, sizeof(bytes));
        if (n > 0 && memchr(bytes, SIGTERM, (size_t)n))
            drain_expect(engine);
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n == 0 || errno != EAGAIN)
        engine_lose(engine, "read", n == 0 ? EBADF : errno);
    loop_arm(engine->loop, io, LOOP_READ);
    atomic_store(&engine->interrupted, true);
    ready_wake_all(&engine->ready);
}

static void master_gone(struct io *io, unsigned events, void *context)
{
    (void)io;
    (void)events;
    struct engine *engine = context;
    if (atomic_load(&engine->draining))
        return;
    engine_note(engine, NOTE_INFO, "Parent changed, shutting down");
    engine_drain(engine);
}

static int watch(struct engine *engine, struct io *io, int fd,
                 void (*on_event)(struct io *io, unsigned events, void *context))
{
    *io = (struct io){.fd = fd, .on_event = on_event};
    engine_mark(engine, fd);
    return loop_add(engine->loop, io, LOOP_READ);
}

int engine_watch_signals(struct engine *engine, int fd)
{
    return watch(engine, &engine->signals, fd, signal_came);
}

int engine_watch_master(struct engine *engine, int fd)
{
    return watch(engine, &engine->master, fd, master_gone);
}

/* Life */

/* Events that are given now have the present time, however long the wait was. */
static void look_at_clock(void *context)
{
    struct engine *engine = context;
    engine->now_ms = clock_ms();
}

static void alarm_rang(void *context)
{
    struct engine *engine = context;
    engine->alarm_at = 0;
}

/* As many connections as there are descriptors for. */
static void fit_connections(struct engine *engine)
{
    uint64_t limit = 0;
    uint32_t wanted = engine->options.worker_connections;
    uint32_t fit = budget_descriptors(&engine->budget, wanted, &limit);
    if (fit == wanted)
        return;
    engine->options.worker_connections = fit;
    engine_note(engine, NOTE_WARNING,
                "worker_connections is %u, but the limit of descriptors (ulimit -Hn) is %llu: "
                "%u connections at most are open at a time; raise the limit to %llu",
                wanted, (unsigned long long)limit, fit,
                (unsigned long long)wanted * 2 + 2 * BUDGET_DESCRIPTORS);
}

/* gunicorn's defaults. A body that streams has a window of its own, which has to hold that of the
 * client. */
static void complete_http2(struct engine_options *options)
{
    struct http2_settings *http2 = &options->http2;
    http2->limits = &options->limits;
    if (http2->streams == 0)
        *http2 = (struct http2_settings){
            .streams = 100,
            .window = 65535,
            .frame_size = 16384,
            .header_list_size = 65536,
            .limits = &options->limits,
        };
    http2->websockets = options->at_head;
    if (options->at_head && http2->window > READ_AHEAD)
        http2->window = READ_AHEAD;
}

struct engine *engine_create(const struct engine_options *options, const struct app_ops *ops,
                             void *app, const int *listeners, uint32_t count)
{
    struct engine *engine = forked_watch() < 0 ? NULL : mem_alloc(sizeof(*engine));
    if (!engine)
        return NULL;
    memset(engine, 0, sizeof(*engine));
    engine->options = *options;
    if (!options->own_fields.p)
        engine->options.own_fields = STR("Server: gunicorn\r\n");
    if (!options->protocol)
        engine->options.protocol = &http1_protocol;
    complete_http2(&engine->options);
    engine->born = forked_count;
    engine->metrics = options->metrics ? options->metrics : &engine->own_metrics;
    metrics_set(&engine->metrics->threads, options->loop_host ? 0 : options->threads);
    engine->admits_few = options->max_queue > 0 || options->limit_concurrency > 0;
    engine->out_spool_max = OUT_SPOOL_MAX;
    engine->ops = ops;
    engine->app = app;
    engine->now_ms = clock_ms();
    timers_init(&engine->timers, engine->now_ms);
    timer_init(&engine->resume);
    timer_init(&engine->cut_off);
    timer_init(&engine->trim);
    budget_init(&engine->budget, options->client_memory, options->client_disk);
    fit_connections(engine);
    deadlines_init(&engine->deadlines, options->request_timeout_ms, options->request_grace_ms);
    engine->loop_watch.after_ms = engine->ops->loop_blocked ? options->loop_block_ms : 0;
    list_init(&engine->idle);
    list_init(&engine->crowd);
    list_init(&engine->active);
    list_init(&engine->unread);
    list_init(&engine->unnamed);
    list_init(&engine->dead);
    list_init(&engine->unsent);
    pthread_mutex_init(&engine->tls_lock, NULL);
    engine->loop = loop_create(options->loop);
    if (engine->loop) {
        engine->loop->woken = look_at_clock;
        engine->loop->rang = alarm_rang;
        engine_mark(engine, loop_fd(engine->loop));
    }
    /* Its descriptor is had now: when it is needed there may be none. */
    if (engine->loop && options->loop_host && loop_fd(engine->loop) >= 0)
        loop_alarm(engine->loop, ALARM_FAR_MS);
    if (ready_init(&engine->ready, &engine->metrics->queued, options->loop_host) < 0 ||
        !engine->loop || !listeners_open(engine, listeners, count) || handover_open(engine) < 0 ||
        standby_start(engine) < 0) {
        int saved = errno;
        engine_destroy(engine);
        errno = saved;
        return NULL;
    }
    return engine;
}

static void close_all(struct engine *engine, struct list *conns)
{
    while (!list_empty(conns)) {
        struct conn *conn = list_entry(conns->next, struct conn, link);
        conn_close_because(engine, conn, CLOSE_DRAINED);
    }
}

void engine_destroy(struct engine *engine)
{
    standby_stop(engine);
    atomic_store(&engine->lead, false); /* the leader is gone */
    engine_lead(engine);
    handover_close(engine);
    close_all(engine, &engine->idle);
    close_all(engine, &engine->crowd);
    close_all(engine, &engine->active);
    close_all(engine, &engine->unread);
    close_all(engine, &engine->unnamed);
    for (uint32_t i = 0; i < engine->listener_count; i++) {
        engine_set_tls(engine, i, NULL);
        forked_forget(engine->listeners[i].io.fd);
    }
    engine_reap(engine);
    engine_collect(engine);
    while (engine->pool) {
        struct request *request = engine->pool;
        engine->pool = request->next;
        request_free(request);
    }
    access_log_destroy(engine->access_log);
    if (engine->loop)
        loop_destroy(engine->loop);
    ready_destroy(&engine->ready);
    pthread_mutex_destroy(&engine->tls_lock);
    deadlines_destroy(&engine->deadlines);
    budget_destroy(&engine->budget);
    mem_free(engine->listeners);
    mem_free(engine->marks);
    mem_free(engine);
}
