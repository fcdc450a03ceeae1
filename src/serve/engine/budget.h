#ifndef SERVE_ENGINE_BUDGET_H
#define SERVE_ENGINE_BUDGET_H

#include "base/blocks.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metrics;

/*
 * The memory, bytes in files, and descriptors that all clients of a worker together may occupy.
 * Heads, bodies, answers and TLS draw on it, each buffer where it is allocated.
 *
 * One rule decides, the one by which switches share their buffers (dynamic thresholds: Choudhury
 * and Hahne, 1998): a buffer may grow as long as it is no larger than a share of the rest. So the
 * largest are stopped first, a part is always left, and it is as large as the part of each of many
 * hungry clients: a client that wants little gets it, however much the others want.
 *
 * Any thread. The counts are the worker's own: the gauges that the master reads are copies of them,
 * in memory that other workers can write.
 */

enum {
    BUDGET_SHARE = 32,       /* memory: which part of the rest a buffer takes, at most */
    BUDGET_ANSWER_SHARE = 4, /* the same for an answer, which is in memory already */
    BUDGET_PEAK = 16 << 20,  /* bytes of memory after which it is worth to trim the heaps */
    BUDGET_DESCRIPTORS = 64, /* for the application, logs and accepting, at most */
    BUDGET_TLS = 40 * 1024,  /* bytes that OpenSSL needs for a connection, about */
};

/* The use of a buffer: answers leave a quarter of the memory to requests, for they can go to files
 * and heads cannot. A request that another worker has admitted is not refused. */
enum budget_use { BUDGET_REQUEST, BUDGET_ANSWER, BUDGET_ADMITTED };

struct budget {
    uint64_t memory_max, disk_max; /* bytes; 0: any number */
    uint32_t files_max;            /* descriptors beside those of connections */
    _Atomic uint64_t memory;       /* bytes of buffers */
    _Atomic uint64_t spooled;      /* bytes in files */
    _Atomic uint32_t files;        /* descriptors beside those of connections */
    struct blocks blocks;
    atomic_bool peaked; /* memory was beyond BUDGET_PEAK: see budget_calm() */
    _Atomic uint64_t peak;
};

void budget_init(struct budget *budget, uint64_t memory_max, uint64_t disk_max);
void budget_destroy(struct budget *budget); /* all was given back */

/*
 * A buffer that has `held` bytes is to have so many more, as long as it is no larger than the
 * share. False with errno ENOBUFS when it may not.
 */
bool budget_take(struct budget *budget, enum budget_use use, size_t held, size_t more);

/* The same for buffers that cannot be refused, and are bounded elsewhere. */
void budget_force(struct budget *budget, size_t bytes);
void budget_give(struct budget *budget, size_t bytes);

/* Whether a buffer of so many bytes could be had now, and whether ever. */
bool budget_has(const struct budget *budget, size_t bytes);
bool budget_allows(const struct budget *budget, size_t bytes);

/*
 * A buffer of at least *size bytes, and at *size how large it is. NULL with errno: ENOBUFS as
 * above, or ENOMEM.
 */
void *budget_alloc(struct budget *budget, enum budget_use use, size_t *size);
void budget_free(struct budget *budget, void *buffer, size_t size);

/* The bytes of a file. False with errno ENOBUFS. */
bool budget_spool(struct budget *budget, uint64_t held, uint64_t more);
void budget_unspool(struct budget *budget, uint64_t bytes);

/* A file with so many bytes that is there already. */
void budget_adopt(struct budget *budget, uint64_t bytes);

/* One descriptor. False with errno EMFILE. */
bool budget_open(struct budget *budget);
void budget_close(struct budget *budget);

/*
 * Divides the descriptors that the process may have among connections and files, so that each
 * connection has one for its file. Raises the soft limit as far as `connections` need, and
 * no further, where the hard one lets it. Returns how many connections fit; *limit is the hard
 * limit.
 */
uint32_t budget_descriptors(struct budget *budget, uint32_t connections, uint64_t *limit);

/* Copies the counts to the gauges. */
void budget_publish(const struct budget *budget, struct metrics *metrics);

/* After a peak: whether it is over, so that memory can be given back. */
bool budget_calm(struct budget *budget);

#endif
