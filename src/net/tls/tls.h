#ifndef NET_TLS_TLS_H
#define NET_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * TLS by OpenSSL, server side. The library is not linked: its functions are looked up in one that
 * the process has loaded. A context comes from the library whose functions use it: from Python's
 * ssl module, or from tls_make().
 *
 *   tls_context   an SSL_CTX with the options of a listener; counted
 *   tls           one connection; its functions may be called by two threads at a time
 */

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

struct tls_context;
struct tls;

/*
 * Looks the functions up, once for all. `handle` (of dlopen(); NULL: the program's own) is searched
 * with all that it depends on. `version` is OpenSSL's number (0x300000f0), 0 for any. false:
 * `error` has a line that says why. Not thread-safe.
 */
bool tls_load(void *handle, unsigned long version, char *error, size_t size);

/* The SSL_OP_ bits of a context; its SSL_VERIFY_ bits. */
uint64_t tls_options(const struct ssl_ctx_st *ssl_ctx);
int tls_verify_mode(const struct ssl_ctx_st *ssl_ctx);

/* Of which a context is made. */
struct tls_recipe {
    const struct tls_command {
        const char *name, *value;
    } *commands; /* those of SSL_CONF_cmd(3) for files, and those of tls_make.c */
    size_t command_count;
    uint64_t options;           /* SSL_OP_, all of them */
    unsigned long verify_flags; /* X509_V_FLAG_, all of them */
    const char *protocols;      /* for ALPN, each with its length before it (RFC 7301 §3.1) */
    size_t protocols_size;
};

enum { TLS_PROTOCOLS_MAX = 255 }; /* bytes of tls_recipe.protocols */

/* A context of our own, server side. NULL: `error` has a line that says why. */
struct tls_made *tls_make(const struct tls_recipe *recipe, char *error, size_t size);
struct ssl_ctx_st *tls_made_context(const struct tls_made *made);
/* No handshake begins with it any more; connections that have made theirs go on. */
void tls_unmake(struct tls_made *made);

/*
 * The application's part in a handshake: it chooses the certificate by the server's name that the
 * client wants, and finds the key that the client shares with us (RFC 4279).
 */
struct tls_names {
    /*
     * May this thread run the application's code? Else the handshake waits for one that may: a
     * leader is a thread of the host, attached or not, or the stand-by. NULL: always.
     */
    bool (*can_ask)(void *app);
    /* Returns 0 to go on, or the number of the alert that ends the handshake (RFC 8446 §6).
     * `name` is NULL when the client gave none. May call tls_set_context(). NULL: no question. */
    int (*ask)(void *app, struct tls *tls, const char *name);
    /* Returns the bytes of the key for an identity, at most `size`, 0 for none. NULL: the
     * context's own callback, if it has one, which has to do without Python's ssl. */
    unsigned (*find_key)(void *app, const char *identity, unsigned char *key, unsigned size);
};

struct tls_context_options {
    const struct tls_names *names; /* borrowed for ever; NULL: the context's certificate for all */
    void *app;                     /* for names */
    void *ref;                     /* keeps the context alive: tls_context_ref() */
    bool ktls;                     /* let the kernel encrypt, where it can */
};

/*
 * Takes a count of ssl_ctx. Its callbacks that expect the SSL objects of Python's ssl module
 * (server name, key log, messages) are taken out of it. NULL: no memory. Begins with one use.
 */
struct tls_context *tls_context_create(struct ssl_ctx_st *ssl_ctx,
                                       const struct tls_context_options *options);
void *tls_context_ref(const struct tls_context *context);
void tls_context_use(struct tls_context *context);
/* True when that was the last use: then the caller releases the ref and destroys it. */
bool tls_context_drop(struct tls_context *context);
void tls_context_destroy(struct tls_context *context);
/* For that caller: the next one that waits to be destroyed. */
struct tls_context **tls_context_next(struct tls_context *context);

/*
 * Session tickets are readable by every process whose context has the same keys; a context that is
 * given none makes its own. tls_ticket_keys_size() bytes, as random as keys are. 0, or -1 when
 * OpenSSL refuses them.
 */
size_t tls_ticket_keys_size(struct ssl_ctx_st *ssl_ctx);
int tls_set_ticket_keys(struct ssl_ctx_st *ssl_ctx, const void *keys, size_t size);

/* For a handshake's names->ask(): the certificate and keys are those of another context, of which a
 * count is taken. 0 or -1. */
int tls_set_context(struct tls *tls, struct ssl_ctx_st *ssl_ctx);

/* One connection on a socket that stays the caller's. Takes over one use of the context, on
 * success. NULL with errno. */
struct tls *tls_accept(struct tls_context *context, int fd);

