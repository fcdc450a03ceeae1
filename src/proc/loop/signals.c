#include "proc/loop/signals.h"

#include "base/forked.h"
#include "proc/loop/pipe.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define SIGNAL_LIMIT 65 /* the highest number of Linux, and one */
#define SIGNAL_BATCH 64 /* numbers read from the pipe at a time */

static int pipe_read = -1;
static atomic_int pipe_write = -1; /* read by the handler, as the next */
static pid_t owner;    /* whose pipe it is: a child that others have forked has it, too */
static unsigned users; /* arbiters of this process, which is one but in tests */
static unsigned char batch[SIGNAL_BATCH];
static size_t batch_at, batch_size;

/* Signals that did not fit into the pipe, or came to another process than its owner. */
static atomic_bool held[SIGNAL_LIMIT];

static void on_signal(int signo)
{
    int saved = errno;
    unsigned char byte = (unsigned char)signo;

    if (pipe_write < 0 || getpid() != owner || write(pipe_write, &byte, 1) != 1)
        atomic_store(&held[signo], true);
    errno = saved;
}

int signals_open(void)
{
    int fds[2];

    if (users > 0) {
        users++;
        return 0;
    }
    if (pipe_open(fds, false) < 0)
        return -1;
    owner = getpid();
    pipe_read = fds[0];
    pipe_write = fds[1];
    users = 1;
    forked_replace(fds[0]);
    forked_replace(fds[1]);
    return 0;
}

static void close_pipe(void)
{
    int fds[2] = {pipe_read, pipe_write};

    pipe_read = -1;
    pipe_write = -1;
    forked_forget(fds[0]);
    forked_forget(fds[1]);
    batch_at = batch_size = 0;
    pipe_close(fds);
}

void signals_close(void)
{
    if (users > 0 && --users == 0)
        close_pipe();
}

int signals_fd(void)
{
    return pipe_read;
}

static void install(int signo, const struct sigaction *action)
{
    forked_default(signo);
    sigaction(signo, action, NULL);
}

void signals_install(const int *signos, size_t count)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < count; i++)
        if (signos[i] > 0 && signos[i] < SIGNAL_LIMIT)
            install(signos[i], &action);
}

static int take_held(void)
{
    for (int signo = 1; signo < SIGNAL_LIMIT; signo++)
        if (atomic_load_explicit(&held[signo], memory_order_relaxed) &&
            atomic_exchange(&held[signo], false))
            return signo;
    return 0;
}

int signals_next(void)
{
    if (batch_at == batch_size) {
        ssize_t n = pipe_read < 0 ? 0 : read(pipe_read, batch, sizeof(batch));

        batch_at = 0;
        batch_size = n > 0 ? (size_t)n : 0;
        if (batch_size == 0)
            return take_held();
    }
    return batch[batch_at++];
}

void signals_block(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

void signals_unblock(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

void signals_after_fork(void)
{
    users = 0;
    close_pipe();
    for (int signo = 1; signo < SIGNAL_LIMIT; signo++)
        atomic_store(&held[signo], false);
}

void signals_replay(void)
{
    static const int replayed[] = {SIGQUIT, SIGINT, SIGTERM, SIGUSR1};

    for (size_t i = 0; i < sizeof(replayed) / sizeof(replayed[0]); i++)
        if (atomic_exchange(&held[replayed[i]], false))
            kill(getpid(), replayed[i]);
}
