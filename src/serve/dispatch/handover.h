#ifndef SERVE_DISPATCH_HANDOVER_H
#define SERVE_DISPATCH_HANDOVER_H

#include "serve/dispatch/exchange.h"
#include "serve/engine/engine.h"

/*
 * Fair dispatch: a whole request that waits here is handed, with its connection, to the other
 * workers on the same listeners, through the exchange. The first worker with a free thread
 * takes it, this one included. All of it does nothing without an exchange.
 *
 * Some stay here and wait: connections that are more than a socket, bodies that
 * stream, requests with much pipelined behind them, heads with folded fields.
 */

/* The state that a stand-by keeps from one tick to the next. All zero at first. */
struct handover_watch {
    uint32_t waiting, taken; /* of the ready queue */
    unsigned pulses[EXCHANGE_SEATS];
};

/* Takes a seat and watches for parcels; 0, or -1 with errno. The opposite leaves the seat. */
int handover_open(struct engine *engine);
void handover_close(struct engine *engine);

/* Whether this worker takes parcels. Leader only. */
void handover_accept(struct engine *engine, bool accept);

/*
 * This worker drains. If its application is being replaced, waiting requests are left to the new
 * workers; else it may be the last one to run them. Leader only.
 */
void handover_retire(struct engine *engine);

/*
 * This worker is about to end: others count on it no longer. First this, then a last look whether
 * something waits: a worker that sends after that sees that none is there to take it. Leader only.
 */
void handover_leave(struct engine *engine);

/* Whether other workers take the clients of this one when it ends. Any thread. */
bool handover_has_heirs(const struct engine *engine);

/* Waiting requests are left to new workers, which are there; the event went to them, not to us. */
bool handover_is_left(const struct engine *engine);

/* This worker waits with nothing to do, or does so no longer. */
static inline void handover_rest(struct engine *engine, bool rests)
{
    atomic_uint *seat = atomic_load_explicit(&engine->pulse, memory_order_relaxed);
    unsigned pulse = atomic_load_explicit(seat, memory_order_relaxed);
    unsigned next = rests ? pulse | 1 : (pulse | 1) + 1;
    if (next != pulse)
        atomic_store_explicit(seat, next, memory_order_relaxed);
}

/*
 * Sends the requests of the ready queue away, save the `keep` oldest. Returns after how many ms it
 * is worth another try, as the exchange is full or no other worker is there; -1: never. Leader
 * only.
 */
int handover_give(struct engine *engine, uint32_t keep);

/*
 * Whether this worker should accept although it is busy: no worker has a free thread, and new
 * clients are refused, as the queue has bounds, or received and handed over, which is impossible
 * with TLS. False while the workers of another master may be free.
 * *look_ms is set to when to ask again, if ever.
 */
bool handover_is_hopeless(const struct engine *engine, int *look_ms);

/*
 * When all workers have got stuck, requests that were sent to one with a free thread are taken
 * back, for the bounds of the queue hold for them, too. Leader only.
 */
void handover_take_back(struct engine *engine);

/* How many other workers would take a request at once. */
uint32_t handover_takers(const struct engine *engine);

/*
 * Once a tick: when requests have waited since the last one, and other workers have been idle since
 * then or have far fewer that wait, so many go that the load is even. For a thread that does not
 * lead.
 */
void handover_even_out(struct engine *engine, struct handover_watch *watch);

/* The stand-by looks no longer, for nothing runs, or leads, for all threads are stuck. */
void handover_tell(struct engine *engine, uint32_t load);

/* A request from the exchange; NULL when there is none, or one of our own came before it. Leader
 * only. */
struct request *handover_take(struct engine *engine);

/* The same, ready to be taken: whether there was one. Leader only. */
bool handover_take_ready(struct engine *engine);

#endif
