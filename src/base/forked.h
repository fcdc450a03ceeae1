#ifndef BASE_FORKED_H
#define BASE_FORKED_H

#include <stdatomic.h>
#include <stdbool.h>

/*
 * Descriptors that belong to this process alone. When it or a library of it calls fork(2), the
 * child's copies of those that are registered here are closed before fork() returns there; nothing
 * else is touched, neither locks nor the list of an epoll instance, which is the parent's, too.
 * vfork(2) and posix_spawn(3) are not slowed down: they exec, and the descriptors are
 * close-on-exec.
 */

enum { FORKED_FDS = 256 * 1024 }; /* descriptors from this number on are inherited */

/* Registers the handlers, once a process. 0, or -1 with errno. */
int forked_watch(void);

/* The copy is closed. For descriptors that nobody in the child will use or close. Any thread. */
void forked_close(int fd);

/* The copy is replaced by /dev/null, because other code knows its number and may close it. */
void forked_replace(int fd);

/* The descriptor is about to be closed, or another's. A number that is none does nothing, here as
 * above. */
void forked_forget(int fd);

/* The child has this signal's default action again: its handler is this process's. */
void forked_default(int signo);

/* The next children of this process are to keep all: they are forked by the server. */
void forked_expect(bool expected);

/* Whether the number is registered. If a new descriptor has it, other code has closed the one that
 * was registered. */
bool forked_is_registered(int fd);

/* The number now belongs to a substitute of the registered descriptor; the copy is closed. */
void forked_substitute(int fd);
bool forked_is_substitute(int fd);

extern unsigned forked_count;        /* forks between the first process and this one */
extern atomic_bool forked_has_child; /* this process has called fork(2) since forked_watch() */

#endif
