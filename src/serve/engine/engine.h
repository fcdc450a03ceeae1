#ifndef SERVE_ENGINE_ENGINE_H
#define SERVE_ENGINE_ENGINE_H

#include "base/forked.h"
#include "base/list.h"
#include "base/metrics.h"
#include "net/loop.h"
#include "net/timer.h"
#include "proto/forwarded.h"
#include "proto/http1/parse.h"
#include "proto/http2/session.h"
#include "serve/conn/conn.h"
#include "serve/engine/app.h"
#include "serve/engine/budget.h"
#include "serve/engine/deadline.h"
#include "serve/engine/events.h"
#include "serve/engine/loop_watch.h"
#include "serve/request/request.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The engine: connections in, whole requests out, answers back. One state machine, run by any
 * thread that has no request. Leadership (engine->lead) is the right to touch the loop, the timers
 * and the connections; it is taken by one compare-and-swap and never waited for:
 *
 *   - a thread without a request leads: it waits in the loop, reads, parses, and leaves with one;
 *   - a thread that has answered leads for a moment, to put its connection back; when another
 * leads, it leaves the request on the `answered` stack instead;
 *   - the stand-by leads when no thread has done so for a while.
 *
 * In a worker whose one thread has an event loop of its own (gevent, asyncio …), that loop watches
 * the engine's descriptors and leads a step when they are readable: see loop_host.h.
 */

struct engine_options {
    struct http1_limits limits;
    const struct protocol *protocol;    /* of the listeners; NULL: HTTP/1 */
    const struct protocol *const *alpn; /* NULL, or protocols that ALPN may choose, ended by NULL */
    struct http2_settings http2;
    bool http2_prior, http2_upgrade;   /* how clients of cleartext_protocol may begin HTTP/2 */
    const struct forwarded *forwarded; /* borrowed */
    const struct trust *trust;         /* borrowed: forwarded_allow_ips */
    const struct trust *proxies;       /* borrowed: proxy_allow_ips */
    const struct trust *gateways;      /* borrowed: uwsgi_allow_ips or fastcgi_allow_ips */
    unsigned proxy_versions;           /* bits of enum proxy_version; 0: no PROXY header is read */
    bool proxy_required;               /* a connection without one is refused */
    uint32_t keepalive_ms;             /* 0: one request a connection */
    uint32_t header_timeout_ms;        /* from the first wait until a head is whole; 0: never */
    uint32_t send_timeout_ms;          /* in which a client takes PACE_BYTES at least; 0: never */
    uint32_t body_min_rate;            /* bytes a second; 0: any */
    uint64_t body_max;                 /* bytes of a request's body; 0: BODY_SIZE_MAX */
    uint64_t stream_body;              /* bytes of a body that are buffered before the application
                                          reads the rest from the socket; 0: all */
    bool at_head;                      /* requests run from their head on, by an application with
                                          events(): see inflow.h; stream_body is not for them */
    uint32_t max_queue;                /* requests that wait for a thread; 0: any number */
    uint32_t max_queue_ms;             /* for how long they may; 0: for ever */
    uint32_t limit_concurrency;        /* requests that wait or run; 0: any number */
    bool check_client;                 /* skip requests whose client has gone */
    uint32_t worker_connections;       /* open connections; idle ones are closed to stay below */
    uint64_t client_memory;            /* bytes that clients may occupy; 0: any number */
    uint64_t client_disk;              /* the same in files */
    uint64_t stream_window;            /* bytes of a streamed answer that wait for its client;
                                          0: any number */
    uint32_t threads;                  /* application threads */
    uint64_t websocket_message_max;    /* bytes; 0: DUPLEX_MESSAGE_MAX */
    uint32_t websocket_ping_interval_ms; /* 0: no pings */
    uint32_t websocket_ping_timeout_ms;  /* after a ping, until a byte comes; 0: any time */
    uint32_t request_timeout_ms;         /* 0: a request may take as long as it likes */
    uint32_t request_grace_ms;           /* beyond which the worker is given up */
    uint32_t loop_block_ms;              /* after which a blocked loop is reported; 0: never */
    uint32_t graceful_ms;                /* for a worker that has to stop; 0: any time */
    bool shared;                         /* other workers accept from the same listeners … */
    bool own_listeners;                  /* … or never do; else the exchange knows */
    bool sendfile;
    bool standby;
    bool debug;                      /* NOTE_DEBUG is of interest */
    bool loop_host;                  /* led from a foreign event loop, in one thread */
    uint32_t sign_of_life_ms;        /* between two steps of it while requests run, at most */
    struct str own_fields;           /* borrowed: lines of each answer's head; NULL: Server alone */
    const char *tmp_dir;             /* borrowed; NULL: the system's */
    const char *loop;                /* backend, NULL: the best */
    struct metrics *metrics;         /* borrowed; NULL: the engine's own, without a reader */
    const struct exchange *exchange; /* borrowed; NULL: requests stay in this worker */
    uint32_t number;                 /* of the worker, from 1: by age */
};

