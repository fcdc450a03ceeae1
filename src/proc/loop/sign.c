#include "proc/loop/sign.h"

#include "proc/loop/moment.h"

#include <signal.h>

static bool gives_signs(const struct arbiter *a, const struct child *child)
{
    return child->kind == CHILD_DIRTY && child->phase <= CHILD_STOPPING && a->timeout_ms > 0 &&
           a->host->sign;
}

static int64_t pause_ms(const struct arbiter *a)
{
    return a->draining ? ARBITER_LAST_SIGN_MS : a->timeout_ms / 2;
}

int64_t sign_deadline(const struct arbiter *a, const struct child *child)
{
    if (!gives_signs(a, child))
        return INT64_MAX;
    int64_t at = child->look_at > 0 ? child->look_at : child->forked_at + pause_ms(a);
    return a->draining ? at : moment_later(at, child->spared_to);
}

bool sign_is_missing(struct arbiter *a, struct child *child, int64_t now, int64_t *silent_ms)
{
    int64_t sign = a->host->sign(a->ctx, child);
    bool answered = child->asked_at == 0 || sign != child->asked_sign;

    child->look_at = now + pause_ms(a);
    if (answered) {
        child->asked_sign = sign;
        child->asked_at = now;
        kill(child->pid, SLOT_ASK_SIGNAL);
    }
    *silent_ms = now - child->asked_at;
    return !answered;
}

void sign_hurry(struct arbiter *a, int64_t now)
{
    for (size_t i = 0; i < a->children.count; i++) {
        struct child *child = &a->children.list[i];

        if (!gives_signs(a, child))
            continue;
        child->look_at = now;
        child->asked_at = 0;
    }
}
