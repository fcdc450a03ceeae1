#ifndef TEST_BACKENDS_H
#define TEST_BACKENDS_H

/* A test with each backend of this build, by WITH(test, backend) of the including file. */
#ifdef LOOP_KQUEUE
#define WITH_EACH(test) WITH(test, "epoll"), WITH(test, "kqueue"), WITH(test, "poll")
#else
#define WITH_EACH(test) WITH(test, "epoll"), WITH(test, "poll")
#endif

#endif