/* Why nothing new is taken: BUSY holds for listeners only if other workers share them, DRAIN for
 * listeners alone, REHEARSAL until rehearsal_end(). */
enum {
    PAUSE_FULL = 1,
    PAUSE_ERROR = 2,
    PAUSE_BUSY = 4,
    PAUSE_DRAIN = 8,
    PAUSE_GIVEN_UP = 16,
    PAUSE_REHEARSAL = 32,
};

struct access_log;
struct refused;
struct tls_context;
struct exchange;

struct listener {
    struct io io;
    bool local;                        /* a Unix socket: its peers are trusted */
    bool inner;                        /* none: the worker asks itself, see rehearsal.h */
    const struct protocol *protocol;   /* NULL: that of the options */
    void *app_data;                    /* the application's */
    _Atomic(struct tls_context *) tls; /* one use, under engine->tls_lock; NULL: plain */
};

/* A connection with answers that wait for others, to leave with them: of its protocol. */
struct unsent {
    struct list link;
    struct conn *conn;
};

/* Which file a descriptor of the engine's is: numbers are used again. */
struct mark {
    int fd;
    dev_t dev;
    ino_t ino;
};

struct note {
    struct note *next;
    enum note_level level;
    char text[];
};

/* Connections that a worker on its end has closed, by their states. */
struct drain_cut {
    uint32_t heads, bodies, waiting, answers;
};

/* Requests that wait for a thread, and threads that wait for a request. */
struct ready {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct request *head, *tail;
    struct request *claimed;  /* their threads have to wait until they may run */
    _Atomic uint32_t *length; /* borrowed: a gauge, written under the lock */
    uint32_t taken;           /* requests that have left the queue, in all */
    uint32_t waiting;         /* threads in ready_wait() */
    uint32_t wakes;           /* how many of them have been woken */
    int pipe[2];              /* wakes a foreign loop instead; -1 without one */
    struct list due;          /* requests with events for the application: see events.h */
    atomic_uint due_count;    /* of them; written under the lock */
};

struct engine {
    struct engine_options options;
    unsigned born; /* forked_count then: see engine_is_ours() */
    const struct app_ops *ops;
    void *app;
    struct loop *loop;
    struct timers timers;
    struct timer resume; /* a paused listener tries again */
    struct timer trim;   /* after a peak of memory */
    uint64_t now_ms;     /* since when there is a leader, or when its loop last woke */

    struct listener *listeners;
    uint32_t listener_count;
    unsigned paused;    /* PAUSE_* */
    bool listening;     /* the listeners are in the loop */
    struct mark *marks; /* descriptors that the application must not close */
    uint32_t mark_count;
    struct io signals;
    struct io master;

    struct io exchange;   /* where requests of other workers come from */
    bool accepts_parcels; /* it is in the loop */
    atomic_bool parcels;  /* there may be some */
    atomic_bool stalled;  /* ready requests cannot be run here: the leader is to give them away */
    bool replaced;        /* by workers that take the requests in the exchange */
    _Atomic(atomic_uint *) pulse; /* of our seat on the exchange's board; without one: no_pulse */
    atomic_uint no_pulse;

