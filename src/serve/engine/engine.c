#include "serve/engine/engine.h"

#include "base/clock.h"
#include "base/mem.h"
#include "net/tls/tls.h"
#include "proto/request_start.h"
#include "serve/conn/protocol.h"
#include "serve/dispatch/handover.h"
#include "serve/engine/limits.h"

#include <errno.h>

/* Connections that no event tells of */

/* May this leader run the application's code, for which they wait? */
static bool may_name(const struct engine *engine)
{
    return !list_empty(&engine->unnamed) &&
           tls_can_ask(list_entry(engine->unnamed.next, struct conn, link)->tls);
}

static bool has_waiting(const struct engine *engine)
{
    return !list_empty(&engine->unread) || may_name(engine);
}

/* Each once: it may be back in the list after that. */
static void read_all(struct engine *engine, struct list *waiting)
{
    struct list now;
    list_init(&now);
    while (!list_empty(waiting)) {
        struct list *link = waiting->next;
        list_remove(link);
        list_push(&now, link);
    }
    while (!list_empty(&now)) {
        struct conn *conn = list_entry(now.next, struct conn, link);
        conn->reads_on = false;
        conn_mark(engine, conn);
        conn_read(engine, conn);
    }
}

static void read_waiting(struct engine *engine)
{
    if (may_name(engine))
        read_all(engine, &engine->unnamed);
    read_all(engine, &engine->unread);
}

/* Steps */

void engine_reap(struct engine *engine)
{
    assert_leader(engine);
    while (!list_empty(&engine->dead)) {
        struct conn *conn = list_entry(engine->dead.next, struct conn, link);
        list_remove(&conn->link);
        mem_free(conn);
    }
}

/* The stack is last in, first out: turned round, so that the first one that answered is put back
 * first. */
static struct request *take_answered(struct engine *engine)
{
    struct request *stack = atomic_exchange(&engine->answered, NULL);
    struct request *queue = NULL;
    while (stack) {
        struct request *next = stack->next;
        stack->next = queue;
        queue = stack;
        stack = next;
    }
    return queue;
}

/* The arrival of the request as a proxy in front has logged it; clocks of two machines may
 * disagree. */
static void observe_front(struct engine *engine, const struct request *request)
{
    struct timespec wall;
    for (uint32_t i = 0; i < request->head.field_count; i++) {
        const struct head_field *field = &request->head.fields[i];
        if (field->id != FIELD_X_REQUEST_START)
            continue;
        int64_t start =
            request_start_us(head_slice(request->input, field->value, field->value_len));
        clock_gettime(CLOCK_REALTIME, &wall);
        int64_t now = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000;
        int64_t us = now - start - (int64_t)((clock_ns() - request->ready_ns) / 1000);
        if (start >= 0 && us >= 0 && us < FRONT_MAX_US)
            metrics_observe(&engine->metrics->front, (uint64_t)us * 1000);
        return;
    }
}

static bool is_attending(const struct engine *engine)
{
    return atomic_load(&engine->attending);
}

/* Out of line: a step would save its registers for each request. */
__attribute__((noinline)) static void attend_all(struct engine *engine)
{
    struct request *request = atomic_exchange(&engine->attending, NULL);
    while (request) {
        struct request *next = request->next_attended;
        atomic_store(&request->attended, false);
        request->conn->protocol->attend(engine, request);
        request = next;
    }
}

static void put_back(struct engine *engine, struct request *request)
{
    assert_leader(engine);
    struct metrics *metrics = engine->metrics;
    if (request->head.seen & field_bit(FIELD_X_REQUEST_START))
        observe_front(engine, request);
    metrics_observe(&metrics->wait, request->begun_ns - request->ready_ns);
    if (request->response.skipped) {
        metrics_add(&metrics->refused[REFUSED_CLIENT_GONE], 1);
    } else {
        metrics_add(&metrics->responses[metrics_class(request->response.status)], 1);
        if (!request->websocket)
            metrics_observe(&metrics->duration, request->ended_ns - request->begun_ns);
    }
    request->conn->served++;
    request->conn->protocol->answered(engine, request);
}

