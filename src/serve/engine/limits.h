#ifndef SERVE_ENGINE_LIMITS_H
#define SERVE_ENGINE_LIMITS_H

/* Every bound of the engine that is not a setting, with its unit. */
enum {
    INPUT_SIZE = 8 * 1024,             /* bytes of a request's first input buffer */
    INPUT_MAX = 256 * 1024 * 1024,     /* bytes of a head when the settings give no limit */
    READ_TURN = 1024 * 1024,           /* bytes of one client before the others have their turn */
    READ_LEAST = 64 * 1024,            /* that each read counts for, as it costs a call */
    SEND_TURN = 1024 * 1024,           /* the same for bytes that are sent */
    WASTE_SIZE = 16 * 1024,            /* bytes that are thrown away at once, from the stack */
    OUTPUT_SIZE = 4 * 1024,            /* bytes of a response's first head buffer */
    BODY_MEMORY_MAX = 1024 * 1024,     /* bytes of a request body kept in memory */
    BODY_STEP = 64 * 1024,             /* bytes by which a body's memory grows at first */
    BODY_LEAST = 16 * 1024,            /* the least of them, when the budget is short */
    READ_AHEAD = 64 * 1024,            /* of a body that streams to an application, at most */
    BODY_SPILLED = 128 * 1024,         /* bytes in memory of a body that is in a file */
    OUT_MEMORY_MAX = 2 * 1024 * 1024,  /* bytes a connection keeps in memory for a slow reader */
    OUT_SPOOL_FILE = 64 * 1024 * 1024, /* bytes after which a file gives way to the next */
    OUT_HIGH = 64 * 1024,              /* of an answer that wait for the client: an application
                                          that answers later is to stop there, */
    OUT_LOW = 16 * 1024,               /* until it has only so many to take */
    OUT_COPY_MAX = 16 * 1024,          /* smaller parts are copied, larger ones are referenced */
    SEND_ATTACHED_MAX = 256 * 1024, /* bytes of a file sent without letting others run meanwhile */
    SPOOL_ATTACHED_MAX = 1024 * 1024, /* the same for bytes that are written to one */
    STREAM_FAST_MS = 10,         /* in which a client shows that it takes a stream as it is made */
    PARK_LOOK_MS = 100,          /* until a client that the budget had no room for is tried again */
    PROXY_LOOK_MS = 100,         /* until a PROXY header that came in pieces is looked at again */
    PARK_MAX_MS = 30 * 1000,     /* for how long it waits, in all, until it is refused */
    TRIM_LOOK_MS = 5 * 1000,     /* after a peak of memory, between two looks whether it is over */
    UNSENT_MAX = 16,             /* answers that wait for others to leave with them */
    REQUEST_POOL = 128,          /* idle request objects kept for reuse */
    FIELDS_KEPT = 8 * 1024,      /* bytes of the table of header fields of one that is kept */
    ACCEPT_BATCH = 64,           /* connections accepted for each event of a listener */
    ACCEPT_BATCH_SHARED = 8,     /* the same beside other workers, all of them busy */
    BODY_TIMEOUT_MS = 60 * 1000, /* without a byte of a body */
    BODY_WINDOW_MS = 5 * 1000,   /* over which the rate of a body is measured */
    BODY_RATE = 500,             /* bytes a second of a body, where a client that is slower costs
                                    more than its connection, with any settings */
    DISK_STEP = 16 * 1024 * 1024, /* bytes of a body after which the disk's room is looked at */
    BODY_DISK_SHARE = 2,          /* one part of so many of client_disk is a body's, at most */
    DISK_SHARE = 20,              /* one part of so many of a disk is left free for others, */
    LINGER_IDLE_MS = 2 * 1000,    /* without a byte after we are done (RFC 9112 §9.6) */
    LINGER_TOTAL_MS = 30 * 1000,
    NOTES_MAX = 1000,             /* lines for the error log that wait for an attached thread */
    REFUSED_KEPT_MAX = 4 << 20,   /* bytes of refused requests whose lines wait for one, too */
    NOTE_PAUSE_MS = 10 * 1000,    /* between two lines about a repeated event */
    SILENT_MS = 1000,             /* without progress, after which a connection may make room */
    PACE_BYTES = 1024,            /* of a request or an answer that count as progress */
    ROOM_LEAD_MS = 5 * 1000,      /* an idle connection makes room before a slow one, unless that
                                     is behind it by so much */
    ROOM_TRIES = 8,               /* connections that are looked at to find one that makes room */
    ACCEPT_PAUSE_MS = 100,        /* after EMFILE and the like */
    DRAIN_IDLE_MS = 2 * 1000,     /* a retiring worker waits for clients that have to send */
    DRAIN_SHARE = 2,              /* one part of so many of graceful_timeout is for requests that
                                     are not whole yet, while their clients keep pace */
    STOP_SHARE = 5,               /* one part of so many of it is for the end of the worker, */
    STOP_MARGIN_MS = 3 * 1000,    /* but no more than this */
    STANDBY_TICK_MS = 4,          /* how long the engine may stand still while requests run */
    STANDBY_SLEEP_MS = 1000,      /* longest sleep beside a foreign loop with requests */
    STANDBY_REST_TICKS = 50,      /* quiet ticks after which the stand-by sleeps */
    LOOK_ROUND_MS = 25,           /* until a stuck worker looks again whether it has got company */
    TAKE_WAIT_MS = 20,            /* for another worker to take its message from the exchange */
    LONE_WAIT_MS = 1000,          /* after which a request is safer outside its only worker */
    DEADLINE_AGAIN_MS = 50,       /* until an application that did not react is informed again */
    DEADLINE_MAX_S = 315360000,   /* the most by which a request's is moved */
    STANDBY_STACK = 256 * 1024,   /* bytes: handshakes and their signatures, too */
    ALARM_FAR_MS = 86400 * 1000,  /* an alarm that is set for its descriptor's sake */
    CLOCK_LAG_MS = 10,            /* by which the coarse clock is behind the timers, as a rule */
    SLOW_REQUEST_NS = 500 * 1000, /* a request that takes longer makes followers lead at once */
};

