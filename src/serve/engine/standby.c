#include "base/clock.h"
#include "serve/dispatch/handover.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

/*
 * The stand-by: a thread that never runs application code. While requests run it looks every
 * STANDBY_TICK_MS whether the engine and the threads move; if not, it sends an idle thread to work
 * or leads the engine itself. It sleeps when nothing runs.
 */

struct progress {
    unsigned steps, answered;
};

static struct progress progress_of(struct engine *engine)
{
    return (struct progress){atomic_load(&engine->steps), atomic_load(&engine->answered_count)};
}

static void raise_deadline(struct deadline *deadline, void *context)
{
    engine_raise(context, list_entry(deadline, struct request, deadline), REQUEST_DEADLINE);
}

static void look_at_deadlines(struct engine *engine)
{
    uint64_t now_ms = clock_ms();
    if (!deadlines_may_be_due(&engine->deadlines, now_ms))
        return;
    unsigned found = deadlines_look(&engine->deadlines, now_ms);
    if (found & DEADLINES_STUCK)
        engine_give_up(engine, found & DEADLINES_UNHEARD);
    if (!(found & DEADLINES_TELL))
        return;
    if (engine->ops->events)
        deadlines_each_due(&engine->deadlines, raise_deadline, engine);
    else
        engine->ops->overdue(engine->app);
}

static void look_at_loop(struct engine *engine)
{
    switch (loop_watch_look(&engine->loop_watch, clock_ms())) {
    case LOOP_TO_ASK:
        ready_wake(&engine->ready);
        break;
    case LOOP_BLOCKED:
        engine->ops->loop_blocked(engine->app);
        break;
    default:
        break;
    }
}

/* Threads of the application are at work, or a foreign loop may be blocked by it. */
static bool is_busy(struct engine *engine)
{
    uint32_t running = atomic_load(&engine->metrics->running);
    bool looked_after = engine->options.loop_host || engine->deadlines.timeout_ms > 0;
    return running > (looked_after ? 0 : atomic_load(&engine->dormant));
}

/* By the application, between requests: a task of its own, or one that goes on after its answer. */
static bool is_blocked(const struct engine *engine)
{
    return loop_watch_is_pending(&engine->loop_watch);
}

/* Of two waits, of which -1 is one without end. */
static int earlier(int a_ms, int b_ms)
{
    return b_ms < 0 || (a_ms >= 0 && a_ms < b_ms) ? a_ms : b_ms;
}

/* Until the next look at deadlines and at the loop, in ms; -1: never. */
static int next_look(const struct engine *engine)
{
    uint64_t now_ms = clock_ms();
    return earlier(deadlines_wait(&engine->deadlines, now_ms),
                   loop_watch_wait(&engine->loop_watch, now_ms));
}

/* Requests to be run, or events to be given. */
static bool has_more(const struct engine *engine)
{
    return !ready_empty(&engine->ready) ||
           atomic_load_explicit(&engine->ready.due_count, memory_order_relaxed) > 0;
}

/*
 * One step in place of the threads. While none of them is free, new clients and waiting requests
 * are left to the other workers; new clients not if those have none either.
 */
static void lead_step(struct engine *engine)
{
    int again_ms = -1;
    if (ready_has_waiter(&engine->ready)) {
        engine_resume(engine, PAUSE_BUSY);
    } else {
        handover_tell(engine, EXCHANGE_STUCK);
        unsigned claims = ready_unclaim(&engine->ready, clock_ms());
        again_ms = earlier(handover_give(engine, 0), claims & CLAIMS_LEFT ? STANDBY_TICK_MS : -1);
        if (handover_is_hopeless(engine, &again_ms)) {
            engine_resume(engine, PAUSE_BUSY);
            handover_take_back(engine);
        } else {
            engine_pause(engine, PAUSE_BUSY);
        }
        handover_accept(engine, false);
    }
    engine_step(engine, earlier(again_ms, next_look(engine)));
    look_at_deadlines(engine);
    look_at_loop(engine);
    /* A foreign loop is woken after each step, not to sleep on while the stand-by leads. */
    if (engine->options.loop_host || has_more(engine))
        ready_wake(&engine->ready);
}

/* Leads until a thread wants to: it keeps clients served. */
static void lead(struct engine *engine)
{
    /* Set first: a thread that finds another leading then knows whether to ask for the lead. */
    atomic_store(&engine->standby_leads, true);
    atomic_store(&engine->stalled, false);
    if (!engine_lead(engine)) {
        atomic_store(&engine->standby_leads, false);
        return;
    }
    while (!atomic_load(&engine->lead_wanted) && !atomic_load(&engine->stopped))
        lead_step(engine);
    engine_resume(engine, PAUSE_BUSY);
    handover_tell(engine, 0);
    atomic_store(&engine->standby_leads, false);
    atomic_store(&engine->lead_wanted, false);
    engine_yield(engine);
    ready_wake(&engine->ready);
}

/*
 * A foreign loop that sleeps has nothing to do, even if requests run; one that does not start ready
 * requests is blocked by the application.
 */
static bool has_work(struct engine *engine)
{
    return !engine->options.loop_host || !ready_empty(&engine->ready) ||
           socket_wait(loop_fd(engine->loop), POLLIN, 0) > 0;
}

