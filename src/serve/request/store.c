#include "serve/request/store.h"

#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <string.h>

static int store_in_memory(struct outq *q, const struct iovec *part, struct held held)
{
    if (held.ref && part->iov_len > OUT_COPY_MAX)
        return outq_ref(q, part->iov_base, part->iov_len, held.ref, held.size) < 0 ? -1 : 1;
    return outq_copy(q, part->iov_base, part->iov_len);
}

/*
 * Without the lock, and the interpreter is for others meanwhile if it is much: only this thread
 * appends. The leader, who sends refusals, has no interpreter and little to send.
 */
static int write_to_file(struct request *request, const struct iovec *part)
{
    struct engine *engine = request->engine;
    struct outq *q = &request->out;
    bool much = part->iov_len > SPOOL_ATTACHED_MAX;
    pthread_mutex_unlock(&q->lock);
    request->blocked += much;
    if (much)
        engine_detach(engine);
    int result = outq_spool_write(q, part->iov_base, part->iov_len, engine->options.tmp_dir);
    int error = errno;
    if (much)
        engine_attach(engine);
    request->blocked -= much;
    pthread_mutex_lock(&q->lock);
    errno = error;
    return result;
}

static int store_in_file(struct request *request, const struct iovec *part)
{
    struct outq *q = &request->out;
    if (q->kept + part->iov_len > request->engine->out_spool_max) {
        errno = EFBIG;
        return -1;
    }
    if (write_to_file(request, part) < 0)
        return -1;
    return outq_spool_append(q, part->iov_len);
}

/* Bytes of this answer that may wait for its client. */
static uint64_t window_of(const struct request *request)
{
    uint64_t window = request->engine->options.stream_window;
    if (!request->response.streamed || window == 0)
        window = UINT64_MAX;
    return window;
}

bool store_may_be_fast(const struct request *request)
{
    return request->response.streamed && !request->response.slow;
}

/* The client has so much before it already that a further item of a stream waits. */
static bool is_ahead(const struct request *request, size_t n)
{
    const struct outq *q = &request->out;
    uint64_t waits = q->memory + q->kept;
    if (store_never_waits(request)) /* its items wait by response_room() */
        return false;
    return store_may_be_fast(request) || (waits > 0 && waits + n > window_of(request));
}

/* Once there is a file all goes there until it is sent, in one part. */
static bool goes_to_memory(const struct request *request, size_t n)
{
    const struct outq *q = &request->out;
    uint64_t most = OUT_MEMORY_MAX, window = window_of(request);
    if (window > most && window < UINT64_MAX)
        most = window;
    return q->kept == 0 && (q->memory == 0 || q->memory + n <= most);
}

/* No file can be had, or it takes no more. */
static void log_file_error(struct engine *engine, int error)
{
    if (error != ENOBUFS && error != EMFILE && engine_may_log(&engine->room_logged_ms))
        engine_note(engine, NOTE_ERROR, "Cannot keep an answer in a file of tmp_upload_dir: %s",
                    strerror(error));
}

int store_part(struct request *request, const struct iovec *part, struct held held)
{
    struct outq *q = &request->out;
    if (is_ahead(request, part->iov_len))
        return STORE_AHEAD;
    if (goes_to_memory(request, part->iov_len)) {
        int stored = store_in_memory(q, part, held);
        if (stored >= 0)
            return stored;
    }
    if (store_in_file(request, part) == 0)
        return 0;
    if (errno == EFBIG)
        return STORE_AHEAD;
    log_file_error(request->engine, errno);
    int stored = store_in_memory(q, part, held);
    if (stored < 0)
        engine_short(request->engine,
                     "Answers wait for their clients, and the slowest clients are closed");
    return stored;
}
