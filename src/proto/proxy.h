#ifndef PROTO_PROXY_H
#define PROTO_PROXY_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The header that a proxy sends before all other bytes of a connection, to name the client whose
 * connection it forwards: HAProxy's PROXY protocol, version 1 (a line) and 2 (binary).
 */

/* The versions that are accepted, as bits. */
enum proxy_version {
    PROXY_V1 = 1,
    PROXY_V2 = 2,
};

/* A longer header is refused. The specification bounds version 1; version 2 may carry certificates.
 */
#define PROXY_V1_MAX 107
#define PROXY_V2_MAX 16384

/* The longest name, version or cipher. */
#define PROXY_TEXT_MAX 255

/* The longest value of PP2_TYPE_UNIQUE_ID, by the specification. */
#define PROXY_UNIQUE_ID_MAX 128

enum proxy_result {
    PROXY_OK,      /* a whole header: proxy->size bytes are consumed */
    PROXY_PARTIAL, /* every byte so far may begin a header: call again with more */
    PROXY_ABSENT,  /* the first bytes begin no header of an accepted version; none is consumed */
    PROXY_ERROR,   /* proxy->error says why; nothing that follows may be read */
};

/* Why a header was refused: see proxy_error_text(). */
enum proxy_error {
    PROXY_NO_ERROR,
    PROXY_LINE_TOO_LONG,
    PROXY_BAD_LINE_END, /* CR or LF alone */
    PROXY_BAD_PROTOCOL, /* neither TCP4 nor TCP6 nor UNKNOWN */
    PROXY_BAD_FIELDS,   /* not four fields with one space between them */
    PROXY_BAD_ADDRESS,
    PROXY_BAD_PORT,
    PROXY_BAD_VERSION,
    PROXY_BAD_COMMAND,
    PROXY_BAD_FAMILY,
    PROXY_BAD_TRANSPORT,
    PROXY_TOO_LONG,
    PROXY_NO_ADDRESS, /* the block is shorter than the addresses of its family */
    PROXY_BAD_PATH,   /* of a Unix socket: with a control character */
    PROXY_BAD_TLV,    /* one is longer than its container, or its value is malformed */
    PROXY_REPEATED_TLV,
    PROXY_BAD_CRC,
    PROXY_ERROR_COUNT
};

enum proxy_family {
    PROXY_NOBODY, /* UNKNOWN, LOCAL, UNSPEC: the addresses of the connection itself count */
    PROXY_INET,
    PROXY_INET6,
    PROXY_UNIX,
};

struct proxy_end {
    uint8_t address[16]; /* 4 or 16 bytes in network order, by the family */
    uint16_t port;       /* in host order */
    struct str path;     /* PROXY_UNIX: without the NUL bytes behind it; "" for an abstract name */
};

/* PP2_TYPE_SSL: how the client reached the proxy. */
struct proxy_tls {
    bool there;         /* the header says so, and that it was TLS */
    bool certificate;   /* the client gave one, on this connection or in its session */
    bool verified;      /* and the proxy found it valid */
    struct str version; /* "TLSv1.3" */
    struct str cipher;
    struct str common_name; /* of the client's certificate, in UTF-8 */
};

/* All slices point into the bytes that proxy_parse() was given; empty ones were not sent. */
struct proxy {
    size_t size;
    enum proxy_version version;
    enum proxy_family family;
    const char *protocol; /* TCP4, TCP6, UDP4, UDP6, UNIX, UNKNOWN, LOCAL or UNSPEC */
    struct proxy_end client, server;
    struct str authority; /* PP2_TYPE_AUTHORITY: the name that the client asked for (SNI) */
    struct str unique_id; /* PP2_TYPE_UNIQUE_ID: any bytes */
    struct proxy_tls tls;
    enum proxy_error error;
};

/*
 * Parses the header at the beginning of a connection, of which `size` bytes are there. `versions`:
 * bits of enum proxy_version. Each call begins anew and writes all of *proxy, so that a caller
 * whose header is incomplete keeps nothing but the bytes. The work of a call is bounded by
 * PROXY_V1_MAX until a header of version 2 is whole.
 */
enum proxy_result proxy_parse(struct proxy *proxy, const char *data, size_t size,
                              unsigned versions);

/* The words for proxy->error; without bytes of the peer. The status of the answer is 400. */
const char *proxy_error_text(const struct proxy *proxy);

#endif
