#ifndef SERVE_REQUEST_SPOOL_H
#define SERVE_REQUEST_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct budget;

/*
 * Bytes that are written at the end and read from anywhere: in memory first, past a bound, or when
 * the budget is short of memory, in an unlinked file. Owned by one thread at a time.
 */
struct spool {
    struct budget *budget; /* borrowed */
    char *memory;
    size_t memory_size, memory_capacity;
    int file; /* -1 while all is in memory */
    uint64_t size;
};

void spool_init(struct spool *spool, struct budget *budget);
void spool_free(struct spool *spool);

/*
 * Room for at least one byte more, at most `want`: write there, then spool_commit(). Bytes in
 * memory move to a file in dir when BODY_MEMORY_MAX is reached or no more memory may be had.
 * `total` is the size expected in the end (0: unknown). NULL with errno (no memory, disk full,
 * ENOBUFS: the budget is used up): the bytes before stay readable.
 */
char *spool_reserve(struct spool *spool, uint64_t total, size_t want, const char *dir,
                    size_t *room);
void spool_commit(struct spool *spool, size_t n);

/* Puts all of it into the file. 0, or -1 with errno: the bytes before stay readable. */
int spool_to_file(struct spool *spool, const char *dir);

/* Makes an empty spool one of a file with so many bytes, which it owns from now on. The budget is
 * not asked: the bytes are there. */
void spool_adopt(struct spool *spool, int file, uint64_t size);

/* Copies up to n bytes that stand at `at`: at least one, 0 at the end, -1 with errno. */
ssize_t spool_read(const struct spool *spool, uint64_t at, char *out, size_t n);

/* Writes all of it into a file, at a place. 0, or -1 with errno. */
int spool_write(int file, uint64_t at, const char *data, size_t n);

/* Whether the disk of dir takes so many bytes more, and leaves a share to others; errno ENOSPC if
 * it does not. */
bool spool_has_room(const char *dir, uint64_t n);

/* An unlinked file of dir (NULL: TMPDIR, else /tmp), or -1 with errno. */
int spool_open_file(const char *dir);

#endif
