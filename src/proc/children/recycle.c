#include "proc/children/recycle.h"

#include "proc/children/memory.h"

bool recycle_weighs(const struct recycle_limits *limits)
{
    return limits->max_rss > 0 || limits->max_rss_hard > 0;
}

static bool exceeds(int64_t memory, int64_t limit)
{
    return limit > 0 && memory > limit;
}

bool recycle_greet(const struct recycle_limits *limits, struct child *child)
{
    if (!recycle_weighs(limits))
        return false;
    child->memory = memory_of(child->pid);
    child->born_big =
        exceeds(child->memory, limits->max_rss) || exceeds(child->memory, limits->max_rss_hard);
    return child->born_big;
}

enum recycle_verdict recycle_weigh(const struct recycle_limits *limits, struct child *child,
                                   int64_t now)
{
    child->memory = memory_of(child->pid);
    if (child->born_big)
        return RECYCLE_NOT;
    if (exceeds(child->memory, limits->max_rss_hard)) {
        child->reason = REASON_MAX_RSS_HARD;
        return RECYCLE_TOO_BIG;
    }
    if (child->phase != CHILD_READY || !exceeds(child->memory, limits->max_rss))
        return RECYCLE_NOT;
    child_retire(child, REASON_MAX_RSS, now);
    return RECYCLE_DUE;
}
