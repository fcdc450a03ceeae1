#include "serve/conn/proxied.h"

#include "base/mem.h"
#include "proto/forwarded.h"
#include "proto/proxy.h"
#include "serve/conn/conn.h"
#include "serve/engine/engine.h"

#include <errno.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct str proxied_text(const struct proxied *proxied, enum proxied_text which)
{
    size_t at = 0;
    for (unsigned i = 0; i < which; i++)
        at += proxied->lengths[i];
    return (struct str){proxied->texts + at, proxied->lengths[which]};
}

static size_t size_of(const uint8_t lengths[PROXIED_TEXTS])
{
    size_t size = sizeof(struct proxied);
    for (unsigned i = 0; i < PROXIED_TEXTS; i++)
        size += lengths[i];
    return size;
}

static bool family_valid(const struct peer *peer)
{
    return peer->family == AF_INET || peer->family == AF_INET6 || peer->family == AF_UNIX;
}

/* Read as bytes: other values than 0 and 1 are no bool. */
static bool flags_valid(const char *block)
{
    static const size_t flags[] = {offsetof(struct proxied, tls),
                                   offsetof(struct proxied, certificate),
                                   offsetof(struct proxied, verified)};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if ((uint8_t)block[flags[i]] > 1)
            return false;
    return true;
}

bool proxied_valid(const void *block, size_t size)
{
    struct proxied header;
    if (size < sizeof(header) || !flags_valid(block))
        return false;
    memcpy(&header, block, sizeof(header));
    return header.size == size && size_of(header.lengths) == size && family_valid(&header.proxy) &&
           family_valid(&header.client) && family_valid(&header.server) &&
           memchr(header.protocol, '\0', sizeof(header.protocol)) != NULL;
}

static void attach(struct engine *engine, struct conn *conn, struct proxied *proxied)
{
    budget_force(&engine->budget, proxied->size);
    conn->proxied = proxied;
}

bool proxied_adopt(struct engine *engine, struct conn *conn, const void *block)
{
    uint32_t size;
    memcpy(&size, block, sizeof(size)); /* its first member */
    struct proxied *proxied = mem_alloc(size);
    if (!proxied)
        return false;
    memcpy(proxied, block, size);
    attach(engine, conn, proxied);
    return true;
}

void proxied_free(struct engine *engine, struct conn *conn)
{
    if (!conn->proxied)
        return;
    budget_give(&engine->budget, conn->proxied->size);
    mem_free(conn->proxied);
    conn->proxied = NULL;
}

static struct peer peer_of(const struct proxy *proxy, const struct proxy_end *end)
{
    static const uint16_t families[] = {
        [PROXY_NOBODY] = AF_UNIX,
        [PROXY_INET] = AF_INET,
        [PROXY_INET6] = AF_INET6,
        [PROXY_UNIX] = AF_UNIX,
    };
    struct peer peer = {.family = families[proxy->family], .port = end->port};
    memcpy(peer.address, end->address, sizeof(peer.address));
    return peer;
}

/* The server's address as text. */
struct written {
    char address[PEER_TEXT_SIZE], port[6];
};

static void write_server(const struct peer *server, struct written *written,
                         struct str texts[PROXIED_TEXTS])
{
    peer_text(server, written->address);
    int digits = snprintf(written->port, sizeof(written->port), "%u", (unsigned)server->port);
    texts[PROXIED_SERVER] = (struct str){written->address, strlen(written->address)};
    texts[PROXIED_SERVER_PORT] = (struct str){written->port, (size_t)digits};
}

/* The slices of a header, in the order of enum proxied_text. */
static void list_texts(const struct proxy *proxy, const struct peer *server,
                       struct written *written, struct str texts[PROXIED_TEXTS])
{
    if (proxy->family == PROXY_UNIX)
        texts[PROXIED_SERVER] = proxy->server.path;
    else
        write_server(server, written, texts);
    texts[PROXIED_CLIENT_PATH] = proxy->client.path;
    texts[PROXIED_AUTHORITY] = proxy->authority;
    texts[PROXIED_UNIQUE_ID] = proxy->unique_id;
    texts[PROXIED_TLS_VERSION] = proxy->tls.version;
    texts[PROXIED_TLS_CIPHER] = proxy->tls.cipher;
    texts[PROXIED_TLS_NAME] = proxy->tls.common_name;
}

static void copy_texts(struct proxied *proxied, const struct str texts[PROXIED_TEXTS])
{
    char *out = proxied->texts;
    for (unsigned i = 0; i < PROXIED_TEXTS; i++) {
        if (texts[i].n > 0)
            memcpy(out, texts[i].p, texts[i].n);
        out += texts[i].n;
    }
}

