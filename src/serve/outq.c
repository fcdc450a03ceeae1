#include "serve/outq.h"

#include "base/mem.h"
#include "net/transport.h"
#include "serve/limits.h"
#include "serve/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FLUSH_PARTS = 16 };

atomic_size_t outq_memory_total;

void outq_init(struct outq *q)
{
    memset(q, 0, sizeof(*q));
    atomic_init(&q->pending, false);
    pthread_mutex_init(&q->lock, NULL);
    q->spool = -1;
}

void outq_destroy(struct outq *q)
{
    if (q->spool >= 0)
        close(q->spool);
    pthread_mutex_destroy(&q->lock);
}

void part_free(struct part *part)
{
    if (part->kind == PART_FILE)
        close(part->file);
    mem_free(part);
}

static void append(struct outq *q, struct part *part)
{
    part->next = NULL;
    if (q->tail)
        q->tail->next = part;
    else
        q->head = part;
    q->tail = part;
    q->memory += part->charged;
    atomic_fetch_add(&outq_memory_total, part->charged);
    atomic_store(&q->pending, true);
}

int outq_copy(struct outq *q, const char *data, size_t n)
{
    struct part *part = mem_alloc(sizeof(*part) + n);
    if (!part)
        return -1;
    char *copy = (char *)(part + 1);
    memcpy(copy, data, n);
    *part = (struct part){.kind = PART_COPY, .data = copy, .left = n, .charged = n};
    append(q, part);
    return 0;
}

int outq_ref(struct outq *q, const char *data, size_t n, void *ref)
{
    struct part *part = mem_alloc(sizeof(*part));
    if (!part)
        return -1;
    *part = (struct part){.kind = PART_REF, .ref = ref, .data = data, .left = n, .charged = n};
    append(q, part);
    return 0;
}

int outq_file(struct outq *q, int file, off_t offset, uint64_t n)
{
    struct part *part = mem_alloc(sizeof(*part));
    if (!part)
        return -1;
    *part = (struct part){.kind = PART_FILE, .file = file, .offset = offset, .left = n};
    append(q, part);
    return 0;
}

/* The file to write on. Never an old one's beginning: the network may still hold its pages. */
static int open_spool(struct outq *q, const char *dir)
{
    if (q->spool >= 0 && q->spooled < OUT_SPOOL_FILE)
        return 0;
    int file = spool_open_file(dir);
    if (file < 0)
        return -1;
    if (q->spool >= 0)
        close(q->spool);
    q->spool = file;
    q->spooled = 0;
    return 0;
}

int outq_spool(struct outq *q, const char *data, size_t n, const char *dir)
{
    if (open_spool(q, dir) < 0 || spool_write(q->spool, q->spooled, data, n) < 0)
        return -1;
    uint64_t at = q->spooled;
    struct part *last = q->tail;
    if (last && last->spooled && (uint64_t)last->offset + last->left == at) {
        last->left += n;
        q->spooled += n;
        q->kept += n;
        return 0;
    }
    int file = fcntl(q->spool, F_DUPFD_CLOEXEC, 0);
    if (file < 0 || outq_file(q, file, (off_t)at, n) < 0) {
        if (file >= 0)
            close(file);
        return -1;
    }
    q->tail->spooled = true;
    q->spooled += n;
    q->kept += n;
    return 0;
}

/* Sends the parts in memory at the head of the queue by one call. */
static ssize_t send_memory(struct outq *q, int fd, struct tls *tls)
{
    struct iovec parts[FLUSH_PARTS];
    int count = 0;
    for (struct part *p = q->head; p && p->kind != PART_FILE && count < FLUSH_PARTS; p = p->next)
        parts[count++] = (struct iovec){.iov_base = (void *)p->data, .iov_len = p->left};
    return transport_sendv(fd, tls, parts, count, false);
}

static ssize_t send_file_part(struct outq *q, struct part *part, int fd, struct tls *tls)
{
    size_t n = part->left < SEND_TURN ? (size_t)part->left : SEND_TURN;
    ssize_t sent =
        transport_sendfile(fd, tls, part->file, part->offset, n, atomic_load(&q->copies));
    if (sent == 0) {
        errno = EPIPE; /* the file became shorter than what was promised */
        return -1;
    }
    return sent;
}

static struct part *pop(struct outq *q)
{
    struct part *part = q->head;
    q->head = part->next;
    if (!q->head)
        q->tail = NULL;
    q->memory -= part->charged;
    atomic_fetch_sub(&outq_memory_total, part->charged);
    return part;
}

/* How many of the n bytes that were sent are of no part. */
static uint64_t advance(struct outq *q, uint64_t n, struct part **done)
{
    while (q->head && (n > 0 || q->head->left == 0)) {
        struct part *part = q->head;
        uint64_t take = n < part->left ? n : part->left;
        part->left -= take;
        if (part->spooled)
            q->kept -= take;
        if (part->kind == PART_FILE)
            part->offset += (off_t)take;
        else
            part->data += take;
        n -= take;
        if (part->left > 0)
            return 0;
        pop(q);
        part->next = *done;
        *done = part;
    }
    return n;
}

enum outq_result outq_flush(struct outq *q, int fd, struct tls *tls, struct part **done,
                            bool *progress)
{
    ssize_t turn = 0;
    while (q->head) {
        if (turn >= SEND_TURN)
            return OUTQ_MORE;
        bool file = q->head->kind == PART_FILE;
        ssize_t sent = file ? send_file_part(q, q->head, fd, tls) : send_memory(q, fd, tls);
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? OUTQ_BLOCKED : OUTQ_BROKEN;
        *progress = true;
        turn += sent;
        q->sent += (uint64_t)sent;
        q->ahead += (size_t)advance(q, (uint64_t)sent, done);
    }
    atomic_store(&q->pending, false);
    return OUTQ_EMPTY;
}

struct part *outq_clear(struct outq *q)
{
    struct part *all = q->head;
    for (struct part *p = all; p; p = p->next)
        atomic_fetch_sub(&outq_memory_total, p->charged);
    q->head = q->tail = NULL;
    q->memory = 0;
    q->kept = 0;
    atomic_store(&q->pending, false);
    return all;
}