    struct budget budget;   /* of all that clients occupy */
    uint64_t out_spool_max; /* OUT_SPOOL_MAX, save in tests */
    struct list idle;       /* connections whose activity is IDLE, HANDSHAKE, LINGER, by marks */
    struct list crowd;      /* those with HEAD, BODY and FLUSH, the same: see room.c */
    struct list active;     /* those with RUNNING, but */
    struct list unread;     /* those of TLS that had their turn, and have read more already */
    struct list unnamed;    /* those whose handshake waits for a thread: see tls_names */
    uint32_t connections;
    uint32_t in_flight;                  /* requests that are RUNNING */
    uint32_t websockets;                 /* of these: open WebSockets */
    uint32_t websockets_closed;          /* as the worker ends, so far */
    bool has_heirs;                      /* then: other workers take its clients */
    bool admits_few;                     /* max_queue or limit_concurrency is set */
    _Atomic uint64_t overload_logged_ms; /* when refusals were logged last */
    _Atomic uint64_t full_logged_ms;     /* the same for worker_connections used up */
    uint32_t evicted;                    /* connections closed for new ones since then */
    _Atomic uint64_t wait_logged_ms;   /* the same for new ones that wait, as none can be closed */
    _Atomic uint64_t room_logged_ms;   /* the same for bodies that could not be buffered */
    _Atomic uint64_t accept_logged_ms; /* the same for failures to accept */
    _Atomic uint64_t watch_logged_ms;  /* the same for connections that the loop does not take */
    _Atomic uint64_t lost_logged_ms;   /* the same for lines that the access log has lost */
    _Atomic uint64_t take_logged_ms;   /* the same for descriptors for requests of others */
    _Atomic uint64_t broken_logged_ms; /* the same for requests of others that are none */
    _Atomic uint64_t short_logged_ms;  /* the same for a budget that is used up */
    struct request *pool;
    uint32_t pooled;
    struct request *batch_head, *batch_tail; /* made ready by this step */
    uint32_t batch_count;
    uint64_t batch_ns;     /* when the first of them was */
    struct list dead;      /* connections closed in this step */
    struct list unsent;    /* of struct unsent */
    uint32_t unsent_count; /* answers that wait, about */

    uint64_t alarm_at; /* when the foreign loop is woken to lead a step; 0: no alarm is set */

    atomic_bool lead; /* a thread leads */
#ifndef NDEBUG
    pthread_t leader; /* for assert_leader() */
#endif
    atomic_bool waiting; /* the leader sits in the loop */
    atomic_bool standby_leads;
    atomic_bool lead_wanted;    /* a thread would rather lead than the stand-by */
    atomic_uint steps;          /* to see whether the engine moves */
    atomic_uint answered_count; /* requests answered, to see whether the threads move */
    atomic_bool slow;           /* requests take long: promote a follower at once */
    atomic_bool trims;          /* the stand-by is to give memory back */
    atomic_bool room_wanted;    /* see engine_free_room() */
    _Atomic(struct request *) answered;
    _Atomic(struct request *) attending; /* see engine_attend() */
    struct ready ready;

    atomic_uint dormant; /* requests that run later, and have no thread now: see events.h */
    bool events_follow;  /* the leader of this step gives the events that become due in it */

    struct metrics *metrics;
    struct metrics own_metrics; /* when there is no master's */

    struct deadlines deadlines;
    struct loop_watch loop_watch;
    atomic_bool given_up; /* a request is stuck: a successor takes over */

    struct access_log *access_log; /* owned; NULL: no log, or the application writes it */
    bool app_logs;                 /* it does */

    pthread_mutex_t tls_lock;
    _Atomic(struct tls_context *) garbage_tls;
    _Atomic(struct part *) garbage_parts;
    _Atomic(struct note *) notes;
    atomic_uint notes_waiting, notes_lost; /* of them; those that were beyond NOTES_MAX */
    _Atomic(struct refused *) refused;
    atomic_size_t refused_kept; /* their bytes */
    atomic_uint refused_lost;   /* those that were beyond REFUSED_KEPT_MAX */

    atomic_bool rehearsed;   /* a rehearsal is over */
    atomic_bool interrupted; /* a signal came: the main thread looks after it */
    atomic_bool draining;    /* no new connection, Connection: close on every answer */
    atomic_bool stopped;     /* nothing more is taken */
    atomic_bool lost;        /* for want of a descriptor that the application has closed */
    bool drained;            /* the accept queue was emptied for the last time */
    uint64_t stop_ms;        /* since when it is to end; 0: it is not */
    struct timer cut_off;    /* when it has had its time: see drain.c */
    struct drain_cut cut;    /* connections closed unfinished since then */
    atomic_bool out_of_time; /* requests that run are broken off */

