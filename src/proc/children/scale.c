#include "proc/children/scale.h"

#include <limits.h>

const char *scale_decision_name(enum scale_decision decision)
{
    static const char *const names[SCALE_DECISIONS] = {
        [SCALE_STAY] = "stay",
        [SCALE_UP] = "up",
        [SCALE_DOWN_IDLE] = "down_idle",
        [SCALE_DOWN_MEMORY] = "down_memory",
        [SCALE_HELD_MOST] = "held_most",
        [SCALE_HELD_MEMORY] = "held_memory",
        [SCALE_HELD_PROCESSOR] = "held_processor",
    };
    return names[decision];
}

bool scale_is_on(const struct scale *scale)
{
    return scale->limits.least > 0 && scale->limits.most > scale->limits.least;
}

void scale_limit(struct scale *scale, const struct scale_limits *limits)
{
    unsigned least = limits->least;

    scale->limits = *limits;
    if (scale->limits.most > SCALE_WORKERS)
        scale->limits.most = SCALE_WORKERS;
    if (scale->target < least || !scale_is_on(scale))
        scale->target = least;
    else if (scale->target > scale->limits.most)
        scale->target = scale->limits.most;
}

unsigned scale_room(int64_t limit, int64_t used, int64_t each)
{
    if (limit <= 0 || used < 0 || each <= 0)
        return UINT_MAX;
    int64_t room = limit > used ? (limit - used) / each : 0;

    return room < UINT_MAX ? (unsigned)room : UINT_MAX;
}

int64_t scale_size(int64_t before, int64_t present)
{
    return present >= before ? present : before - (before - present) / SCALE_SIZE_LOOKS;
}

/* How long a request that comes now waits, about: the requests before it, divided by those that
 * begin in a ms. If none begins, it is the time since they wait. */
static int64_t estimate_wait(const struct scale *scale, const struct scale_sample *s)
{
    uint64_t begun = s->begun - scale->last.begun;
    int64_t ms = s->now - scale->last.now;

    if (s->waiting == 0)
        return 0;
    if (begun == 0 || scale->last.now == 0 || s->begun < scale->last.begun)
        return s->now - scale->waiting_since;
    return (int64_t)((double)s->waiting * (double)ms / (double)begun);
}

/* Every worker is busy, and requests wait for too long. */
static bool is_late(struct scale *scale, const struct scale_sample *s)
{
    if (s->waiting == 0)
        scale->waiting_since = 0;
    else if (scale->waiting_since == 0)
        scale->waiting_since = s->now;
    scale->waited_ms = estimate_wait(scale, s);
    return s->ready > 0 && s->busy >= s->ready && scale->waited_ms > scale->limits.up_wait_ms;
}

static unsigned divide_up(unsigned a, unsigned b)
{
    return a / b + (a % b != 0);
}

/* How many workers would do: by their threads, and by the processor time that they use. */
static unsigned count_needed(const struct scale_sample *s)
{
    unsigned by_threads = divide_up(s->running + s->waiting, s->threads);
    double by_time = s->processors > 0 ? s->processors / SCALE_PROCESSORS_FULL : 0;
    unsigned whole = by_time < (double)SCALE_WORKERS
                         ? (unsigned)by_time + (by_time > (unsigned)by_time)
                         : SCALE_WORKERS;

    return by_threads > whole ? by_threads : whole;
}

static void note_needed(struct scale *scale, const struct scale_sample *s, bool late)
{
    unsigned needed = late ? scale->target : count_needed(s);

    for (unsigned i = 0; i < needed && i < scale->target; i++)
        scale->needed_at[i] = s->now;
}

/* ---- up ---- */

/* Workers that boot are waited for if they are more than those that serve, or enough for the
 * requests that wait. */
static bool awaits_workers(const struct scale *scale, const struct scale_sample *s)
{
    unsigned pending = scale->target > s->ready ? scale->target - s->ready : 0;

    return pending > s->ready || (pending > 0 && s->waiting / s->threads <= pending);
}

