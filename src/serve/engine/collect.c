#include "base/mem.h"
#include "net/tls/tls.h"
#include "serve/access/access_log.h"
#include "serve/access/refused.h"
#include "serve/engine/engine.h"

#include <string.h>

/* The work that only an attached thread may finish, done by one. */

void engine_flush_log(struct engine *engine)
{
    int error = access_log_flush(engine->access_log);
    if (error != 0 && engine_may_log(&engine->lost_logged_ms))
        engine_note(engine, NOTE_ERROR, "Cannot write the access log, lines are lost: %s",
                    strerror(error));
}

static void collect_notes(struct engine *engine)
{
    struct note *stack = atomic_exchange(&engine->notes, NULL);
    struct note *queue = NULL;
    while (stack) {
        struct note *next = stack->next;
        stack->next = queue;
        queue = stack;
        stack = next;
    }
    while (queue) {
        struct note *next = queue->next;
        atomic_fetch_sub(&engine->notes_waiting, 1);
        engine->ops->note(engine->app, queue->level, queue->text);
        mem_free(queue);
        queue = next;
    }
    unsigned lost = atomic_exchange(&engine->notes_lost, 0);
    if (lost > 0)
        engine_note(engine, NOTE_WARNING, "%u lines about clients are missing here", lost);
}

static void collect_tls(struct engine *engine)
{
    struct tls_context *context = atomic_exchange(&engine->garbage_tls, NULL);
    while (context) {
        struct tls_context *next = *tls_context_next(context);
        void *ref = tls_context_ref(context);
        tls_context_destroy(context);
        if (ref)
            engine->ops->release(engine->app, ref);
        context = next;
    }
}

void engine_collect_parts(struct engine *engine)
{
    if (!atomic_load_explicit(&engine->garbage_parts, memory_order_relaxed))
        return;
    assert_attached();
    struct part *part = atomic_exchange(&engine->garbage_parts, NULL);
    while (part) {
        struct part *next = part->next;
        engine->ops->release(engine->app, part->ref);
        part_free(part);
        part = next;
    }
}

void engine_collect(struct engine *engine)
{
    assert_attached();
    if (atomic_load_explicit(&engine->refused, memory_order_relaxed))
        refused_collect(engine);
    if (atomic_load_explicit(&engine->notes, memory_order_relaxed))
        collect_notes(engine);
    if (atomic_load_explicit(&engine->garbage_tls, memory_order_relaxed))
        collect_tls(engine);
    engine_collect_parts(engine);
}
