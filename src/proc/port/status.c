#include "proc/port/status.h"

#include "base/mem.h"
#include "net/socket.h"
#include "proc/loop/arbiter.h"
#include "proc/loop/pipe.h"
#include "proc/port/report.h"
#include "proto/http1/parse.h"
#include "proto/http1/write.h"
#include "proto/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

static const char text_type[] = "text/plain; charset=utf-8";
static const char json_type[] = "application/json";
static const char metrics_type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";

void status_init(struct status *status)
{
    *status = (struct status){.listener = -1, .private_listener = -1, .successor = -1};
}

/* ---- the private socket ---- */

#ifdef __linux__

#include <sys/random.h>

/* "gunicorn-master-PID-" and what nobody can guess, so nobody takes it before us. Its size, or 0
 * with errno. */
static socklen_t make_private_name(struct sockaddr_un *name)
{
    uint64_t secret[2];

    if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
        return 0;
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(name->sun_path + 1, sizeof(name->sun_path) - 1,
                     "gunicorn-master-%d-%016" PRIx64 "%016" PRIx64, (int)getpid(), secret[0],
                     secret[1]);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

int status_open_private(struct status *status)
{
    struct sockaddr_un name;
    socklen_t size = make_private_name(&name);
    int fd = size ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;

    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&name, size) < 0 || listen(fd, STATUS_CONNECTIONS) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    status->private_listener = fd;
    return 0;
}

/* Anybody of this machine can connect to an abstract name. */
static bool is_ours(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == getuid() || peer.uid == geteuid());
}

#else

int status_open_private(struct status *status)
{
    (void)status;
    errno = EOPNOTSUPP;
    return -1;
}

static bool is_ours(int fd)
{
    (void)fd;
    return false;
}

#endif

/* ---- clients ---- */

static void drop(struct status *status, unsigned at)
{
    struct status_client *client = status->clients[at];

    close(client->fd);
    writer_free(&client->answer);
    mem_free(client);
    status->clients[at] = NULL;
}

void status_close(struct status *status)
{
    for (unsigned i = 0; i < STATUS_CONNECTIONS; i++)
        if (status->clients[i])
            drop(status, i);
    if (status->private_listener >= 0)
        close(status->private_listener);
    if (status->successor >= 0)
        close(status->successor);
    status_init(status);
}

/* ---- upgrade ---- */

int status_await_successor(struct status *status)
{
    int ends[2];

    status_resume(status);
    if (pipe_open(ends, false) < 0)
        return -1;
    status->successor = ends[0];
    return ends[1];
}

void status_resume(struct status *status)
{
    if (status->successor >= 0)
        close(status->successor);
    status->successor = -1;
    status->paused = false;
}

static void hear_successor(struct status *status)
{
    char byte;
    ssize_t n = read(status->successor, &byte, 1);

    if (n < 0)
        return;
    close(status->successor);
    status->successor = -1;
    status->paused = n > 0;
}

static struct status_client *dumping(struct status *status)
{
    for (unsigned i = 0; i < STATUS_CONNECTIONS; i++)
        if (status->clients[i] && status->clients[i]->state == STATUS_DUMPING)
            return status->clients[i];
    return NULL;
}

/* A free place; else that of the client that has been here for longest. */
static unsigned make_place(struct status *status)
{
    unsigned oldest = 0;

    for (unsigned i = 0; i < STATUS_CONNECTIONS; i++) {
        if (!status->clients[i])
            return i;
        if (status->clients[i]->deadline < status->clients[oldest]->deadline)
            oldest = i;
    }
    drop(status, oldest);
    return oldest;
}

static void take_client(struct arbiter *a, int fd, bool private, int64_t now)
{
    struct status_client *client = mem_alloc(sizeof(*client));

    if (!client)
        a->host->cannot_answer(a->ctx, ENOMEM);
    if (!client || (private && !is_ours(fd))) {
        mem_free(client);
        close(fd);
        return;
    }
    client->fd = fd;
    client->state = STATUS_READ_HEAD;
    client->private = private;
    client->head_only = false;
    client->deadline = now + STATUS_MS;
    client->sent = client->size = 0;
    writer_init(&client->answer, STATUS_ANSWER);
    a->status.clients[make_place(&a->status)] = client;
}

/* Whoever could not be accepted is gone, and the next one may be tried at once. */
static bool is_passing(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == ECONNABORTED || error == EINTR;
}

static void cannot_accept(struct arbiter *a, int error, int64_t now)
{
    a->status.resume_at = now + STATUS_PAUSE_MS;
    if (now < a->status.tell_at)
        return;
    a->status.tell_at = now + STATUS_TELL_MS;
    a->host->cannot_answer(a->ctx, error);
}