/* Out of line, as attend_all(). */
__attribute__((noinline)) static void put_back_answered(struct engine *engine)
{
    struct request *request = take_answered(engine);
    if (is_attending(engine)) /* one that was answered since may be among them */
        attend_all(engine);
    while (request) {
        struct request *next = request->next;
        put_back(engine, request);
        request = next;
    }
}

/* The foreign loop waits for us: for the next deadline, and, while requests run, for a sign of
 * life. */
static void set_alarm(struct engine *engine)
{
    int due = timers_wait(&engine->timers, engine->now_ms);
    int most = (int)engine->options.sign_of_life_ms;
    if (atomic_load_explicit(&engine->metrics->running, memory_order_relaxed) > 0 &&
        (due < 0 || due > most))
        due = most;
    uint64_t at = due < 0 ? 0 : engine->now_ms + (uint64_t)due;
    if (at == 0 || (engine->alarm_at != 0 && at >= engine->alarm_at))
        return;
    bool is_set = loop_alarm(engine->loop, (uint32_t)due + CLOCK_LAG_MS) == 0;
    engine->alarm_at = is_set ? at : 0; /* without one: tried again at the next step */
}

/* The last connection of a retiring worker is closed, and no request waits in the exchange. */
static bool is_done(struct engine *engine)
{
    if (engine->connections > 0 || !engine->drained)
        return false;
    handover_leave(engine);
    bool taken = !handover_is_left(engine) && handover_take_ready(engine);
    engine_flush_batch(engine);
    return !taken;
}

static bool is_rehearsed(struct engine *engine)
{
    return (engine->paused & PAUSE_REHEARSAL) && atomic_load(&engine->rehearsed);
}

void engine_send_later(struct engine *engine, struct unsent *unsent)
{
    assert_leader(engine);
    if (list_empty(&unsent->link))
        list_push(&engine->unsent, &unsent->link);
    engine->unsent_count++;
}

/* Requests that run for long would hold up the answers of others. */
static bool may_wait(struct engine *engine)
{
    return engine->unsent_count < UNSENT_MAX && !ready_empty(&engine->ready) &&
           !atomic_load_explicit(&engine->slow, memory_order_relaxed) &&
           !atomic_load_explicit(&engine->standby_leads, memory_order_relaxed);
}

/* Out of line, as attend_all(). */
__attribute__((noinline)) static void send_unsent(struct engine *engine)
{
    if (may_wait(engine))
        return;
    engine->unsent_count = 0;
    while (!list_empty(&engine->unsent)) {
        struct unsent *unsent = list_entry(engine->unsent.next, struct unsent, link);
        list_remove(&unsent->link);
        unsent->conn->protocol->flush(engine, unsent->conn);
    }
}

static void finish_step(struct engine *engine)
{
    if (is_attending(engine))
        attend_all(engine);
    if (atomic_load(&engine->answered))
        put_back_answered(engine);
    engine_flush_batch(engine);
    if (!list_empty(&engine->unsent))
        send_unsent(engine);
    if (atomic_load_explicit(&engine->room_wanted, memory_order_relaxed))
        room_free(engine);
    if (!list_empty(&engine->dead))
        engine_reap(engine);
    if ((engine->paused & PAUSE_FULL) && engine_has_room(engine))
        engine_resume(engine, PAUSE_FULL);
    if (is_rehearsed(engine))
        engine_resume(engine, PAUSE_REHEARSAL);
    if (atomic_load_explicit(&engine->budget.peaked, memory_order_relaxed) &&
        engine->trim.deadline == 0)
        timer_set(&engine->timers, &engine->trim, engine->now_ms + TRIM_LOOK_MS);
    budget_publish(&engine->budget, engine->metrics);
    if (engine->options.loop_host)
        set_alarm(engine);
    if (atomic_load_explicit(&engine->draining, memory_order_relaxed) && is_done(engine)) {
        drain_log(engine);
        engine_stop(engine);
    }
}

void engine_yield(struct engine *engine)
{
    assert_leader(engine);
    do {
        finish_step(engine);
        atomic_store(&engine->lead, false);
    } while ((atomic_load(&engine->answered) || is_attending(engine)) && engine_lead(engine));
}

void engine_free_room(struct engine *engine)
{
    atomic_store(&engine->room_wanted, true);
    if (engine_lead(engine))
        engine_yield(engine);
    else
        engine_kick(engine);
}

