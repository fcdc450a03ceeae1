#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { SOON_MS = 5000, NOT_MS = 10 };

static int connect_to(int listener, int family)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);
    int client = socket(family, SOCK_STREAM, 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &size), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&name, size), 0);
    return client;
}

static int listen_at(const void *name, socklen_t size, int family)
{
    int listener = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, name, size) < 0)
        skip(); /* a machine without IPv6 */
    assert_int_equal(listen(listener, 5), 0);
    return listener;
}

static void assert_accepts(int listener, int family, const char *text)
{
    struct peer peer;
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);
    char out[PEER_TEXT_SIZE];
    assert_int_equal(socket_accept(listener, &peer), -1);
    assert_int_equal(errno, EAGAIN);
    int client = connect_to(listener, family);
    assert_int_equal(socket_wait(listener, POLLIN, SOON_MS), 1);
    int server = socket_accept(listener, &peer);
    assert_true(server >= 0);
    assert_true(fcntl(server, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(server, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(peer.family, family);
    assert_string_equal(peer_text(&peer, out), text);
    assert_int_equal(getsockname(client, (struct sockaddr *)&name, &size), 0);
    if (family == AF_INET)
        assert_int_equal(peer.port, ntohs(((struct sockaddr_in *)&name)->sin_port));
    if (family == AF_INET6)
        assert_int_equal(peer.port, ntohs(((struct sockaddr_in6 *)&name)->sin6_port));
    close(client);
    close(server);
    close(listener);
}

static void accepts_ipv4(void **state)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)state;
    assert_accepts(listen_at(&name, sizeof(name), AF_INET), AF_INET, "127.0.0.1");
}

static void accepts_ipv6(void **state)
{
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    (void)state;
    assert_accepts(listen_at(&name, sizeof(name), AF_INET6), AF_INET6, "::1");
}

static void accepts_a_unix_socket(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)state;
    /* Without a path the system chooses a name that no file stands for. */
    assert_accepts(listen_at(&name, sizeof(sa_family_t), AF_UNIX), AF_UNIX, "");
}

static void pair(int ends[2])
{
    int size = 4096;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void nothing_blocks(void **state)
{
    static char block[1024 * 1024];
    struct iovec parts[] = {{block, sizeof(block)}, {block, sizeof(block)}};
    int ends[2];
    (void)state;
    pair(ends); /* which are in blocking mode */
    assert_int_equal(socket_recv(ends[0], block, 1), -1);
    assert_int_equal(errno, EAGAIN);
    while (socket_sendv(ends[0], parts, 2, true) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
    while (socket_send(ends[0], block, sizeof(block)) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(socket_wait(ends[0], POLLOUT, NOT_MS), 0);
    assert_true(socket_recv(ends[1], block, sizeof(block)) > 0);
    close(ends[0]);
    close(ends[1]);
}

static void several_parts_are_one_message(void **state)
{
    struct iovec parts[] = {{"ab", 2}, {"", 0}, {"cde", 3}};
    char got[8];
    int ends[2];
    (void)state;
    pair(ends);
    assert_int_equal(socket_sendv(ends[0], parts, 3, false), 5);
    assert_int_equal(socket_recv(ends[1], got, sizeof(got)), 5);
    assert_memory_equal(got, "abcde", 5);
    close(ends[0]);
    close(ends[1]);
}

static void who_has_gone_raises_no_signal(void **state)
{
    struct iovec part = {"x", 1};
    char byte;
    int ends[2];
    (void)state;
    pair(ends);
    close(ends[1]);
    assert_int_equal(socket_recv(ends[0], &byte, 1), 0);
    assert_int_equal(socket_send(ends[0], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(socket_sendv(ends[0], &part, 1, false), -1);
    assert_int_equal(errno, EPIPE);
    close(ends[0]);
}

static void a_file_from_its_middle_to_its_end(void **state)
{
    char path[] = "/tmp/test-socket-XXXXXX", got[16];
    int file = mkstemp(path), ends[2];
    off_t offset = 3;
    (void)state;
    unlink(path);
    pair(ends);
    assert_int_equal(write(file, "0123456789", 10), 10);
    assert_int_equal(socket_sendfile(ends[0], file, &offset, 4), 4);
    assert_int_equal(offset, 7);
    assert_int_equal(socket_sendfile(ends[0], file, &offset, 100), 3);
    assert_int_equal(socket_sendfile(ends[0], file, &offset, 100), 0);
    assert_int_equal(socket_recv(ends[1], got, sizeof(got)), 7);
    assert_memory_equal(got, "3456789", 7);
    close(file);
    close(ends[0]);
    close(ends[1]);
}

/* As of a file system that gives no pages away. */
static void a_file_that_the_system_does_not_send(void **state)
{
    (void)state;
    char text[] = "0123456789", got[16];
    off_t offset = 2;
    int ends[2];
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(pwrite(fileno(file), text, 10, 0), 10);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_APPEND), 0); /* which sendfile() refuses */
    assert_int_equal(socket_sendfile(ends[0], fileno(file), &offset, 5), 5);
    assert_int_equal(offset, 7);
    assert_int_equal(recv(ends[1], got, sizeof(got), 0), 5);
    assert_memory_equal(got, "23456", 5);
    offset = 10;
    assert_int_equal(socket_sendfile(ends[0], fileno(file), &offset, 5), 0);
    assert_int_equal(socket_sendfile(ends[0], -1, &offset, 5), -1);
    close(ends[0]);
    close(ends[1]);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_ipv4),
        cmocka_unit_test(accepts_ipv6),
        cmocka_unit_test(accepts_a_unix_socket),
        cmocka_unit_test(nothing_blocks),
        cmocka_unit_test(several_parts_are_one_message),
        cmocka_unit_test(who_has_gone_raises_no_signal),
        cmocka_unit_test(a_file_from_its_middle_to_its_end),
        cmocka_unit_test(a_file_that_the_system_does_not_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