/* Of a WebSocket. */
enum {
    DUPLEX_READ_AHEAD = 64 * 1024,   /* bytes of messages that wait for the application, after
                                        which the connection is not read */
    DUPLEX_READ_SIZE = 32 * 1024,    /* bytes that are read at once, on the stack */
    DUPLEX_QUEUED = 64 * 1024,       /* bytes that wait for the client, after which the application
                                        waits */
    DUPLEX_READ_TURN = 64 * 1024,    /* bytes of one client before the others have their turn: small
                                        frames cost much more than their bytes */
    DUPLEX_MESSAGE_MAX = 1 << 30,    /* bytes of a message when the settings give no limit */
    DUPLEX_CLOSE_MS = 5 * 1000,      /* for the client's half of the close handshake */
    DUPLEX_DEFLATE_LEAST = 64,       /* bytes of a message that is compressed */
    DUPLEX_DEFLATE_ROOM = 16 * 1024, /* bytes of a compressed fragment: on the stack */
    WEBSOCKET_STOP_EVERY_US = 20,    /* between the ends of two of them when the server stops */
    WEBSOCKET_DRAIN_EVERY_US = 10 * 1000, /* the same when other workers take their clients, or */
    WEBSOCKET_DRAIN_SHARE = 10, /* less: all end in one part of so many of graceful_timeout */
};

/* Microseconds by which X-Request-Start may lie back: more means a wrong clock. */
#define FRONT_MAX_US ((int64_t)3600 * 1000000)

/* Bytes of a disk that are left free, at most. */
#define DISK_RESERVE_MAX ((uint64_t)1 << 30)

/* Bytes of a body when the settings give no limit. */
#define BODY_SIZE_MAX ((uint64_t)64 << 30)

/* Bytes of a response that are kept in files. */
#define OUT_SPOOL_MAX ((uint64_t)1 << 30)

#endif
