#ifndef SERVE_OUTQ_H
#define SERVE_OUTQ_H

#include "base/list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What a client has not taken yet of a response. The application's thread appends, the engine
 * sends: both under the lock, which nobody touches while the queue is empty and `pending` false.
 */

enum part_kind {
    PART_COPY, /* bytes behind the part itself */
    PART_REF,  /* the application's bytes, held by ref */
    PART_FILE, /* a descriptor that the part owns */
};

struct part {
    struct part *next;
    enum part_kind kind;
    void *ref;        /* PART_REF: given back by the engine's release */
    const char *data; /* PART_COPY, PART_REF */
    int file;         /* PART_FILE */
    bool spooled;     /* PART_FILE: one of the queue's own */
    off_t offset;     /* PART_FILE: the next byte */
    uint64_t left;
    size_t charged; /* bytes counted against the memory bounds */
};

struct outq {
    atomic_bool pending;
    atomic_bool copies; /* files are sent by copies: see send_by_copies() */
    pthread_mutex_t lock;
    struct part *head, *tail;
    size_t memory;    /* bytes of the parts in memory */
    uint64_t sent;    /* bytes that the socket took, with those that were never queued */
    int spool;        /* -1, or the file that is written: after OUT_SPOOL_FILE bytes a new one, so
                         that the disk gets back what was sent */
    uint64_t spooled; /* bytes written to it so far */
    uint64_t kept;    /* bytes in this and earlier files that are not sent */
    size_t ahead;     /* bytes that left with the last part, and belong to what is appended next: a
                         record of TLS was begun before there was place for all that it holds */
};

void outq_init(struct outq *q);
void outq_destroy(struct outq *q);

/* Appends; 0, or -1 with errno ENOMEM or the file's error. All of them need the lock. */
int outq_copy(struct outq *q, const char *data, size_t n);
int outq_ref(struct outq *q, const char *data, size_t n, void *ref);
int outq_file(struct outq *q, int file, off_t offset, uint64_t n); /* takes file over, on success */
int outq_spool(struct outq *q, const char *data, size_t n, const char *dir);

struct tls;

enum outq_result { OUTQ_EMPTY, OUTQ_BLOCKED, OUTQ_MORE, OUTQ_BROKEN };

/*
 * Sends what the socket, or TLS on it, takes; OUTQ_MORE: it takes more, but it is the turn of
 * others (SEND_TURN). Parts that are through go to *done, for the engine to free. *progress says
 * whether anything was sent. Needs the lock.
 */
enum outq_result outq_flush(struct outq *q, int fd, struct tls *tls, struct part **done,
                            bool *progress);

/* Takes everything out, unsent. Needs the lock. */
struct part *outq_clear(struct outq *q);

/* Frees one part that holds no ref any more. */
void part_free(struct part *part);

/* Bytes kept in memory by all queues of the process. */
extern atomic_size_t outq_memory_total;

#endif
