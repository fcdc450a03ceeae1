#include "proc/port/status.h"

#include "base/mem.h"
#include "proc/port/private.h"
#include "proc/port/report.h"
#include "proto/http1/parse.h"
#include "proto/http1/write.h"
#include "proto/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char text_type[] = "text/plain; charset=utf-8";
static const char json_type[] = "application/json";
static const char metrics_type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/* What an answer depends on. */
struct request {
    struct status *status;
    struct port_client *client;
    bool head_only; /* the method is HEAD */
    int64_t now;
};

static void cannot_answer(void *ctx, int error)
{
    struct arbiter *a = ((struct status *)ctx)->arbiter;

    a->host->cannot_answer(a->ctx, error);
}

/* ---- answers ---- */

static void add_prefix(struct writer *answer, int code)
{
    char status[64], text[sizeof(status) + HTTP1_PREFIX_MAX];
    int n = snprintf(status, sizeof(status), "%d %s", code, status_reason(code));
    const struct http1_prefix prefix = {
        .major = 1,
        .minor = 1,
        .status = {status, (size_t)n},
        .own = STR(""),
        .connection = HTTP1_CLOSE,
    };
    writer_add(answer, text, (size_t)(http1_write_prefix_at(text, &prefix) - text));
}

/* Writes the whole answer; the body is written already, and freed here. */
static void write_answer(const struct request *request, int code, const char *type,
                         struct writer *body)
{
    struct writer *out = &request->client->answer;