/* The context of its handshake, borrowed. */
const struct tls_context *tls_context_of(const struct tls *tls);
/* Gives the context back, for the caller to drop. */
struct tls_context *tls_free(struct tls *tls);

enum tls_handshake {
    TLS_DONE,
    TLS_WAITS,      /* for the socket: tls_recv_waits(); or it has paused: tls_paused() */
    TLS_WANTS_NAME, /* for a thread that may run the application's code */
    TLS_PLAIN_HTTP, /* the bytes are no TLS, but look like HTTP */
    TLS_FAILED,     /* tls_error() says why */
    TLS_GONE,       /* the client has closed or reset */
};

/* Goes as far as it can. Not after it was TLS_DONE. */
enum tls_handshake tls_handshake(struct tls *tls);
const char *tls_error(const struct tls *tls);

/* Whether this thread may go on with a connection that wants its name. */
bool tls_can_ask(const struct tls *tls);

/*
 * As recv() and sendmsg() on a non-blocking socket: -1 with errno EAGAIN, ECONNRESET …, and 0 when
 * the client has said that nothing more comes, or has closed without saying so.
 *
 * tls_recv() gives less than `size` only when the socket is empty too, at the client's end, or when
 * it has paused.
 * tls_send() may give *more* than was offered: bytes that a call had begun to send before EAGAIN
 * must be offered again, and count when all of them have left. `more`: further bytes follow at
 * once, the last packet may wait for them.
 */
ssize_t tls_recv(struct tls *tls, void *data, size_t size);
ssize_t tls_send(struct tls *tls, const struct iovec *parts, int count, bool more);

/* The same with bytes of a file from *offset on; 0 at its end. Does not change *offset. */
ssize_t tls_sendfile(struct tls *tls, int file, off_t offset, size_t size);

/*
 * Sends bytes that are not counted nor offered again: those that the socket does not take go before
 * the next bytes. 0, or -1 with errno.
 */
int tls_send_aside(struct tls *tls, const void *data, size_t size);

/* After EAGAIN of a handshake or of tls_recv(), of tls_send(): POLLIN or POLLOUT (poll.h). */
short tls_recv_waits(const struct tls *tls);
short tls_send_waits(const struct tls *tls);

/* Bytes may be buffered for which the socket raises no event. */
bool tls_has_unread(struct tls *tls);

/* After tls_handshake() or tls_recv(): it has stopped for the sake of other clients, after so many
 * records. More may be buffered for which the socket raises no event.
 */
bool tls_paused(const struct tls *tls);

/* Nothing more comes: the client has said so, or TLS has failed. */
bool tls_ended(const struct tls *tls);

/* Says once that we send nothing more, if that can be said without waiting. */
void tls_shutdown(struct tls *tls);

/*
 * The parameters of the session. Any thread. Texts are OpenSSL's constants, NULL where there is
 * none.
 */

struct tls_cipher {
    const char *name;    /* OpenSSL's: "TLS_AES_256_GCM_SHA384" */
    const char *version; /* the first that has it: "TLSv1.3" */
    int bits;
};

const char *tls_version(struct tls *tls); /* "TLSv1.3" */
struct tls_cipher tls_cipher(struct tls *tls);
bool tls_resumed(struct tls *tls);

/* The name that the client asked for (SNI), or NULL: as long as the connection lives. */
const char *tls_server_name(struct tls *tls);

/* The protocol of ALPN, not terminated; NULL without one. */
const char *tls_protocol(struct tls *tls, size_t *size);

/* Cipher `index` of those that both sides know; false after the last one. */
bool tls_shared_cipher(struct tls *tls, unsigned index, struct tls_cipher *out);

/* Bytes of data that tls_recv() gives without OpenSSL looking at another record. */
int tls_pending(struct tls *tls);

enum { TLS_BINDING_MAX = 64, TLS_SESSION_ID_MAX = 32 };

/* "tls-unique" (RFC 5929 §3): its size, 0 for none. */
size_t tls_binding(struct tls *tls, char out[TLS_BINDING_MAX]);

struct tls_session {
    char id[TLS_SESSION_ID_MAX];
    size_t id_size;
    long time, timeout;          /* when it began; for how many seconds it is good */
    unsigned long lifetime_hint; /* of its ticket, in seconds */
    bool has_ticket;
};

struct tls_session tls_session(struct tls *tls);

/*
 * Certificate `index` of those that the client sent, its own being 0, as DER: 1, 0 when there is
 * none, -1 when there is no memory. *der is the caller's: mem_free().
 */
int tls_peer_certificate(struct tls *tls, unsigned index, char **der, size_t *size);

/* The same of the chain by which the client's certificate was verified. */
int tls_verified_certificate(struct tls *tls, unsigned index, char **der, size_t *size);

#endif
