/*
 * Clients of a WebSocket server that echoes, in a closed loop: each sends a burst of messages,
 * reads their echoes, and sends the next.
 *
 *   websocket_load PORT CLIENTS SIZE BURST SECONDS
 *
 * SIZE: bytes of a message, which is binary and not compressed. Prints how many were echoed, and
 * the seconds. SECONDS 0: prints when all clients are connected, and waits to be ended.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024, EVENTS_MAX = 256, SEND_BUFFER = 4 << 20 };

static const char HANDSHAKE[] =
    "GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
static const char MASK[4] = {'a', 'b', 'c', 'd'};

struct client {
    int fd;
    size_t read; /* bytes of the echoes of this burst */
};

struct load {
    char *burst; /* what a client sends */
    size_t burst_size, echo_size;
    unsigned messages;
    uint64_t echoed;
    int loop;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A header without its mask: its size. */
static size_t write_header(char *to, size_t size)
{
    unsigned bytes = size < 126 ? 0 : size <= UINT16_MAX ? 2 : 8;
    to[0] = (char)0x82;
    to[1] = (char)(0x80 | (bytes == 0 ? size : bytes == 2 ? 126 : 127));
    for (unsigned i = 0; i < bytes; i++)
        to[2 + i] = (char)((uint64_t)size >> 8 * (bytes - 1 - i));
    return 2 + bytes;
}

static void make_burst(struct load *load, size_t size)
{
    char *to = load->burst = malloc((size + 14) * load->messages);
    if (!to)
        fail("malloc");
    for (unsigned n = 0; n < load->messages; n++) {
        size_t header = write_header(to, size);
        load->echo_size += header + size;
        memcpy(to + header, MASK, sizeof(MASK));
        to += header + sizeof(MASK);
        for (size_t i = 0; i < size; i++)
            *to++ = 'x' ^ MASK[i % 4];
    }
    load->burst_size = (size_t)(to - load->burst);
}

static void send_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
        if (sent < 0)
            fail("send");
        data += sent;
        n -= (size_t)sent;
    }
}

static void shake_hands(int fd)
{
    unsigned matched = 0;
    char byte;
    send_all(fd, HANDSHAKE, sizeof(HANDSHAKE) - 1);
    while (matched < 4) {
        if (recv(fd, &byte, 1, 0) != 1)
            fail("handshake");
        matched = byte == "\r\n\r\n"[matched] ? matched + 1 : byte == '\r';
    }
}

static void open_client(struct load *load, struct client *client, uint16_t port)
{
    int on = 1, size = SEND_BUFFER;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fail("connect");
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(client->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    shake_hands(client->fd);
    if (epoll_ctl(load->loop, EPOLL_CTL_ADD, client->fd, &event) < 0)
        fail("epoll_ctl");
}

static void read_echoes(struct load *load, struct client *client)
{
    static char data[READ_SIZE];
    ssize_t n = recv(client->fd, data, sizeof(data), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        fail("recv");
    client->read += (size_t)n;
    if (client->read < load->echo_size)
        return;
    client->read -= load->echo_size;
    load->echoed += load->messages;
    send_all(client->fd, load->burst, load->burst_size);
}

static void run(struct load *load, double end)
{
    struct epoll_event events[EVENTS_MAX];
    while (now() < end) {
        int n = epoll_wait(load->loop, events, EVENTS_MAX, 100);
        for (int i = 0; i < n; i++)
            read_echoes(load, events[i].data.ptr);
    }
}

int main(int count, char **arguments)
{
    if (count != 6)
        return 2;
    int clients = atoi(arguments[2]);
    double seconds = atof(arguments[5]), begin;
    struct load load = {.messages = (unsigned)atoi(arguments[4]), .loop = epoll_create1(0)};
    struct client *all = calloc((size_t)clients, sizeof(*all));
    make_burst(&load, (size_t)atol(arguments[3]));
    for (int i = 0; i < clients; i++)
        open_client(&load, &all[i], (uint16_t)atoi(arguments[1]));
    begin = now();
    if (seconds <= 0) {
        puts("open");
        fflush(stdout);
        pause();
    }
    for (int i = 0; i < clients; i++)
        send_all(all[i].fd, load.burst, load.burst_size);
    run(&load, begin + seconds);
    printf("%llu %.3f\n", (unsigned long long)load.echoed, now() - begin);
    return 0;
}
