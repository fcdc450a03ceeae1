/*
 * The memory that workers share with the master. The input is a list of steps: bytes go to any
 * place of it, as a hostile worker would write them; between them the master makes its turns,
 * reports, collects the dead and begins dumps, while time goes on. Whatever stands there, the
 * reports are well-formed, no signal goes to anything but a child, and the master goes to sleep.
 */
#include "proc/children/recycle.h"
#include "proc/dump/dump.h"
#include "proc/loop/arbiter.h"
#include "proc/loop/scaler.h"
#include "proc/port/report.h"
#include "serve/dispatch/exchange.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WORKERS = 4,
    MOST_WORKERS = 6,
    FIRST_PID = 1 << 23, /* Linux gives no number so high */
    TURNS = 16,          /* after which the master sleeps, if nothing happens */
    STEPS = 100,         /* of an input */
    STOP = -7,           /* leaves arbiter_run() */
};

static struct {
    struct arbiter arbiter;
    struct dump dump;
    struct exchange exchange;
    const uint8_t *input;
    size_t size;
    int64_t now;
    pid_t last_pid;
    pid_t dying; /* 0: nobody */
    int status;
    int timeout; /* of the last wait */
} world;

static void require(bool condition)
{
    if (!condition)
        abort();
}

static uint64_t take(unsigned bytes)
{
    uint64_t number = 0;

    for (; bytes > 0 && world.size > 0; bytes--, world.size--)
        number = number << 8 | *world.input++;
    return number;
}

/* ---- the system ---- */

uint64_t __wrap_clock_ns(void);
int __wrap_kill(pid_t pid, int signo);
pid_t __wrap_wait4(pid_t pid, int *status, int options, struct rusage *usage);
int64_t __wrap_memory_of(pid_t pid);
int64_t __wrap_memory_resident(pid_t pid);
int64_t __wrap_memory_available(void);
int64_t __wrap_processor_time(pid_t pid);
int64_t __wrap_processor_delay(pid_t pid);

uint64_t __wrap_clock_ns(void)
{
    return (uint64_t)world.now * 1000000;
}

int __wrap_kill(pid_t pid, int signo)
{
    require(children_find(&world.arbiter.children, pid) != NULL);
    require(signo > 0);
    return 0;
}

pid_t __wrap_wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    (void)pid, (void)options;
    pid_t dead = world.dying;

    world.dying = 0;
    *status = world.status;
    *usage = (struct rusage){0};
    return dead;
}

int64_t __wrap_memory_of(pid_t pid)
{
    require(pid == getpid() || children_find(&world.arbiter.children, pid) != NULL);
    return (int64_t)take(3);
}

int64_t __wrap_processor_time(pid_t pid)
{
    require(children_find(&world.arbiter.children, pid) != NULL);
    return (int64_t)take(1) * world.now / 1000;
}

int64_t __wrap_processor_delay(pid_t pid)
{
    return __wrap_processor_time(pid);
}

int64_t __wrap_memory_available(void)
{
    return (int64_t)take(3);
}

int64_t __wrap_memory_resident(pid_t pid)
{
    require(children_find(&world.arbiter.children, pid) != NULL);
    return -1;
}

/* ---- the host ---- */

static int host_wait(void *ctx, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    (void)ctx, (void)fds, (void)count;
    world.timeout = timeout_ms;
    return 0;
}

static int nothing(void *ctx)
{
    (void)ctx;
    return 0;
}

static int on_signal(void *ctx, int signo)
{
    (void)ctx, (void)signo;
    return 0;
}

static int host_reap(void *ctx)
{
    (void)ctx;
    return arbiter_reap(&world.arbiter);
}

static int host_murder(void *ctx)
{
    (void)ctx;
    return arbiter_murder(&world.arbiter);
}

static int host_manage(void *ctx)
{
    (void)ctx;
    require(arbiter_manage(&world.arbiter) == 0);
    return STOP;
}

static int host_spawn(void *ctx, enum child_kind kind, unsigned count)
{
    (void)ctx;
    require(kind == CHILD_WORKER);
    for (; count > 0; count--) {
        struct slot *slot = scoreboard_take(&world.arbiter.board, -1);
        pid_t pid = ++world.last_pid;

        require(slot != NULL);
        require(children_add(
                    &world.arbiter.children, CHILD_WORKER, pid, (uint32_t)(pid - FIRST_PID),
                    world.arbiter.kinds[CHILD_WORKER].goal.generation, slot, world.now) != NULL);
    }
    return 0;
}

static int host_kill(void *ctx, const struct child *child, int signo)
{
    (void)ctx;
    return arbiter_kill(&world.arbiter, child->pid, signo);
}

static int host_died(void *ctx, const struct arbiter_death *death)
{
    (void)ctx;
    require(death->reason > REASON_NONE && death->reason < REASON_COUNT);
    return 0;
}

static int stranger_died(void *ctx, pid_t pid, int status)
{
    (void)ctx, (void)pid, (void)status;
    return 0;
}

static int told(void *ctx, const struct child *child)
{
    (void)ctx;
    require(child->due < REASON_COUNT);
    return 0;
}

static int abort_for_silence(void *ctx, const struct child *child, int64_t silent_ms)
{
    (void)ctx;
    require(silent_ms >= 0);
    return arbiter_kill(&world.arbiter, child->pid, SIGABRT);
}

static int slow_boot(void *ctx, const struct child *child, int64_t booting_ms)
{
    (void)ctx, (void)child, (void)booting_ms;
    return 0;
}

static int abort_it(void *ctx, const struct child *child)
{
    (void)ctx;
    return arbiter_kill(&world.arbiter, child->pid, SIGABRT);
}

static unsigned between_workers(void *ctx)
{
    (void)ctx;
    return exchange_waiting(&world.exchange);
}

