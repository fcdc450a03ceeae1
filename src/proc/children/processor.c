#include "proc/children/processor.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STAT_MAX = 1024 }; /* bytes of the beginning of a line of about 52 fields */

int64_t processor_time(pid_t pid)
{
    char path[32], text[STAT_MAX];
    unsigned long long user, system;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    /* The name, in brackets, may have any character. utime and stime are the 12th and 13th field
     * after it, in ticks. */
    char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", &user,
                        &system) != 2)
        return -1;
    return (int64_t)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}
