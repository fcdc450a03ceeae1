#include "net/tls/tls_private.h"

#include "base/mem.h"
#include "net/socket.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static bool set_up(struct tls *tls, SSL_CTX *ssl_ctx)
{
    uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF;
    tls->ssl = openssl.SSL_new(ssl_ctx);
    if (!tls->ssl || !openssl.SSL_set_ex_data(tls->ssl, tls_process.connection_key, tls))
        return false;
    tls->bio = tls_bio_create(tls);
    if (!tls->bio)
        return false;
    openssl.SSL_set_bio(tls->ssl, tls->bio, tls->bio);
    openssl.SSL_set_options(tls->ssl, options | (tls->kernel_may ? SSL_OP_ENABLE_KTLS : 0));
    openssl.SSL_ctrl(tls->ssl, SSL_CTRL_MODE,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                         SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY,
                     NULL);
    openssl.SSL_set_read_ahead(tls->ssl, 1);
    openssl.SSL_set_accept_state(tls->ssl);
    return true;
}

struct tls *tls_accept(struct tls_context *context, int fd)
{
    struct tls *tls = mem_alloc(sizeof(*tls));
    if (!tls)
        return NULL;
    *tls = (struct tls){.fd = fd, .context = context};
    tls->kernel_may = tls_process.kernel_tls && context->options.ktls;
    pthread_mutex_init(&tls->lock, NULL);
    if (set_up(tls, context->ssl_ctx))
        return tls;
    tls_free(tls);
    errno = ENOMEM;
    return NULL;
}

const struct tls_context *tls_context_of(const struct tls *tls)
{
    return tls->context;
}

struct tls_context *tls_free(struct tls *tls)
{
    struct tls_context *context = tls->context;
    /* OpenSSL would forget the session of a connection that ends without a farewell. */
    if (tls->ready && !tls->broken)
        openssl.SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    openssl.SSL_free(tls->ssl);
    pthread_mutex_destroy(&tls->lock);
    mem_free(tls);
    return context;
}

/* Errors that something else has left in this thread would be taken for ours. */
static void forget_errors(void)
{
    if (openssl.ERR_peek_error())
        openssl.ERR_clear_error();
}

static const char *explain(struct tls *tls)
{
    unsigned long error = openssl.ERR_peek_error();
    if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return openssl.X509_verify_cert_error_string(openssl.SSL_get_verify_result(tls->ssl));
    if (tls->credit < 0)
        return "too many key updates, alerts or renegotiations";
    const char *reason = error ? openssl.ERR_reason_error_string(error) : NULL;
    return reason ? reason : tls->socket_errno ? strerror(tls->socket_errno) : "unknown error";
}

/* It will never work again. */
static void break_down(struct tls *tls)
{
    tls->broken = true;
    tls->error = explain(tls);
    openssl.ERR_clear_error();
}

/* The handshake */

static enum tls_handshake handshake_failed(struct tls *tls)
{
    bool gone = tls->eof || tls->socket_errno;
    break_down(tls);
    if (gone)
        return TLS_GONE;
    return isupper(tls->first_byte) ? TLS_PLAIN_HTTP : TLS_FAILED;
}

/* The record size that the client takes: it may have asked for less than usual (RFC 6066 §4). */
static size_t record_max(const struct tls *tls)
{
    unsigned mode = openssl.SSL_SESSION_get_max_fragment_length(openssl.SSL_get_session(tls->ssl));
    bool asked = mode >= TLSEXT_max_fragment_length_512 && mode <= TLSEXT_max_fragment_length_4096;
    return asked ? (size_t)512 << (mode - TLSEXT_max_fragment_length_512) : TLS_RECORD_MAX;
}

/*
 * Called by OpenSSL after the handshake, but not for data. Without credit the client counts as one
 * that has closed, which OpenSSL looks at before the next record: no more of its buffered input is
 * decrypted.
 */
static void count_event(const SSL *ssl, int where, int value)
{
    (void)value;
    struct tls *tls = openssl.SSL_get_ex_data(ssl, tls_process.connection_key);
    if (where != SSL_CB_ACCEPT_LOOP && !(where & SSL_CB_ALERT))
        return;
    tls->credit -= TLS_EVENT_COST;
    if (tls->credit < 0)
        openssl.SSL_set_shutdown(tls->ssl, SSL_RECEIVED_SHUTDOWN);
}

static enum tls_handshake handshake_done(struct tls *tls)
{
    tls->ready = true;
    tls->credit = TLS_CREDIT;
    openssl.SSL_set_info_callback(tls->ssl, count_event);
    tls->record_max = record_max(tls);
    tls->kernel_sends =
        tls->kernel_may && openssl.BIO_ctrl(tls->bio, BIO_CTRL_GET_KTLS_SEND, 0, NULL) > 0;
    return TLS_DONE;
}

