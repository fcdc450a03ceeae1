#ifndef SERVE_DISPATCH_EXCHANGE_H
#define SERVE_DISPATCH_EXCHANGE_H

#include "net/socket.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * Shared by the workers on the same listeners, so that no request waits in a busy worker while
 * another is idle: a queue of whole requests that the kernel keeps (two connected sockets, which
 * every worker holds, and the master, so that a message outlives its sender), and a board with the
 * load of each worker.
 *
 * Any worker may write anything to the board and into the queue. No pointer there is followed,
 * and the lock is the kernel's. False values of one worker cost the others time or requests, no
 * more; the master takes nothing out of it but a bounded count.
 */

enum {
    EXCHANGE_SEATS = 64,           /* of the board; more workers share them, which costs accuracy */
    PARCEL_BYTES_MAX = 16 * 1024,  /* of a request's bytes in one message */
    PARCEL_PIECES = 4,             /* head, body, bytes pipelined behind it, struct proxied */
    EXCHANGE_BUFFER = 1024 * 1024, /* bytes in the queue, as far as the system lets us */
    EXCHANGE_COUNT_MAX = 64 * 1024, /* messages in it: more than fit */
};

/*
 * One worker's line of the board. `pulse` is 0 when there is none; it grows at each step of the
 * engine, and is odd while the worker waits with nothing to do: the same odd number twice is one
 * long wait.
 */
struct exchange_seat {
    alignas(64) atomic_uint pulse;
    atomic_uint number; /* of the worker that has sat down last; 0: it has left */
    atomic_uint load;   /* requests that waited for a thread when the stand-by looked last */
};

#define EXCHANGE_STUCK UINT32_MAX /* a load: no thread is free, nor will be soon */

struct exchange {
    int give, take;              /* the ends: any worker sends into one, and takes from the other */
    struct exchange_seat *seats; /* shared memory */
    atomic_uint *count;          /* there, too: messages that were sent and not taken yet */
    atomic_uint *two_masters;    /* there, too: the other's workers may be free for new clients */
    atomic_uint *replaced;       /* there, too: workers up to this number are being replaced */
    atomic_uint *ends;           /* there, too: the server stops, and no worker has a successor */
};

/* A request on its way, with its connection. The descriptors are the receiver's own. */
struct parcel {
    struct parcel_label {
        uint32_t version;
        uint32_t listener;             /* its number, the same in all these workers */
        uint32_t sizes[PARCEL_PIECES]; /* bytes that follow the label */
        uint32_t served;               /* requests answered on the connection */
        uint8_t spooled;               /* not 0: the body is in a file, a second descriptor */
        uint8_t readable, gone;        /* not 0: as in struct conn */
        uint8_t asked;                 /* not 0: as in struct request */
        uint64_t file_size;            /* bytes of that file */
        uint64_t ready_ns;             /* of CLOCK_MONOTONIC: since when it waits */
        struct peer peer;
    } label;
    int fd;                             /* the client */
    int file;                           /* -1 when the body is not spooled */
    struct iovec pieces[PARCEL_PIECES]; /* on receipt within the bytes given */
};

/* 0, or -1 with errno: no descriptors, no memory, or a system without the means. */
int exchange_open(struct exchange *exchange);
void exchange_close(struct exchange *exchange);

/* Sends; the descriptors stay the caller's. False when the queue is full, or the parcel is no
 * parcel (too large): errno says which. */
bool exchange_send(const struct exchange *exchange, struct parcel *parcel);

enum exchange_result {
    EXCHANGE_PARCEL,
    EXCHANGE_EMPTY,
    EXCHANGE_BROKEN,  /* a message that is none: it is gone, its descriptors closed */
    EXCHANGE_NO_ROOM, /* no descriptor is free, the message stays: errno */
};

/* Takes one message without waiting for one. `bytes` has room for PARCEL_BYTES_MAX. */
enum exchange_result exchange_receive(const struct exchange *exchange, struct parcel *parcel,
                                      char *bytes);

/* Nothing waits in it now. */
bool exchange_is_empty(const struct exchange *exchange);

/* ready_ns of the first one that waits in it; 0: there is none. */
uint64_t exchange_since(const struct exchange *exchange);

/* How many wait in it: about, while a worker sends or takes. */
unsigned exchange_waiting(const struct exchange *exchange);

/* Whether another worker than the one of that number has a seat. */
bool exchange_has_others(const struct exchange *exchange, uint32_t number);

/*
 * How many workers but our own have waited since the last call with this array, which is brought up
 * to date. All zero at first.
 */
uint32_t exchange_idle(const struct exchange *exchange, uint32_t number,
                       unsigned pulses[EXCHANGE_SEATS]);

/* How many workers but our own wait right now. */
uint32_t exchange_resting(const struct exchange *exchange, uint32_t number);

/* The least load of the workers but our own; EXCHANGE_STUCK when there are no others. */
uint32_t exchange_least_load(const struct exchange *exchange, uint32_t number);

/* The worker of that number takes a free seat; one that another worker has if none is free. Returns
 * the seat's pulse. */
atomic_uint *exchange_sit(const struct exchange *exchange, uint32_t number, unsigned pulse);

/* It sits there no longer. Does nothing if another has taken its seat. */
void exchange_leave(const struct exchange *exchange, uint32_t number);

/* For a worker that sits there. */
void exchange_set_load(const struct exchange *exchange, uint32_t number, uint32_t load);

#endif
