#include "proc/loop/title.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Fields of /proc/self/stat, counted from 1 as in proc_pid_stat(5). */
#define STAT_AFTER_NAME 3
#define STAT_ARG_START 48
#define STAT_ARG_END 49
#define STAT_ENV_END 51

/* Where the kernel reads the command line: one area per process, found once. */
static char *area_start, *arguments_end, *area_end;
static bool searched;

static bool read_stat(char *text, size_t size)
{
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return true;
}

static char *as_address(unsigned long value)
{
    return (char *)value; /* NOLINT(performance-no-int-to-ptr): the kernel prints it as a number */
}

static void find_area(void)
{
    char text[2048];
    unsigned long field[STAT_ENV_END + 1] = {0};

    searched = true;
    if (!read_stat(text, sizeof(text)))
        return;
    char *p = strrchr(text, ')'); /* the name may hold spaces and parentheses */
    if (!p || strlen(p) < 4)
        return;
    p += 4; /* ") S" and a space: field 4 is next */
    for (int i = STAT_AFTER_NAME + 1; i <= STAT_ENV_END && *p; i++)
        field[i] = strtoul(p, &p, 10);
    if (field[STAT_ARG_START] == 0 || field[STAT_ARG_END] <= field[STAT_ARG_START] ||
        field[STAT_ENV_END] < field[STAT_ARG_END])
        return;
    area_start = as_address(field[STAT_ARG_START]);
    arguments_end = as_address(field[STAT_ARG_END]);
    area_end = as_address(field[STAT_ENV_END]);
}

/*
 * Copies the variables that getenv(3) would otherwise find overwritten. False without memory for
 * it.
 */
static bool move_environment(void)
{
    for (char **entry = environ; entry && *entry; entry++) {
        if (*entry < area_start || *entry >= area_end)
            continue;
        char *copy = strdup(*entry);
        if (!copy)
            return false;
        *entry = copy;
    }
    return true;
}

void title_set(const char *title)
{
    if (!searched) {
        find_area();
        if (area_start && !move_environment())
            area_start = NULL;
    }
    if (!area_start)
        return;
    size_t size = (size_t)(area_end - area_start);
    size_t n = strnlen(title, size - 1);

    memset(area_start, 0, size);
    memcpy(area_start, title, n);
    /* A command line that does not end in NUL is the kernel's sign that this is a title, to be read
     * up to its first NUL and on into the former environment.
     */
    if (arguments_end[-1] == '\0')
        arguments_end[-1] = ' ';
}
