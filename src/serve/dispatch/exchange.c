#include "serve/dispatch/exchange.h"

#include "base/system.h"
#include "net/socket_system.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    PARCEL_VERSION = 2,
    PARCEL_FDS = 2,
    TAKE_YIELDS = 16, /* tries of the lock before each waits a millisecond */
};

struct board {
    struct exchange_seat seats[EXCHANGE_SEATS];
    alignas(64) atomic_uint count;
    atomic_uint two_masters;
    atomic_uint replaced;
    atomic_uint ends;
};

/* Room for the descriptors of a message, aligned as the system wants it. */
union fd_space {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * PARCEL_FDS)];
};

#ifdef __linux__
static const bool peeking_gives_descriptors = true;
#else
static const bool peeking_gives_descriptors = false; /* some give invalid ones: see peek_fds() */
#endif

/* The record lock of the taking end: for all processes, and released by the kernel when its owner
 * dies. A mutex in shared memory would not do: robust ones have pointers in them, which other
 * workers can write. `type` is F_WRLCK or F_UNLCK. */
static int lock(int fd, short type)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
    int result;
    do
        result = fcntl(fd, F_SETLK, &range);
    while (result < 0 && errno == EINTR);
    return result;
}

/* The same among the threads of a process, which the kernel does not distinguish. */
static pthread_mutex_t within = PTHREAD_MUTEX_INITIALIZER;

/* False with errno; EAGAIN: another worker has it. */
static bool lock_taking(const struct exchange *exchange)
{
    int error = pthread_mutex_trylock(&within);
    if (!error && lock(exchange->take, F_WRLCK) < 0) {
        error = errno == EACCES ? EAGAIN : errno;
        pthread_mutex_unlock(&within);
    }
    errno = error == EBUSY ? EAGAIN : error;
    return error == 0;
}

static void unlock_taking(const struct exchange *exchange)
{
    lock(exchange->take, F_UNLCK);
    pthread_mutex_unlock(&within);
}

/* NULL with errno. */
static struct board *make_board(void)
{
    struct board *board =
        mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return board == MAP_FAILED ? NULL : board;
}

int exchange_open(struct exchange *exchange)
{
    const int size = EXCHANGE_BUFFER;
    int ends[2];
    if (!peeking_gives_descriptors) {
        errno = ENOTSUP;
        return -1;
    }
    if (socket_system_pair(SOCK_SEQPACKET, ends) < 0)
        return -1;
    struct board *board = lock(ends[1], F_UNLCK) < 0 ? NULL : make_board();
    if (!board) {
        int saved = errno;
        close(ends[0]);
        close(ends[1]);
        errno = saved;
        return -1;
    }
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    *exchange = (struct exchange){
        .give = ends[0],
        .take = ends[1],
        .seats = board->seats,
        .count = &board->count,
        .two_masters = &board->two_masters,
        .replaced = &board->replaced,
        .ends = &board->ends,
    };
    return 0;
}

void exchange_close(struct exchange *exchange)
{
    close(exchange->give);
    close(exchange->take);
    munmap(exchange->seats, sizeof(struct board));
}

/* Messages */

static size_t label_parcel(struct parcel *parcel)
{
    size_t total = 0;
    parcel->label.version = PARCEL_VERSION;
    parcel->label.spooled = parcel->file >= 0;
    for (int i = 0; i < PARCEL_PIECES; i++) {
        parcel->label.sizes[i] = (uint32_t)parcel->pieces[i].iov_len;
        total += parcel->pieces[i].iov_len;
    }
    return total;
}

static void attach_fds(struct msghdr *message, const struct parcel *parcel)
{
    int fds[PARCEL_FDS] = {parcel->fd, parcel->file};
    size_t size = sizeof(int) * (parcel->file >= 0 ? 2 : 1);
    message->msg_controllen = CMSG_SPACE(size);
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(control), fds, size);
}

