#ifndef PROC_MEMORY_H
#define PROC_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

/*
 * The resident memory of a process in bytes, without mapped files and memory shared on purpose:
 * what grows when an application leaks, and what the kernel cannot take back. Pages that a forked
 * process has in common with its parent count. -1 when this system does not tell.
 */
int64_t memory_of(pid_t pid);

#endif
