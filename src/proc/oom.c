#include "proc/oom.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define LINE_MAX_SIZE 1024
#define PATH_MAX_SIZE 2048

/* The number after `oom_kill ` in such a file; -1 when it is not there. */
static long read_count(const char *path)
{
    char line[LINE_MAX_SIZE];
    long count = -1;
    FILE *file = fopen(path, "re");

    if (!file)
        return -1;
    while (count < 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, "oom_kill ", 9) == 0)
            count = strtol(line + 9, NULL, 10);
    fclose(file);
    return count;
}

/* In a container the group may be mounted as the root itself. */
static long read_either(const char *hierarchy, const char *group, const char *name)
{
    char path[PATH_MAX_SIZE];

    snprintf(path, sizeof(path), CGROUP_ROOT "%s%s/%s", hierarchy, group, name);
    long count = read_count(path);
    if (count >= 0)
        return count;
    snprintf(path, sizeof(path), CGROUP_ROOT "%s/%s", hierarchy, name);
    return read_count(path);
}

/* A line of /proc/self/cgroup is "number:controllers:group"; v2 has the number 0 and no controller.
 */
static long count_of_line(char *line)
{
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;

    if (!group)
        return -1;
    *group++ = '\0';
    if (strcmp(controllers, ":") == 0)
        return read_either("", group, "memory.events");
    if (strstr(controllers, "memory"))
        return read_either("/memory", group, "memory.oom_control");
    return -1;
}

long oom_kills(void)
{
    char line[LINE_MAX_SIZE];
    long count = -1;
    FILE *file = fopen("/proc/self/cgroup", "re");

    if (!file)
        return -1;
    while (count < 0 && fgets(line, sizeof(line), file))
        count = count_of_line(line);
    fclose(file);
    return count;
}
