#include "serve/access/refused.h"

#include "base/mem.h"
#include "serve/access/access_log.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/stream.h"

#include <string.h>

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Bytes of the input in which the slices of the head stand, also of one that is not whole. */
static uint32_t extent(const struct request *request)
{
    const struct head *head = &request->head;
    uint32_t end = larger(head->size, head->method + head->method_len);
    end = larger(end, head->target + head->target_len);
    if (head->field_count > 0) {
        const struct head_field *last = &head->fields[head->field_count - 1];
        end = larger(end, larger(last->name + last->name_len, last->value + last->value_len));
    }
    return end < request->input_size ? end : request->input_size;
}

/* Room for a copy, unless too much waits already. */
static struct refused *reserve(struct engine *engine, size_t size)
{
    size_t kept = atomic_fetch_add(&engine->refused_kept, size) + size;
    struct refused *refused = kept <= REFUSED_KEPT_MAX ? mem_alloc(size) : NULL;
    if (refused)
        return refused;
    atomic_fetch_sub(&engine->refused_kept, size);
    atomic_fetch_add(&engine->refused_lost, 1);
    return NULL;
}

static void copy_head(struct refused *refused, const struct request *request, uint32_t bytes)
{
    const struct head *head = &request->head;
    struct head_field *fields = (struct head_field *)(refused + 1);
    refused->head = *head;
    refused->head.fields = fields;
    if (head->field_count > 0)
        memcpy(fields, head->fields, sizeof(*fields) * head->field_count);
    refused->input = (char *)(fields + head->field_count);
    if (bytes > 0)
        memcpy(refused->input, request->input, bytes);
}

static void push(struct engine *engine, struct refused *refused)
{
    refused->next = atomic_load(&engine->refused);
    while (!atomic_compare_exchange_weak(&engine->refused, &refused->next, refused))
        ;
}

static void keep(struct engine *engine, const struct request *request)
{
    uint32_t bytes = extent(request);
    size_t size =
        sizeof(struct refused) + sizeof(struct head_field) * request->head.field_count + bytes;
    struct refused *refused = reserve(engine, size);
    if (!refused)
        return;
    *refused = (struct refused){
        .kept = size,
        .listener = (uint32_t)(request_listener(request) - engine->listeners),
        .number = request_number(request),
        .status = request->response.status,
        .sent = request->response.body_sent,
        .peer = *request_peer(request),
    };
    copy_head(refused, request, bytes);
    push(engine, refused);
}

void refused_log(struct engine *engine, const struct request *request)
{
    if (engine->access_log)
        access_log_refused(engine->access_log, request);
    else if (engine->app_logs)
        keep(engine, request);
}

/* The stack is last in, first out: turned round. */
static struct refused *take(struct engine *engine)
{
    struct refused *stack = atomic_exchange(&engine->refused, NULL), *queue = NULL;
    while (stack) {
        struct refused *next = stack->next;
        stack->next = queue;
        queue = stack;
        stack = next;
    }
    return queue;
}

void refused_collect(struct engine *engine)
{
    struct refused *refused = take(engine);
    while (refused) {
        struct refused *next = refused->next;
        engine->ops->refused(engine->app, refused);
        atomic_fetch_sub(&engine->refused_kept, refused->kept);
        mem_free(refused);
        refused = next;
    }
    unsigned lost = atomic_exchange(&engine->refused_lost, 0);
    if (lost > 0)
        engine_note(engine, NOTE_WARNING, "The access log lacks %u lines about refused requests",
                    lost);
}