enum tls_handshake tls_handshake(struct tls *tls)
{
    forget_errors();
    tls->drained = tls->paused = false;
    tls->reads = TLS_HANDSHAKE_READS;
    int result = openssl.SSL_do_handshake(tls->ssl);
    if (result == 1)
        return handshake_done(tls);
    int error = openssl.SSL_get_error(tls->ssl, result);
    atomic_store_explicit(&tls->recv_wants_write, error == SSL_ERROR_WANT_WRITE,
                          memory_order_relaxed);
    switch (error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_WAITS;
    case SSL_ERROR_WANT_CLIENT_HELLO_CB:
        return TLS_WANTS_NAME;
    default:
        return handshake_failed(tls);
    }
}

const char *tls_error(const struct tls *tls)
{
    return tls->error ? tls->error : "";
}

/* Data */

/* The result of a call that gave no bytes: 0 at the client's end, or -1 with errno. */
static int no_success(struct tls *tls, atomic_bool *wants_other, int other)
{
    int error = tls->credit < 0 ? SSL_ERROR_SSL : openssl.SSL_get_error(tls->ssl, 0);
    atomic_store_explicit(wants_other, error == other, memory_order_relaxed);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        tls->ended = true;
        return 0;
    }
    break_down(tls);
    errno = tls->socket_errno ? tls->socket_errno : EPROTO;
    return -1;
}

static bool is_broken(const struct tls *tls)
{
    errno = tls->socket_errno ? tls->socket_errno : EPROTO;
    return tls->broken;
}

static ssize_t receive(struct tls *tls, char *data, size_t size)
{
    size_t done = 0, n;
    int records = TLS_RECORDS_TURN;
    if (is_broken(tls))
        return -1;
    forget_errors();
    tls->drained = tls->paused = false;
    while (done < size && !(tls->paused = records-- == 0)) {
        if (openssl.SSL_read_ex(tls->ssl, data + done, size - done, &n) != 1) {
            int result = no_success(tls, &tls->recv_wants_write, SSL_ERROR_WANT_WRITE);
            return done > 0 ? (ssize_t)done : result;
        }
        done += n;
        tls->credit += tls->credit < TLS_CREDIT;
        if (tls->drained && !openssl.SSL_has_pending(tls->ssl))
            break;
    }
    return (ssize_t)done;
}

ssize_t tls_recv(struct tls *tls, void *data, size_t size)
{
    pthread_mutex_lock(&tls->lock);
    ssize_t n = receive(tls, data, size);
    pthread_mutex_unlock(&tls->lock);
    return n;
}

/* Sends one record: at most record_max bytes. 0, or -1 with errno. */
static int send_record(struct tls *tls, const char *data, size_t size)
{
    size_t written;
    if (openssl.SSL_write_ex(tls->ssl, data, size, &written) == 1)
        return 0;
    if (no_success(tls, &tls->send_wants_read, SSL_ERROR_WANT_READ) == 0)
        errno = EPIPE;
    return -1;
}

/* After EAGAIN: the bytes are encrypted and wait. Else something of OpenSSL's own waits, such as
 * its answer to a client that wants new keys, and the bytes are still the caller's. */
static bool has_taken(const struct tls *tls)
{
    return openssl.SSL_is_init_finished(tls->ssl);
}

/* The same for bytes that are offered again when the socket does not take all of the record. */
static int send_data(struct tls *tls, const char *data, size_t size, bool more)
{
    tls->more = more;
    int result = send_record(tls, data, size);
    tls->more = false;
    if (result < 0 && errno == EAGAIN && has_taken(tls))
        tls->unsent = tls->owed = size;
    return result;
}

/*
 * First the rest of a record: OpenSSL has encrypted it and wants its size again, and no bytes. How
 * many bytes of the caller have left with it, or -1 with errno.
 */
static ssize_t send_unsent(struct tls *tls)
{
    static const char nothing[TLS_RECORD_MAX];
    if (is_broken(tls))
        return -1;
    forget_errors();
    if (tls->unsent == 0)
        return 0;
    if (send_record(tls, nothing, tls->unsent) < 0)
        return -1;
    size_t owed = tls->owed;
    tls->unsent = tls->owed = 0;
    return (ssize_t)owed;
}

/* Where in a list of parts the next byte stands. */
struct cursor {
    const struct iovec *parts;
    int count;
    size_t at; /* in parts[0] */
};

static size_t left_in_part(const struct cursor *cursor)
{
    return cursor->parts[0].iov_len - cursor->at;
}

static const char *take(struct cursor *cursor, size_t n)
{
    const char *data = (const char *)cursor->parts[0].iov_base + cursor->at;
    cursor->at += n;
    return data;
}

static bool has_more(struct cursor *cursor)
{
    while (cursor->count > 0 && left_in_part(cursor) == 0) {
        cursor->parts++;
        cursor->count--;
        cursor->at = 0;
    }
    return cursor->count > 0;
}

/* Small parts share a record. */
static ssize_t send_joined(struct tls *tls, struct cursor *cursor, bool more)
{
    char record[TLS_RECORD_MAX];
    size_t size = 0;
    while (size < tls->record_max && has_more(cursor)) {
        size_t n = left_in_part(cursor);
        if (n > tls->record_max - size)
            n = tls->record_max - size;
        memcpy(record + size, take(cursor, n), n);
        size += n;
    }
    return send_data(tls, record, size, more || has_more(cursor)) < 0 ? -1 : (ssize_t)size;
}