static const struct arbiter_host host = {
    .wait = host_wait,
    .between = nothing,
    .on_signal = on_signal,
    .reap = host_reap,
    .murder = host_murder,
    .manage = host_manage,
    .spawn = host_spawn,
    .between_workers = between_workers,
    .kill = host_kill,
    .died = host_died,
    .stranger_died = stranger_died,
    .ready = told,
    .timed_out = abort_for_silence,
    .slow_boot = slow_boot,
    .overdue = abort_it,
    .due = told,
    .too_big = abort_it,
    .born_big = told,
    .hurry = nothing,
};

/* ---- what a worker does ---- */

static void scribble(void)
{
    struct scoreboard *board = &world.arbiter.board;
    const struct {
        void *memory;
        size_t size;
    } regions[] = {
        {board->shared, WORKERS * sizeof(*board->shared)},
        {board->metrics, WORKERS * sizeof(*board->metrics)},
        {board->running, WORKERS * sizeof(*board->running)},
        {world.dump.shared, sizeof(*world.dump.shared)},
        {world.exchange.seats, EXCHANGE_SEATS * sizeof(*world.exchange.seats)},
        {world.exchange.count, sizeof(*world.exchange.count)},
    };
    unsigned at = (unsigned)take(1) % (sizeof(regions) / sizeof(regions[0]));
    size_t offset = take(2) % regions[at].size, n = take(1);

    if (n > regions[at].size - offset)
        n = regions[at].size - offset;
    if (n > world.size)
        n = world.size;
    memcpy((char *)regions[at].memory + offset, world.input, n);
    world.input += n;
    world.size -= n;
}

/* ---- what the master does ---- */

static void make_turns(void)
{
    int turns = 0;

    do
        require(arbiter_run(&world.arbiter) == STOP);
    while (world.timeout == 0 && ++turns < TURNS);
    require(turns < TURNS);
}

static void check_text(const struct writer *out)
{
    require(out->error == 0);
    for (size_t i = 0; i < out->size; i++)
        require((out->data[i] >= 0x20 && out->data[i] <= 0x7e) || out->data[i] == '\n');
}

/* The lines of a family's histogram never fall. */
static void check_buckets(struct writer *out)
{
    unsigned long long before = 0;

    writer_add(out, "", 1);
    for (char *line = out->data; line && *line; line = strchr(line, '\n') + 1) {
        char *bucket = strstr(line, "_bucket{le=");

        if (!bucket || bucket > strchr(line, '\n')) {
            before = 0;
            continue;
        }
        unsigned long long count = strtoull(strchr(bucket, ' '), NULL, 10);
        require(count >= before);
        before = count;
    }
}

static void report(void (*make)(const struct arbiter *, struct writer *, int64_t))
{
    struct writer out;

    writer_init(&out, 1 << 20);
    make(&world.arbiter, &out, world.now);
    check_text(&out);
    check_buckets(&out);
    writer_free(&out);
}

static void report_readiness(void)
{
    struct writer out;

    writer_init(&out, 1 << 20);
    report_ready(&world.arbiter, &out);
    check_text(&out);
    writer_free(&out);
}

static void end_a_worker(void)
{
    struct children *children = &world.arbiter.children;

    if (children->count == 0)
        return;
    world.dying = children->list[take(1) % children->count].pid;
    world.status = (int)take(1); /* a signal, or … */
    if (WIFSTOPPED(world.status) || WTERMSIG(world.status) == 0)
        world.status = (int)take(1) << 8; /* … an exit status */
    require(arbiter_reap(&world.arbiter) == 0);
}

static void dump_all(void)
{
    struct dump *dump = &world.dump;
    struct children *children = &world.arbiter.children;
    pid_t pids[2 * WORKERS];
    size_t count = 0;

    while (count < children->count && count < 2 * WORKERS) {
        pids[count] = children->list[count].pid;
        count++;
    }
    if (dump_begin(dump, &world.arbiter.board, children, pids, count, world.now) < 0) {
        require(errno == EBUSY);
        return;
    }
    require(dump_step(dump, world.now)); /* no such process has threads */
    check_text(&dump->text);
    dump_end(dump);
}

static void step(void)
{
    switch (take(1) % 10) {
    case 0:
        world.now += (int64_t)take(2);
        break;
    case 1:
        make_turns();
        break;
    case 2:
        report(report_metrics);
        break;
    case 3:
        report(report_workers);
        break;
    case 4:
        report_readiness();
        break;
    case 5:
        end_a_worker();
        break;
    case 6:
        dump_all();
        break;
    default:
        scribble();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    world.input = input;
    world.size = size;
    world.now = 1000000;
    world.last_pid = FIRST_PID;
    require(arbiter_open(&world.arbiter, &host, NULL) == 0);
    dump_open(&world.dump);
    require(exchange_open(&world.exchange) == 0);
    world.arbiter.timeout_ms = 30000;
    world.arbiter.kinds[CHILD_WORKER].graceful_ms = 30000;
    world.arbiter.limits.max_rss = 1 << 22;
    world.arbiter.limits.max_rss_hard = 1 << 23;
    world.arbiter.max_queue = 5;
    world.arbiter.scale.limits =
        (struct scale_limits){.most = MOST_WORKERS, .up_wait_ms = 100, .down_idle_ms = 2000};
    scaler_limit(&world.arbiter, WORKERS);
    make_turns();
    for (int i = 0; i < STEPS && world.size > 0; i++) {
        step();
        require(world.arbiter.scale.target >= WORKERS);
        require(world.arbiter.scale.target <= MOST_WORKERS);
    }
    exchange_close(&world.exchange);
    dump_close(&world.dump);
    arbiter_close(&world.arbiter);
    return 0;
}
