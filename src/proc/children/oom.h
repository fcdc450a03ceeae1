#ifndef PROC_CHILDREN_OOM_H
#define PROC_CHILDREN_OOM_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Distinguishes a SIGKILL of the kernel, for want of memory, from that of a process: the kernel
 * counts its kills for each control group, in memory.events (cgroup v2) or memory.oom_control (v1),
 * and for the machine in /proc/vmstat.
 */
struct oom {
    const char *root;   /* "", or where a test keeps its own /proc and /sys */
    long kills;         /* counted so far; -1: this system does not count */
    long unclaimed;     /* of them, those that no dead worker accounts for … */
    int64_t counted_at; /* … and when they were counted, ms */
};

/* Two workers may be killed at once and collected one after the other; a kill counted longer ago
 * was another process's. */
#define OOM_CLAIM_MS 5000

/* Counts from now on. */
void oom_open(struct oom *oom, const char *root);

/* A process of ours died of a SIGKILL that we did not send: whether it was the kernel's. */
bool oom_claim(struct oom *oom, int64_t now_ms);

/* Bytes that the control group may use, 0 when there is no limit or it cannot be read. */
int64_t oom_limit(const struct oom *oom);

#endif
