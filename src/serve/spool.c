#include "serve/spool.h"

#include "base/mem.h"
#include "serve/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

void spool_init(struct spool *spool)
{
    *spool = (struct spool){.file = -1};
}

void spool_free(struct spool *spool)
{
    mem_free(spool->memory);
    if (spool->file >= 0)
        close(spool->file);
    spool_init(spool);
}

static const char *directory(const char *dir)
{
    if (!dir)
        dir = getenv("TMPDIR");
    return dir && *dir ? dir : "/tmp";
}

/* What cannot be asked is found out by writing. */
static bool leaves_room(int failed, const struct statvfs *disk, uint64_t n)
{
    uint64_t unit = failed ? 0 : disk->f_frsize, free = unit * disk->f_bavail;
    uint64_t reserve = unit * disk->f_blocks / DISK_SHARE;
    if (reserve > DISK_RESERVE_MAX)
        reserve = DISK_RESERVE_MAX;
    bool has = unit == 0 || (free >= n && free - n >= reserve);
    if (!has)
        errno = ENOSPC;
    return has;
}

bool spool_has_room(const char *dir, uint64_t n)
{
    struct statvfs disk;
    int failed = statvfs(directory(dir), &disk);
    return leaves_room(failed, &disk, n);
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
static bool may_grow(const struct spool *spool)
{
    struct statvfs disk;
    uint64_t written = spool->size - spool->memory_size;
    if (written / DISK_STEP == spool->size / DISK_STEP)
        return true;
    int failed = fstatvfs(spool->file, &disk);
    return leaves_room(failed, &disk, spool->memory_size);
}

/* Moves what is in memory to the file; the memory stays as the place to receive into. */
static int spill(struct spool *spool, const char *dir)
{
    if (spool->file < 0 && (spool->file = spool_open_file(dir)) < 0)
        return -1;
    if (!may_grow(spool))
        return -1;
    if (spool_write(spool->file, spool->size - spool->memory_size, spool->memory,
                    spool->memory_size) < 0)
        return -1;
    spool->memory_size = 0;
    return 0;
}

int spool_to_file(struct spool *spool, const char *dir)
{
    return spool->file >= 0 && spool->memory_size == 0 ? 0 : spill(spool, dir);
}

void spool_adopt(struct spool *spool, int file, uint64_t size)
{
    spool->file = file;
    spool->size = size;
}

static int grow(struct spool *spool, uint64_t total)
{
    /* By what came, not by what was announced: to announce costs nothing. */
    size_t capacity = spool->memory_capacity ? spool->memory_capacity * 2 : BODY_STEP;
    if (total && total < capacity)
        capacity = (size_t)total;
    if (capacity > BODY_MEMORY_MAX)
        capacity = BODY_MEMORY_MAX;
    char *memory = mem_realloc(spool->memory, capacity);
    if (!memory)
        return -1;
    spool->memory = memory;
    spool->memory_capacity = capacity;
    return 0;
}

char *spool_reserve(struct spool *spool, uint64_t total, size_t want, const char *dir, size_t *room)
{
    if (spool->memory_size == spool->memory_capacity) {
        bool full =
            spool->memory_capacity >= BODY_MEMORY_MAX || (total && spool->memory_capacity >= total);
        if ((full ? spill(spool, dir) : grow(spool, total)) < 0)
            return NULL;
    }
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
    uint64_t in_file = spool->size - spool->memory_size;
    if (at < in_file) {
        size_t part = n < in_file - at ? n : (size_t)(in_file - at);
        return read_file(spool->file, at, out, part);
    }
    memcpy(out, spool->memory + (at - in_file), n);
    return (ssize_t)n;
}
