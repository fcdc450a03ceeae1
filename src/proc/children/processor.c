#include "proc/children/processor.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STAT_MAX = 1024 }; /* bytes of the beginning of a line of about 52 fields */

/* The beginning of a file; an empty text without it. */
static void read_file(const char *path, char text[STAT_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, STAT_MAX - 1);

    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

int64_t processor_time(pid_t pid)
{
    char path[32], text[STAT_MAX];
    unsigned long long user, system;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    read_file(path, text);
    /* The name, in brackets, may have any character. utime and stime are the 12th and 13th field
     * after it, in ticks. */
    char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", &user,
                        &system) != 2)
        return -1;
    return (int64_t)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

/* schedstat has the time that the thread ran and the time that it waited, in ns. */
int64_t processor_delay(pid_t pid)
{
    char path[32], text[STAT_MAX];
    unsigned long long delay;

    snprintf(path, sizeof(path), "/proc/%ld/schedstat", (long)pid);
    read_file(path, text);
    return sscanf(text, "%*u %llu", &delay) == 1 ? (int64_t)(delay / 1000000) : 0;
}