bool exchange_send(const struct exchange *exchange, struct parcel *parcel)
{
    union fd_space space = {0};
    struct iovec parts[1 + PARCEL_PIECES] = {
        {.iov_base = &parcel->label, .iov_len = sizeof(parcel->label)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1, .msg_control = &space};
    if (label_parcel(parcel) > PARCEL_BYTES_MAX) {
        errno = EMSGSIZE;
        return false;
    }
    for (int i = 0; i < PARCEL_PIECES; i++)
        if (parcel->pieces[i].iov_len > 0)
            parts[message.msg_iovlen++] = parcel->pieces[i];
    attach_fds(&message, parcel);
    atomic_fetch_add(exchange->count, 1); /* before another worker takes it */
    ssize_t n;
    do
        n = sendmsg(exchange->give, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        atomic_fetch_sub(exchange->count, 1);
    return n >= 0;
}

/* The descriptors of a message, in the order in which they were sent; how many there are. */
static int detach_fds(struct msghdr *message, int fds[PARCEL_FDS])
{
    const struct cmsghdr *control = CMSG_FIRSTHDR(message); /* there is room for no other */
    if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
        return 0;
    int count = 0;
    size_t size = control->cmsg_len - CMSG_LEN(0);
    for (size_t at = 0; at + sizeof(int) <= size && count < PARCEL_FDS; at += sizeof(int))
        memcpy(&fds[count++], CMSG_DATA(control) + at, sizeof(int));
    return count;
}

/* Finds the pieces in the bytes received; false when they contradict the label. */
static bool unpack(struct parcel *parcel, char *bytes, size_t n, int fd_count)
{
    const struct parcel_label *label = &parcel->label;
    size_t total = 0;
    if (label->version != PARCEL_VERSION || fd_count != (label->spooled ? 2 : 1))
        return false;
    for (int i = 0; i < PARCEL_PIECES; i++) {
        if (label->sizes[i] > n - total)
            return false;
        parcel->pieces[i] = (struct iovec){.iov_base = bytes + total, .iov_len = label->sizes[i]};
        total += label->sizes[i];
    }
    return total == n && label->sizes[0] > 0;
}

static void close_all(const int *fds, int count)
{
    for (int i = 0; i < count; i++)
        close(fds[i]);
}

static ssize_t receive(const struct exchange *exchange, struct msghdr *message, int flags)
{
    ssize_t n;
    do
        n = recvmsg(exchange->take, message, MSG_DONTWAIT | flags);
    while (n < 0 && errno == EINTR);
    return n;
}

/*
 * The kernel throws descriptors away for which the process has no number left, and another thread
 * may take the last one at any time. So they are received while the message stays in the queue:
 * if there is no room, nothing is lost.
 */
static enum exchange_result peek_fds(const struct exchange *exchange, int fds[PARCEL_FDS],
                                     int *count)
{
    union fd_space space;
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = sizeof(byte)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space)};
    if (receive(exchange, &message, MSG_PEEK | SYSTEM_MSG_CMSG_CLOEXEC) < 0)
        return EXCHANGE_EMPTY;
    *count = detach_fds(&message, fds);
    if (!(message.msg_flags & MSG_CTRUNC))
        return EXCHANGE_PARCEL;
    bool no_room = *count < PARCEL_FDS; /* else there are too many: it is no parcel */
    close_all(fds, *count);
    *count = 0;
    return no_room ? EXCHANGE_NO_ROOM : EXCHANGE_PARCEL;
}

/* The message that was peeked at goes, and the kernel's descriptors with it; -1: it stays. */
static ssize_t take_bytes(const struct exchange *exchange, struct parcel_label *label, char *bytes)
{
    struct iovec parts[2] = {{.iov_base = label, .iov_len = sizeof(*label)},
                             {.iov_base = bytes, .iov_len = PARCEL_BYTES_MAX}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n = receive(exchange, &message, 0);
    if (n >= 0)
        atomic_fetch_sub(exchange->count, 1);
    return message.msg_flags & MSG_TRUNC ? 0 : n;
}

/* False: the worker that takes does not go on, as it was stopped by a signal or a debugger. One
 * that died between the two steps has left the message, or taken it along: both are whole. */
static bool begin_taking(const struct exchange *exchange)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int tries = 0; !lock_taking(exchange); tries++) {
        if (tries >= TAKE_YIELDS + TAKE_WAIT_MS || errno != EAGAIN)
            return false;
        if (tries < TAKE_YIELDS)
            sched_yield();
        else
            nanosleep(&pause, NULL);
    }
    return true;
}

enum exchange_result exchange_receive(const struct exchange *exchange, struct parcel *parcel,
                                      char *bytes)
{
    int fds[PARCEL_FDS] = {-1, -1}, count = 0;
    ssize_t n = -1;
    if (!begin_taking(exchange))
        return EXCHANGE_EMPTY;
    enum exchange_result result = peek_fds(exchange, fds, &count);
    if (result == EXCHANGE_PARCEL)
        n = take_bytes(exchange, &parcel->label, bytes);
    unlock_taking(exchange);
    if (result == EXCHANGE_NO_ROOM)
        errno = EMFILE;
    if (n < 0) {
        close_all(fds, count);
        return result == EXCHANGE_PARCEL ? EXCHANGE_EMPTY : result;
    }
    bool whole = (size_t)n >= sizeof(parcel->label) &&
                 unpack(parcel, bytes, (size_t)n - sizeof(parcel->label), count);
    if (!whole)
        close_all(fds, count);
    parcel->fd = fds[0];
    parcel->file = fds[1];
    return whole ? EXCHANGE_PARCEL : EXCHANGE_BROKEN;
}

