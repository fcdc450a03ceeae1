#ifndef PROC_PORT_PORT_H
#define PROC_PORT_PORT_H

#include "base/writer.h"
#include "proc/loop/pollable.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A small server in the master's loop: it accepts, reads, sends and closes; the protocol on top of
 * it is a table of functions. It answers while every worker hangs, and no client keeps the master
 * from its work: few connections, little time for each, bounded input and output.
 *
 *            accept      a whole request     port_answer()      all is sent
 *   (free) ---------> READ -------------> WAIT ----------> SEND ----------> END ---> (free)
 *                      ^  port_wait()                       |
 *                      +------------------------------------+
 *                               protocol->lasts
 *
 * WAIT is left out when the answer is there at once. Any of them is closed when its time is over,
 * or when a new client needs the place. At END the client closes first, so that nothing which it
 * still sends turns the answer into a reset.
 */

enum {
    PORT_CLIENTS = 16,
    PORT_PAUSE_MS = 100,            /* when no client can be accepted: no descriptor, no memory */
    PORT_LOG_MS = 10 * 1000,        /* between two lines of the log about that */
    PORT_ANSWER = 16 * 1024 * 1024, /* bytes of an answer: thousands of workers */
};

enum port_state { PORT_READ, PORT_WAIT, PORT_SEND, PORT_END };

struct port_client;

struct port_protocol {
    size_t input_max; /* bytes that a client may have sent and that are not consumed */
    int64_t limit_ms; /* for a request and its answer */
    bool lasts;       /* a client may ask again after an answer */
    /*
     * More input has come, or an answer has left and there is still some. Consumes a whole request
     * by port_consume() and calls port_answer(), port_wait() or port_end(); does nothing when it
     * takes more bytes. Beyond input_max the client is dropped. Returns 0, or a negative value to
     * leave the loop.
     */
    int (*received)(struct port_client *client, int64_t now);
    /* The client is dropped while it waits for its answer. May be NULL. */
    void (*gone)(struct port_client *client);
    /* The system refuses a resource for a client. */
    void (*failed)(void *ctx, int error);
};

struct port {
    struct pollable listener;
    struct pollables *pollables;
    const struct port_protocol *protocol;
    void *ctx;
    int fd;        /* borrowed, the listener; -1: there is none */
    bool own_user; /* for processes of our own user and of root alone, by SO_PEERCRED */
    bool paused;   /* another process answers at the listener */
    int64_t log_at;
    struct port_client *clients[PORT_CLIENTS]; /* NULL: free */
};

struct port_client {
    struct pollable pollable;
    struct port *port;
    enum port_state state;
    bool ends; /* after this answer, although the protocol lasts */
    struct writer answer;
    size_t sent;
    void *data; /* the protocol's */
    size_t size;
    char input[]; /* protocol->input_max */
};

void port_init(struct port *port, struct pollables *pollables, const struct port_protocol *protocol,
               void *ctx);

/* Drops the clients; the descriptor stays its owner's. */
void port_close(struct port *port);

/* Accepts at this descriptor, which is non-blocking, or at none (-1). */
void port_listen(struct port *port, int fd);
void port_pause(struct port *port, bool paused);
bool port_has_clients(const struct port *port);

/* `n` bytes of the input were understood. */
void port_consume(struct port_client *client, size_t n);

/* client->answer is complete. */
void port_answer(struct port_client *client, int64_t now);

/* The same, and it is the last answer: the client is closed. */
void port_end(struct port_client *client, int64_t now);

/* As port_answer(), outside of received(): the answer was waited for. */
int port_answer_late(struct port_client *client, int64_t now);

/* The answer comes within `ms`. */
void port_wait(struct port_client *client, int64_t now, int64_t ms);

#endif
