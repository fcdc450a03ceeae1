#include "serve/request/request.h"

#include "base/mem.h"
#include "proto/cgi.h"
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
    pthread_mutex_init(&request->inflow.lock, NULL);
    outq_init(&request->out, budget);
    events_init(&request->events);
    return request;
}

static void free_variables(struct cgi *cgi)
{
    if (cgi)
        cgi_free(cgi);
    mem_free(cgi);
}

void request_free(struct request *request)
{
    struct budget *budget = request->out.budget;
    outq_destroy(&request->out);
    pthread_mutex_destroy(&request->inflow.lock);
    spool_free(&request->body.spool);
    budget_give(budget, request->fields_charged);
    budget_give(budget, request->response.head_capacity);
    head_free(&request->head);
    free_variables(request->cgi);
    mem_free(request->response.head);
    budget_free(budget, request->input, request->input_capacity);
    mem_free(request);
    budget_give(budget, sizeof(*request));
}

struct request *request_get(struct engine *engine, struct conn *conn,
                            const struct stream_ops *stream, enum budget_use use)
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
    request->stream = stream;
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

static void set_phase(struct engine *engine, struct request *request, enum request_phase phase)
{
    engine->in_flight += phase == PHASE_RUNNING;
    engine->in_flight -= request_phase(request) == PHASE_RUNNING;
    atomic_store_explicit(&request->phase, phase, memory_order_relaxed);
}

bool request_turn_to(struct engine *engine, struct request *request, enum request_phase phase)
{
    static const bool moves[][5] = {
        /*                  IDLE HEAD BODY RUNNING FLUSH */
        [PHASE_IDLE] = {0, 1, 0, 0, 1},  [PHASE_HEAD] = {0, 0, 1, 1, 1},
        [PHASE_BODY] = {0, 0, 0, 1, 1},  [PHASE_RUNNING] = {1, 0, 0, 0, 1},
        [PHASE_FLUSH] = {1, 0, 0, 0, 0},
    };
    assert_leader(engine);
    if (!moves[request_phase(request)][phase])
        return false;
    set_phase(engine, request, phase);
    return true;
}

void request_next(struct engine *engine, struct request *request)
{
    request->input_size -= request->input_at;
    if (request->input_size > 0)
        memmove(request->input, request->input + request->input_at, request->input_size);
    request->input_at = 0;
    head_reset(&request->head);
    if (request->cgi)
        cgi_reset(request->cgi);
    memset(&request->state, 0, sizeof(request->state));
    request->must_close = false;
    clear_body(&request->body);
    if (request->inflow.used)
        inflow_clear(request);
    clear_response(&request->response);
    request->asked = false;
    clear_out(engine, &request->out);
}

void request_put(struct engine *engine, struct request *request)
{
    set_phase(engine, request, PHASE_IDLE); /* wherever it was: its client may have gone */
    request->input_at = request->input_size;
    request_next(engine, request);
    request->conn = NULL;
    if (engine->pooled >= REQUEST_POOL || request->input_capacity != INPUT_SIZE ||
        request->response.head_capacity != OUTPUT_SIZE || request->fields_charged > FIELDS_KEPT) {
        request_free(request);
        return;
    }
    request->next = engine->pool;
    engine->pool = request;
    engine->pooled++;
}

/* A full buffer doubles. The limits of the head refuse long before INPUT_MAX, unless there are
 * none. */
bool request_grow(struct request *request, enum budget_use use)
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
        if (!request_grow(request, BUDGET_ADMITTED))
            return false;
    return true;
}

bool request_need_variables(struct request *request)
{
    if (request->cgi)
        return true;
    request->cgi = mem_alloc(sizeof(*request->cgi));
    if (!request->cgi)
        return false;
    cgi_init(request->cgi);
    return true;
}

/* One with less room than is given stays as it is. */
static char *shrink(struct budget *budget, char *buffer, uint32_t *capacity, uint32_t size)
{
    char *less = size > 0 && size < *capacity ? mem_realloc(buffer, size) : NULL;
    if (!less)
        return buffer;
    budget_give(budget, *capacity - size);
    *capacity = size;
    return less;
}

void request_shrink(struct request *request)
{
    struct budget *budget = request->out.budget;
    struct response *response = &request->response;
    if (request->input_capacity == INPUT_SIZE) /* larger ones may be of blocks */
        request->input =
            shrink(budget, request->input, &request->input_capacity, request->input_size);
    response->head = shrink(budget, response->head, &response->head_capacity, response->head_size);
}

void request_charge_fields(struct request *request)
{
    const struct cgi *cgi = request->cgi;
    size_t bytes = (size_t)request->head.field_capacity * sizeof(struct head_field);
    if (cgi)
        bytes += sizeof(*cgi) + (size_t)cgi->capacity * sizeof(struct cgi_variable);
    if (bytes == request->fields_charged)
        return;
    budget_force(request->out.budget, bytes - request->fields_charged);
    request->fields_charged = (uint32_t)bytes;
}
