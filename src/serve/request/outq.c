#include "serve/request/outq.h"

#include "base/mem.h"
#include "net/transport.h"
#include "serve/engine/budget.h"
#include "serve/engine/limits.h"
#include "serve/request/spool.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FLUSH_PARTS = 16 };

void outq_init(struct outq *q, struct budget *budget)
{
    memset(q, 0, sizeof(*q));
    atomic_init(&q->pending, false);
    pthread_mutex_init(&q->lock, NULL);
    q->budget = budget;
}

void outq_destroy(struct outq *q)
{
    outq_end_spool(q);
    pthread_mutex_destroy(&q->lock);
}

/* Files */

/* Takes fd over, on success. */
static struct part_file *file_new(struct budget *budget, int fd)
{
    struct part_file *file = mem_alloc(sizeof(*file));
    if (!file || !budget_open(budget)) {
        mem_free(file);
        return NULL;
    }
    *file = (struct part_file){.budget = budget, .fd = fd};
    atomic_init(&file->uses, 1);
    return file;
}

static void file_drop(struct part_file *file)
{
    if (atomic_fetch_sub(&file->uses, 1) > 1)
        return;
    close(file->fd);
    budget_close(file->budget);
    budget_unspool(file->budget, file->size);
    mem_free(file);
}

void outq_end_spool(struct outq *q)
{
    if (q->spool)
        file_drop(q->spool);
    q->spool = NULL;
}

void part_free(struct part *part)
{
    if (part->kind == PART_FILE)
        file_drop(part->file);
    mem_free(part);
}

/* Appending */

/* A part that is charged already, with so many bytes for itself and those copied behind it. */
static struct part *part_made(struct outq *q, size_t size, size_t charged)
{
    struct part *part = mem_alloc(size);
    if (!part) {
        budget_give(q->budget, charged);
        errno = ENOMEM;
        return NULL;
    }
    *part = (struct part){.charged = charged};
    return part;
}

/* A part with room for `copied` bytes behind it, which is charged for all that it holds. */
static struct part *part_new(struct outq *q, size_t copied, size_t referenced)
{
    size_t size = sizeof(struct part) + copied, charged = size + referenced;
    if (!budget_take(q->budget, BUDGET_ANSWER, q->memory, charged))
        return NULL;
    return part_made(q, size, charged);
}

/* One that holds no memory: files are bounded, and it is they that make place where memory is
 * short. */
static struct part *part_of_file(struct outq *q)
{
    budget_force(q->budget, sizeof(struct part));
    return part_made(q, sizeof(struct part), sizeof(struct part));
}

static void append(struct outq *q, struct part *part)
{
    if (q->tail)
        q->tail->next = part;
    else
        q->head = part;
    q->tail = part;
    q->memory += part->charged;
    atomic_store(&q->pending, true);
}

int outq_copy(struct outq *q, const char *data, size_t n)
{
    struct part *part = part_new(q, n, 0);
    if (!part)
        return -1;
    part->kind = PART_COPY;
    part->data = memcpy(part + 1, data, n);
    part->left = n;
    append(q, part);
    return 0;
}

int outq_ref(struct outq *q, const char *data, size_t n, void *ref, size_t whole)
{
    struct part *part = part_new(q, 0, whole);
    if (!part)
        return -1;
    part->kind = PART_REF;
    part->ref = ref;
    part->data = data;
    part->left = n;
    append(q, part);
    return 0;
}

/* Takes a use of the file over, on success. */
static struct part *append_file(struct outq *q, struct part_file *file, off_t offset, uint64_t n)
{
    struct part *part = part_of_file(q);
    if (!part)
        return NULL;
    part->kind = PART_FILE;
    part->file = file;
    part->offset = offset;
    part->left = n;
    append(q, part);
    return part;
}

int outq_file(struct outq *q, int fd, off_t offset, uint64_t n)
{
    struct part_file *file = file_new(q->budget, fd);
    if (file && append_file(q, file, offset, n))
        return 0;
    if (file) {
        budget_close(q->budget);
        mem_free(file);
    }
    return -1;
}

int outq_framed_file(struct outq *q, int fd, off_t offset, uint64_t n,
                     const struct outq_framing *framing, uint16_t id)
{
    if (outq_file(q, fd, offset, n) < 0)
        return -1;
    q->tail->framing = framing;
    q->tail->frame_id = id;
    return 0;
}

/* The file to write on. Never an old one's beginning: the network may still hold its pages. */
static int open_spool(struct outq *q, const char *dir)
{
    if (q->spool && q->spool->size < OUT_SPOOL_FILE)
        return 0;
    int fd = spool_open_file(dir);
    struct part_file *file = fd < 0 ? NULL : file_new(q->budget, fd);
    if (!file) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    outq_end_spool(q);
    q->spool = file;
    return 0;
}

int outq_spool_write(struct outq *q, const char *data, size_t n, const char *dir)
{
    if (open_spool(q, dir) < 0 || !budget_spool(q->budget, q->spool->size, n))
        return -1;
    if (spool_write(q->spool->fd, q->spool->size, data, n) == 0) {
        q->spool->size += n;
        return 0;
    }
    budget_unspool(q->budget, n);
    return -1;
}

