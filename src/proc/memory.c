#include "proc/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* /proc/PID/statm begins with size, resident and shared, in pages. */
int64_t memory_of(pid_t pid)
{
    char path[32], text[256];
    long long size, resident, shared;

    snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    if (sscanf(text, "%lld %lld %lld", &size, &resident, &shared) != 3)
        return -1;
    return (int64_t)(resident > shared ? resident - shared : 0) * sysconf(_SC_PAGESIZE);
}
