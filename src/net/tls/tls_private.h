#ifndef NET_TLS_TLS_PRIVATE_H
#define NET_TLS_TLS_PRIVATE_H

#include "net/tls/openssl.h"
#include "net/tls/tls.h"

#include <pthread.h>
#include <stdatomic.h>

/* For the files of net/tls alone. */

enum {
    TLS_RECORD_MAX = 16 * 1024,         /* bytes of data in any record (RFC 8446 §5.1) */
    TLS_FILE_READ = 2 * TLS_RECORD_MAX, /* bytes of a file that are read at a time */

    /* The work that one client may cause in one call, before other clients have their turn. */
    TLS_RECORDS_TURN = 128,  /* records of data */
    TLS_HANDSHAKE_READS = 4, /* times that a handshake fills its buffer of a record */

    /* Key updates, alerts and refused renegotiations: each costs as much as several records. A
     * client may begin with TLS_CREDIT / TLS_EVENT_COST events; each record of data earns 1. */
    TLS_CREDIT = 1024,
    TLS_EVENT_COST = 16, /* a key update is two events, three when it asks for ours */
};

/* The OpenSSL of the process, found by tls_load(). */
struct tls_process {
    bool loaded;
    bool kernel_tls;
    int connection_key; /* ex_data of an SSL: its struct tls */
    BIO_METHOD *bio;
};

extern struct tls_process tls_process;

struct tls_context {
    SSL_CTX *ssl_ctx; /* a count of its own */
    struct tls_context_options options;
    atomic_uint uses;
    struct tls_context *next; /* see tls_context_next() */
};

struct tls {
    SSL *ssl;
    BIO *bio;                    /* owned by ssl */
    struct tls_context *context; /* one use */
    const char *error;           /* why it failed; constant */
    int fd;
    int socket_errno;         /* of the last call that failed for good, or 0 */
    unsigned char first_byte; /* of all that was received */
    bool asked;               /* the application was asked for a certificate */
    bool ready;               /* the handshake is done */
    bool broken;              /* nothing can be said any more */
    bool ended;               /* by the client, with close_notify or without */
    bool shut;                /* our close_notify was sent */
    bool drained;             /* the socket gave less than was asked for */
    bool eof;                 /* it gave its end */
    bool more;                /* another record follows the one that is being sent */
    bool kernel_may;          /* take over */
    bool kernel_sends;        /* it encrypts the bytes written to the socket */
    bool paused;              /* the last call stopped for the sake of others: tls_paused() */
    int reads;                /* that the handshake has left in this call */
    int credit;               /* below 0: the client asks for too much */
    atomic_bool recv_wants_write, send_wants_read;
    size_t record_max;    /* bytes of data in a record that the client takes */
    size_t unsent;        /* bytes of a record that has not left whole */
    size_t owed;          /* how many of them the caller offers again */
    pthread_mutex_t lock; /* not in the handshake, which only the engine's leader sees */
};

/* tls_bio.c: the BIO that OpenSSL reads from and writes to. NULL: no memory. */
BIO_METHOD *tls_bio_method(void);
BIO *tls_bio_create(struct tls *tls);

/* tls_context.c: replaces the callbacks of Python's ssl module, which would take our connections
 * for its own. */
void tls_context_hook(SSL_CTX *ssl_ctx);

#endif
