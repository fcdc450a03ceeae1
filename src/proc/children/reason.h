#ifndef PROC_CHILDREN_REASON_H
#define PROC_CHILDREN_REASON_H

/*
 * Why a worker is to be replaced, or has died. The first group is the master's or the worker's own
 * wish, the second befalls it. Figures are counted by these, under reason_name().
 */
enum reason {
    REASON_NONE,
    REASON_MAX_REQUESTS,
    REASON_MAX_LIFETIME,
    REASON_MAX_RSS,
    REASON_MAX_RSS_HARD,
    REASON_TIMEOUT,         /* silent for longer than `timeout` */
    REASON_REQUEST_TIMEOUT, /* a request went on after `request_timeout_grace` */
    REASON_BOOT_TIMEOUT,    /* not ready in time */
    REASON_RELOAD,          /* of an older configuration */
    REASON_SCALE,           /* fewer workers are wanted */
    REASON_DRAIN,           /* an operator wanted it replaced */
    REASON_STOP,            /* by a signal to the master */

    REASON_OUT_OF_MEMORY, /* killed by the kernel */
    REASON_SIGNAL,        /* crashed, or killed by another process */
    REASON_BOOT_FAILED,   /* ended before it was ready */
    REASON_FAILED,        /* ended with an exit status that is not 0 */
    REASON_EXITED,        /* ended by itself, without a word why */
    REASON_COUNT
};

/* In lower case, with underscores: "max_requests". */
const char *reason_name(enum reason reason);

#endif
