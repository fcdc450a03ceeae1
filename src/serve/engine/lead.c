#include "base/clock.h"
#include "serve/engine/engine.h"

#include <errno.h>
#include <string.h>

/* Leadership, and how the followers are woken. */

bool engine_lead(struct engine *engine)
{
    bool expected = false;
    if (!atomic_compare_exchange_strong(&engine->lead, &expected, true))
        return false;
    engine_note_leader(engine);
    engine->now_ms = clock_ms();
    return true;
}

#ifndef NDEBUG

_Thread_local bool engine_detached;

bool engine_leads(const struct engine *engine)
{
    return atomic_load(&engine->lead) && pthread_equal(engine->leader, pthread_self());
}

#endif

void engine_attach(struct engine *engine)
{
    engine->ops->attach(engine->app);
    engine_note_detached(false);
}

void engine_detach(struct engine *engine)
{
    assert_attached();
    engine_note_detached(true);
    engine->ops->detach(engine->app);
}

/* Waking */

void engine_kick(struct engine *engine)
{
    int error = atomic_load(&engine->waiting) ? loop_wake(engine->loop) : 0;
    if (error != 0)
        engine_lose(engine, "write", error);
}

void standby_arm(struct engine *engine)
{
    if (!engine->standby_runs)
        return;
    pthread_mutex_lock(&engine->standby_lock);
    atomic_store(&engine->standby_awake, true);
    pthread_cond_signal(&engine->standby_wake);
    pthread_mutex_unlock(&engine->standby_lock);
}

void engine_drain(struct engine *engine)
{
    atomic_store(&engine->draining, true);
    if (engine->options.loop_host) /* which may be blocked: the stand-by looks at the descriptor */
        loop_wake(engine->loop);
    engine_kick(engine);
    ready_wake(&engine->ready);
}

void engine_stop(struct engine *engine)
{
    atomic_store(&engine->stopped, true);
    engine_kick(engine);
    ready_wake_all(&engine->ready);
}

void engine_give_up(struct engine *engine, bool unheard)
{
    atomic_store(&engine->given_up, true);
    engine->ops->give_up(engine->app, unheard);
    engine_kick(engine);
}

/* A descriptor that the application has closed */

bool engine_is_lost(int error)
{
    return error == EBADF || error == ENOTSOCK || error == EINVAL || error == EOPNOTSUPP;
}

void engine_lose(struct engine *engine, const char *call, int error)
{
    if (atomic_exchange(&engine->lost, true))
        return;
    engine_note(engine, NOTE_ERROR,
                "The application has closed a descriptor of the server (%s: %s): this worker ends, "
                "to be replaced",
                call, strerror(error));
    engine_stop(engine);
    loop_wake(engine->loop); /* a foreign loop, too, which engine_kick() leaves alone */
}
