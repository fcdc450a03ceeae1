#ifndef SERVE_ACCESS_ACCESS_LOG_H
#define SERVE_ACCESS_ACCESS_LOG_H

#include "serve/access/access_format.h"

#include <pthread.h>

struct request;

/*
 * The access log when it is a plain file, pipe or terminal: lines are collected and leave in one
 * write for each batch of requests, only whole ones, so that those of several workers do not mix.
 */

enum { ACCESS_BATCH_SIZE = 16 * 1024 };

struct access_log {
    struct access_format *format; /* owned */
    int fd;                       /* our own: a duplicate */
    size_t batch;                 /* bytes that are written at most at a time */
    pthread_mutex_t lock;         /* of the next fields */
    int error;                    /* errno of a write that lost lines, 0 once it was logged */
    size_t n;
    char bytes[ACCESS_BATCH_SIZE];
};

/* Takes the format; fd is duplicated. NULL with errno, and the format is the caller's. */
struct access_log *access_log_create(struct access_format *format, int fd);

/* Writes the collected lines. NULL is no log. */
void access_log_destroy(struct access_log *log);

/* Goes on with another descriptor, after a rotation. 0, or -1 with errno. */
int access_log_reopen(struct access_log *log, int fd);

/* Adds the line about an entry. Any thread. */
void access_log_add(struct access_log *log, const struct access_entry *entry);

/* Adds the line about a request that the engine itself answered, or that got no answer. */
void access_log_refused(struct access_log *log, const struct request *request);

/* The same about one that an application has answered, duration_ns after it began. */
void access_log_answered(struct access_log *log, const struct request *request,
                         uint64_t duration_ns);

/* Writes the collected lines. 0, or the errno for which lines were lost since it was last called.
 * Any thread; NULL is no log. */
int access_log_flush(struct access_log *log);

/* A header of a request by its lower-case name, the last one; and of its response. */
struct str access_field_in(const struct request *request, struct str name);
struct str access_field_out(const struct request *request, struct str name);

#endif
