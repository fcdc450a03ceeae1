#ifndef TESTS_UNIT_THREADED_H
#define TESTS_UNIT_THREADED_H

#include "served.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

/* An engine whose threads run, a client in any other thread. Every wait ends on a condition. */

enum { SOON_MS = 30 * 1000 };

/* cmocka's assertions are for its own thread. */
#define require(condition) require_at(condition, #condition, __FILE__, __LINE__)

static inline void require_at(bool condition, const char *text, const char *file, int line)
{
    if (condition)
        return;
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, text, strerror(errno));
    abort();
}

/* The parts of an application that does not care. */

static inline void threaded_app_nothing(void *app)
{
    (void)app;
}

static inline void threaded_app_note(void *app, enum note_level level, const char *text)
{
    (void)app;
    (void)level;
    (void)text;
}

static inline int threaded_app_wait(void *app, int fd, short events, int timeout_ms)
{
    (void)app;
    return socket_wait(fd, events, timeout_ms);
}

/* The server */

static inline struct engine_options threaded_options(uint32_t threads, const char *loop)
{
    struct engine_options options = served_options();
    options.threads = threads;
    options.standby = true;
    options.loop = loop;
    return options;
}

/* A listener on a port of its own; *address is where it is. */
static inline int threaded_listen(struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    require(bind(listener, (struct sockaddr *)address, size) == 0);
    require(listen(listener, 100) == 0);
    require(getsockname(listener, (struct sockaddr *)address, &size) == 0);
    return listener;
}

/* The clients */

static inline int threaded_connect(const struct sockaddr_in *address)
{
    struct timeval patience = {.tv_sec = SOON_MS / 1000};
    int client = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    require(connect(client, (const struct sockaddr *)address, sizeof(*address)) == 0);
    return client;
}

static inline void threaded_send(int client, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(client, data, n, MSG_NOSIGNAL);
        require(sent > 0);
        data += sent;
        n -= (size_t)sent;
    }
}

static inline void threaded_ask(int client, const char *path)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    threaded_send(client, text, (size_t)n);
}

/* Receives all n bytes; a signal of the engine may interrupt a receive that has a time-out. */
static inline void threaded_receive(int client, char *out, size_t n)
{
    for (size_t have = 0; have < n;) {
        ssize_t got = recv(client, out + have, n - have, MSG_WAITALL);
        require(got > 0 || (got < 0 && errno == EINTR));
        if (got > 0)
            have += (size_t)got;
    }
}

/*
 * Reads the head of an answer, and not a byte of what follows, into out; its Content-Length. So
 * what is pipelined behind stays where it is.
 */
static inline size_t threaded_head(int client, char *out, size_t size)
{
    size_t have = 0;
    do {
        require(have < size - 1);
        threaded_receive(client, out + have, 1);
        out[++have] = '\0';
    } while (have < 4 || memcmp(out + have - 4, "\r\n\r\n", 4) != 0);
    const char *length = strstr(out, "\r\nContent-Length: ");
    require(length);
    return strtoul(length + 18, NULL, 10);
}

/* The body of the next answer, in a buffer of the caller's; how many bytes it has. */
static inline size_t threaded_answer(int client, char *out, size_t size)
{
    char head[1024];
    size_t n = threaded_head(client, head, sizeof(head));
    require(n < size);
    threaded_receive(client, out, n);
    out[n] = '\0';
    return n;
}

#endif