/* The peak is over: the memory that it has left in the heaps goes back to the system. That takes
 * some milliseconds, which the stand-by has. */
static void look_after_peak(struct engine *engine)
{
    if (!budget_calm(&engine->budget))
        return;
    if (engine->standby_runs) {
        atomic_store(&engine->trims, true);
        standby_arm(engine);
    } else {
        engine_trim(engine);
    }
}

void engine_trim(struct engine *engine)
{
    blocks_trim(&engine->budget.blocks);
    mem_trim();
}

static void timer_expired(struct timer *timer, void *context)
{
    struct engine *engine = context;
    if (timer == &engine->trim)
        look_after_peak(engine);
    else if (timer == &engine->resume)
        engine_resume(engine, PAUSE_ERROR | PAUSE_FULL);
    else if (timer == &engine->cut_off)
        drain_cut_off(engine);
    else
        conn_expired(engine, list_entry(timer, struct conn, timer));
}

/* A signal that interrupts the wait is looked after, even if its pipe is not there any more. */
static void wait_in_loop(struct engine *engine, int timeout_ms)
{
    if (loop_wait(engine->loop, timeout_ms, engine) >= 0)
        return;
    if (errno == EINTR)
        atomic_store(&engine->interrupted, true);
    else if (engine_is_lost(errno))
        engine_lose(engine, "waiting for events", errno);
}

/* The stand-by gives none: it leaves them to the threads. */
static bool has_own_events(struct engine *engine)
{
    return atomic_load(&engine->ready.due_count) > 0 &&
           !atomic_load_explicit(&engine->standby_leads, memory_order_relaxed);
}

/* A step that finish_step() or engine_yield() has to follow. */
static void begin_step(struct engine *engine, int timeout_ms)
{
    assert_leader(engine);
    int due = timers_wait(&engine->timers, engine->now_ms);
    if (timeout_ms < 0 || (due >= 0 && due < timeout_ms))
        timeout_ms = due;
    atomic_store(&engine->waiting, true);
    if (atomic_load(&engine->answered) || is_attending(engine) || atomic_load(&engine->stopped) ||
        atomic_load(&engine->lead_wanted) || atomic_load(&engine->stalled) ||
        (atomic_load(&engine->draining) && !engine->drained) || has_waiting(engine) ||
        is_rehearsed(engine) || has_own_events(engine) || !list_empty(&engine->unsent))
        timeout_ms = 0;
    if (timeout_ms != 0)
        engine_flush_log(engine);
    if (timeout_ms != 0 && !atomic_load_explicit(&engine->standby_leads, memory_order_relaxed))
        handover_rest(engine, !(engine->paused & PAUSE_REHEARSAL) &&
                                  !atomic_load_explicit(&engine->draining, memory_order_relaxed));
    wait_in_loop(engine, timeout_ms);
    handover_rest(engine, false);
    atomic_store(&engine->waiting, false);
    engine->now_ms = clock_ms();
    if (has_waiting(engine))
        read_waiting(engine);
    if (atomic_load_explicit(&engine->draining, memory_order_relaxed) && !engine->drained)
        drain_begin(engine);
    engine_flush_batch(engine); /* answers that wait may be overdue at once */
    if (atomic_load_explicit(&engine->given_up, memory_order_relaxed) && engine->options.shared)
        engine_pause(engine, PAUSE_GIVEN_UP);
    timers_run(&engine->timers, engine->now_ms, timer_expired, engine);
    atomic_fetch_add_explicit(&engine->steps, 1, memory_order_relaxed);
}

void engine_step(struct engine *engine, int timeout_ms)
{
    assert_leader(engine);
    begin_step(engine, timeout_ms);
    finish_step(engine);
}

/* Threads */

static bool must_return(struct engine *engine, bool main_thread)
{
    return atomic_load(&engine->stopped) || engine_has_garbage(engine) ||
           (main_thread && atomic_load(&engine->interrupted));
}

/*
 * This thread turns to its request: should another one lead, or take the next request, at once, or
 * will this one be back soon?
 */
