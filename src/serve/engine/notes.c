#include "serve/engine/engine.h"

#include "base/clock.h"
#include "base/mem.h"
#include "net/tls/tls.h"
#include "serve/engine/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Work that only an attached thread may finish, left on a stack: see collect.c. */

bool engine_may_log(_Atomic uint64_t *logged_ms)
{
    uint64_t now = clock_ms(), before = atomic_load(logged_ms);
    if (before > 0 && now < before + NOTE_PAUSE_MS)
        return false;
    return atomic_compare_exchange_strong(logged_ms, &before, now);
}

void engine_note(struct engine *engine, enum note_level level, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    if (level == NOTE_DEBUG && !engine->options.debug)
        return;
    if (atomic_load(&engine->notes_waiting) >= NOTES_MAX) {
        atomic_fetch_add(&engine->notes_lost, 1);
        return;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    size_t size = strlen(text) + 1;
    struct note *note = mem_alloc(sizeof(*note) + size);
    if (!note)
        return;
    atomic_fetch_add(&engine->notes_waiting, 1);
    note->level = level;
    memcpy(note->text, text, size);
    note->next = atomic_load(&engine->notes);
    while (!atomic_compare_exchange_weak(&engine->notes, &note->next, note))
        ;
}

void engine_short(struct engine *engine, const char *consequence)
{
    const struct budget *budget = &engine->budget;
    if (engine_may_log(&engine->short_logged_ms))
        engine_note(engine, NOTE_WARNING,
                    "%s: clients occupy %llu MiB of client_memory (%llu MiB), %llu MiB of "
                    "client_disk (%llu MiB) and %u of %u files",
                    consequence, (unsigned long long)(atomic_load(&budget->memory) >> 20),
                    (unsigned long long)(budget->memory_max >> 20),
                    (unsigned long long)(atomic_load(&budget->spooled) >> 20),
                    (unsigned long long)(budget->disk_max >> 20), atomic_load(&budget->files),
                    budget->files_max);
}

void engine_discard(struct engine *engine, struct part *parts)
{
    while (parts) {
        struct part *next = parts->next;
        if (parts->kind == PART_REF) {
            parts->next = atomic_load(&engine->garbage_parts);
            while (!atomic_compare_exchange_weak(&engine->garbage_parts, &parts->next, parts))
                ;
        } else {
            part_free(parts);
        }
        parts = next;
    }
}

void engine_drop_tls(struct engine *engine, struct tls_context *context)
{
    if (!tls_context_drop(context))
        return;
    struct tls_context **next = tls_context_next(context);
    *next = atomic_load(&engine->garbage_tls);
    while (!atomic_compare_exchange_weak(&engine->garbage_tls, next, context))
        ;
}
