#include "net/tls/tls.h"
#include "serve/engine/engine.h"

/* The context of TLS that each listener has. */

void engine_set_tls(struct engine *engine, uint32_t listener, struct tls_context *context)
{
    pthread_mutex_lock(&engine->tls_lock);
    struct tls_context *before = atomic_exchange(&engine->listeners[listener].tls, context);
    pthread_mutex_unlock(&engine->tls_lock);
    if (before)
        engine_drop_tls(engine, before);
}

struct tls_context *engine_use_tls(struct engine *engine, struct listener *listener)
{
    if (!atomic_load_explicit(&listener->tls, memory_order_relaxed))
        return NULL;
    pthread_mutex_lock(&engine->tls_lock);
    struct tls_context *context = atomic_load(&listener->tls);
    if (context)
        tls_context_use(context);
    pthread_mutex_unlock(&engine->tls_lock);
    return context;
}