static void promote(struct engine *engine)
{
    bool slow =
        !engine->options.standby || atomic_load_explicit(&engine->slow, memory_order_relaxed);
    if (engine->options.threads > 1 && slow &&
        (!atomic_load(&engine->lead) || !ready_empty(&engine->ready)))
        ready_wake(&engine->ready);
}

static struct request *poll_exchange(struct engine *engine)
{
    if (!engine_lead(engine)) {
        /* The leader gets them, too, as long as there are any. */
        atomic_store_explicit(&engine->parcels, false, memory_order_relaxed);
        return NULL;
    }
    struct request *request = handover_take(engine);
    engine_yield(engine);
    return request;
}

static bool has_parcels(struct engine *engine)
{
    return atomic_load_explicit(&engine->parcels, memory_order_relaxed);
}

struct request *engine_poll(struct engine *engine)
{
    struct request *request = has_parcels(engine) ? poll_exchange(engine) : NULL;
    if (!request)
        request = ready_pop(&engine->ready);
    if (request)
        promote(engine);
    return request;
}

static struct request *lead_once(struct engine *engine)
{
    /* Said to a stand-by that had just yielded by itself: it would keep this leader from waiting.
     */
    if (atomic_load(&engine->lead_wanted))
        atomic_store(&engine->lead_wanted, false);
    begin_step(engine, -1);
    if (atomic_load_explicit(&engine->stalled, memory_order_relaxed)) {
        atomic_store(&engine->stalled, false);
        handover_give(engine, 0);
    }
    struct request *request = has_parcels(engine) ? handover_take(engine) : NULL;
    if (!request)
        request = ready_pop(&engine->ready);
    engine_yield(engine);
    if (request)
        promote(engine);
    return request;
}

/* This thread is here again: the stand-by need not lead any more. */
static void ask_for_lead(struct engine *engine)
{
    if (atomic_load(&engine->standby_leads))
        atomic_store(&engine->lead_wanted, true);
    engine_kick(engine);
}

static void follow(struct engine *engine, bool main_thread)
{
    if (atomic_load(&engine->standby_leads))
        ask_for_lead(engine);
    engine_flush_log(engine);
    ready_wait(&engine->ready, engine, main_thread);
}

struct request *engine_take(struct engine *engine, bool main_thread)
{
    for (;;) {
        struct request *request = engine_poll(engine);
        if (request || must_return(engine, main_thread))
            return request;
        if (engine_lead(engine)) {
            request = lead_once(engine);
            if (request)
                return request;
        } else {
            follow(engine, main_thread);
        }
        if (engine_has_events(engine))
            return NULL;
    }
}

void engine_put_back(struct engine *engine, struct request *request)
{
    atomic_fetch_add_explicit(&engine->answered_count, 1, memory_order_relaxed);
    if (engine_lead(engine)) {
        if (is_attending(engine)) /* this one, too, perhaps */
            attend_all(engine);
        put_back(engine, request);
        engine_yield(engine);
        return;
    }
    request->next = atomic_load(&engine->answered);
    while (!atomic_compare_exchange_weak(&engine->answered, &request->next, request))
        ;
    ask_for_lead(engine);
    /* The leader may have yielded between the two: then nobody has seen it yet. */
    if (engine_lead(engine))
        engine_yield(engine);
}

void engine_raise(struct engine *engine, struct request *request, unsigned happened)
{
    if (!events_add(engine, request, happened))
        return;
    ready_wake(&engine->ready);
    engine_kick(engine);
}

static void push_attended(struct engine *engine, struct request *request)
{
    request->next_attended = atomic_load(&engine->attending);
    while (!atomic_compare_exchange_weak(&engine->attending, &request->next_attended, request))
        ;
}

/* This thread may not go on to lead: it wakes one that does. */
void engine_attend(struct engine *engine, struct request *request)
{
    if (atomic_exchange(&request->attended, true))
        return;
    push_attended(engine, request);
    if (!engine_lead(engine)) {
        engine_kick(engine);
        if (!engine_lead(engine)) /* else the leader had yielded, and has not seen it */
            return;
    }
    engine_yield(engine);
    engine_wake_host(engine);
}

void engine_wake_host(struct engine *engine)
{
    if (!engine->options.loop_host || !ready_empty(&engine->ready))
        ready_wake(&engine->ready);
}