/* The workers that are there will have run all that waits before long, at their present pace. */
static bool clears_itself(const struct scale *scale, const struct scale_sample *s)
{
    if (s->waiting >= scale->last.waiting)
        return false;
    double ran = scale->last.waiting - s->waiting, ms = (double)(s->now - scale->last.now);

    return s->waiting * ms < (double)SCALE_CLEAR_MS * ran;
}

static bool uses_all_processors(const struct scale *scale, const struct scale_sample *s)
{
    double usable = (double)scale->limits.processors_ms / 1000.0;

    return usable > 0 && s->processors + s->delayed >= usable * SCALE_PROCESSORS_FULL;
}

/* Why one more is not possible; SCALE_UP if it is. */
static enum scale_decision may_grow(const struct scale *scale, const struct scale_sample *s)
{
    if (scale->target >= scale->limits.most)
        return SCALE_HELD_MOST;
    if (scale->target >= s->room)
        return SCALE_HELD_MEMORY;
    return uses_all_processors(scale, s) ? SCALE_HELD_PROCESSOR : SCALE_UP;
}

/* A worker that was taken away too soon makes the next ones stay longer; a calm time, as before. */
static void learn_patience(struct scale *scale, int64_t now)
{
    int64_t idle_ms = scale->limits.down_idle_ms;

    if (scale->down_at > 0 && now - scale->down_at < 2 * idle_ms) {
        scale->down_at = 0; /* the additions that follow are no further sign */
        if (scale->patience < SCALE_PATIENCE)
            scale->patience *= 2;
    } else if (now - scale->changed_at >= 2 * idle_ms * scale->patience) {
        scale->patience = 1;
    }
}

static void grow(struct scale *scale, int64_t now)
{
    learn_patience(scale, now);
    scale->needed_at[scale->target++] = now;
    scale->changed_at = now;
}

/* Reported once in a while, for it may go on for hours. */
static enum scale_decision hold(struct scale *scale, enum scale_decision decision, int64_t now)
{
    int64_t *at = &scale->held_at[decision];

    if (*at > 0 && now - *at < SCALE_LOG_MS)
        return SCALE_STAY;
    *at = now;
    return decision;
}

static enum scale_decision decide_up(struct scale *scale, const struct scale_sample *s)
{
    if (s->now - scale->changed_at < SCALE_MS || awaits_workers(scale, s) ||
        clears_itself(scale, s))
        return SCALE_STAY;
    enum scale_decision decision = may_grow(scale, s);

    if (decision != SCALE_UP)
        return hold(scale, decision, s->now);
    grow(scale, s->now);
    return SCALE_UP;
}

/* ---- down ---- */

static void shrink(struct scale *scale, int64_t now)
{
    scale->target--;
    scale->changed_at = scale->down_at = now;
}

static enum scale_decision decide_down(struct scale *scale, const struct scale_sample *s)
{
    int64_t idle_ms = scale->limits.down_idle_ms * scale->patience;

    if (scale->target <= scale->limits.least || s->now - scale->changed_at < SCALE_DOWN_MS)
        return SCALE_STAY;
    bool fits = scale->target <= s->room;

    if (fits && s->now - scale->needed_at[scale->target - 1] < idle_ms)
        return SCALE_STAY;
    shrink(scale, s->now);
    return fits ? SCALE_DOWN_IDLE : SCALE_DOWN_MEMORY;
}

enum scale_decision scale_decide(struct scale *scale, const struct scale_sample *sample)
{
    bool late = is_late(scale, sample), again = late && scale->was_late;

    if (!scale_is_on(scale))
        return SCALE_STAY;
    if (scale->patience == 0)
        scale->patience = 1;
    note_needed(scale, sample, late);
    enum scale_decision decision = again && sample->room >= scale->target
                                       ? decide_up(scale, sample)
                                       : decide_down(scale, sample);
    scale->last = *sample;
    scale->was_late = late;
    return decision;
}
