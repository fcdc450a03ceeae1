#ifndef NET_SOCKET_SYSTEM_H
#define NET_SOCKET_SYSTEM_H

#include <sys/socket.h>
#include <sys/types.h>

/* Calls that differ between systems: socket_linux.c, socket_portable.c. -1 with errno. */

/* accept(2); the descriptor is non-blocking and close-on-exec. */
int socket_system_accept(int listener, struct sockaddr *from, socklen_t *size);

/* socketpair(2) of Unix sockets; the descriptors are non-blocking and close-on-exec. */
int socket_system_pair(int type, int ends[2]);

/* Sends from a file at *offset, which moves on; EINVAL or ENOSYS if this file is not sent so. */
ssize_t socket_system_sendfile(int fd, int file, off_t *offset, size_t size);

#endif
