/*
 * Loaded into a server before its libraries: calls of the system that the engine makes, and nobody
 * else, fail as the test wants it. Test and server share a page, the file $REFUSE.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Written by the test while `armed` is 0; read here, but for the two counts. */
struct page {
    _Atomic int32_t armed;
    int32_t error;           /* errno, or 0 for a call that does as little as it may */
    int32_t pid;             /* of the only process that is meant; negative: all but that */
    _Atomic int32_t before;  /* calls that go well before */
    _Atomic int32_t left;    /* calls that are refused then */
    _Atomic int32_t refused; /* how many were */
    _Atomic int64_t ahead;   /* seconds by which the wall clock is wrong */
    char call[32];
};

static struct page *page;
static uintptr_t engine_start, engine_end;

__attribute__((constructor)) static void open_page(void)
{
    const char *name = getenv("REFUSE");
    int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    void *memory =
        fd < 0 ? MAP_FAILED
               : (mmap)(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED)
        page = memory;
    if (fd >= 0)
        (close)(fd);
}

static int look_for_engine(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    const char *slash = strrchr(info->dlpi_name, '/');
    if (!slash || strncmp(slash, "/_core.", 7) != 0 || !strstr(info->dlpi_name, "gunicorn"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        engine_start = info->dlpi_addr + part->p_vaddr;
        engine_end = engine_start + part->p_memsz;
    }
    return 1;
}

static bool is_engine(void *caller)
{
    if (engine_end == 0)
        dl_iterate_phdr(look_for_engine, NULL);
    return (uintptr_t)caller >= engine_start && (uintptr_t)caller < engine_end;
}

static bool is_meant(void)
{
    pid_t pid = getpid();
    return page->pid == 0 || (page->pid > 0 ? pid == page->pid : pid != -page->pid);
}

/* Takes a turn: whether this call is to be refused. */
static bool refuses(const char *call, void *caller)
{
    if (!page || !atomic_load(&page->armed) || strcmp(page->call, call) != 0)
        return false;
    if (!is_meant() || !is_engine(caller) || atomic_fetch_sub(&page->before, 1) > 0)
        return false;
    if (atomic_fetch_sub(&page->left, 1) <= 0)
        return false;
    atomic_fetch_add(&page->refused, 1);
    errno = page->error;
    return true;
}

#define REAL(name)                                                                                 \
    static __typeof__(name) *real;                                                                 \
    if (!real)                                                                                     \
    real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define CALLED(name) refuses(#name, __builtin_return_address(0))

#define FAILS(result, failure, name, params, args)                                                 \
    result name params                                                                             \
    {                                                                                              \
        REAL(name);                                                                                \
        return CALLED(name) ? failure : real args;                                                 \
    }

/* Those that move bytes may move fewer than was asked for. */
#define MOVES(name, params, args, size)                                                            \
    ssize_t name params                                                                            \
    {                                                                                              \
        REAL(name);                                                                                \
        if (CALLED(name)) {                                                                        \
            if (page->error)                                                                       \
                return -1;                                                                         \
            size = size > 0;                                                                       \
        }                                                                                          \
        return real args;                                                                          \
    }

FAILS(int, -1, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
FAILS(int, -1, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILS(int, -1, epoll_create1, (int flags), (flags))
FAILS(int, -1, epoll_wait, (int e, struct epoll_event *events, int n, int ms), (e, events, n, ms))
FAILS(int, -1, eventfd, (unsigned n, int flags), (n, flags))
FAILS(pid_t, -1, fork, (void), ())
FAILS(int, -1, fstat64, (int fd, struct stat64 *status), (fd, status))
FAILS(int, -1, ftruncate64, (int fd, off64_t n), (fd, n))
FAILS(int, -1, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
FAILS(int, -1, getsockopt, (int fd, int l, int o, void *v, socklen_t *n), (fd, l, o, v, n))
FAILS(int, -1, kill, (pid_t pid, int number), (pid, number))
FAILS(int, -1, listen, (int fd, int n), (fd, n))
FAILS(off64_t, -1, lseek64, (int fd, off64_t at, int whence), (fd, at, whence))
FAILS(int, -1, memfd_create, (const char *name, unsigned flags), (name, flags))
FAILS(int, -1, mkostemp64, (char *name, int flags), (name, flags))
FAILS(void *, MAP_FAILED, mmap64, (void *p, size_t n, int prot, int flags, int fd, off64_t at),
      (p, n, prot, flags, fd, at))
FAILS(int, -1, nanosleep, (const struct timespec *t, struct timespec *left), (t, left))
FAILS(int, -1, pipe, (int fds[2]), (fds))
FAILS(int, -1, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))
FAILS(ssize_t, -1, read, (int fd, void *p, size_t n), (fd, p, n))
FAILS(ssize_t, -1, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
FAILS(int, -1, setsockopt, (int fd, int l, int o, const void *v, socklen_t n), (fd, l, o, v, n))
FAILS(int, -1, shutdown, (int fd, int how), (fd, how))
FAILS(int, -1, socket, (int family, int type, int protocol), (family, type, protocol))
FAILS(int, -1, socketpair, (int family, int type, int protocol, int fds[2]),
      (family, type, protocol, fds))
FAILS(int, -1, timerfd_create, (int clock, int flags), (clock, flags))
FAILS(pid_t, -1, wait4, (pid_t pid, int *status, int options, struct rusage *usage),
      (pid, status, options, usage))
MOVES(pread64, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at), n)
MOVES(pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at), n)
MOVES(send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), n)
MOVES(sendfile64, (int fd, int file, off64_t *at, size_t n), (fd, file, at, n), n)

static bool is_file(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/* A disk may be full; what wakes a loop or a thread always takes its few bytes. */
ssize_t write(int fd, const void *p, size_t n)
{
    REAL(write);
    if (!page || !atomic_load(&page->armed) || !is_file(fd) || !CALLED(write))
        return real(fd, p, n);
    return page->error ? -1 : real(fd, p, n > 0);
}

int close(int fd)
{
    REAL(close);
    int result = real(fd); /* Linux closes it, whatever it says */
    return CALLED(close) ? -1 : result;
}

/*
 * A stream that gives less than was asked for has no more (epoll(7)): the rest comes later, of
 * which the loop is told. The kernel looks again when SO_RCVLOWAT is set.
 */
ssize_t recv(int fd, void *p, size_t n, int flags)
{
    REAL(recv);
    if (!CALLED(recv))
        return real(fd, p, n, flags);
    if (page->error)
        return -1;
    int least = 1;
    ssize_t got = real(fd, p, n > 0, flags);
    (setsockopt)(fd, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof(least));
    return got;
}

/* What carries descriptors is sent whole or not at all. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    if (!CALLED(sendmsg))
        return real(fd, message, flags);
    if (page->error)
        return -1;
    struct iovec part = message->msg_iov[0];
    struct msghdr little = *message;
    if (message->msg_control)
        return real(fd, message, flags);
    part.iov_len = part.iov_len > 0;
    little.msg_iov = &part;
    little.msg_iovlen = 1;
    return real(fd, &little, flags);
}

int open64(const char *name, int flags, ...)
{
    REAL(open64);
    va_list arguments;
    va_start(arguments, flags);
    int mode = va_arg(arguments, int);
    va_end(arguments);
    return CALLED(open64) ? -1 : real(name, flags, mode);
}

/* What is watched already costs the kernel nothing more. */
int epoll_ctl(int loop, int operation, int fd, struct epoll_event *event)
{
    REAL(epoll_ctl);
    return operation == EPOLL_CTL_ADD && CALLED(epoll_ctl) ? -1 : real(loop, operation, fd, event);
}

/* Only copies of descriptors can fail. */
int fcntl64(int fd, int command, ...)
{
    REAL(fcntl64);
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    bool copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    return copies && CALLED(fcntl64) ? -1 : real(fd, command, argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    REAL(pthread_create);
    return CALLED(pthread_create) ? page->error : real(thread, attributes, run, argument);
}

extern void *__libc_malloc(size_t n);
extern void *__libc_realloc(void *block, size_t n);

void *malloc(size_t n)
{
    return CALLED(malloc) ? NULL : __libc_malloc(n);
}

void *realloc(void *block, size_t n)
{
    return CALLED(realloc) ? NULL : __libc_realloc(block, n);
}

/* The clock on the wall, for everybody. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    REAL(clock_gettime);
    int result = real(clock, now);
    if (page && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += atomic_load(&page->ahead);
    return result;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}
