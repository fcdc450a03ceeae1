#include "proc/children/backoff.h"

int64_t backoff_fail(struct backoff *backoff, int64_t now)
{
    int64_t pause = BACKOFF_FIRST_MS;

    if (backoff->failures++ < BACKOFF_FREE)
        return 0;
    for (unsigned i = BACKOFF_FREE + 1; i < backoff->failures && pause < BACKOFF_LAST_MS; i++)
        pause *= 2;
    if (pause > BACKOFF_LAST_MS)
        pause = BACKOFF_LAST_MS;
    backoff->until = now + pause;
    return pause;
}

void backoff_reset(struct backoff *backoff)
{
    *backoff = (struct backoff){0};
}

int64_t backoff_left(const struct backoff *backoff, int64_t now)
{
    return backoff->until > now ? backoff->until - now : 0;
}
