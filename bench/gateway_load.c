/*
 * Clients of a server of any protocol, in a closed loop: each sends the same request, reads an
 * answer of a known size, and sends again.
 *
 *   gateway_load PORT CLIENTS SECONDS FIRST REQUEST SIZE
 *
 * FIRST and REQUEST are files: the bytes that a connection begins with, and those of a request.
 * SIZE: bytes of an answer; 0: it ends with its connection, and each request has one of its own.
 * Prints how many requests were answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024, EVENTS_MAX = 256, BLOB_MAX = 64 * 1024 };

struct blob {
    char data[BLOB_MAX];
    size_t size;
};

struct client {
    int fd;
    size_t read; /* bytes of this answer */
};

static struct {
    struct blob first, both, request; /* `both` begins a connection */
    size_t answer_size;
    uint64_t answered;
    int loop, port;
} load;

static void fail(const char *subject)
{
    perror(subject);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void read_blob(const char *path, struct blob *blob)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail(path);
    blob->size = fread(blob->data, 1, BLOB_MAX, file);
    fclose(file);
}

static void send_blob(struct client *client, const struct blob *blob)
{
    client->read = 0;
    if (send(client->fd, blob->data, blob->size, MSG_NOSIGNAL) != (ssize_t)blob->size)
        fail("send");
}

static void open_client(struct client *client)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)load.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fail("connect");
    epoll_ctl(load.loop, EPOLL_CTL_ADD, client->fd, &event);
    send_blob(client, &load.both);
}

static void read_answer(struct client *client)
{
    static char data[READ_SIZE];
    ssize_t n = recv(client->fd, data, sizeof(data), 0);
    if (n < 0)
        fail("recv");
    client->read += (size_t)n;
    if (load.answer_size > 0 ? client->read < load.answer_size : n > 0) {
        if (n == 0)
            fail("an answer is cut short");
        return;
    }
    if (client->read == 0 || (load.answer_size > 0 && client->read != load.answer_size))
        fail("an answer has another size");
    load.answered++;
    if (load.answer_size > 0) {
        send_blob(client, &load.request);
        return;
    }
    close(client->fd);
    open_client(client);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    load.port = atoi(argv[1]);
    int count = atoi(argv[2]);
    double until = now() + atof(argv[3]);
    read_blob(argv[4], &load.first);
    read_blob(argv[5], &load.request);
    load.answer_size = (size_t)atol(argv[6]);
    load.both = load.first;
    if (load.first.size + load.request.size > BLOB_MAX)
        return 2;
    memcpy(load.both.data + load.first.size, load.request.data, load.request.size);
    load.both.size += load.request.size;
    load.loop = epoll_create1(0);
    struct client *clients = calloc((size_t)count, sizeof(*clients));
    for (int i = 0; i < count; i++)
        open_client(&clients[i]);
    while (now() < until) {
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(load.loop, events, EVENTS_MAX, 100);
        for (int i = 0; i < n; i++)
            read_answer(events[i].data.ptr);
    }
    printf("%llu\n", (unsigned long long)load.answered);
    return 0;
}
