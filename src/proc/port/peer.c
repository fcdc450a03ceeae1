#include "proc/port/peer.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __linux__

static bool peer_user(int fd, uid_t *user)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    *user = peer.uid;
    return true;
}

#else

static bool peer_user(int fd, uid_t *user)
{
    gid_t group;

    return getpeereid(fd, user, &group) == 0;
}

#endif

bool peer_is_own_user(int fd)
{
    uid_t user;

    return peer_user(fd, &user) && (user == 0 || user == getuid() || user == geteuid());
}
