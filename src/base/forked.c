#include "base/forked.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { INHERITED, CLOSED, REPLACED, SUBSTITUTE };

unsigned forked_count;
atomic_bool forked_has_child;

/* A table, not the lists of the connections: another thread may have been changing those. */
static _Atomic(unsigned char) fates[FORKED_FDS];
static atomic_int fates_end; /* above the highest descriptor that was ever registered */
static sigset_t handled;     /* empty at first, as all that is static */
static _Thread_local sigset_t mask_before;
static _Thread_local bool is_expected;

static void decide(int fd, unsigned char fate)
{
    if (fd < 0 || fd >= FORKED_FDS)
        return;
    atomic_store_explicit(&fates[fd], fate, memory_order_relaxed);
    int end = atomic_load_explicit(&fates_end, memory_order_relaxed);
    while (fd >= end && !atomic_compare_exchange_weak(&fates_end, &end, fd + 1))
        ; /* another thread has raised it */
}

void forked_close(int fd)
{
    decide(fd, CLOSED);
}

void forked_replace(int fd)
{
    decide(fd, REPLACED);
}

void forked_forget(int fd)
{
    if (fd >= 0 && fd < FORKED_FDS)
        atomic_store_explicit(&fates[fd], INHERITED, memory_order_relaxed);
}

static unsigned char fate_of(int fd)
{
    return fd >= 0 && fd < FORKED_FDS ? atomic_load_explicit(&fates[fd], memory_order_relaxed)
                                      : INHERITED;
}

bool forked_is_registered(int fd)
{
    return fate_of(fd) != INHERITED;
}

void forked_substitute(int fd)
{
    decide(fd, SUBSTITUTE);
}

bool forked_is_substitute(int fd)
{
    return fate_of(fd) == SUBSTITUTE;
}

void forked_default(int signo)
{
    sigaddset(&handled, signo);
}

void forked_expect(bool expected)
{
    is_expected = expected;
}

static void replace(int fd, int nothing)
{
    if (nothing < 0 || dup2(nothing, fd) < 0)
        close(fd);
    else
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void reset_signals(void)
{
    const struct sigaction action = {.sa_handler = SIG_DFL};
    for (int signo = 1; signo < NSIG; signo++)
        if (sigismember(&handled, signo) == 1)
            sigaction(signo, &action, NULL);
    sigemptyset(&handled);
}

static void drop_descriptors(int nothing)
{
    int end = atomic_exchange(&fates_end, 0);
    for (int fd = 0; fd < end; fd++) {
        unsigned char fate = fate_of(fd);
        forked_forget(fd);
        if (fate == REPLACED)
            replace(fd, nothing);
        else if (fate != INHERITED)
            close(fd);
    }
}

static void drop_all(void)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    reset_signals();
    drop_descriptors(nothing);
    if (nothing >= 0)
        close(nothing);
}

static void forget_all(void)
{
    int end = atomic_exchange(&fates_end, 0);
    for (int fd = 0; fd < end; fd++)
        forked_forget(fd);
    sigemptyset(&handled);
}

/* A signal that reaches the child while it has the handlers of its parent would be lost. */
static void before_fork(void)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask_before);
}

/* In the child, whose only thread this is: async-signal-safe functions alone. */
static void in_child(void)
{
    int saved = errno;
    if (is_expected)
        forget_all();
    else
        drop_all();
    atomic_store(&forked_has_child, false);
    forked_count++;
    pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
    errno = saved;
}

static void in_parent(void)
{
    atomic_store(&forked_has_child, true);
    pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
}

int forked_watch(void)
{
    static bool watched; /* also in the children, which inherit the handlers */
    if (watched)
        return 0;
    int error = pthread_atfork(before_fork, in_parent, in_child);
    watched = error == 0;
    errno = error;
    return error ? -1 : 0;
}