bool exchange_is_empty(const struct exchange *exchange)
{
    return socket_wait(exchange->take, POLLIN, 0) == 0;
}

uint64_t exchange_since(const struct exchange *exchange)
{
    struct parcel_label label;
    ssize_t n = recv(exchange->take, &label, sizeof(label), MSG_PEEK | MSG_DONTWAIT);
    return n == sizeof(label) ? label.ready_ns : 0;
}

/* A worker that was killed between the two steps of sending may have counted one too many. */
unsigned exchange_waiting(const struct exchange *exchange)
{
    unsigned count = atomic_load(exchange->count);
    if (exchange_is_empty(exchange))
        return 0;
    return count < EXCHANGE_COUNT_MAX ? count : EXCHANGE_COUNT_MAX;
}

/* The board */

/* Begins at its number, so that the first look finds it as a rule. EXCHANGE_SEATS: it has none. */
static uint32_t seat_of(const struct exchange *exchange, uint32_t number)
{
    for (uint32_t i = 0; i < EXCHANGE_SEATS; i++) {
        uint32_t at = (number + i) % EXCHANGE_SEATS;
        if (atomic_load_explicit(&exchange->seats[at].number, memory_order_relaxed) == number)
            return at;
    }
    return EXCHANGE_SEATS;
}

bool exchange_has_others(const struct exchange *exchange, uint32_t number)
{
    uint32_t own = seat_of(exchange, number);
    for (uint32_t i = 0; i < EXCHANGE_SEATS; i++)
        if (i != own && atomic_load_explicit(&exchange->seats[i].pulse, memory_order_relaxed))
            return true;
    return false;
}

uint32_t exchange_idle(const struct exchange *exchange, uint32_t number,
                       unsigned pulses[EXCHANGE_SEATS])
{
    uint32_t own = seat_of(exchange, number);
    uint32_t idle = 0;
    for (uint32_t i = 0; i < EXCHANGE_SEATS; i++) {
        unsigned pulse = atomic_load_explicit(&exchange->seats[i].pulse, memory_order_relaxed);
        idle += i != own && (pulse & 1) && pulse == pulses[i];
        pulses[i] = pulse;
    }
    return idle;
}

uint32_t exchange_resting(const struct exchange *exchange, uint32_t number)
{
    uint32_t own = seat_of(exchange, number);
    uint32_t resting = 0;
    for (uint32_t i = 0; i < EXCHANGE_SEATS; i++)
        resting +=
            i != own && (atomic_load_explicit(&exchange->seats[i].pulse, memory_order_relaxed) & 1);
    return resting;
}

uint32_t exchange_least_load(const struct exchange *exchange, uint32_t number)
{
    uint32_t own = seat_of(exchange, number);
    uint32_t least = EXCHANGE_STUCK;
    for (uint32_t i = 0; i < EXCHANGE_SEATS; i++) {
        const struct exchange_seat *other = &exchange->seats[i];
        uint32_t load = atomic_load_explicit(&other->load, memory_order_relaxed);
        if (i != own && load < least && atomic_load_explicit(&other->pulse, memory_order_relaxed))
            least = load;
    }
    return least;
}

/* A free seat, which is its own from now on; that of another worker if all are taken. */
static uint32_t choose_seat(const struct exchange *exchange, uint32_t number)
{
    uint32_t own = seat_of(exchange, number);
    for (uint32_t i = 0; own == EXCHANGE_SEATS && i < EXCHANGE_SEATS; i++) {
        uint32_t at = (number + i) % EXCHANGE_SEATS, nobody = 0;
        if (atomic_compare_exchange_strong(&exchange->seats[at].number, &nobody, number))
            own = at;
    }
    return own < EXCHANGE_SEATS ? own : number % EXCHANGE_SEATS;
}

atomic_uint *exchange_sit(const struct exchange *exchange, uint32_t number, unsigned pulse)
{
    struct exchange_seat *seat = &exchange->seats[choose_seat(exchange, number)];
    atomic_store(&seat->number, number);
    atomic_store(&seat->load, 0);
    atomic_store(&seat->pulse, pulse);
    return &seat->pulse;
}

void exchange_leave(const struct exchange *exchange, uint32_t number)
{
    uint32_t own = seat_of(exchange, number);
    if (own == EXCHANGE_SEATS)
        return;
    struct exchange_seat *seat = &exchange->seats[own];
    atomic_store(&seat->pulse, 0);
    atomic_store(&seat->load, 0);
    atomic_compare_exchange_strong(&seat->number, &number, 0); /* the last: it is free then */
}

void exchange_set_load(const struct exchange *exchange, uint32_t number, uint32_t load)
{
    uint32_t own = seat_of(exchange, number);
    if (own < EXCHANGE_SEATS)
        atomic_store_explicit(&exchange->seats[own].load, load, memory_order_relaxed);
}
