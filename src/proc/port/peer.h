#ifndef PROC_PORT_PEER_H
#define PROC_PORT_PEER_H

#include <stdbool.h>

/* Whether the process at the other end of a Unix socket is our own user's or root's. */
bool peer_is_own_user(int fd);

#endif