static ssize_t send_next(struct tls *tls, struct cursor *cursor, bool more)
{
    size_t n = left_in_part(cursor);
    if (cursor->count > 1 && n < tls->record_max)
        return send_joined(tls, cursor, more);
    if (n > tls->record_max)
        n = tls->record_max;
    const char *data = take(cursor, n);
    return send_data(tls, data, n, more || has_more(cursor)) < 0 ? -1 : (ssize_t)n;
}

static ssize_t send_parts(struct tls *tls, const struct iovec *parts, int count, bool more)
{
    struct cursor cursor = {.parts = parts, .count = count};
    ssize_t done = send_unsent(tls);
    if (done != 0)
        return done;
    while (has_more(&cursor)) {
        ssize_t n = send_next(tls, &cursor, more);
        if (n < 0)
            return done > 0 ? done : -1;
        done += n;
    }
    return done;
}

ssize_t tls_send(struct tls *tls, const struct iovec *parts, int count, bool more)
{
    pthread_mutex_lock(&tls->lock);
    ssize_t n = tls->kernel_sends ? socket_sendv(tls->fd, parts, count, more)
                                  : send_parts(tls, parts, count, more);
    pthread_mutex_unlock(&tls->lock);
    return n;
}

static ssize_t read_at(int file, char *data, size_t size, off_t offset)
{
    ssize_t n;
    do
        n = pread(file, data, size, offset);
    while (n < 0 && errno == EINTR);
    return n;
}

/*
 * Sends the bytes that were read in records, `more` of the file after them. How many bytes, or -1.
 */
static ssize_t send_read(struct tls *tls, const char *data, size_t size, bool more)
{
    size_t done = 0;
    while (done < size) {
        size_t n = size - done < tls->record_max ? size - done : tls->record_max;
        if (send_data(tls, data + done, n, more || done + n < size) < 0)
            return done > 0 ? (ssize_t)done : -1;
        done += n;
    }
    return (ssize_t)done;
}

static ssize_t send_file(struct tls *tls, int file, off_t offset, size_t size)
{
    char data[TLS_FILE_READ];
    ssize_t done = send_unsent(tls);
    if (done != 0)
        return done;
    while ((size_t)done < size) {
        size_t want = size - (size_t)done < sizeof(data) ? size - (size_t)done : sizeof(data);
        ssize_t got = read_at(file, data, want, offset + done);
        if (got == 0)
            return done;
        ssize_t sent =
            got < 0 ? -1 : send_read(tls, data, (size_t)got, (size_t)(done + got) < size);
        if (sent < 0)
            return done > 0 ? done : -1;
        done += sent;
        if (sent < got)
            return done;
    }
    return done;
}

ssize_t tls_sendfile(struct tls *tls, int file, off_t offset, size_t size)
{
    pthread_mutex_lock(&tls->lock);
    ssize_t n = tls->kernel_sends ? socket_sendfile(tls->fd, file, &offset, size)
                                  : send_file(tls, file, offset, size);
    pthread_mutex_unlock(&tls->lock);
    return n;
}

static int send_aside(struct tls *tls, const void *data, size_t size)
{
    if (tls->kernel_sends)
        return socket_send(tls->fd, data, size) < 0 && errno != EAGAIN ? -1 : 0;
    if (send_unsent(tls) < 0 || tls->unsent)
        return errno == EAGAIN ? 0 : -1;
    int result = send_record(tls, data, size);
    if (result == 0 || errno != EAGAIN)
        return result;
    if (has_taken(tls))
        tls->unsent = size;
    return 0;
}

int tls_send_aside(struct tls *tls, const void *data, size_t size)
{
    pthread_mutex_lock(&tls->lock);
    int result = send_aside(tls, data, size);
    pthread_mutex_unlock(&tls->lock);
    return result;
}

short tls_recv_waits(const struct tls *tls)
{
    return atomic_load_explicit(&tls->recv_wants_write, memory_order_relaxed) ? POLLOUT : POLLIN;
}

short tls_send_waits(const struct tls *tls)
{
    return atomic_load_explicit(&tls->send_wants_read, memory_order_relaxed) ? POLLIN : POLLOUT;
}

bool tls_has_unread(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    bool has = !tls->drained || tls_ended(tls) || openssl.SSL_has_pending(tls->ssl);
    pthread_mutex_unlock(&tls->lock);
    return has;
}

bool tls_paused(const struct tls *tls)
{
    return tls->paused;
}

bool tls_ended(const struct tls *tls)
{
    return tls->ended || tls->broken;
}

void tls_shutdown(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    if (tls->ready && !tls->broken && !tls->shut && tls->unsent == 0) {
        forget_errors();
        openssl.SSL_shutdown(tls->ssl);
        forget_errors();
        tls->shut = true;
    }
    pthread_mutex_unlock(&tls->lock);
}
