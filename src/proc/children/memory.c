#include "proc/children/memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* /proc/PID/statm begins with size, resident and shared, in pages. */
static bool read_statm(pid_t pid, long long *resident, long long *shared)
{
    char path[32], text[256];
    long long size;

    snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return sscanf(text, "%lld %lld %lld", &size, resident, shared) == 3;
}

int64_t memory_resident(pid_t pid)
{
    long long resident, shared;

    return read_statm(pid, &resident, &shared) ? resident * sysconf(_SC_PAGESIZE) : -1;
}

int64_t memory_of(pid_t pid)
{
    long long resident, shared;

    if (!read_statm(pid, &resident, &shared))
        return -1;
    return (resident > shared ? resident - shared : 0) * sysconf(_SC_PAGESIZE);
}

int64_t memory_available(void)
{
    char text[512];
    long long kilobytes;
    int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *line = strstr(text, "MemAvailable:");
    return line && sscanf(line, "MemAvailable: %lld", &kilobytes) == 1 ? kilobytes * 1024 : -1;
}
