#ifndef PROC_LOOP_PIPE_H
#define PROC_LOOP_PIPE_H

#include <stdbool.h>

/* A pipe that is closed on exec. Returns 0, or -1 with errno (EMFILE, ENFILE). */
int pipe_open(int fds[2], bool blocking);

/* Closes both ends; those that are -1 already are left alone. */
void pipe_close(int fds[2]);

#endif