static void accept_clients(struct arbiter *a, int listener, int64_t now)
{
    struct peer peer;

    for (int i = 0; i < STATUS_CONNECTIONS; i++) {
        int fd = socket_accept(listener, &peer);

        if (fd < 0) {
            if (!is_passing(errno))
                cannot_accept(a, errno, now);
            return;
        }
        take_client(a, fd, listener == a->status.private_listener, now);
    }
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

/* The body is written already: with a head before it, it is the answer. */
static void answer(struct arbiter *a, struct status_client *client, int code, const char *type,
                   struct writer *body)
{
    if (body->error) {
        a->host->cannot_answer(a->ctx, body->error);
        body->size = 0;
        body->error = 0;
        writer_text(body, "there is no memory for the answer, or it is too long\n");
        code = 500;
        type = text_type;
    }
    add_prefix(&client->answer, code);
    writer_format(&client->answer,
                  "Content-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n%s\r\n",
                  type, body->size, code == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (!client->head_only)
        writer_add(&client->answer, body->data, body->size);
    writer_free(body);
    client->state = STATUS_SEND;
}

static void answer_text(struct arbiter *a, struct status_client *client, int code, const char *text)
{
    struct writer body;

    writer_init(&body, STATUS_ANSWER);
    writer_text(&body, text);
    answer(a, client, code, text_type, &body);
}

static void answer_no_memory(struct arbiter *a, struct status_client *client)
{
    a->host->cannot_answer(a->ctx, ENOMEM);
    answer_text(a, client, 503, "no memory\n");
}

/* All workers that have a slot, or the one with this pid. */
static void begin_dump(struct arbiter *a, struct status_client *client, pid_t only, int64_t now)
{
    size_t count = 0;
    pid_t *pids = mem_alloc(sizeof(*pids) * (a->children.count + 1));

    for (size_t i = 0; pids && i < a->children.count; i++)
        if (a->children.list[i].slot && (only == 0 || a->children.list[i].pid == only))
            pids[count++] = a->children.list[i].pid;
    if (pids && count == 0 && only != 0)
        answer_text(a, client, 404, "there is no such worker\n");
    else if (!pids || dump_begin(&a->dump, &a->board, &a->children, pids, count, now) < 0) {
        if (errno == EBUSY)
            answer_text(a, client, 503, "another dump is being made: try again\n");
        else if (errno == ENOSYS)
            answer_text(a, client, 503, "this system has no such dumps\n");
        else
            answer_no_memory(a, client);
    } else {
        client->state = STATUS_DUMPING;
        client->deadline = now + DUMP_TOTAL_MS + STATUS_MS;
    }
    mem_free(pids);
}

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

static void answer_stack(struct arbiter *a, struct status_client *client, long slot, int64_t now)
{
    for (size_t i = 0; i < a->children.count; i++) {
        const struct child *child = &a->children.list[i];

        if (child->slot && (long)scoreboard_index(&a->board, child->slot) == slot) {
            begin_dump(a, client, child->pid, now);
            return;
        }
    }
    answer_text(a, client, 404, "no worker has this slot\n");
}

static void route(struct arbiter *a, struct status_client *client, struct str path, int64_t now)
{
    struct writer body;
    long number;

    writer_init(&body, STATUS_ANSWER);
    if (str_eq(path, STR("/live"))) {
        answer_text(a, client, 200, "live\n");
    } else if (str_eq(path, STR("/ready"))) {
        bool ready = report_ready(a, &body);
        answer(a, client, ready ? 200 : 503, text_type, &body);
    } else if (str_eq(path, STR("/metrics"))) {
        report_metrics(a, &body, now);
        answer(a, client, 200, metrics_type, &body);
    } else if (str_eq(path, STR("/workers"))) {
        report_workers(a, &body, now);
        answer(a, client, 200, json_type, &body);
    } else if ((number = number_in(path, "/workers/", "/stack")) >= 0) {
        answer_stack(a, client, number, now);
    } else if (client->private && str_eq(path, STR("/dump"))) {
        begin_dump(a, client, 0, now);
    } else if (client->private && (number = number_in(path, "/dump/", "")) > 0) {
        begin_dump(a, client, (pid_t)number, now);
    } else {
        answer_text(a, client, 404,
                    "there are /live, /ready, /metrics, /workers and /workers/SLOT/stack\n");
    }
}

static void parse(struct arbiter *a, struct status_client *client, int64_t now)
{
    static const struct http1_limits limits = {
        .request_line = STATUS_HEAD, .fields = 64, .field_size = STATUS_HEAD};
    struct http1_parser parser = {0};
    struct head head;

    head_init(&head);
    switch (http1_parse(&parser, &head, client->head, client->size, &limits)) {
    case HTTP1_PARTIAL:
        if (client->size == STATUS_HEAD)
            answer_text(a, client, 431, "the request is too large\n");
        break;
    case HTTP1_ERROR:
        if (parser.error == HTTP1_NO_MEMORY)
            answer_no_memory(a, client);
        else
            answer_text(a, client, 400, "this is no valid request\n");
        break;
    case HTTP1_OK: {
        struct str method = head_slice(client->head, head.method, head.method_len);

        client->head_only = str_eq(method, STR("HEAD"));
        if (client->head_only || str_eq(method, STR("GET")))
            route(a, client, head_slice(client->head, head.path, head.path_len), now);
        else
            answer_text(a, client, 405, "only GET and HEAD\n");
    }
    }
    head_free(&head);
}

/* ---- one step of a client; false when it is to be dropped ---- */

static bool read_head(struct arbiter *a, struct status_client *client, int64_t now)
{
    ssize_t n = socket_recv(client->fd, client->head + client->size, STATUS_HEAD - client->size);

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    client->size += (size_t)n;
    parse(a, client, now);
    return true;
}

static bool send_answer(struct arbiter *a, struct status_client *client)
{
    struct writer *out = &client->answer;

    if (out->error) {
        a->host->cannot_answer(a->ctx, out->error);
        return false;
    }
    while (client->sent < out->size) {
        ssize_t n = socket_send(client->fd, out->data + client->sent, out->size - client->sent);

        if (n < 0)
            return errno == EAGAIN;
        client->sent += (size_t)n;
    }
    client->state = STATUS_END;
    return shutdown(client->fd, SHUT_WR) == 0;
}

/* The client closes first, so that nothing it still sends makes our answer a reset. */
static bool discard(struct status_client *client)
{
    char waste[STATUS_HEAD];
    ssize_t n = socket_recv(client->fd, waste, sizeof(waste));

    return n > 0 || (n < 0 && errno == EAGAIN);
}

static bool serve(struct arbiter *a, struct status_client *client, int64_t now)
{
    bool stays = true;

    if (client->state == STATUS_READ_HEAD)
        stays = read_head(a, client, now);
    if (stays && client->state == STATUS_SEND)
        stays = send_answer(a, client);
    if (stays && client->state == STATUS_END)
        stays = discard(client);
    return stays;
}

/* ---- the master's loop ---- */

unsigned status_fill(const struct status *status, struct pollfd *fds)
{
    bool accepts = status->resume_at == 0;
    unsigned count = 0;

    if (status->listener >= 0 && !status->paused && accepts)
        fds[count++] = (struct pollfd){.fd = status->listener, .events = POLLIN};
    if (status->private_listener >= 0 && accepts)
        fds[count++] = (struct pollfd){.fd = status->private_listener, .events = POLLIN};
    if (status->successor >= 0)
        fds[count++] = (struct pollfd){.fd = status->successor, .events = POLLIN};
    for (unsigned i = 0; i < STATUS_CONNECTIONS; i++) {
        const struct status_client *client = status->clients[i];

        if (client && client->state != STATUS_DUMPING)
            fds[count++] = (struct pollfd){
                .fd = client->fd, .events = client->state == STATUS_SEND ? POLLOUT : POLLIN};
    }
    return count;
}

int64_t status_deadline(const struct status *status)
{
    int64_t at = status->resume_at > 0 ? status->resume_at : INT64_MAX;

    for (unsigned i = 0; i < STATUS_CONNECTIONS; i++)
        if (status->clients[i] && status->clients[i]->deadline < at)
            at = status->clients[i]->deadline;
    return at;
}

static void go_on_dumping(struct arbiter *a, int64_t now)
{
    struct status_client *client = dumping(&a->status);

    if (!client)
        dump_end(&a->dump); /* nobody waits for it any more */
    else if (dump_step(&a->dump, now)) {
        answer(a, client, 200, text_type, &a->dump.text);
        dump_end(&a->dump);
        serve(a, client, now);
    }
}

void status_run(struct arbiter *a, const struct pollfd *fds, unsigned count, int64_t now)
{
    struct status *status = &a->status;

    if (status->resume_at <= now)
        status->resume_at = 0;
    for (unsigned k = 0; k < count; k++) {
        if (!fds[k].revents)
            continue;
        for (unsigned i = 0; i < STATUS_CONNECTIONS; i++)
            if (status->clients[i] && status->clients[i]->fd == fds[k].fd &&
                !serve(a, status->clients[i], now))
                drop(status, i);
        if (fds[k].fd == status->successor)
            hear_successor(status);
        if (fds[k].fd == status->listener || fds[k].fd == status->private_listener)
            accept_clients(a, fds[k].fd, now);
    }
    if (a->dump.active)
        go_on_dumping(a, now);
    for (unsigned i = 0; i < STATUS_CONNECTIONS; i++)
        if (status->clients[i] && status->clients[i]->deadline <= now)
            drop(status, i);
}
