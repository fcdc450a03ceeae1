#ifndef PROC_PORT_PRIVATE_H
#define PROC_PORT_PRIVATE_H

/*
 * Listens at a socket that only processes of our own user on this machine can use, for `gunicorn
 * --dump`: an abstract one with a name that cannot be guessed. A process that may look into this
 * one finds it by its descriptors.
 *
 * Returns the descriptor, or -1 with errno; EOPNOTSUPP where the system has no such sockets.
 */
int private_listen(int backlog);

#endif
