#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The few calls that a connection makes on its socket. All are non-blocking: -1 with errno EAGAIN.
 */

/* The address of the other end, kept small for idle connections. */
struct peer {
    uint16_t family; /* AF_INET, AF_INET6 or AF_UNIX */
    uint16_t port;   /* host order */
    uint8_t address[16];
};

enum { PEER_TEXT_SIZE = 48 };

/* Takes one connection from a listener: a non-blocking, close-on-exec descriptor, or -1 with errno.
 */
int socket_accept(int listener, struct peer *peer);

/* The other end of a connected socket; as of a Unix socket when the system does not know it. */
void socket_peer_of(int fd, struct peer *peer);

/* The numeric address ("" for a Unix socket), NUL-terminated, in out. */
const char *peer_text(const struct peer *peer, char out[PEER_TEXT_SIZE]);

ssize_t socket_recv(int fd, void *data, size_t size);
/* As socket_recv(), but the bytes stay in the socket. */
ssize_t socket_peek(int fd, void *data, size_t size);
ssize_t socket_send(int fd, const void *data, size_t size);
/* Further bytes follow at once, the last packet may wait for them. */
ssize_t socket_send_more(int fd, const void *data, size_t size);
/* `more`: as above. */
ssize_t socket_sendv(int fd, const struct iovec *parts, int count, bool more);

/* Sends from a file at *offset, which moves on; 0 at the end of the file. */
ssize_t socket_sendfile(int fd, int file, off_t *offset, size_t size);

/* The same by way of our memory, without waiting even where the descriptor blocks. */
ssize_t socket_send_copies(int fd, int file, off_t *offset, size_t size);

/* Whether there is something to read. */
bool socket_has_data(int fd);

/* Bytes that stand in the socket: received and not read, sent and not taken by the other end; 0
 * when the system does not tell. */
uint32_t socket_unread(int fd);
uint32_t socket_untaken(int fd);

enum socket_peer {
    PEER_THERE,
    PEER_SILENT, /* has ended its output, or closed: that looks the same until it is sent something
                  */
    PEER_GONE,   /* has closed or reset */
};

enum socket_peer socket_peer(int fd);

/* close() becomes a reset: the other end must not take it for the end of what was sent. On a Unix
 * socket it stays as it is. */
void socket_reset_at_close(int fd);

/* Waits for POLLIN or POLLOUT, at most timeout_ms. 1: ready, 0: time is over, -1: errno. */
int socket_wait(int fd, short events, int timeout_ms);

#endif
