#include "proc/children/recycle.h"

#include "proc/children/memory.h"

bool recycle_weighs(const struct arbiter *a)
{
    return a->max_rss > 0 || a->max_rss_hard > 0;
}

static bool exceeds(int64_t memory, int64_t limit)
{
    return limit > 0 && memory > limit;
}

int recycle_greet(struct arbiter *a, struct child *child)
{
    if (!recycle_weighs(a))
        return 0;
    child->memory = memory_of(child->pid);
    child->born_big = exceeds(child->memory, a->max_rss) || exceeds(child->memory, a->max_rss_hard);
    return child->born_big ? a->host->born_big(a->ctx, child) : 0;
}

int recycle_weigh(struct arbiter *a, struct child *child, int64_t now)
{
    child->memory = memory_of(child->pid);
    if (child->born_big)
        return 0;
    if (exceeds(child->memory, a->max_rss_hard)) {
        child->reason = REASON_MAX_RSS_HARD;
        return a->host->too_big(a->ctx, child);
    }
    if (child->phase != CHILD_READY || !exceeds(child->memory, a->max_rss))
        return 0;
    child_retire(child, REASON_MAX_RSS, now);
    return a->host->due(a->ctx, child);
}

int recycle_expire(struct arbiter *a, struct child *child, int64_t now)
{
    child_retire(child, REASON_MAX_LIFETIME, now);
    return a->host->due(a->ctx, child);
}
