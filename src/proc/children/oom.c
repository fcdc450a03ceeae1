#include "proc/children/oom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_SIZE 1024
#define PATH_MAX_SIZE 2048

/* One of the two versions of control groups, with its names. */
struct version {
    const char *mount;
    const char *events; /* has a line `oom_kill N` */
    const char *limit;  /* has a number, or `max` */
};

static const struct version v1 = {"/sys/fs/cgroup/memory", "memory.oom_control",
                                  "memory.limit_in_bytes"};
static const struct version v2 = {"/sys/fs/cgroup", "memory.events", "memory.max"};

/* Of version 1, which has no word for it. */
#define NO_LIMIT ((int64_t)1 << 60)

/* The number after `key` in a file of lines; without a key the number it begins with. -1 when it is
 * not there. */
static int64_t read_number(const char *path, const char *key)
{
    char line[LINE_MAX_SIZE], *end;
    size_t n = strlen(key);
    int64_t number = -1;
    FILE *file = fopen(path, "re");

    if (!file)
        return -1;
    while (number < 0 && fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, n) != 0)
            continue;
        number = strtoll(line + n, &end, 10);
        if (end == line + n)
            number = -1;
    }
    fclose(file);
    return number;
}

/* In a container the group may be mounted as the root itself. */
static int64_t read_either(const char *root, const struct version *version, const char *group,
                           const char *name, const char *key)
{
    char path[PATH_MAX_SIZE];

    snprintf(path, sizeof(path), "%s%s%s/%s", root, version->mount, group, name);
    int64_t number = read_number(path, key);
    if (number >= 0)
        return number;
    snprintf(path, sizeof(path), "%s%s/%s", root, version->mount, name);
    return read_number(path, key);
}

/* A line of /proc/self/cgroup is "number:controllers:group"; version 2 has no controller in it. */
static int64_t read_for_line(const char *root, char *line, bool limit)
{
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    const struct version *version = NULL;

    if (!group)
        return -1;
    *group++ = '\0';
    if (strcmp(controllers, ":") == 0)
        version = &v2;
    else if (strstr(controllers, "memory"))
        version = &v1;
    if (!version)
        return -1;
    return read_either(root, version, group, limit ? version->limit : version->events,
                       limit ? "" : "oom_kill ");
}

static int64_t read_group(const char *root, bool limit)
{
    char line[LINE_MAX_SIZE];
    int64_t number = -1;

    snprintf(line, sizeof(line), "%s/proc/self/cgroup", root);
    FILE *file = fopen(line, "re");
    if (!file)
        return -1;
    while (number < 0 && fgets(line, sizeof(line), file))
        number = read_for_line(root, line, limit);
    fclose(file);
    return number;
}

static long count_kills(const struct oom *oom)
{
    char path[PATH_MAX_SIZE];
    int64_t kills = read_group(oom->root, false);

    if (kills < 0) {
        snprintf(path, sizeof(path), "%s/proc/vmstat", oom->root);
        kills = read_number(path, "oom_kill ");
    }
    return (long)kills;
}

void oom_open(struct oom *oom, const char *root)
{
    *oom = (struct oom){.root = root};
    oom->kills = count_kills(oom);
}

bool oom_claim(struct oom *oom, int64_t now_ms)
{
    long kills = count_kills(oom);

    if (now_ms - oom->counted_at > OOM_CLAIM_MS)
        oom->unclaimed = 0;
    if (oom->kills >= 0 && kills > oom->kills) {
        oom->unclaimed += kills - oom->kills;
        oom->counted_at = now_ms;
    }
    oom->kills = kills;
    if (oom->unclaimed == 0)
        return false;
    oom->unclaimed--;
    return true;
}

int64_t oom_limit(const struct oom *oom)
{
    int64_t limit = read_group(oom->root, true);
    return limit > 0 && limit < NO_LIMIT ? limit : 0;
}
