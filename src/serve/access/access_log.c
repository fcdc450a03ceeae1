#include "serve/access/access_log.h"

#include "base/clock.h"
#include "base/mem.h"
#include "serve/request/request.h"
#include "serve/request/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_PATIENCE_MS = 100 }; /* for a pipe without a reader; then lines are lost */

/* A write to a pipe is atomic up to PIPE_BUF bytes. */
static size_t batch_of(int fd)
{
    struct stat status;
    bool pipe = fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
    return pipe ? PIPE_BUF : ACCESS_BATCH_SIZE;
}

struct access_log *access_log_create(struct access_format *format, int fd)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return NULL;
    struct access_log *log = mem_alloc(sizeof(*log));
    if (!log) {
        close(own);
        errno = ENOMEM;
        return NULL;
    }
    log->format = format;
    log->fd = own;
    log->batch = batch_of(own);
    log->n = 0;
    log->error = 0;
    pthread_mutex_init(&log->lock, NULL);
    return log;
}

static void write_all(struct access_log *log, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t written = write(log->fd, p, n);
        if (written > 0) {
            p += written;
            n -= (size_t)written;
        } else if (written < 0 && errno == EAGAIN) {
            if (socket_wait(log->fd, POLLOUT, WRITE_PATIENCE_MS) <= 0) {
                log->error = EAGAIN;
                return;
            }
        } else if (written == 0 || errno != EINTR) {
            log->error = written == 0 ? EIO : errno;
            return; /* a full disk: the server goes on without its log */
        }
    }
}

static void flush_locked(struct access_log *log)
{
    write_all(log, log->bytes, log->n);
    log->n = 0;
}

int access_log_flush(struct access_log *log)
{
    if (!log)
        return 0;
    pthread_mutex_lock(&log->lock);
    if (log->n > 0)
        flush_locked(log);
    int error = log->error;
    log->error = 0;
    pthread_mutex_unlock(&log->lock);
    return error;
}

void access_log_destroy(struct access_log *log)
{
    if (!log)
        return;
    access_log_flush(log);
    pthread_mutex_destroy(&log->lock);
    access_format_free(log->format);
    close(log->fd);
    mem_free(log);
}

int access_log_reopen(struct access_log *log, int fd)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return -1;
    pthread_mutex_lock(&log->lock);
    flush_locked(log);
    close(log->fd);
    log->fd = own;
    log->batch = batch_of(own);
    pthread_mutex_unlock(&log->lock);
    return 0;
}

static void append(struct access_log *log, struct str line)
{
    pthread_mutex_lock(&log->lock);
    if (log->n + line.n > log->batch)
        flush_locked(log);
    if (line.n > log->batch) {
        write_all(log, line.p, line.n);
    } else {
        memcpy(log->bytes + log->n, line.p, line.n);
        log->n += line.n;
    }
    pthread_mutex_unlock(&log->lock);
}

void access_log_add(struct access_log *log, const struct access_entry *entry)
{
    struct access_line line;
    access_line_init(&line);
    access_format_line(log->format, entry, &line);
    if (!line.failed)
        append(log, (struct str){line.p, line.n});
    access_line_free(&line);
}

struct str access_field_in(const struct request *request, struct str name)
{
    const struct head *head = &request->head;
    for (uint32_t i = head->field_count; i-- > 0;) {
        const struct head_field *field = &head->fields[i];
        if (field->id != FIELD_DROPPED && field->name_len == name.n &&
            str_ieq(head_slice(request->input, field->name, field->name_len), name))
            return head_slice(request->input, field->value, field->value_len);
    }
    return (struct str){NULL, 0};
}

struct str access_field_out(const struct request *request, struct str name)
{
    const struct response *response = &request->response;
    struct str found = {NULL, 0};
    if (!response->started)
        return found;
    const char *p = response->head + response->gap;
    const char *end = response->head + response->head_size;
    while (p < end) {
        const char *line_end = memchr(p, '\r', (size_t)(end - p));
        const char *colon = line_end ? memchr(p, ':', (size_t)(line_end - p)) : NULL;
        if (!colon)
            break; /* the empty line */
        if (str_ieq((struct str){p, (size_t)(colon - p)}, name))
            found = (struct str){colon + 2, (size_t)(line_end - colon - 2)};
        p = line_end + 2;
    }
    return found;
}

/* The source of a line about a request by itself, perhaps without a whole head. */
struct plain_line {
    const struct request *request;
    bool answered; /* by an application */
    char peer[PEER_TEXT_SIZE];
    char protocol[sizeof("HTTP/1.1")];
};

static struct str piece(const struct request *request, uint32_t at, uint32_t n)
{
    return n > 0 ? head_slice(request->input, at, n) : (struct str){NULL, 0};
}

static struct str protocol_of(struct plain_line *line)
{
    const struct head *head = &line->request->head;
    if (head->target_len == 0)
        return STR("-");
    memcpy(line->protocol, "HTTP/1.1", sizeof(line->protocol));
    line->protocol[5] = (char)('0' + head->major);
    line->protocol[7] = (char)('0' + head->minor);
    return (struct str){line->protocol, sizeof(line->protocol) - 1};
}

static struct str or_dash(struct str text)
{
    return text.p ? text : STR("-");
}

static struct str plain_text(void *context, enum access_text what, struct str name)
{
    struct plain_line *line = context;
    const struct request *request = line->request;
    const struct head *head = &request->head;
    switch (what) {
    case ACCESS_REMOTE:
        peer_text(request_peer(request), line->peer);
        return (struct str){line->peer, strlen(line->peer)};
    case ACCESS_METHOD:
        return or_dash(piece(request, head->method, head->method_len));
    case ACCESS_TARGET:
        return or_dash(piece(request, head->target, head->target_len));
    case ACCESS_PROTOCOL:
        return protocol_of(line);
    case ACCESS_PATH:
        return or_dash(piece(request, head->path, head->path_len));
    case ACCESS_QUERY:
        return head_slice(request->input, head->query, head->query_len);
    case ACCESS_AUTHORIZATION:
        return access_field_in(request, STR("authorization"));
    case ACCESS_HOST:
        return access_field_in(request, STR("host"));
    case ACCESS_REFERER:
        return access_field_in(request, STR("referer"));
    case ACCESS_AGENT:
        return access_field_in(request, STR("user-agent"));
    case ACCESS_FIELD_IN:
        return access_field_in(request, name);
    case ACCESS_FIELD_OUT:
        return line->answered ? access_field_out(request, name) : (struct str){NULL, 0};
    case ACCESS_VARIABLE:
        break;
    }
    return (struct str){NULL, 0};
}

void access_log_answered(struct access_log *log, const struct request *request,
                         uint64_t duration_ns)
{
    struct plain_line line = {.request = request, .answered = true};
    struct access_entry entry = {
        .status = request->response.status,
        .sent = request->response.body_sent,
        .duration_ns = duration_ns,
        .waited_ns = request->begun_ns - request->ready_ns,
        .text = plain_text,
        .context = &line,
    };
    access_log_add(log, &entry);
}

void access_log_refused(struct access_log *log, const struct request *request)
{
    struct plain_line line = {.request = request};
    struct access_entry entry = {
        .status = request->response.status,
        .sent = request->response.body_sent,
        .text = plain_text,
        .context = &line,
    };
    access_log_add(log, &entry);
}
