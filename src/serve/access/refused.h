#ifndef SERVE_ACCESS_REFUSED_H
#define SERVE_ACCESS_REFUSED_H

#include "net/socket.h"
#include "proto/http1/parse.h"

struct engine;
struct request;

/*
 * A request that the engine answered itself, or that got no answer, has its line in the access log,
 * too: at once where the engine writes that log. Where the application does, all that the line may
 * mention is copied and waits for an attached thread.
 */
struct refused {
    struct refused *next;
    size_t kept;       /* bytes of this copy */
    uint32_t listener; /* its number */
    uint32_t number;   /* of the request among those of its connection, from 1 */
    uint16_t status;
    uint64_t sent; /* bytes of the answer's body */
    struct peer peer;
    struct head head; /* incomplete where the request was; it owns nothing */
    char *input;      /* the bytes of the head's slices */
};

/* The request's status is in its response. Any thread that owns the request. */
void refused_log(struct engine *engine, const struct request *request);

/* Has the application write the lines that wait. Attached. */
void refused_collect(struct engine *engine);

#endif
