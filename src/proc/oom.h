#ifndef PROC_OOM_H
#define PROC_OOM_H

/*
 * How many processes of our control group the kernel has killed for want of memory, from
 * memory.events (cgroup v2) or memory.oom_control (v1). -1 when that cannot be read.
 */
long oom_kills(void);

#endif
