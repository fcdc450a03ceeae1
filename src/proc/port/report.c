#include "proc/port/report.h"

#include "proc/children/memory.h"
#include "proc/loop/arbiter.h"

#include <stdio.h>
#include <unistd.h>

static uint64_t value(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Of the totals. A worker's own is asked for by metrics_level(). */
static uint32_t level(const _Atomic uint32_t *gauge)
{
    return atomic_load_explicit(gauge, memory_order_relaxed);
}

/* ---- OpenMetrics ---- */

static void family(struct writer *out, const char *name, const char *type, const char *unit,
                   const char *help)
{
    writer_format(out, "# TYPE gunicorn_%s %s\n", name, type);
    if (*unit)
        writer_format(out, "# UNIT gunicorn_%s %s\n", name, unit);
    writer_format(out, "# HELP gunicorn_%s %s\n", name, help);
}

static void gauge(struct writer *out, const char *name, uint64_t n, const char *help)
{
    family(out, name, "gauge", "", help);
    writer_format(out, "gunicorn_%s %llu\n", name, (unsigned long long)n);
}

static void counter(struct writer *out, const char *name, const char *unit, uint64_t n,
                    const char *help)
{
    family(out, name, "counter", unit, help);
    writer_format(out, "gunicorn_%s_total %llu\n", name, (unsigned long long)n);
}

static void labelled(struct writer *out, const char *name, const char *label, const char *text,
                     uint64_t n)
{
    writer_format(out, "gunicorn_%s{%s=\"%s\"} %llu\n", name, label, text, (unsigned long long)n);
}

static void by_class(struct writer *out, const char *name, const _Atomic uint64_t *counters)
{
    for (unsigned i = 0; i < METRICS_CLASSES; i++) {
        char text[8] = "none";

        if (i > 0)
            snprintf(text, sizeof(text), "%uxx", i);
        labelled(out, name, "class", text, value(&counters[i]));
    }
}

static void histogram(struct writer *out, const char *name, const struct histogram *h,
                      const char *help)
{
    uint64_t count = 0;

    family(out, name, "histogram", "seconds", help);
    for (unsigned i = 0; i < METRICS_BOUNDS; i++) {
        count = metrics_plus(count, value(&h->buckets[i]));
        writer_format(out, "gunicorn_%s_bucket{le=\"%g\"} %llu\n", name,
                      (double)metrics_bounds_ns[i] / 1e9, (unsigned long long)count);
    }
    count = metrics_plus(count, value(&h->buckets[METRICS_BOUNDS]));
    writer_format(out, "gunicorn_%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)count);
    writer_format(out, "gunicorn_%s_count %llu\n", name, (unsigned long long)count);
    writer_format(out, "gunicorn_%s_sum %.6f\n", name, (double)value(&h->sum_ns) / 1e9);
}

static void report_requests(struct writer *out, const struct metrics *m)
{
    gauge(out, "requests_running", level(&m->running), "Requests that the application runs.");
    gauge(out, "requests_queued", level(&m->queued), "Whole requests that wait for a thread.");
    gauge(out, "threads", level(&m->threads),
          "Requests that can run at a time; workers with an event loop do not count.");
    family(out, "responses", "counter", "", "Answers of the application, by class of status.");
    by_class(out, "responses_total", m->responses);
    family(out, "rejections", "counter", "", "Answers of the server itself to invalid requests.");
    by_class(out, "rejections_total", m->rejected);
    family(out, "refusals", "counter", "", "Whole requests that did not reach the application.");
    for (int i = 0; i < REFUSED_REASONS; i++)
        labelled(out, "refusals_total", "reason", metrics_refusal_name(i), value(&m->refused[i]));
    counter(out, "request_timeouts", "", value(&m->request_timeouts),
            "Requests that took longer than request_timeout.");
    histogram(out, "request_wait_seconds", &m->wait, "From the whole request to its thread.");
    histogram(out, "request_duration_seconds", &m->duration, "Of the application.");
    histogram(out, "request_front_seconds", &m->front,
              "From X-Request-Start of the proxy in front to the whole request.");
}

static void report_connections(struct writer *out, const struct metrics *m)
{
    family(out, "connections", "gauge", "", "Open client connections, by state.");
    for (unsigned i = 0; i < METRICS_CONN_STATES; i++)
        if (metrics_state_name(i))
            labelled(out, "connections", "state", metrics_state_name(i), level(&m->connections[i]));
    counter(out, "connections_accepted", "", value(&m->accepted), "Connections taken.");
    family(out, "connections_closed", "counter", "", "Connections closed, by reason.");
    for (int i = 0; i < CLOSE_REASONS; i++)
        labelled(out, "connections_closed_total", "reason", metrics_close_name(i),
                 value(&m->closed[i]));
    counter(out, "received_bytes", "bytes",
            metrics_plus(value(&m->bytes_in), value(&m->bytes_in_shared)), "Bytes of requests.");
    counter(out, "sent_bytes", "bytes", value(&m->bytes_out), "Bytes of answers.");
    family(out, "tls_handshakes", "counter", "", "TLS handshakes, by result.");
    uint64_t done = value(&m->handshakes), resumed = value(&m->handshakes_resumed);
    labelled(out, "tls_handshakes_total", "result", "full", done > resumed ? done - resumed : 0);
    labelled(out, "tls_handshakes_total", "result", "resumed", resumed);
    labelled(out, "tls_handshakes_total", "result", "failed", value(&m->handshakes_failed));
}

static double busy_seconds(const struct child *child, int64_t now)
{
    int64_t since = child_busy_since(child);

    return since > 0 && since < now ? (double)(now - since) / 1000.0 : 0;
}

typedef double (*measure)(const struct child *child, int64_t now);

static double memory_of_child(const struct child *child, int64_t now)
{
    (void)now;
    return (double)memory_resident(child->pid);
}

static double age_of_child(const struct child *child, int64_t now)
{
    return (double)(now - child->forked_at) / 1000.0;
}

static double busy_of_child(const struct child *child, int64_t now)
{
    return busy_seconds(child, now);
}

static double running_in_child(const struct child *child, int64_t now)
{
    (void)now;
    return metrics_level(&child->slot->metrics->running);
}

static double queued_in_child(const struct child *child, int64_t now)
{
    (void)now;
    return metrics_level(&child->slot->metrics->queued);
}

static double client_memory(const struct child *child, int64_t now)
{
    (void)now;
    return (double)value(&child->slot->metrics->memory);
}

static double client_disk(const struct child *child, int64_t now)
{
    (void)now;
    return (double)value(&child->slot->metrics->spooled);
}

static double client_descriptors(const struct child *child, int64_t now)
{
    const struct metrics *m = child->slot->metrics;
    double open = level(&m->files);

    (void)now;
    for (unsigned i = 0; i < METRICS_CONN_STATES; i++)
        open += level(&m->connections[i]);
    return open;
}

static const struct {
    const char *name, *unit, *help;
    measure measure;
} worker_gauges[] = {
    {"worker_resident_memory_bytes", "bytes", "Resident memory.", memory_of_child},
    {"worker_age_seconds", "seconds", "Since it was forked.", age_of_child},
    {"worker_busy_seconds", "seconds",
     "Since its request began or its last sign of life; 0: it is idle.", busy_of_child},
    {"worker_requests_running", "", "Requests that it runs.", running_in_child},
    {"worker_requests_queued", "", "Whole requests that wait in it.", queued_in_child},
    {"worker_client_memory_bytes", "bytes", "Memory that its clients occupy.", client_memory},
    {"worker_client_disk_bytes", "bytes", "Bytes in files that its clients occupy.", client_disk},
    {"worker_client_descriptors", "", "Connections, and files of bodies and answers.",
     client_descriptors},
};

static void report_each_worker(const struct arbiter *a, struct writer *out, int64_t now)
{
    for (size_t i = 0; i < sizeof(worker_gauges) / sizeof(worker_gauges[0]); i++) {
        const char *name = worker_gauges[i].name;

        family(out, name, "gauge", worker_gauges[i].unit, worker_gauges[i].help);
        for (size_t k = 0; k < a->children.count; k++) {
            const struct child *child = &a->children.list[k];
            double number = child->slot ? worker_gauges[i].measure(child, now) : -1;

            if (number >= 0)
                writer_format(out, "gunicorn_%s{slot=\"%zu\"} %.15g\n", name,
                              scoreboard_index(&a->board, child->slot), number);
        }
    }
}

static void report_master(const struct arbiter *a, struct writer *out)
{
    unsigned phases[CHILD_PHASE_COUNT] = {0};

    for (size_t i = 0; i < a->children.count; i++)
        phases[a->children.list[i].phase] += a->children.list[i].kind == CHILD_WORKER;
    family(out, "workers", "gauge", "", "Workers, by phase of their lives.");
    for (int i = 0; i < CHILD_PHASE_COUNT; i++)
        labelled(out, "workers", "phase", child_phase_name(i), phases[i]);
    gauge(out, "workers_wanted", a->kinds[CHILD_WORKER].goal.target,
          "Workers that there should be.");
    family(out, "scale_decisions", "counter", "",
           "Decisions about the number of workers that follows the load.");
    for (int i = SCALE_STAY + 1; i < SCALE_DECISIONS; i++)
        labelled(out, "scale_decisions_total", "decision", scale_decision_name(i),
                 a->scaler.decisions[i]);
    counter(out, "workers_started", "", a->forks, "Workers forked.");
    family(out, "worker_deaths", "counter", "", "Workers that ended, by reason.");
    for (int i = REASON_NONE + 1; i < REASON_COUNT; i++)
        labelled(out, "worker_deaths_total", "reason", reason_name(i), a->deaths[i]);
    gauge(out, "ready", report_ready(a, NULL), "1 while /ready says so.");
}

static void report_dirty(const struct arbiter *a, struct writer *out)
{
    struct dirty_figures f;

    if (!a->host->dirty_figures || !a->host->dirty_figures(a->ctx, &f))
        return;
    gauge(out, "dirty_workers", f.workers, "Dirty workers that take calls.");
    gauge(out, "dirty_calls_running", f.running, "Calls that dirty workers run.");
    gauge(out, "dirty_calls_waiting", f.waiting, "Calls that wait for a dirty worker.");
    family(out, "dirty_calls", "counter", "", "Calls of dirty workers, by result.");
    labelled(out, "dirty_calls_total", "result", "answered", f.answered);
    labelled(out, "dirty_calls_total", "result", "failed", f.failed);
    labelled(out, "dirty_calls_total", "result", "timed_out", f.timed_out);
    labelled(out, "dirty_calls_total", "result", "crashed", f.crashed);
    labelled(out, "dirty_calls_total", "result", "refused", f.refused);
    counter(out, "dirty_worker_deaths", "", f.deaths, "Dirty workers that ended unasked.");
}

void report_metrics(const struct arbiter *a, struct writer *out, int64_t now)
{
    struct metrics totals;

    scoreboard_sum(&a->board, &totals);
    if (a->host->between_workers)
        metrics_set(&totals.queued, level(&totals.queued) + a->host->between_workers(a->ctx));
    report_master(a, out);
    report_requests(out, &totals);
    report_connections(out, &totals);
    report_each_worker(a, out, now);
    report_dirty(a, out);
    writer_text(out, "# EOF\n");
}

/* ---- JSON ---- */

static void report_running(struct writer *out, const struct slot *slot, int64_t now)
{
    struct running_request list[RUNNING_MAX];
    unsigned count = running_copy(slot->running, now, list);

    writer_text(out, "\"requests\": [");
    for (unsigned i = 0; i < count; i++) {
        writer_text(out, i ? ", {\"method\": " : "{\"method\": ");
        writer_json(out, running_method(&list[i]));
        writer_text(out, ", \"path\": ");
        writer_json(out, running_path(&list[i]));
        writer_format(out, ", \"seconds\": %.3f, \"thread\": %u}",
                      (double)(now - list[i].since) / 1000.0, list[i].thread);
    }
    writer_text(out, "]");
}

/* Pairs of an upper bound in seconds (null: none) and the requests that waited so long; those of no
 * request are left out. */
static void report_waits(struct writer *out, const struct histogram *wait)
{
    const char *before = "";

    writer_text(out, ", \"wait\": [");
    for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
        unsigned long long count = value(&wait->buckets[i]);

        if (count == 0)
            continue;
        if (i < METRICS_BOUNDS)
            writer_format(out, "%s[%g, %llu]", before, (double)metrics_bounds_ns[i] / 1e9, count);
        else
            writer_format(out, "%s[null, %llu]", before, count);
        before = ", ";
    }
    writer_text(out, "]");
}

static void report_worker(const struct arbiter *a, const struct child *child, struct writer *out,
                          int64_t now)
{
    const struct slot *slot = child->slot;

    writer_format(out,
                  "{\"pid\": %d, \"number\": %u, \"age\": %.3f, \"phase\": \"%s\", "
                  "\"generation\": %u, \"resident_memory\": %lld",
                  (int)child->pid, child->age, (double)(now - child->forked_at) / 1000.0,
                  child_phase_name(child->phase), child->generation,
                  (long long)memory_resident(child->pid));
    if (slot) {
        writer_format(out,
                      ", \"slot\": %zu, \"served\": %llu, \"running\": %u, \"queued\": %u, "
                      "\"threads\": %u, \"busy\": %.3f, ",
                      scoreboard_index(&a->board, slot),
                      (unsigned long long)atomic_load(&slot->shared->requests),
                      metrics_level(&slot->metrics->running), metrics_level(&slot->metrics->queued),
                      metrics_level(&slot->metrics->threads), busy_seconds(child, now));
        report_running(out, slot, now);
        report_waits(out, &scoreboard_figures(&a->board, slot)->wait);
    }
    writer_text(out, "}");
}

void report_workers(const struct arbiter *a, struct writer *out, int64_t now)
{
    writer_format(out, "{\"master\": %d, \"generation\": %u, \"workers\": [", (int)getpid(),
                  a->kinds[CHILD_WORKER].goal.generation);
    const char *before = "\n";

    for (size_t i = 0; i < a->children.count; i++) {
        if (a->children.list[i].kind != CHILD_WORKER)
            continue;
        writer_text(out, before);
        report_worker(a, &a->children.list[i], out, now);
        before = ",\n";
    }
    writer_text(out, "\n]}\n");
}

/* ---- readiness ---- */

static bool is_saturated(const struct arbiter *a, const struct child *child)
{
    return a->max_queue > 0 && child->slot &&
           metrics_level(&child->slot->metrics->queued) >= a->max_queue;
}

bool report_ready(const struct arbiter *a, struct writer *out)
{
    struct writer nowhere = {0};
    unsigned serving = 0, booting = 0, full = 0;

    out = out ? out : &nowhere;
    if (a->draining || a->leaving) {
        writer_text(out, "draining: the server stops\n");
        return false;
    }
    for (size_t i = 0; i < a->children.count; i++) {
        const struct child *child = &a->children.list[i];

        if (child->kind != CHILD_WORKER)
            continue;
        booting += child->phase == CHILD_BOOTING;
        if (child->phase != CHILD_READY && child->phase != CHILD_RETIRING)
            continue;
        serving++;
        full += is_saturated(a, child);
    }
    if (serving == 0)
        writer_format(out, "no worker is ready: %u of %u boot\n", booting,
                      a->kinds[CHILD_WORKER].goal.target);
    else if (full == serving)
        writer_format(out, "saturated: max_queue (%u) requests wait in each of %u workers\n",
                      a->max_queue, serving);
    else
        writer_format(out, "ready: %u workers\n", serving);
    return serving > full;
}