    pthread_t standby;
    bool standby_runs;
    atomic_bool standby_awake;
    pthread_mutex_t standby_lock;
    pthread_cond_t standby_wake;
};

/* NULL with errno. The engine borrows the listeners' descriptors and makes them non-blocking. */
struct engine *engine_create(const struct engine_options *options, const struct app_ops *ops,
                             void *app, const int *listeners, uint32_t count);
void engine_destroy(struct engine *engine);

/* Reading from fd says that a signal came; from master_fd, by its end, that the master has died.
 * Both stay the caller's. 0 or -1 with errno. */
int engine_watch_signals(struct engine *engine, int fd);
int engine_watch_master(struct engine *engine, int fd);

/* Whether this process has made it. In one that the application has forked nothing of the engine
 * may be called but this: its threads are not there, its locks may be held for ever. */
static inline bool engine_is_ours(const struct engine *engine)
{
    return engine->born == forked_count;
}

/* A ready request without waiting, or NULL. */
struct request *engine_poll(struct engine *engine);

/*
 * Waits for a request, leading or following. NULL when interrupted, stopped, or when there are
 * events to give or garbage to collect. Detached.
 */
struct request *engine_take(struct engine *engine, bool main_thread);

/*
 * The application is through with a request for which run() has returned RUN_LATER, or is about to:
 * it is not touched after this, and no event of it is given. Any thread, attached.
 */
void engine_finish(struct engine *engine, struct request *request);

/* Events (REQUEST_*) of a request have happened: those that its application waits for are due, and
 * a thread gives them. For threads that do not lead: see events_raise(). */
void engine_raise(struct engine *engine, struct request *request, unsigned happened);

/*
 * The leader looks after the connection of a request that runs later: it reads its body on, and
 * watches the time that its client takes. By the thread that has the request.
 */
void engine_attend(struct engine *engine, struct request *request);

/* This thread has led for a moment, and does not go on to lead or to run requests: another may have
 * to. */
void engine_wake_host(struct engine *engine);

/* The request is answered, and its run is counted: its connection goes on. Any thread. */
void engine_put_back(struct engine *engine, struct request *request);

/* Whether ops->events() is to be called. */
static inline bool engine_has_events(struct engine *engine)
{
    return atomic_load_explicit(&engine->ready.due_count, memory_order_relaxed) > 0;
}

/* No new connections; ends by itself when the last request is answered, at latest after
 * DRAIN_IDLE_MS of idleness. */
void engine_drain(struct engine *engine);

/* Ends every host thread after its present request. Any thread, but no signal handler: it locks. */
void engine_stop(struct engine *engine);

/* A request is stuck: the application is to have the worker replaced, and new connections are left
 * to siblings, if there are any. */
void engine_give_up(struct engine *engine, bool unheard);

bool engine_lead(struct engine *engine);
void engine_yield(struct engine *engine);

/* Around calls that may block: other threads may run the application's code meanwhile. */
void engine_detach(struct engine *engine);
void engine_attach(struct engine *engine);

/* That this thread leads, and that it may run the application's code: a thread begins attached. */
#ifdef NDEBUG
#define assert_leader(engine) ((void)0)
#define assert_attached() ((void)0)
#define engine_note_leader(engine) ((void)0)
#define engine_note_detached(detached) ((void)0)
#else
extern _Thread_local bool engine_detached;
bool engine_leads(const struct engine *engine);
#define assert_leader(engine) assert(engine_leads(engine))
#define assert_attached() assert(!engine_detached)
#define engine_note_leader(engine) ((engine)->leader = pthread_self())
#define engine_note_detached(detached) (engine_detached = (detached))
#endif

/* One turn of the loop, at most timeout_ms long (-1: until something happens). Leader only. */
void engine_step(struct engine *engine, int timeout_ms);

/* Gives the system back the memory that a peak has left. Any thread. */
void engine_trim(struct engine *engine);

/* Ends the leader's wait, if it waits. */
void engine_kick(struct engine *engine);

/*
 * The answers of several short requests leave together, by protocol->flush(): when no other request
 * waits for a thread, or enough of them are there. While a request takes longer the stand-by sends
 * them. Leader only.
 */
