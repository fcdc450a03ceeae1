#ifndef SERVE_REQUEST_OUTQ_H
#define SERVE_REQUEST_OUTQ_H

#include "base/list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The bytes of a response that the client has not taken yet. The application's thread appends, the
 * engine sends: both under the lock, which is not touched while the queue is empty and `pending`
 * false.
 */

struct budget;

enum part_kind {
    PART_COPY, /* bytes behind the part itself */
    PART_REF,  /* the application's bytes, held by ref */
    PART_FILE, /* bytes of a file */
};

/* A descriptor that several parts use: closed with the last of them. */
struct part_file {
    struct budget *budget; /* borrowed */
    atomic_uint uses;
    int fd;
    uint64_t size; /* bytes on the disk that are the queue's own */
};

enum { FRAME_HEADER_SIZE = 8 };

/* A file goes out in pieces of at most `piece` bytes with a header before each (FastCGI's records).
 */
struct outq_framing {
    uint16_t piece;
    void (*header)(char out[FRAME_HEADER_SIZE], uint16_t id, uint16_t n);
};

struct part {
    struct part *next;
    enum part_kind kind;
    void *ref;              /* PART_REF: given back by the engine's release */
    const char *data;       /* PART_COPY, PART_REF */
    struct part_file *file; /* PART_FILE: one use of it */
    bool spooled;           /* PART_FILE: one of the queue's own */
    off_t offset;           /* PART_FILE: the next byte */
    uint64_t left;
    const struct outq_framing *framing; /* PART_FILE: NULL: none */
    uint16_t frame_id, piece_left, header_left;
    size_t charged; /* bytes of memory: the part itself, and all that it holds */
};

struct outq {
    atomic_bool pending;
    atomic_bool copies; /* files are sent by copies: see send_by_copies() */
    pthread_mutex_t lock;
    struct budget *budget; /* borrowed */
    struct part *head, *tail;
    bool timed;              /* the leader watches the client's pace, or is about to */
    size_t memory;           /* bytes of memory that the parts hold */
    uint64_t sent;           /* bytes that the socket took, with those that were never queued */
    struct part_file *spool; /* NULL, or the file that is written, by the application's thread
                                alone: after OUT_SPOOL_FILE bytes a new one, so that the disk gets
                                back the bytes that were sent */
    uint64_t kept;           /* bytes in this and earlier files that are not sent */
    size_t ahead; /* bytes that left with the last part, and belong to the part appended next: a
                     record of TLS was begun before there was place for all that it holds */
};

/* Bytes that wait: in memory, the application's own included, and in files of the queue's own. */
static inline uint64_t outq_waiting(const struct outq *q)
{
    return q->memory + q->kept;
}

void outq_init(struct outq *q, struct budget *budget);
void outq_destroy(struct outq *q);

/* The spool file is done with: those of its bytes that are queued keep it. */
void outq_end_spool(struct outq *q);

/*
 * Appends; 0, or -1 with errno: ENOMEM, EMFILE, the file's error, or ENOBUFS when the budget is
 * used up. They need the lock. `whole` is how many bytes the ref keeps, of which n are left.
 */
int outq_copy(struct outq *q, const char *data, size_t n);
int outq_ref(struct outq *q, const char *data, size_t n, void *ref, size_t whole);
int outq_file(struct outq *q, int file, off_t offset, uint64_t n); /* takes file over, on success */
int outq_framed_file(struct outq *q, int file, off_t offset, uint64_t n,
                     const struct outq_framing *framing,
                     uint16_t id); /* the same; not for outq_take */

/* By way of a file, in two steps: the first one takes its time, and needs no lock, as one thread
 * alone appends. If the second fails its bytes are not in the file either. */
int outq_spool_write(struct outq *q, const char *data, size_t n, const char *dir);
int outq_spool_append(struct outq *q, size_t n);

struct tls;

enum outq_result { OUTQ_EMPTY, OUTQ_BLOCKED, OUTQ_MORE, OUTQ_BROKEN };

/*
 * Sends as much as the socket, or TLS on it, takes; OUTQ_MORE: it takes more, but it is the turn of
 * others (SEND_TURN). Parts that are through go to *done, for the engine to free. *taken grows by
 * the bytes that were sent. Needs the lock.
 */
enum outq_result outq_flush(struct outq *q, int fd, struct tls *tls, struct part **done,
                            uint64_t *taken);

/*
 * Copies up to n bytes from the head of the queue, for a protocol that sends them by itself: how
 * many, 0 when nothing is queued, -1 with errno when a file cannot be read. Parts that are through
 * go to *done. Needs the lock.
 */
ssize_t outq_take(struct outq *q, char *out, size_t n, struct part **done);

/* Takes everything out, unsent. Needs the lock. */
struct part *outq_clear(struct outq *q);

/* Frees one part that holds no ref any more. */
void part_free(struct part *part);

#endif