    if (body->error) {
        cannot_answer(request->status, body->error);
        body->size = 0;
        body->error = 0;
        writer_text(body, "there is no memory for the answer, or it is too long\n");
        code = 500;
        type = text_type;
    }
    add_prefix(out, code);
    writer_format(out,
                  "Content-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n%s\r\n",
                  type, body->size, code == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (!request->head_only)
        writer_add(out, body->data, body->size);
    writer_free(body);
}

static void answer(const struct request *request, int code, const char *type, struct writer *body)
{
    write_answer(request, code, type, body);
    port_answer(request->client, request->now);
}

static void answer_text(const struct request *request, int code, const char *text)
{
    struct writer body;

    writer_init(&body, PORT_ANSWER);
    writer_text(&body, text);
    answer(request, code, text_type, &body);
}

static void answer_no_memory(const struct request *request)
{
    cannot_answer(request->status, ENOMEM);
    answer_text(request, 503, "no memory\n");
}

/* ---- stacks ---- */

static void refuse_dump(const struct request *request, int error)
{
    if (error == EBUSY)
        answer_text(request, 503, "another dump is being made: try again\n");
    else if (error == ENOSYS)
        answer_text(request, 503, "this system has no such dumps\n");
    else
        answer_no_memory(request);
}

static void write_stacks(struct port_client *client, struct writer *text, int64_t now)
{
    struct status *status = client->port->ctx;
    struct request request = {status, client, status->waiter_head_only, now};

    write_answer(&request, 200, text_type, text);
}

static void wait_for_dump(struct status *status, struct port_client *client,
                          status_write_dump write, int64_t now)
{
    status->waiter = client;
    status->write_dump = write;
    status->dumping.deadline = dump_deadline(&status->dump);
    port_wait(client, now, DUMP_TOTAL_MS + STATUS_MS);
}

int status_dump(struct status *status, struct port_client *client, pid_t pid,
                status_write_dump write, int64_t now)
{
    struct arbiter *a = status->arbiter;

    if (dump_begin(&status->dump, &a->board, &a->children, &pid, 1, now) < 0)
        return -1;
    wait_for_dump(status, client, write, now);
    return 0;
}

/* All workers that have a slot, or the one with this pid. */
static void begin_dump(const struct request *request, pid_t only)
{
    struct status *status = request->status;
    struct children *children = &status->arbiter->children;
    size_t count = 0;
    pid_t *pids = mem_alloc(sizeof(*pids) * (children->count + 1));

    for (size_t i = 0; pids && i < children->count; i++)
        if (children->list[i].slot && (only == 0 || children->list[i].pid == only))
            pids[count++] = children->list[i].pid;
    if (!pids)
        answer_no_memory(request);
    else if (count == 0 && only != 0)
        answer_text(request, 404, "there is no such worker\n");
    else if (dump_begin(&status->dump, &status->arbiter->board, children, pids, count,
                        request->now) < 0)
        refuse_dump(request, errno);
    else {
        status->waiter_head_only = request->head_only;
        wait_for_dump(status, request->client, write_stacks, request->now);
    }
    mem_free(pids);
}

void status_end_dump(struct status *status, const struct port_client *client)
{
    if (status->waiter != client)
        return;
    status->waiter = NULL;
    status->dumping.deadline = INT64_MAX;
    dump_end(&status->dump);
}

/* It is dropped. */
static void client_gone(struct port_client *client)
{
    status_end_dump(client->port->ctx, client);
}

static int go_on_dumping(struct pollable *self, short revents, int64_t now)
{
    struct status *status = list_entry(self, struct status, dumping);
    struct port_client *client = status->waiter;

    (void)revents;
    if (!client)
        return 0;
    if (!dump_step(&status->dump, now)) {
        self->deadline = dump_deadline(&status->dump);
        return 0;
    }
    status->write_dump(client, &status->dump.text, now);
    status_end_dump(status, client);
    return port_answer_late(client, now);
}

/* ---- requests ---- */

/* The number between two literals that make up all of `path`; -1 when it is not so. */
static long number_in(struct str path, const char *before, const char *after)
{
    char text[32];
    long number = -1;
    int end = 0;
    char form[64];

    if (path.n >= sizeof(text))
        return -1;
    memcpy(text, path.p, path.n);
    text[path.n] = '\0';
    snprintf(form, sizeof(form), "%s%%9ld%s%%n", before, after);
    if (sscanf(text, form, &number, &end) != 1 || end != (int)path.n || number < 0)
        return -1;
    return number;
}

static void answer_stack(const struct request *request, long slot)
{
    const struct arbiter *a = request->status->arbiter;

    for (size_t i = 0; i < a->children.count; i++) {
        const struct child *child = &a->children.list[i];

        if (child->slot && (long)scoreboard_index(&a->board, child->slot) == slot) {
            begin_dump(request, child->pid);
            return;
        }
    }
    answer_text(request, 404, "no worker has this slot\n");
}

/* Those that are made at once. False: `path` is none of them. */
static bool answer_report(const struct request *request, struct str path)
{
    const struct arbiter *a = request->status->arbiter;
    const char *type = text_type;
    struct writer body;
    int code = 200;

    writer_init(&body, PORT_ANSWER);
    if (str_eq(path, STR("/live"))) {
        writer_text(&body, "live\n");
    } else if (str_eq(path, STR("/ready"))) {
        code = report_ready(a, &body) ? 200 : 503;
    } else if (str_eq(path, STR("/metrics"))) {
        report_metrics(a, &body, request->now);
        type = metrics_type;
    } else if (str_eq(path, STR("/workers"))) {
        report_workers(a, &body, request->now);
        type = json_type;
    } else {
        return false;
    }
    answer(request, code, type, &body);
    return true;
}

static void route(const struct request *request, struct str path)
{
    bool private = request->client->port->own_user;
    long number;

    if (answer_report(request, path))
        return;
    if ((number = number_in(path, "/workers/", "/stack")) >= 0)
        answer_stack(request, number);
    else if (private && str_eq(path, STR("/dump")))
        begin_dump(request, 0);
    else if (private && (number = number_in(path, "/dump/", "")) > 0)
        begin_dump(request, (pid_t)number);
    else
        answer_text(request, 404,
                    "there are /live, /ready, /metrics, /workers and /workers/SLOT/stack\n");
}

static void take_request(struct request *request, const struct head *head)
{
    const char *input = request->client->input;
    struct str method = head_slice(input, head->method, head->method_len);

    request->head_only = str_eq(method, STR("HEAD"));
    if (request->head_only || str_eq(method, STR("GET")))
        route(request, head_slice(input, head->path, head->path_len));
    else
        answer_text(request, 405, "only GET and HEAD\n");
}

static void refuse_head(const struct request *request, unsigned error)
{
    if (error == HTTP1_NO_MEMORY)
        answer_no_memory(request);
    else
        answer_text(request, 400, "this is no valid request\n");
}

static int received(struct port_client *client, int64_t now)
{
    static const struct http1_limits limits = {
        .request_line = STATUS_HEAD, .fields = 64, .field_size = STATUS_HEAD};
    struct request request = {client->port->ctx, client, false, now};
    struct http1_parser parser = {0};
    struct head head;

    head_init(&head);
    switch (http1_parse(&parser, &head, client->input, client->size, &limits)) {
    case HTTP1_PARTIAL:
        if (client->size == STATUS_HEAD)
            answer_text(&request, 431, "the request is too large\n");
        break;
    case HTTP1_ERROR:
        refuse_head(&request, parser.error);
        break;
    case HTTP1_OK:
        take_request(&request, &head);
    }
    head_free(&head);
    return 0;
}

static const struct port_protocol status_protocol = {
    .input_max = STATUS_HEAD,
    .limit_ms = STATUS_MS,
    .received = received,
    .gone = client_gone,
    .failed = cannot_answer,
};

/* ---- the whole ---- */

/* The second master answers. */
static void pause_port(void *ctx)
{
    port_pause(&((struct status *)ctx)->port, true);
}

void status_open(struct status *status, struct arbiter *arbiter)
{
    struct pollables *pollables = &arbiter->pollables;

    *status = (struct status){.arbiter = arbiter};
    port_init(&status->port, pollables, &status_protocol, status);
    port_init(&status->private_port, pollables, &status_protocol, status);
    status->private_port.own_user = true;
    successor_init(&status->successor, pollables, pause_port, status);
    dump_open(&status->dump);
    pollable_init(&status->dumping, go_on_dumping);
    pollables_add(pollables, &status->dumping);
    arbiter->on_wake = &status->dumping; /* a thread that has written its stack wakes the master */
}

static void close_ports(struct status *status)
{
    int private_fd = status->private_port.fd;

    port_close(&status->port);
    port_close(&status->private_port);
    if (private_fd >= 0)
        close(private_fd);
    successor_forget(&status->successor);
}

void status_close(struct status *status)
{
    close_ports(status);
    dump_close(&status->dump);
}

void status_leave(struct status *status)
{
    close_ports(status);
    dump_ignore();
}

int status_open_private(struct status *status)
{
    int fd = private_listen(PORT_CLIENTS);

    if (fd < 0)
        return -1;
    port_listen(&status->private_port, fd);
    return 0;
}

int status_await_successor(struct status *status)
{
    status_resume(status);
    return successor_await(&status->successor);
}

void status_resume(struct status *status)
{
    successor_forget(&status->successor);
    port_pause(&status->port, false);
}

static bool has_clients(void *ctx)
{
    struct status *status = ctx;

    return port_has_clients(&status->port) || port_has_clients(&status->private_port);
}

int status_end(struct status *status, int64_t limit_ms)
{
    port_listen(&status->port, -1);
    return arbiter_linger(status->arbiter, limit_ms, has_clients, status);
}
