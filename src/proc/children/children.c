#include "proc/children/children.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>

#define BIT(phase) (1u << (phase))

static const unsigned legal_moves[CHILD_PHASE_COUNT] = {
    [CHILD_BOOTING] =
        BIT(CHILD_READY) | BIT(CHILD_STOPPING) | BIT(CHILD_ABORTED) | BIT(CHILD_KILLED),
    [CHILD_READY] =
        BIT(CHILD_RETIRING) | BIT(CHILD_STOPPING) | BIT(CHILD_ABORTED) | BIT(CHILD_KILLED),
    [CHILD_RETIRING] = BIT(CHILD_STOPPING) | BIT(CHILD_ABORTED) | BIT(CHILD_KILLED),
    [CHILD_STOPPING] = BIT(CHILD_ABORTED) | BIT(CHILD_KILLED),
    [CHILD_ABORTED] = BIT(CHILD_KILLED),
    [CHILD_KILLED] = 0,
};

const char *child_phase_name(enum child_phase phase)
{
    static const char *const names[CHILD_PHASE_COUNT] = {
        [CHILD_BOOTING] = "booting",   [CHILD_READY] = "ready",     [CHILD_RETIRING] = "retiring",
        [CHILD_STOPPING] = "stopping", [CHILD_ABORTED] = "aborted", [CHILD_KILLED] = "killed",
    };
    return names[phase];
}

bool child_may_move(enum child_phase from, enum child_phase to)
{
    return (legal_moves[from] & BIT(to)) != 0;
}

void child_move(struct child *child, enum child_phase phase, int64_t now)
{
    assert(child_may_move(child->phase, phase));
    child->phase = phase;
    child->since = now;
}

void children_init(struct children *children)
{
    *children = (struct children){0};
}

void children_free(struct children *children)
{
    mem_free(children->list);
    children_init(children);
}

int children_reserve(struct children *children)
{
    if (children->count < children->capacity)
        return 0;
    size_t capacity = children->capacity ? children->capacity * 2 : 8;
    struct child *list = mem_realloc(children->list, capacity * sizeof(*list));

    if (!list) {
        errno = ENOMEM;
        return -1;
    }
    children->list = list;
    children->capacity = capacity;
    return 0;
}

struct child *children_add(struct children *children, enum child_kind kind, pid_t pid, uint32_t age,
                           uint32_t generation, struct slot *slot, int64_t now)
{
    if (children_reserve(children) < 0)
        return NULL;
    struct child *child = &children->list[children->count++];
    *child = (struct child){
        .pid = pid,
        .kind = kind,
        .age = age,
        .generation = generation,
        .phase = CHILD_BOOTING,
        .forked_at = now,
        .since = now,
        .slot = slot,
    };
    return child;
}

struct child *children_find(struct children *children, pid_t pid)
{
    for (size_t i = 0; i < children->count; i++)
        if (children->list[i].pid == pid)
            return &children->list[i];
    return NULL;
}

void children_remove(struct children *children, struct child *child)
{
    size_t at = (size_t)(child - children->list);

    assert(at < children->count);
    children->count--;
    memmove(child, child + 1, (children->count - at) * sizeof(*child));
}

bool child_serves(const struct child *child)
{
    return child->phase <= CHILD_RETIRING;
}

/* The limits that a worker itself finds reached. */
static enum reason reason_of_worker(const struct slot *slot)
{
    uint8_t said = atomic_load(&slot->shared->retire_reason);

    return said == REASON_REQUEST_TIMEOUT ? REASON_REQUEST_TIMEOUT : REASON_MAX_REQUESTS;
}

int64_t child_busy_since(const struct child *child)
{
    const int64_t last = INT64_MAX / 2;
    int64_t said = atomic_load(&child->slot->shared->busy_since);

    if (said < 0)
        return 1;
    return said < last ? said : last;
}

static uint32_t said_phase(const struct child *child)
{
    return child->slot ? atomic_load(&child->slot->shared->phase) : SLOT_FREE;
}

static bool has_booted(const struct child *child)
{
    uint32_t said = said_phase(child);

    return child->phase != CHILD_BOOTING || said == SLOT_READY || said == SLOT_RETIRING;
}

