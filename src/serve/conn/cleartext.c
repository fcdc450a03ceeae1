#include "serve/conn/http1.h"
#include "serve/conn/http2.h"
#include "serve/conn/proxied.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <string.h>

/*
 * A connection without TLS whose first bytes choose the protocol: the preface of HTTP/2 (RFC 9113
 * §3.4) by clients of forwarded_allow_ips, or HTTP/1, which may be upgraded. They stay in the
 * socket for the protocol that is chosen.
 */

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum { PREFACE_SIZE = sizeof(PREFACE) - 1 };

static const char expects_http2[] =
    "HTTP/2 is expected from this client (http2_cleartext = prior-knowledge), and it speaks HTTP/1";

static void become(struct engine *engine, struct conn *conn, const struct protocol *protocol)
{
    conn->protocol = protocol;
    protocol->readable(engine, conn);
}

/* Of a client that may ask for HTTP/2. */
static void become_http1(struct engine *engine, struct conn *conn)
{
    conn->may_upgrade = engine->options.http2_upgrade;
    become(engine, conn, &http1_protocol);
}

static void refuse(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
                   const char *text)
{
    conn->protocol = &http1_protocol;
    http1_protocol.refuse(engine, conn, reason, status, text);
}

static void refuse_http1(struct engine *engine, struct conn *conn)
{
    char peer[PEER_TEXT_SIZE];
    engine_note(engine, NOTE_WARNING, "Invalid request from ip=%s: %s",
                peer_text(&conn->peer, peer), expects_http2);
    refuse(engine, conn, CLOSE_MALFORMED, 400, expects_http2);
}

static void time_head(struct engine *engine, struct conn *conn)
{
    if (conn->timer.deadline == 0)
        conn_deadline_at(engine, conn, conn->since_ms, engine->options.header_timeout_ms);
}

/* The bytes that are there stay in the socket, and a loop without edges would report them without
 * end: the timer looks for the rest. */
static void await_rest(struct engine *engine, struct conn *conn)
{
    conn->readable = false;
    if (conn_watch(engine, conn) < 0)
        conn_close_because(engine, conn, CLOSE_ERROR);
    else
        conn_deadline_in(engine, conn, PROXY_LOOK_MS);
}

static void judge(struct engine *engine, struct conn *conn, const char *data, size_t n)
{
    if (memcmp(data, PREFACE, n) == 0 && n == PREFACE_SIZE)
        become(engine, conn, &http2_protocol);
    else if (memcmp(data, PREFACE, n) == 0 && proxied_has_ended(conn))
        conn_close(engine, conn);
    else if (memcmp(data, PREFACE, n) == 0)
        await_rest(engine, conn);
    else if (!engine->options.http2_upgrade)
        refuse_http1(engine, conn);
    else
        become_http1(engine, conn);
}

static void readable(struct engine *engine, struct conn *conn)
{
    char data[PREFACE_SIZE];
    if (conn->tls || !proxied_is_from(conn, engine->options.trust)) {
        become(engine, conn, &http1_protocol);
        return;
    }
    if (!engine->options.http2_prior) {
        become_http1(engine, conn);
        return;
    }
    ssize_t n = socket_peek(conn->io.fd, data, sizeof(data));
    if (n > 0) {
        judge(engine, conn, data, (size_t)n);
    } else if (n < 0 && errno == EAGAIN) {
        time_head(engine, conn);
        conn_await(engine, conn, 0);
    } else {
        conn_close(engine, conn);
    }
}

static void writable(struct engine *engine, struct conn *conn)
{
    (void)engine;
    (void)conn;
}

static bool is_in_time(const struct engine *engine, const struct conn *conn)
{
    uint32_t most_ms = engine->options.header_timeout_ms;
    return !engine->drained && (most_ms == 0 || engine->now_ms < conn->since_ms + most_ms);
}

static void expired(struct engine *engine, struct conn *conn)
{
    if (is_in_time(engine, conn))
        readable(engine, conn);
    else
        conn_close_because(engine, conn, engine->drained ? CLOSE_DRAINED : CLOSE_HEADER_TIMEOUT);
}

static void drain(struct engine *engine, struct conn *conn)
{
    (void)engine;
    (void)conn;
}

static bool cut(struct engine *engine, struct conn *conn, enum metrics_close reason, int status,
                const char *text)
{
    (void)status;
    (void)text;
    conn_close_because(engine, conn, reason);
    return true;
}

static bool release(struct engine *engine, struct conn *conn)
{
    (void)engine;
    (void)conn;
    return true;
}

/* Requests of other workers are those of HTTP/1. */
static bool adopt(struct engine *engine, struct conn *conn, struct request *request,
                  uint32_t head_size, uint64_t ready_ns)
{
    conn->protocol = &http1_protocol;
    conn->may_upgrade =
        engine->options.http2_upgrade && !conn->tls && proxied_is_from(conn, engine->options.trust);
    return http1_protocol.adopt(engine, conn, request, head_size, ready_ns);
}

const struct protocol cleartext_protocol = {
    .name = "cleartext",
    .readable = readable,
    .writable = writable,
    .expired = expired,
    .drain = drain,
    .refuse = refuse,
    .cut = cut,
    .release = release,
    .adopt = adopt,
};