void engine_send_later(struct engine *engine, struct unsent *unsent);

/* Leader only: the request goes to the threads at the end of the step. */
void engine_ready(struct engine *engine, struct request *request);

/* Leader only: those of this step as a list, for the caller instead of the threads. */
struct request *engine_take_batch(struct engine *engine);

/* Leader only: they go to the threads now. */
void engine_flush_batch(struct engine *engine);

/* Frees the connections that were closed. Leader only, when no event is being given any more. */
void engine_reap(struct engine *engine);

/* lost.c */

/* From now on the stand-by checks that the descriptor is still that file. -1 is fine. */
void engine_mark(struct engine *engine, int fd);
void engine_look_at_marks(struct engine *engine);

/*
 * The descriptor of a new connection. If the application has closed the descriptor of another
 * connection, the new one may have its number, and the other one's answer would go to the new
 * client: then the new one moves to another number, and the old number becomes a socket whose peer
 * has left. -1 with errno: fd is closed.
 */
int engine_renumber(int fd);

/* Whether a call's error means that its descriptor was closed, or is another file's. */
bool engine_is_lost(int error);

/* Without that descriptor the engine cannot serve: it stops, and logs which call failed. Any
 * thread. */
void engine_lose(struct engine *engine, const char *call, int error);

/* listener.c, pause.c, listener_tls.c */

/* Takes `count` listeners, into the loop. False with errno. */
bool listeners_open(struct engine *engine, const int *fds, uint32_t count);

/* Accepts all that wait. Leader only. */
void listeners_empty(struct engine *engine);

/* Nothing new is taken while there is a reason. Leader only. */
void engine_pause(struct engine *engine, unsigned reason);
void engine_resume(struct engine *engine, unsigned reason);

/* For a while: FULL and ERROR are looked at again then. */
void engine_pause_for(struct engine *engine, unsigned reason, uint32_t ms);

/* Whether other workers accept from the same listeners now: TTIN may have added one. */
bool engine_has_rivals(const struct engine *engine);

/* After a listener's event. The kernel wakes the worker that has watched for longest, and a
 * connection over TLS is served by no other: so the next one is for another worker. Leader only. */
void engine_pass_turn(struct engine *engine, struct listener *listener);

/*
 * From now on connections of that listener (the index among those of engine_create()) use TLS with
 * this context, one use of which is taken over; those that are there keep theirs. NULL: plain. When
 * a context has no use left, its ref is given to ops->release(). Any thread.
 */
void engine_set_tls(struct engine *engine, uint32_t listener, struct tls_context *context);

/* One use of the listener's context for a new connection, or NULL. Any thread. */
struct tls_context *engine_use_tls(struct engine *engine, struct listener *listener);

/* drain.c, drain_time.c */

/* The worker has to stop, by a signal that its main thread may not have handled yet. Leader
 * only, as all of drain.c. */
void drain_expect(struct engine *engine);

/* The accept queue is emptied once, then nothing new is taken; clients get their last chance. */
void drain_begin(struct engine *engine);

/* While a worker drains: until when a connection may wait for its client, at most, by its present
 * activity. */
uint64_t drain_limit(const struct engine *engine, const struct conn *conn);

/* Until then its client may send, or take. */
void drain_last_chance(struct engine *engine, struct conn *conn);

/* It has no more time: closed, unless its request runs. */
void drain_cut(struct engine *engine, struct conn *conn);

/* Until when requests that are not whole may keep pace, and answers may be sent. */
uint64_t drain_requests_until(const struct engine *engine);
uint64_t drain_ends_at(const struct engine *engine);

/* graceful_timeout is nearly over: all that is left is cut off. */
void drain_cut_off(struct engine *engine);

/* Logs how many were cut off. */
void drain_log(struct engine *engine);

/* room.c */

/* Whether one connection more can be had as it is. */
bool engine_has_place(struct engine *engine);

/* The same, or engine_make_room() can close another for it. Leader only. */
bool engine_has_room(struct engine *engine);

/* Closes the connection whose client deserves it least; false when there is none to be closed.
 * Leader only. */
bool engine_make_room(struct engine *engine);

/* Neither memory nor files can be had, and a thread waits for them: the slowest client makes room,
 * if it has had no progress for long enough. Any thread. */
