#include "serve/request.h"

#include "base/mem.h"
#include "serve/engine.h"
#include "serve/limits.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct request *request_create(void)
{
    struct request *request = mem_alloc(sizeof(*request));
    if (!request)
        return NULL;
    memset(request, 0, sizeof(*request));
    request->input = mem_alloc(INPUT_SIZE);
    request->response.head = mem_alloc(OUTPUT_SIZE);
    if (!request->input || !request->response.head) {
        mem_free(request->input);
        mem_free(request->response.head);
        mem_free(request);
        return NULL;
    }
    request->input_capacity = INPUT_SIZE;
    request->response.head_capacity = OUTPUT_SIZE;
    http1_head_init(&request->head);
    spool_init(&request->body.spool);
    outq_init(&request->out);
    return request;
}

void request_free(struct request *request)
{
    outq_destroy(&request->out);
    spool_free(&request->body.spool);
    http1_head_free(&request->head);
    mem_free(request->response.head);
    mem_free(request->input);
    mem_free(request);
}

struct request *request_get(struct engine *engine, struct conn *conn)
{
    struct request *request = engine->pool;
    if (request) {
        engine->pool = request->next;
        engine->pooled--;
    } else {
        request = request_create();
        if (!request)
            return NULL;
    }
    request->engine = engine;
    request->conn = conn;
    request->input_size = 0;
    request->input_at = 0;
    request_next(engine, request);
    return request;
}

static void clear_body(struct body *body)
{
    if (body->spool.memory || body->spool.file >= 0)
        spool_free(&body->spool);
    struct spool spool = body->spool;
    memset(body, 0, sizeof(*body));
    body->spool = spool;
}

static void clear_response(struct response *response)
{
    char *head = response->head;
    uint32_t capacity = response->head_capacity;
    memset(response, 0, sizeof(*response));
    response->head = head;
    response->head_capacity = capacity;
}

static void clear_out(struct engine *engine, struct outq *out)
{
    metrics_add(&engine->metrics->bytes_out, out->sent);
    out->sent = 0;
    out->ahead = 0;
    atomic_store_explicit(&out->copies, false, memory_order_relaxed);
    if (out->head)
        engine_discard(engine, outq_clear(out));
    if (out->spool >= 0)
        close(out->spool);
    out->spool = -1;
    out->spooled = 0;
}

void request_next(struct engine *engine, struct request *request)
{
    request->input_size -= request->input_at;
    if (request->input_size > 0)
        memmove(request->input, request->input + request->input_at, request->input_size);
    request->input_at = 0;
    http1_head_reset(&request->head);
    clear_body(&request->body);
    clear_response(&request->response);
    request->asked = false;
    clear_out(engine, &request->out);
}

void request_put(struct engine *engine, struct request *request)
{
    request->input_at = request->input_size;
    request_next(engine, request);
    request->conn = NULL;
    if (engine->pooled >= REQUEST_POOL || request->input_capacity > INPUT_SIZE ||
        request->response.head_capacity > OUTPUT_SIZE) {
        request_free(request);
        return;
    }
    request->next = engine->pool;
    engine->pool = request;
    engine->pooled++;
}

/* A full buffer doubles. The limits of the head refuse long before INPUT_MAX, unless there are
 * none. */
static bool grow_input(struct request *request)
{
    if (request->input_capacity >= INPUT_MAX)
        return false;
    char *input = mem_realloc(request->input, (size_t)request->input_capacity * 2);
    if (!input)
        return false;
    request->input = input;
    request->input_capacity *= 2;
    return true;
}

bool request_reserve(struct request *request, size_t size)
{
    while (request->input_capacity < size)
        if (!grow_input(request))
            return false;
    return true;
}

/* Room for raw bytes behind the head: what was decoded already gives its place. */
static char *room_in_input(struct request *request, size_t *room)
{
    if (request->conn->state == CONN_BODY || request->conn->state == CONN_RUNNING) {
        if (request->input_at == request->input_size)
            request->input_at = request->input_size = request->head.size;
    }
    if (request->input_size == request->input_capacity && !grow_input(request))
        return NULL;
    *room = request->input_capacity - request->input_size;
    return request->input + request->input_size;
}

char *request_room(struct request *request, size_t *room)
{
    struct body *body = &request->body;
    if (request->conn->state != CONN_BODY || body->framing == HTTP1_CHUNKED)
        return room_in_input(request, room);
    uint64_t left = body->wanted - body->stored;
    size_t want = left < SIZE_MAX ? (size_t)left : SIZE_MAX;
    return spool_reserve(&body->spool, body->wanted, want, request->engine->options.tmp_dir, room);
}
