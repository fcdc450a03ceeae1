#include "serve/engine/budget.h"

#include "base/metrics.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

void budget_init(struct budget *budget, uint64_t memory_max, uint64_t disk_max)
{
    *budget = (struct budget){
        .memory_max = memory_max,
        .disk_max = disk_max,
        .files_max = UINT32_MAX,
    };
    blocks_init(&budget->blocks);
}

void budget_destroy(struct budget *budget)
{
    assert(atomic_load(&budget->memory) == 0 && atomic_load(&budget->spooled) == 0 &&
           atomic_load(&budget->files) == 0);
    blocks_destroy(&budget->blocks);
}

static bool fits(uint64_t used, uint64_t most, uint64_t buffer, unsigned share)
{
    return most == 0 || (used <= most && buffer <= (most - used) / share);
}

/* Adds to a count if the share allows it. */
static bool take(_Atomic uint64_t *count, uint64_t most, uint64_t held, uint64_t more,
                 unsigned share)
{
    uint64_t before = atomic_fetch_add_explicit(count, more, memory_order_relaxed);
    if (fits(before + more, most, held + more, share))
        return true;
    atomic_fetch_sub_explicit(count, more, memory_order_relaxed);
    errno = ENOBUFS;
    return false;
}

/* Memory */

static void note_peak(struct budget *budget)
{
    uint64_t used = atomic_load_explicit(&budget->memory, memory_order_relaxed);
    if (used < BUDGET_PEAK || used <= atomic_load_explicit(&budget->peak, memory_order_relaxed))
        return;
    atomic_store_explicit(&budget->peak, used, memory_order_relaxed);
    atomic_store_explicit(&budget->peaked, true, memory_order_relaxed);
}

bool budget_take(struct budget *budget, enum budget_use use, size_t held, size_t more)
{
    bool answer = use == BUDGET_ANSWER;
    uint64_t most = budget->memory_max - (answer ? budget->memory_max / 4 : 0);
    if (use == BUDGET_ADMITTED)
        budget_force(budget, more);
    else if (!take(&budget->memory, most, held, more, answer ? BUDGET_ANSWER_SHARE : BUDGET_SHARE))
        return false;
    note_peak(budget);
    return true;
}

void budget_force(struct budget *budget, size_t bytes)
{
    atomic_fetch_add_explicit(&budget->memory, bytes, memory_order_relaxed);
    note_peak(budget);
}

void budget_give(struct budget *budget, size_t bytes)
{
    atomic_fetch_sub_explicit(&budget->memory, bytes, memory_order_relaxed);
}

bool budget_has(const struct budget *budget, size_t bytes)
{
    uint64_t used = atomic_load_explicit(&budget->memory, memory_order_relaxed);
    return fits(used + bytes, budget->memory_max, bytes, BUDGET_SHARE);
}

bool budget_allows(const struct budget *budget, size_t bytes)
{
    return fits(bytes, budget->memory_max, bytes, BUDGET_SHARE);
}

void *budget_alloc(struct budget *budget, enum budget_use use, size_t *size)
{
    size_t rounded = blocks_round(*size);
    if (!budget_take(budget, use, 0, rounded))
        return NULL;
    void *buffer = blocks_get(&budget->blocks, rounded);
    if (!buffer) {
        budget_give(budget, rounded);
        errno = ENOMEM;
        return NULL;
    }
    *size = rounded;
    return buffer;
}

void budget_free(struct budget *budget, void *buffer, size_t size)
{
    if (!buffer)
        return;
    blocks_put(&budget->blocks, buffer, size);
    budget_give(budget, size);
}

bool budget_calm(struct budget *budget)
{
    uint64_t used = atomic_load_explicit(&budget->memory, memory_order_relaxed);
    if (used > atomic_load_explicit(&budget->peak, memory_order_relaxed) / 2)
        return false;
    atomic_store_explicit(&budget->peak, 0, memory_order_relaxed);
    atomic_store_explicit(&budget->peaked, false, memory_order_relaxed);
    return true;
}

void budget_publish(const struct budget *budget, struct metrics *metrics)
{
    uint64_t memory = atomic_load_explicit(&budget->memory, memory_order_relaxed);
    uint64_t spooled = atomic_load_explicit(&budget->spooled, memory_order_relaxed);
    uint32_t files = atomic_load_explicit(&budget->files, memory_order_relaxed);
    atomic_store_explicit(&metrics->memory, memory, memory_order_relaxed);
    atomic_store_explicit(&metrics->spooled, spooled, memory_order_relaxed);
    atomic_store_explicit(&metrics->files, files, memory_order_relaxed);
}

/* Files */

bool budget_spool(struct budget *budget, uint64_t held, uint64_t more)
{
    return take(&budget->spooled, budget->disk_max, held, more, 1);
}

void budget_unspool(struct budget *budget, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&budget->spooled, bytes, memory_order_relaxed);
}

bool budget_open(struct budget *budget)
{
    uint32_t before = atomic_fetch_add_explicit(&budget->files, 1, memory_order_relaxed);
    if (before < budget->files_max)
        return true;
    budget_close(budget);
    errno = EMFILE;
    return false;
}

void budget_close(struct budget *budget)
{
    atomic_fetch_sub_explicit(&budget->files, 1, memory_order_relaxed);
}

void budget_adopt(struct budget *budget, uint64_t bytes)
{
    atomic_fetch_add_explicit(&budget->spooled, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&budget->files, 1, memory_order_relaxed);
}

/* Descriptors */

enum { LOOKED_AT = 1024 }; /* descriptors below it: those open at the start are low */

static uint32_t count_open(rlim_t limit)
{
    uint32_t open = 0;
    for (int fd = 0; fd < LOOKED_AT && (rlim_t)fd < limit; fd++)
        open += fcntl(fd, F_GETFD) >= 0;
    return open;
}

/* The soft limit, after it was raised to `need` or as near as it may be. */
static rlim_t raise_limit(struct rlimit *limit, rlim_t need)
{
    rlim_t before = limit->rlim_cur;
    if (before >= need)
        return before;
    limit->rlim_cur = need < limit->rlim_max ? need : limit->rlim_max;
    return setrlimit(RLIMIT_NOFILE, limit) == 0 ? limit->rlim_cur : before;
}

uint32_t budget_descriptors(struct budget *budget, uint32_t connections, uint64_t *hard)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return connections;
    *hard = limit.rlim_max;
    rlim_t used = count_open(limit.rlim_cur) + BUDGET_DESCRIPTORS;
    rlim_t soft = raise_limit(&limit, used + 2 * (rlim_t)connections);
    /* Where there are few, half of them are not for clients at most. */
    rlim_t left = soft > 2 * used ? soft - used : soft / 2;
    if (left >= 2 * (rlim_t)connections) {
        budget->files_max = (uint32_t)(left < UINT32_MAX ? left - connections : UINT32_MAX);
        return connections;
    }
    budget->files_max = (uint32_t)(left / 2);
    return (uint32_t)(left / 2 > 0 ? left / 2 : 1);
}
