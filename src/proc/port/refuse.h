#ifndef PROC_PORT_REFUSE_H
#define PROC_PORT_REFUSE_H

/*
 * Lets a TCP listener take no new connection, while those that are in its queue, or whose handshake
 * has begun, can still be accepted. Without it a connection that arrives between a worker's last
 * accept(2) and its close(2) is lost; a client whose SYN is dropped tries again, and is refused or
 * served by the next server at that address. Holds for every process that shares the socket.
 *
 * Returns 0, or -1 with errno; EOPNOTSUPP where the system has no such means.
 */
int refuse_new_connections(int fd);

#endif
