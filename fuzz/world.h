#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "serve/engine/engine.h"

/*
 * One connection through the whole engine, over a socket pair: a client that sends in pieces,
 * pauses, reads late or not at all, closes half or all, and an application that answers in the
 * ways that the request's path names. One thread and no stand-by: each input runs the same twice.
 *
 * The input's first byte chooses the settings, then come actions: a byte whose low three bits are
 * the kind and whose others are its argument; a piece to send is a length byte and its bytes.
 *
 *   world.c           the engine, and what the client does
 *   world_app.c       the application
 *   world_answers.c   what the client got, checked against what the application gave
 */

enum {
    ANSWERS_MAX = 4096,
    OUTPUT_MAX = 64 * 1024 * 1024,
    BLOCK_SIZE = 64 * 1024, /* an item of a large answer */
};

enum { /* of the first byte; the upper three bits are the target's own */
       SETTING_SMALL_LIMITS = 1,
       SETTING_NO_KEEPALIVE = 2,
       SETTING_POLL = 4,
       SETTING_SMALL_SOCKET = 8,
       SETTING_LEAD = 16, /* requests are run by a thread that keeps the lead */
};

/* What the application did with a request, for whoever reads the answer. */
struct answer {
    bool head, given_up;
    uint16_t status;
    uint64_t body;  /* bytes that the client must get, unless the answer was cut */
    bool checked;   /* `body` is known */
    int32_t stream; /* of HTTP/2 */
    const struct request *request;
};

/* How a client's bytes travel, and the protocol that they are of. None of it waits. */
struct wire {
    /* As send() and recv(). `kind`, 0 to 2, is a way to send that the input chose. */
    ssize_t (*send)(int fd, unsigned kind, const void *data, size_t n);
    ssize_t (*recv)(int fd, void *data, size_t n);
    /* Says that nothing more comes. */
    void (*end)(int fd);
    const struct protocol *protocol; /* NULL: HTTP/1 */
    bool streams;                    /* of which a refusal concerns one */
    unsigned proxy_versions;         /* of PROXY headers that may come first */
    void (*check)(void);             /* of the answers; NULL: answers_check() */
};

/* A socket as it is. */
ssize_t plain_send(int fd, unsigned kind, const void *data, size_t n);
ssize_t plain_recv(int fd, void *data, size_t n);
void plain_end(int fd);

struct world {
    const struct wire *wire;
    struct engine *engine;
    unsigned turns; /* of the loop */
    int client;     /* -1 when closed */
    bool half_closed;
    bool may_be_cut; /* somebody gave up: an answer may end anywhere */
    bool said_end;   /* the client was told that all is complete */
    struct answer answers[ANSWERS_MAX];
    size_t answer_count;
    uint32_t invalid;        /* refusals that were noted */
    long refs;               /* given to the engine and not released */
    struct request *put_off; /* answered half, goes on later */
    char *output;
    size_t output_size;
};

extern struct world world;

/* What must hold, whatever the input. */
#define require(condition) ((condition) ? (void)0 : world_fail(#condition, __FILE__, __LINE__))

_Noreturn void world_fail(const char *condition, const char *file, int line);

/* Once for all inputs. */
void world_init(void);
/* One input; `tls` is borrowed, NULL: plain. */
void world_run(const struct wire *wire, struct tls_context *tls, const uint8_t *input, size_t size);
/* The client says that nothing more comes. */
void world_end_input(void);

void app_init(void);
/* Answers in the way that the path names. */
void app_run(struct request *request);
void app_finish_put_off(void);

void answers_check(void);

#endif
