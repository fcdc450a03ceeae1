#include "proc/port/refuse.h"

#include <errno.h>
#include <sys/socket.h>

#ifdef __linux__

#include <linux/filter.h>

#define TCP_FLAGS_AT 13 /* the filter of a TCP socket sees the segment from its TCP header on */
#define TCP_SYN 0x02
#define TCP_ACK 0x10

int refuse_new_connections(int fd)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_AT),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TCP_SYN | TCP_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),          /* drop */
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff), /* keep all of it */
    };
    struct sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
}

#else

int refuse_new_connections(int fd)
{
    (void)fd;
    errno = EOPNOTSUPP;
    return -1;
}

#endif