void engine_free_room(struct engine *engine);
void room_free(struct engine *engine); /* the same, by the leader */

/* The same when there is no place, which is logged. */
void engine_make_way(struct engine *engine);

/* worker_connections is used up, and none can be closed yet: listens again when one may be. */
void engine_wait_for_room(struct engine *engine);

/* notes.c, collect.c: work that only an attached thread may finish. Any thread may leave it. */

void engine_note(struct engine *engine, enum note_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether it is time to log again an event that happens again and again; *logged_ms is when it was
 * logged last, and now set. */
bool engine_may_log(_Atomic uint64_t *logged_ms);

/* The budget is used up, with this consequence: logged, with the settings that bound it. */
void engine_short(struct engine *engine, const char *consequence);

/* Has the access log write its collected lines; a failure is logged. */
void engine_flush_log(struct engine *engine);

/* Of these the last drop of a context, and the parts that hold a ref, wait for engine_collect(). */
void engine_drop_tls(struct engine *engine, struct tls_context *context);
void engine_discard(struct engine *engine, struct part *parts);

/* Finishes all of it: notes are logged, lines written, refs given back. Attached. */
void engine_collect(struct engine *engine);

/* Gives back the refs alone. Attached. */
void engine_collect_parts(struct engine *engine);

/* Whether there are some that are not to wait. */
static inline bool engine_has_garbage(struct engine *engine)
{
    return atomic_load_explicit(&engine->garbage_parts, memory_order_relaxed) ||
           atomic_load_explicit(&engine->notes, memory_order_relaxed) ||
           atomic_load_explicit(&engine->refused, memory_order_relaxed);
}

/* ready.c */

/* 0, or -1 with errno: with_pipe needs descriptors. */
int ready_init(struct ready *ready, _Atomic uint32_t *length, bool with_pipe);
void ready_destroy(struct ready *ready);

/* Appends a list of `count` requests. Wakes no thread. */
void ready_push(struct ready *ready, struct request *head, struct request *tail, uint32_t count);

/* The oldest one, or NULL. */
struct request *ready_pop(struct ready *ready);

/* Takes out a request that still waits, be it claimed; false when it does not. */
bool ready_remove(struct ready *ready, struct request *request);

/* Calls function() for a request that still waits: no thread takes it meanwhile. */
void ready_while_waiting(struct ready *ready, struct request *request,
                         void (*function)(struct request *request));

/* Unlinks `most` of those that `wanted` says yes to, not the `keep` oldest requests, as a list. */
struct request *ready_take(struct ready *ready, bool (*wanted)(const struct request *request),
                           uint32_t keep, uint32_t most);

/* Puts such a list back, each where it stood. */
void ready_return(struct ready *ready, struct request *list);

/*
 * A thread that has taken a request has to attach, which may take as long as another one computes.
 * Meanwhile the request is claimed, and may be put back into the queue: ready_keep() says no then.
 */
void ready_claim(struct ready *ready, struct request *request);
bool ready_keep(struct ready *ready, struct request *request);

enum { CLAIMS_BACK = 1, CLAIMS_LEFT = 2 }; /* some were put back, some still stand */

/* Puts back requests that have been claimed for more than a tick. */
unsigned ready_unclaim(struct ready *ready, uint64_t now_ms);

/* How many wait, and how many have left so far. */
uint32_t ready_depth(struct ready *ready, uint32_t *taken);
bool ready_empty(const struct ready *ready);
uint64_t ready_since(struct ready *ready);  /* ready_ns of the first one; 0: there is none */
bool ready_has_waiter(struct ready *ready); /* a thread with nothing to do, not woken yet */

/* Wakes one of the threads that wait, or all of them; a foreign loop by its pipe. */
void ready_wake(struct ready *ready);
void ready_wake_all(struct ready *ready);

/* Until there is a request, no thread leads, or this one is woken. Detached. */
void ready_wait(struct ready *ready, struct engine *engine, bool main_thread);

/* standby.c */

/* Starts the thread, if the options want it. 0, or -1 with errno. */
int standby_start(struct engine *engine);
void standby_stop(struct engine *engine); /* waits for its end */

/* Requests run from now on: it looks after the engine until nothing runs any more. Any thread. */
void standby_arm(struct engine *engine);

#endif
