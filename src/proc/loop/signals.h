#ifndef PROC_LOOP_SIGNALS_H
#define PROC_LOOP_SIGNALS_H

#include <signal.h>
#include <stddef.h>

/*
 * The master's signals. A handler writes the signal's number into a pipe and returns; the loop
 * reads the pipe when poll(2) says so. So none is lost, none is seen twice, and their order is
 * kept. Only this process holds the pipe: workers wake the master by another one.
 *
 * Signal handlers belong to the process, so there is one set of them, not one per arbiter.
 */

/* Opens the pipe. Returns 0, or -1 with errno (EMFILE, ENFILE). */
int signals_open(void);
void signals_close(void);

/* The descriptor to poll for reading. */
int signals_fd(void);

/* Queues these signals from now on. */
void signals_install(const int *signos, size_t count);

/* The next signal that came, in the order of arrival; 0 when there is none left. */
int signals_next(void);

/* Blocks everything while a worker is forked, so that no signal reaches it with the master's
 * handlers and pipe still in place. */
void signals_block(sigset_t *before);
void signals_unblock(const sigset_t *before);

/* In the new worker: signals are remembered for signals_replay() from now on. */
void signals_after_fork(void);

/* In the worker, once it has handlers of its own: sends it the wishes to stop, and to open its logs
 * anew, that came before it had them. All else is of no meaning to a worker that begins. */
void signals_replay(void);

#endif
