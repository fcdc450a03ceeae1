#ifndef SERVE_CONN_HTTP1_SEND_H
#define SERVE_CONN_HTTP1_SEND_H

#include "serve/request/request.h"

#include <sys/uio.h>

/*
 * The output of HTTP/1, from an answer to its socket. The rest is kept in
 * request->out, in memory, then in a file, and sent on by the engine; past those bounds the caller
 * waits, by app_ops. All return 0, or -1 when the client has gone (response.broken is set).
 */

/*
 * Sends parts[0..count). `body` is the index of the part that `ref` keeps alive, or -1: it may be
 * queued without a copy; then *kept is set and the ref now belongs to the queue.
 */
int send_parts(struct request *request, struct iovec *parts, int count, int body, void *ref,
               bool *kept);

/* The same for bytes that are copied, by a caller that holds locks: when *attend is set it calls
 * engine_attend() without them. */
int send_parts_locked(struct request *request, struct iovec *parts, int count, bool *attend);

/* The same for a head that send_file() follows at once: they share the first packet. */
int send_parts_more(struct request *request, struct iovec *parts, int count);

int send_file(struct request *request, int file, off_t offset, uint64_t n);

/* The same with a header before each piece: the engine sends all of it. Also -1 when there is no
 * descriptor for it. */
int send_framed_file(struct request *request, int file, off_t offset, uint64_t n,
                     const struct outq_framing *framing, uint16_t id);

/*
 * The application has the descriptor, too, and may make it block: files are sent by send() from now
 * on, which can be told not to wait. Any thread.
 */
void send_by_copies(struct request *request);

/* Sends as much of the queue as the socket takes; *taken grows by that. Leader only. */
enum outq_result http1_send_on(struct request *request, uint64_t *taken);

#endif
