#ifndef PROC_CHILDREN_PROCESSOR_H
#define PROC_CHILDREN_PROCESSOR_H

#include <stdint.h>
#include <sys/types.h>

/* The processor time of a process since its start, all threads together, in ms; -1 when this system
 * does not report it. */
int64_t processor_time(pid_t pid);

/* How long its main thread was ready to run since its start while other threads, perhaps of other
 * programs, had the processors: in ms, 0 when this system does not report it. */
int64_t processor_delay(pid_t pid);

#endif