static void look_after(struct engine *engine, struct progress before,
                       struct handover_watch *handover)
{
    if (ready_unclaim(&engine->ready, clock_ms()) & CLAIMS_BACK) {
        atomic_store(&engine->stalled, true); /* to a leader; without one it is our turn soon */
        engine_kick(engine);
    }
    handover_even_out(engine, handover);
    struct progress now = progress_of(engine);
    if (has_more(engine) && now.answered == before.answered)
        ready_wake(&engine->ready);
    if (atomic_load(&engine->lead) || now.steps != before.steps || now.answered != before.answered)
        return;
    if (!has_work(engine))
        return;
    if (ready_has_waiter(&engine->ready))
        ready_wake(&engine->ready);
    else
        lead(engine);
}

/* A foreign loop may sleep for long with requests that wait: no need to look before something
 * comes. */
static void sleep_while_loop_does(struct engine *engine)
{
    if (!engine->options.loop_host || atomic_load(&engine->metrics->running) == 0 ||
        !ready_empty(&engine->ready))
        return;
    int most = next_look(engine);
    socket_wait(loop_fd(engine->loop), POLLIN,
                most >= 0 && most < STANDBY_SLEEP_MS ? most : STANDBY_SLEEP_MS);
}

static void sleep_one_tick(void)
{
    struct timespec tick = {.tv_nsec = STANDBY_TICK_MS * 1000000};
    nanosleep(&tick, NULL);
}

/* With the lock: a loop that does not answer at once is watched as that of running requests is. */
static void look_at_idle_loop(struct engine *engine)
{
    pthread_mutex_unlock(&engine->standby_lock);
    look_at_loop(engine);
    sleep_one_tick();
    pthread_mutex_lock(&engine->standby_lock);
    if (is_blocked(engine))
        atomic_store(&engine->standby_awake, true);
}

static void watch_while_busy(struct engine *engine)
{
    int quiet = 0;
    struct handover_watch handover = {0};
    while (quiet < STANDBY_REST_TICKS && !atomic_load(&engine->stopped)) {
        sleep_while_loop_does(engine);
        if (atomic_load_explicit(&engine->trims, memory_order_relaxed) &&
            atomic_exchange(&engine->trims, false))
            engine_trim(engine);
        struct progress before = progress_of(engine);
        sleep_one_tick();
        look_at_deadlines(engine);
        look_at_loop(engine);
        bool busy = is_busy(engine) || has_more(engine) || is_blocked(engine);
        if (busy)
            look_after(engine, before, &handover);
        quiet = busy || progress_of(engine).answered != before.answered ? 0 : quiet + 1;
        if (!busy)
            handover_tell(engine, 0);
    }
    loop_watch_renew(&engine->loop_watch);
}

/* With the lock, which is released meanwhile: until the stand-by is awake, or is to look at the
 * loop, although no request runs. */
static void rest(struct engine *engine)
{
    int most_ms = loop_watch_wait_idle(&engine->loop_watch, clock_ms());
    if (most_ms < 0) {
        pthread_cond_wait(&engine->standby_wake, &engine->standby_lock);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + (uint64_t)most_ms * 1000000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    if (pthread_cond_timedwait(&engine->standby_wake, &engine->standby_lock, &until) == ETIMEDOUT)
        look_at_idle_loop(engine);
}

static void *standby_main(void *argument)
{
    struct engine *engine = argument;
    engine_note_detached(true);
    pthread_mutex_lock(&engine->standby_lock);
    while (!atomic_load(&engine->stopped)) {
        if (!atomic_load(&engine->standby_awake)) {
            rest(engine);
            continue;
        }
        pthread_mutex_unlock(&engine->standby_lock);
        watch_while_busy(engine);
        engine_look_at_marks(engine); /* whether a request has closed one of them */
        pthread_mutex_lock(&engine->standby_lock);
        atomic_store(&engine->standby_awake, false);
        /* A request that began just now, or a peak that ended, saw us awake: one more look. */
        if (is_busy(engine) || atomic_load(&engine->trims))
            atomic_store(&engine->standby_awake, true);
    }
    pthread_mutex_unlock(&engine->standby_lock);
    return NULL;
}

/* With a stack of that many bytes, or 0 for the system's usual size. */
static int create_thread(struct engine *engine, size_t stack)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (stack)
        pthread_attr_setstacksize(&attributes, stack);
    int error = pthread_create(&engine->standby, &attributes, standby_main, engine);
    pthread_attr_destroy(&attributes);
    return error;
}

int standby_start(struct engine *engine)
{
    pthread_mutex_init(&engine->standby_lock, NULL);
    pthread_cond_init(&engine->standby_wake, NULL);
    if (!engine->options.standby)
        return 0;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = create_thread(engine, STANDBY_STACK);
    if (error == EINVAL) /* the process has more thread-local data than that */
        error = create_thread(engine, 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    engine->standby_runs = error == 0;
    errno = error;
    return error ? -1 : 0;
}

void standby_stop(struct engine *engine)
{
    if (engine->standby_runs) {
        atomic_store(&engine->stopped, true);
        loop_wake(engine->loop);
        standby_arm(engine);
        pthread_join(engine->standby, NULL);
        engine->standby_runs = false;
    }
    pthread_mutex_destroy(&engine->standby_lock);
    pthread_cond_destroy(&engine->standby_wake);
}