static struct proxied *make(const struct conn *conn, const struct proxy *proxy)
{
    struct str texts[PROXIED_TEXTS] = {0};
    struct written written;
    struct proxied header = {
        .proxy = conn->peer,
        .client = peer_of(proxy, &proxy->client),
        .server = peer_of(proxy, &proxy->server),
        .tls = proxy->tls.there,
        .certificate = proxy->tls.certificate,
        .verified = proxy->tls.verified,
    };
    list_texts(proxy, &header.server, &written, texts);
    for (unsigned i = 0; i < PROXIED_TEXTS; i++)
        header.lengths[i] = (uint8_t)texts[i].n;
    strncpy(header.protocol, proxy->protocol, sizeof(header.protocol) - 1);
    header.size = (uint32_t)size_of(header.lengths);
    struct proxied *proxied = mem_alloc(header.size);
    if (!proxied)
        return NULL;
    memcpy(proxied, &header, sizeof(header));
    copy_texts(proxied, texts);
    return proxied;
}

/* May this peer name the clients of its connections? Unix sockets have no address to look up. */
static bool is_allowed(const struct engine *engine, const struct conn *conn)
{
    return conn->listener->local || trust_has(engine->options.proxies, conn->peer.address,
                                              conn->peer.family == AF_INET6 ? 16 : 4);
}

/* The header, which was looked at in the socket, is taken out of it and kept. */
static enum proxied_result accept_header(struct engine *engine, struct conn *conn,
                                         const struct proxy *proxy, char *data)
{
    if (proxy->family != PROXY_NOBODY) {
        struct proxied *proxied = make(conn, proxy);
        if (!proxied)
            return PROXIED_NO_MEMORY;
        attach(engine, conn, proxied);
        conn->peer = proxied->client;
    }
    metrics_add(&engine->metrics->bytes_in, proxy->size);
    return socket_recv(conn->io.fd, data, proxy->size) == (ssize_t)proxy->size ? PROXIED_READ
                                                                               : PROXIED_GONE;
}

static enum proxied_result no_header(const struct engine *engine, const char **why)
{
    *why = "Invalid PROXY header: there is none, which proxy_protocol_required demands";
    return engine->options.proxy_required ? PROXIED_MALFORMED : PROXIED_READ;
}

/* The client has closed amid something that may begin a header, or is one. */
static enum proxied_result cut_short(const struct engine *engine, const struct proxy *proxy,
                                     const char **why)
{
    if (proxy->version == 0)
        return no_header(engine, why);
    *why = "Invalid PROXY header: the connection ends within it";
    return PROXIED_MALFORMED;
}

bool proxied_has_ended(const struct conn *conn)
{
    return atomic_load_explicit(&conn->gone, memory_order_relaxed) ||
           socket_peer(conn->io.fd) != PEER_THERE;
}

static enum proxied_result judge(struct engine *engine, struct conn *conn, char *data, size_t size,
                                 const char **why)
{
    struct proxy proxy;
    enum proxy_result result = proxy_parse(&proxy, data, size, engine->options.proxy_versions);
    if (proxy.version != 0 && !is_allowed(engine, conn))
        return PROXIED_FORBIDDEN;
    switch (result) {
    case PROXY_OK:
        return accept_header(engine, conn, &proxy, data);
    case PROXY_ABSENT:
        return no_header(engine, why);
    case PROXY_ERROR:
        *why = proxy_error_text(&proxy);
        return PROXIED_MALFORMED;
    default:
        return proxied_has_ended(conn) ? cut_short(engine, &proxy, why) : PROXIED_PARTIAL;
    }
}

enum proxied_result proxied_read(struct engine *engine, struct conn *conn, const char **why)
{
    assert_leader(engine);
    alignas(8) char data[PROXY_V2_MAX];
    ssize_t n = socket_peek(conn->io.fd, data, sizeof(data));
    if (n < 0 && errno == EAGAIN)
        return PROXIED_WAITS;
    return n > 0 ? judge(engine, conn, data, (size_t)n, why) : PROXIED_GONE;
}

bool proxied_is_from(const struct conn *conn, const struct trust *trust)
{
    const struct peer *peer = conn->proxied ? &conn->proxied->proxy : &conn->peer;
    return conn->listener->local || conn->listener->inner ||
           trust_has(trust, peer->address, peer->family == AF_INET6 ? 16 : 4);
}

bool proxied_is_https(const struct conn *conn)
{
    return conn->tls || (conn->proxied && conn->proxied->tls);
}