bool child_update(struct child *child, int64_t now)
{
    uint32_t said = said_phase(child);
    enum child_phase before = child->phase;

    if (child->phase == CHILD_BOOTING && has_booted(child))
        child_move(child, CHILD_READY, now);
    if (child->phase == CHILD_READY && said == SLOT_RETIRING)
        child_retire(child, reason_of_worker(child->slot), now);
    return child->phase != before;
}

unsigned children_serving(const struct children *children, enum child_kind kind)
{
    unsigned count = 0;

    for (size_t i = 0; i < children->count; i++) {
        const struct child *child = &children->list[i];

        count += child->kind == kind && child_serves(child) && has_booted(child);
    }
    return count;
}

void child_retire(struct child *child, enum reason due, int64_t now)
{
    child_move(child, CHILD_RETIRING, now);
    child->due = due;
}

bool child_is_veteran(const struct child *child, uint32_t generation)
{
    return child_serves(child) && (child->generation != generation || child->replacing);
}

static unsigned count_replacing(const struct children *children, enum child_kind kind)
{
    unsigned count = 0;

    for (size_t i = 0; i < children->count; i++)
        count += children->list[i].kind == kind && children->list[i].replacing;
    return count;
}

static bool waits_for_turn(const struct child *child, const struct children_goal *goal)
{
    return child->kind == goal->kind && child->phase == CHILD_RETIRING &&
           !child_is_veteran(child, goal->generation);
}

/* The one that has waited for its turn for longest, or NULL. */
static struct child *next_in_turn(struct children *children, const struct children_goal *goal)
{
    struct child *next = NULL;

    for (size_t i = 0; i < children->count; i++) {
        struct child *child = &children->list[i];

        if (waits_for_turn(child, goal) && (!next || child->since < next->since))
            next = child;
    }
    return next;
}

void children_admit(struct children *children, const struct children_goal *goal)
{
    unsigned replacing = count_replacing(children, goal->kind);
    struct child *next;

    while ((goal->max_unavailable == 0 || replacing < goal->max_unavailable) &&
           (next = next_in_turn(children, goal))) {
        next->replacing = true;
        replacing++;
    }
}

struct tally {
    unsigned young, ready_young, veterans;
};

static struct tally take_tally(const struct children *children, const struct children_goal *goal)
{
    struct tally t = {0};

    for (size_t i = 0; i < children->count; i++) {
        const struct child *child = &children->list[i];

        if (child->kind != goal->kind || !child_serves(child))
            continue;
        if (child_is_veteran(child, goal->generation)) {
            t.veterans++;
            continue;
        }
        t.young++;
        t.ready_young += child->phase != CHILD_BOOTING;
    }
    return t;
}

unsigned children_missing(const struct children *children, const struct children_goal *goal)
{
    struct tally t = take_tally(children, goal);
    unsigned wanted = goal->target;

    if (!goal->proven && t.veterans > 0 && wanted > 1)
        wanted = 1;
    return wanted > t.young ? wanted - t.young : 0;
}

static struct child *oldest(struct children *children, const struct children_goal *goal,
                            bool veteran)
{
    for (size_t i = 0; i < children->count; i++) {
        struct child *child = &children->list[i];

        if (child->kind == goal->kind && child_serves(child) &&
            child_is_veteran(child, goal->generation) == veteran)
            return child;
    }
    return NULL;
}

/* A worker that has reached a limit goes before the others. */
static struct child *least_needed(struct children *children, const struct children_goal *goal)
{
    struct child *child = next_in_turn(children, goal);

    return child ? child : oldest(children, goal, false);
}

struct child *children_surplus(struct children *children, const struct children_goal *goal)
{
    struct tally t = take_tally(children, goal);

    bool may_replace = goal->proven || goal->target == 0;

    if (t.veterans > 0 && may_replace && t.ready_young + t.veterans > goal->target)
        return oldest(children, goal, true);
    /* A worker that serves is not stopped for one that does not yet: that one is waited for. */
    if (t.ready_young > goal->target || (t.young > 0 && goal->target == 0))
        return least_needed(children, goal);
    return NULL;
}
