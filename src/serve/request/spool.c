#include "serve/request/spool.h"

#include "serve/engine/budget.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

void spool_init(struct spool *spool, struct budget *budget)
{
    *spool = (struct spool){.budget = budget, .file = -1};
}

static uint64_t in_file(const struct spool *spool)
{
    return spool->size - spool->memory_size;
}

void spool_free(struct spool *spool)
{
    budget_free(spool->budget, spool->memory, spool->memory_capacity);
    if (spool->file >= 0) {
        close(spool->file);
        budget_close(spool->budget);
        budget_unspool(spool->budget, in_file(spool));
    }
    spool_init(spool, spool->budget);
}

static const char *directory(const char *dir)
{
    if (!dir)
        dir = getenv("TMPDIR");
    return dir && *dir ? dir : "/tmp";
}

/* The bytes that are left to others. */
static uint64_t reserve_of(const struct statvfs *disk)
{
    uint64_t share = (uint64_t)disk->f_frsize * disk->f_blocks / DISK_SHARE;
    return share < DISK_RESERVE_MAX ? share : DISK_RESERVE_MAX;
}

/*
 * Whether a file that has `held` bytes may have n more: no more than half of the room, so that one
 * client does not take it all. If the system does not say, writing will.
 */
static bool leaves_room(int failed, const struct statvfs *disk, uint64_t held, uint64_t n)
{
    uint64_t unit = failed ? 0 : disk->f_frsize;
    uint64_t free = unit * disk->f_bavail, kept = n + reserve_of(disk);
    bool has = unit == 0 || (free >= kept && held + n <= free - kept);
    if (!has)
        errno = ENOSPC;
    return has;
}

bool spool_has_room(const char *dir, uint64_t n)
{
    struct statvfs disk;
    int failed = statvfs(directory(dir), &disk);
    return leaves_room(failed, &disk, 0, n);
}

int spool_open_file(const char *dir)
{
    dir = directory(dir);
    int file = -1;
#ifdef O_TMPFILE
    file = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
#endif
    if (file < 0) {
        char path[4096];
        if (snprintf(path, sizeof(path), "%s/wgunicorn-XXXXXX", dir) >= (int)sizeof(path)) {
            errno = ENAMETOOLONG;
            return -1;
        }
        file = mkostemp(path, O_CLOEXEC);
        if (file >= 0)
            unlink(path);
    }
    return file;
}

int spool_write(int file, uint64_t at, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t done = pwrite(file, data, n, (off_t)at);
        if (done < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        data += done;
        at += (size_t)done;
        n -= (size_t)done;
    }
    return 0;
}

/* Looked at once for each DISK_STEP bytes that have been written. */
static bool may_spill(const struct spool *spool)
{
    struct statvfs disk;
    uint64_t written = in_file(spool);
    if (written / DISK_STEP == spool->size / DISK_STEP)
        return true;
    int failed = fstatvfs(spool->file, &disk);
    return leaves_room(failed, &disk, written, spool->memory_size);
}

static int open_file(struct spool *spool, const char *dir)
{
    if (!budget_open(spool->budget))
        return -1;
    spool->file = spool_open_file(dir);
    if (spool->file >= 0)
        return 0;
    budget_close(spool->budget);
    return -1;
}

/* Moves the bytes in memory to the file; the memory stays as the place to receive into. */
static int spill(struct spool *spool, const char *dir)
{
    if (spool->file < 0 && open_file(spool, dir) < 0)
        return -1;
    if (!may_spill(spool) || !budget_spool(spool->budget, in_file(spool), spool->memory_size))
        return -1;
    if (spool_write(spool->file, in_file(spool), spool->memory, spool->memory_size) < 0) {
        budget_unspool(spool->budget, spool->memory_size);
        return -1;
    }
    spool->memory_size = 0;
    return 0;
}

int spool_to_file(struct spool *spool, const char *dir)
{
    return spool->file >= 0 && spool->memory_size == 0 ? 0 : spill(spool, dir);
}

void spool_adopt(struct spool *spool, int file, uint64_t size)
{
    budget_adopt(spool->budget, size);
    spool->file = file;
    spool->size = size;
}

/* Takes other memory, which has room for the bytes in the present one. */
static int resize(struct spool *spool, size_t capacity)
{
    char *memory = budget_alloc(spool->budget, BUDGET_REQUEST, &capacity);
    if (!memory)
        return -1;
    if (spool->memory_size > 0)
        memcpy(memory, spool->memory, spool->memory_size);
    budget_free(spool->budget, spool->memory, spool->memory_capacity);
    spool->memory = memory;
    spool->memory_capacity = capacity;
    return 0;
}

/* By the bytes that came, not by the announced number: to announce costs nothing. */
static size_t next_capacity(const struct spool *spool, uint64_t total)
{
    size_t capacity = spool->memory_capacity ? spool->memory_capacity * 2 : BODY_STEP;
    if (total && total < capacity)
        capacity = (size_t)total;
    return capacity < BODY_MEMORY_MAX ? capacity : BODY_MEMORY_MAX;
}

/* The first memory, less of it if need be. */
static int begin(struct spool *spool, uint64_t total)
{
    size_t capacity = next_capacity(spool, total);
    int result = resize(spool, capacity);
    for (size_t less = BODY_STEP; result < 0 && errno == ENOBUFS && less >= BODY_LEAST; less /= 2)
        if (less < capacity)
            result = resize(spool, less);
    return result;
}

static bool may_grow(const struct spool *spool, uint64_t total)
{
    return spool->file < 0 && spool->memory_capacity < BODY_MEMORY_MAX &&
           (total == 0 || spool->memory_capacity < total);
}

static int make_room(struct spool *spool, uint64_t total, const char *dir)
{
    if (!spool->memory)
        return begin(spool, total);
    if (may_grow(spool, total)) {
        if (resize(spool, next_capacity(spool, total)) == 0)
            return 0;
        if (errno != ENOBUFS)
            return -1;
    }
    if (spill(spool, dir) < 0)
        return -1;
    if (spool->memory_capacity > BODY_SPILLED)
        resize(spool, BODY_SPILLED);
    return 0;
}

char *spool_reserve(struct spool *spool, uint64_t total, size_t want, const char *dir, size_t *room)
{
    if (spool->memory_size == spool->memory_capacity && make_room(spool, total, dir) < 0)
        return NULL;
    size_t left = spool->memory_capacity - spool->memory_size;
    *room = want < left ? want : left;
    return spool->memory + spool->memory_size;
}

void spool_commit(struct spool *spool, size_t n)
{
    spool->memory_size += n;
    spool->size += n;
}

static ssize_t read_file(int file, uint64_t at, char *out, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(file, out + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

ssize_t spool_read(const struct spool *spool, uint64_t at, char *out, size_t n)
{
    if (at >= spool->size)
        return 0;
    if (n > spool->size - at)
        n = (size_t)(spool->size - at);
    uint64_t filed = in_file(spool);
    if (at < filed) {
        size_t part = n < filed - at ? n : (size_t)(filed - at);
        return read_file(spool->file, at, out, part);
    }
    memcpy(out, spool->memory + (at - filed), n);
    return (ssize_t)n;
}
