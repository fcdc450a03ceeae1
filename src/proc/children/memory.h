#ifndef PROC_CHILDREN_MEMORY_H
#define PROC_CHILDREN_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

/* The memory of a process in bytes; -1 when this system does not report it. */

/* All that is resident. */
int64_t memory_resident(pid_t pid);

/*
 * The same without mapped files and memory shared on purpose: the part that grows when an
 * application leaks, and that the kernel cannot take back. Pages that a forked process has in
 * common with its parent count.
 */
int64_t memory_of(pid_t pid);

/* Memory that new processes can have without others losing theirs. */
int64_t memory_available(void);

#endif
