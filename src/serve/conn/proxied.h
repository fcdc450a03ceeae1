#ifndef SERVE_CONN_PROXIED_H
#define SERVE_CONN_PROXIED_H

#include "base/str.h"
#include "net/socket.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct engine;
struct trust;

/* The texts of a PROXY header; each has at most PROXY_TEXT_MAX bytes, and none when not sent. */
enum proxied_text {
    PROXIED_CLIENT_PATH, /* for the family UNIX */
    PROXIED_SERVER,      /* its address or path: written once, for all requests */
    PROXIED_SERVER_PORT, /* not for the family UNIX */
    PROXIED_AUTHORITY,
    PROXIED_UNIQUE_ID,
    PROXIED_TLS_VERSION,
    PROXIED_TLS_CIPHER,
    PROXIED_TLS_NAME, /* of the client's certificate: its common name */
    PROXIED_TEXTS,
};

/*
 * A connection's PROXY header, in one block without pointers, which goes along when a request is
 * handed to another worker. conn->peer is the client, too, unless a gateway names another one.
 */
struct proxied {
    uint32_t size;     /* of the block, the texts included */
    struct peer proxy; /* the peer that has sent the header: forwarded_allow_ips is about it */
    struct peer client;
    struct peer server;
    char protocol[8]; /* TCP4, TCP6, UDP4, UDP6 or UNIX, with NUL */
    bool tls;         /* the client uses TLS to the proxy */
    bool certificate, verified;
    uint8_t lengths[PROXIED_TEXTS];
    char texts[]; /* one behind the other */
};

struct str proxied_text(const struct proxied *proxied, enum proxied_text which);

/* Whether `size` bytes that another worker has sent are such a block. */
bool proxied_valid(const void *block, size_t size);

enum proxied_result {
    PROXIED_READ,      /* the header, if there is one, has been read; conn->proxied is set by it */
    PROXIED_WAITS,     /* there is nothing to read */
    PROXIED_PARTIAL,   /* the rest of it is still to come; its bytes stand in the socket */
    PROXIED_GONE,      /* the client has closed, or is broken */
    PROXIED_FORBIDDEN, /* the peer is not in proxy_allow_ips */
    PROXIED_MALFORMED, /* *why says how */
    PROXIED_NO_MEMORY,
};

/*
 * Reads the PROXY header of a new connection, and no byte that follows it. conn->proxied (owned,
 * charged to the budget) and conn->peer are set if it names a client. Leader only.
 */
enum proxied_result proxied_read(struct engine *engine, struct conn *conn, const char **why);

/* Whether the client sends nothing behind the bytes that stand in the socket. A loop that does not
 * remember edges is not asked while they are there. */
bool proxied_has_ended(const struct conn *conn);

/* Makes a block, which proxied_valid() has accepted, the connection's. False: no memory. */
bool proxied_adopt(struct engine *engine, struct conn *conn, const void *block);

void proxied_free(struct engine *engine, struct conn *conn);

/* Whether the other end, behind what a PROXY header says, is one of `trust`. */
bool proxied_is_from(const struct conn *conn, const struct trust *trust);

/* Whether the client's bytes were encrypted, here or by the sender of a PROXY header. */
bool proxied_is_https(const struct conn *conn);

#endif
