#include "serve/request/request.h"

#include "base/mem.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <errno.h>
#include <string.h>

/* The bytes of each, until its buffers grow. */
enum { REQUEST_BYTES = sizeof(struct request) + INPUT_SIZE + OUTPUT_SIZE };

static struct request *request_create(struct budget *budget, enum budget_use use)
{
    if (!budget_take(budget, use, 0, REQUEST_BYTES))
        return NULL;
    struct request *request = mem_alloc(sizeof(*request));
    if (request) {
        memset(request, 0, sizeof(*request));
        request->input = mem_alloc(INPUT_SIZE);
        request->response.head = mem_alloc(OUTPUT_SIZE);
    }
    if (!request || !request->input || !request->response.head) {
        if (request) {
            mem_free(request->input);
            mem_free(request->response.head);
        }
        mem_free(request);
        budget_give(budget, REQUEST_BYTES);
        errno = ENOMEM;
        return NULL;
    }
    request->input_capacity = INPUT_SIZE;
    request->response.head_capacity = OUTPUT_SIZE;
    head_init(&request->head);
    spool_init(&request->body.spool, budget);
    outq_init(&request->out, budget);
    events_init(&request->events);
    return request;
}

void request_free(struct request *request)
{
    struct budget *budget = request->out.budget;
    outq_destroy(&request->out);
    spool_free(&request->body.spool);
    budget_give(budget, request->fields_charged);
    budget_give(budget, request->response.head_capacity);
    head_free(&request->head);
    mem_free(request->response.head);
    budget_free(budget, request->input, request->input_capacity);
    mem_free(request);
    budget_give(budget, sizeof(*request));
}

struct request *request_get(struct engine *engine, struct conn *conn, enum budget_use use)
{
    struct request *request = engine->pool;
    if (request) {
        engine->pool = request->next;
        engine->pooled--;
    } else {
        request = request_create(&engine->budget, use);
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
    outq_end_spool(out);
}

void request_next(struct engine *engine, struct request *request)
{
    request->input_size -= request->input_at;
    if (request->input_size > 0)
        memmove(request->input, request->input + request->input_at, request->input_size);
    request->input_at = 0;
    head_reset(&request->head);
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
        request->response.head_capacity > OUTPUT_SIZE || request->fields_charged > FIELDS_KEPT) {
        request_free(request);
        return;
    }
    request->next = engine->pool;
    engine->pool = request;
    engine->pooled++;
}

/* A full buffer doubles. The limits of the head refuse long before INPUT_MAX, unless there are
 * none. */
static bool grow_input(struct request *request, enum budget_use use)
{
    struct budget *budget = request->out.budget;
    size_t capacity = (size_t)request->input_capacity * 2;
    if (request->input_capacity >= INPUT_MAX ||
        (use == BUDGET_REQUEST && !budget_allows(budget, capacity))) {
        errno = EMSGSIZE;
        return false;
    }
    char *input = budget_alloc(budget, use, &capacity);
    if (!input)
        return false;
    memcpy(input, request->input, request->input_size);
    budget_free(budget, request->input, request->input_capacity);
    request->input = input;
    request->input_capacity = (uint32_t)capacity;
    return true;
}

bool request_reserve(struct request *request, size_t size)
{
    while (request->input_capacity < size)
        if (!grow_input(request, BUDGET_ADMITTED))
            return false;
    return true;
}

void request_charge_fields(struct request *request)
{
    size_t bytes = (size_t)request->head.field_capacity * sizeof(struct head_field);
    if (bytes == request->fields_charged)
        return;
    budget_force(request->out.budget, bytes - request->fields_charged);
    request->fields_charged = (uint32_t)bytes;
}

/* Room for raw bytes behind the head: what was decoded already gives its place. */
static char *room_in_input(struct request *request, size_t *room)
{
    if (request->conn->state == CONN_BODY || request->conn->state == CONN_RUNNING) {
        if (request->input_at == request->input_size)
            request->input_at = request->input_size = request->head.size;
    }
    if (request->input_size == request->input_capacity && !grow_input(request, BUDGET_REQUEST))
        return NULL;
    *room = request->input_capacity - request->input_size;
    return request->input + request->input_size;
}

/* No more raw bytes than the body that they may become has room for. */
static char *room_for_chunks(struct request *request, size_t *room)
{
    char *into = room_in_input(request, room);
    if (into &&
        !spool_reserve(&request->body.spool, 0, *room, request->engine->options.tmp_dir, room))
        return NULL;
    return into;
}

char *request_room(struct request *request, size_t *room)
{
    struct body *body = &request->body;
    if (request->conn->state != CONN_BODY)
        return room_in_input(request, room);
    if (body->framing == HEAD_CHUNKED)
        return room_for_chunks(request, room);
    uint64_t left = body->wanted - body->stored;
    size_t want = left < SIZE_MAX ? (size_t)left : SIZE_MAX;
    return spool_reserve(&body->spool, body->wanted, want, request->engine->options.tmp_dir, room);
}