/* The bytes written last are in no part: the next ones take their place. */
static int unwrite(struct outq *q, size_t n)
{
    q->spool->size -= n;
    budget_unspool(q->budget, n);
    return -1;
}

int outq_spool_append(struct outq *q, size_t n)
{
    off_t at = (off_t)(q->spool->size - n);
    struct part *last = q->tail;
    if (last && last->spooled && last->file == q->spool && last->offset + (off_t)last->left == at) {
        last->left += n;
    } else {
        struct part *part = append_file(q, q->spool, at, n);
        if (!part)
            return unwrite(q, n);
        atomic_fetch_add(&q->spool->uses, 1);
        part->spooled = true;
    }
    q->kept += n;
    return 0;
}

/* Sending */

/* Sends the parts in memory at the head of the queue by one call. */
static ssize_t send_memory(struct outq *q, int fd, struct tls *tls)
{
    struct iovec parts[FLUSH_PARTS];
    int count = 0;
    for (struct part *p = q->head; p && p->kind != PART_FILE && count < FLUSH_PARTS; p = p->next)
        parts[count++] = (struct iovec){.iov_base = (void *)p->data, .iov_len = p->left};
    return transport_sendv(fd, tls, parts, count, false);
}

static void begin_piece(struct part *part)
{
    uint16_t piece = part->framing->piece;
    part->piece_left = part->left < piece ? (uint16_t)part->left : piece;
    part->header_left = FRAME_HEADER_SIZE;
}

/* The whole piece is left, as its header is not sent. */
static ssize_t send_header(const struct part *part, int fd, struct tls *tls)
{
    char header[FRAME_HEADER_SIZE];
    part->framing->header(header, part->frame_id, part->piece_left);
    struct iovec rest = {header + FRAME_HEADER_SIZE - part->header_left, part->header_left};
    return transport_sendv(fd, tls, &rest, 1, true);
}

static ssize_t send_file_part(struct outq *q, struct part *part, int fd, struct tls *tls)
{
    size_t n = part->left < SEND_TURN ? (size_t)part->left : SEND_TURN;
    if (part->framing && part->piece_left == 0)
        begin_piece(part);
    if (part->header_left > 0)
        return send_header(part, fd, tls);
    if (part->framing && n > part->piece_left)
        n = part->piece_left;
    ssize_t sent =
        transport_sendfile(fd, tls, part->file->fd, part->offset, n, atomic_load(&q->copies));
    if (sent == 0) {
        errno = EPIPE; /* the file became shorter than promised */
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
    budget_give(q->budget, part->charged);
    return part;
}

/* Takes the n bytes that were sent off the header of a piece, else off the piece; how many bytes of
 * the file are among them. */
static uint64_t advance_piece(struct part *part, uint64_t n)
{
    if (part->header_left == 0) {
        part->piece_left = (uint16_t)(part->piece_left - n);
        return n;
    }
    part->header_left = (uint16_t)(part->header_left - n);
    return 0;
}

/* How many of the n bytes that were sent are of no part. */
static uint64_t advance(struct outq *q, uint64_t n, struct part **done)
{
    while (q->head && (n > 0 || q->head->left == 0)) {
        struct part *part = q->head;
        if (part->framing)
            n = advance_piece(part, n);
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
                            uint64_t *taken)
{
    ssize_t turn = 0;
    while (q->head) {
        if (turn >= SEND_TURN)
            return OUTQ_MORE;
        bool file = q->head->kind == PART_FILE;
        ssize_t sent = file ? send_file_part(q, q->head, fd, tls) : send_memory(q, fd, tls);
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? OUTQ_BLOCKED : OUTQ_BROKEN;
        *taken += (uint64_t)sent;
        turn += sent;
        q->sent += (uint64_t)sent;
        q->ahead += (size_t)advance(q, (uint64_t)sent, done);
    }
    q->timed = false;
    atomic_store(&q->pending, false);
    return OUTQ_EMPTY;
}

static ssize_t copy_part(const struct part *part, char *out, size_t n)
{
    if (n > part->left)
        n = (size_t)part->left;
    if (part->kind != PART_FILE)
        return (ssize_t)(memcpy(out, part->data, n), n);
    ssize_t got = pread(part->file->fd, out, n, part->offset);
    if (got == 0)
        errno = EPIPE; /* the file became shorter than promised */
    return got > 0 ? got : -1;
}

ssize_t outq_take(struct outq *q, char *out, size_t n, struct part **done)
{
    size_t taken = 0;
    while (q->head && taken < n) {
        ssize_t got = copy_part(q->head, out + taken, n - taken);
        if (got < 0)
            return -1;
        taken += (size_t)got;
        advance(q, (uint64_t)got, done);
    }
    if (!q->head) {
        q->timed = false;
        atomic_store(&q->pending, false);
    }
    return (ssize_t)taken;
}

struct part *outq_clear(struct outq *q)
{
    struct part *all = q->head;
    budget_give(q->budget, q->memory);
    q->head = q->tail = NULL;
    q->memory = 0;
    q->kept = 0;
    q->timed = false;
    atomic_store(&q->pending, false);
    return all;
}
