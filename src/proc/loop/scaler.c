#include "proc/loop/scaler.h"

#include "proc/children/memory.h"
#include "proc/children/processor.h"
#include "proc/loop/moment.h"

#include <limits.h>
#include <unistd.h>

static int take_turn(struct pollable *self, short revents, int64_t now);

void scaler_open(struct arbiter *a)
{
    pollable_init(&a->scaler.timer, take_turn);
    pollables_add(&a->pollables, &a->scaler.timer);
}

void scaler_limit(struct arbiter *a, unsigned least)
{
    struct scale_limits limits = a->scale.limits;

    limits.least = least;
    scale_limit(&a->scale, &limits);
    a->kinds[CHILD_WORKER].goal.target = a->scale.target;
    scaler_rouse(a, moment_now()); /* there may be more than the least number now */
}

/* ---- memory ---- */

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t largest_worker(const struct arbiter *a)
{
    int64_t size = 0;

    for (size_t i = 0; i < a->children.count; i++)
        if (a->children.list[i].kind == CHILD_WORKER)
            size = most(size, memory_of(a->children.list[i].pid));
    return size;
}

/* The bytes that a worker may take: max_rss, else those that are expected. */
static int64_t worker_size(struct arbiter *a)
{
    if (a->limits.max_rss > 0)
        return a->limits.max_rss;
    a->scaler.worker_size = scale_size(a->scaler.worker_size, largest_worker(a));
    return a->scaler.worker_size;
}

/* For how many workers the control group and the machine have memory. */
static unsigned find_room(struct arbiter *a)
{
    int64_t each = worker_size(a), group = oom_limit(&a->oom), free = memory_available();
    unsigned in_group =
        scale_room((int64_t)((double)group * SCALER_MEMORY_USED), memory_of(getpid()), each);
    unsigned more = scale_room((int64_t)((double)free * SCALER_MEMORY_USED), 0, each);
    unsigned in_machine = more < UINT_MAX - a->scale.target ? a->scale.target + more : UINT_MAX;

    return in_group < in_machine ? in_group : in_machine;
}

static unsigned look_at_room(struct arbiter *a, int64_t now)
{
    if (a->scaler.room_at == 0 || now - a->scaler.room_at >= SCALER_ROOM_MS) {
        a->scaler.room = find_room(a);
        a->scaler.room_at = now;
    }
    return a->scaler.room;
}

/* ---- samples ---- */

static bool serves_now(const struct arbiter *a, const struct child *child)
{
    return child->kind == CHILD_WORKER && child->slot &&
           (child->phase == CHILD_READY || child->phase == CHILD_RETIRING) &&
           !child_is_veteran(child, a->kinds[CHILD_WORKER].goal.generation);
}

/* The processor time of a worker since the last sample, in ms. */
static int64_t time_used(struct child *child)
{
    int64_t before = child->processor_ms, after = processor_time(child->pid);

    child->processor_ms = after;
    return before > 0 && after > before ? after - before : 0;
}

/* The time in which its main thread was ready to run and did not since the last sample, in ms. Of
 * workers with threads, the main thread runs no request. */
static int64_t time_delayed(struct child *child)
{
    int64_t before = child->delay_ms, after = processor_delay(child->pid);

    child->delay_ms = after;
    return before > 0 && after > before ? after - before : 0;
}

static void add_worker(struct scale_sample *sample, const struct slot *slot)
{
    unsigned threads = metrics_level(&slot->metrics->threads);
    unsigned running = metrics_level(&slot->metrics->running);
    unsigned queued = metrics_level(&slot->metrics->queued);

    sample->ready++;
    sample->waiting += queued;
    sample->begun += atomic_load(&slot->shared->requests);
    sample->busy += threads > 0 ? running >= threads : queued > 0;
    if (threads > 0)
        sample->running += running < threads ? running : threads;
    if (threads > sample->threads)
        sample->threads = threads;
}

/* Requests that are in no worker. Connections wait in the kernel only while all are busy. */
static unsigned count_outside(const struct arbiter *a, const struct scale_sample *sample)
{
    unsigned count = a->host->between_workers ? a->host->between_workers(a->ctx) : 0;

    if (a->host->backlog && sample->busy == sample->ready)
        count += a->host->backlog(a->ctx);
    return count < METRICS_GAUGE_MAX ? count : METRICS_GAUGE_MAX;
}

static struct scale_sample take_sample(struct arbiter *a, int64_t now)
{
    struct scale_sample sample = {.now = now, .threads = 1};
    int64_t ms = now - a->scale.last.now, used = 0, delayed = 0;

    for (size_t i = 0; i < a->children.count; i++) {
        struct child *child = &a->children.list[i];

        if (!serves_now(a, child))
            continue;
        add_worker(&sample, child->slot);
        used += time_used(child);
        delayed += time_delayed(child);
    }
    sample.waiting += count_outside(a, &sample);
    sample.processors = ms > 0 ? (double)used / (double)ms : -1;
    sample.delayed = ms > 0 ? (double)delayed / (double)ms : 0;
    sample.room = look_at_room(a, now);
    return sample;
}

/* ---- turns ---- */

static bool is_active(const struct arbiter *a)
{
    for (size_t i = 0; i < a->children.count; i++) {
        const struct child *child = &a->children.list[i];

        if (child->kind == CHILD_WORKER && (child->watching || child->phase == CHILD_BOOTING))
            return true;
    }
    return false;
}

static int64_t next_turn(const struct arbiter *a, int64_t now)
{
    if (!scale_is_on(&a->scale) || a->draining)
        return INT64_MAX;
    if (is_active(a))
        return now + SCALE_MS;
    return a->scale.target > a->scale.limits.least ? now + SCALER_IDLE_MS : INT64_MAX;
}

static int decide(struct arbiter *a, int64_t now)
{
    unsigned before = a->scale.target;
    struct scale_sample sample = take_sample(a, now);
    enum scale_decision decision = scale_decide(&a->scale, &sample);

    a->kinds[CHILD_WORKER].goal.target = a->scale.target;
    if (decision == SCALE_STAY)
        return 0;
    a->scaler.decisions[decision]++;
    return a->host->scaled ? a->host->scaled(a->ctx, decision, before, &sample) : 0;
}

/* Not while a reload is being proven: the workers of before do not count any more, and those of the
 * new configuration not yet. */
static int take_turn(struct pollable *self, short revents, int64_t now)
{
    struct arbiter *a = list_entry(self, struct arbiter, scaler.timer);
    int result = 0;

    (void)revents;
    if (scale_is_on(&a->scale) && !a->draining && a->kinds[CHILD_WORKER].goal.proven)
        result = decide(a, now);
    self->deadline = next_turn(a, now);
    return result;
}

void scaler_rouse(struct arbiter *a, int64_t now)
{
    if (a->scaler.timer.deadline == INT64_MAX)
        a->scaler.timer.deadline = next_turn(a, now);
}
