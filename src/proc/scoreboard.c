#include "proc/scoreboard.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* Memory of one size for each slot, all zero. NULL with errno. */
static void *map_row(size_t size)
{
    void *map = mmap(NULL, SCOREBOARD_SLOTS * size, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return map == MAP_FAILED ? NULL : map;
}

static void unmap_row(void *row, size_t size)
{
    if (row)
        munmap(row, SCOREBOARD_SLOTS * size);
}

int scoreboard_open(struct scoreboard *board)
{
    memset(board, 0, sizeof(*board));
    board->slots = map_row(sizeof(struct slot));
    board->metrics = map_row(sizeof(struct metrics));
    board->running = map_row(sizeof(struct running));
    if (board->slots && board->metrics && board->running)
        return 0;
    int saved = errno;
    scoreboard_close(board);
    errno = saved;
    return -1;
}

void scoreboard_close(struct scoreboard *board)
{
    unmap_row(board->slots, sizeof(struct slot));
    unmap_row(board->metrics, sizeof(struct metrics));
    unmap_row(board->running, sizeof(struct running));
    board->slots = NULL;
    board->metrics = NULL;
    board->running = NULL;
}

struct slot *scoreboard_take(struct scoreboard *board, uint32_t age, uint32_t generation,
                             int wake_fd)
{
    for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
        struct slot *slot = &board->slots[i];

        if (atomic_load_explicit(&slot->phase, memory_order_relaxed) != SLOT_FREE)
            continue;
        memset(slot, 0, sizeof(*slot));
        slot->metrics = &board->metrics[i];
        slot->running = &board->running[i];
        atomic_store(&slot->running->mask, 0);
        slot->wake_fd = wake_fd;
        slot->age = age;
        slot->generation = generation;
        /* Watched from the start: the master times the boot. */
        atomic_store(&slot->watched, 1);
        atomic_store(&slot->phase, SLOT_BOOTING);
        return slot;
    }
    return NULL;
}

void scoreboard_release(struct scoreboard *board, struct slot *slot)
{
    metrics_fold(&board->past, slot->metrics);
    memset(slot->metrics, 0, sizeof(*slot->metrics));
    memset(slot, 0, sizeof(*slot));
    slot->wake_fd = -1; /* the master's Python may still have the worker's object, and its slot */
}

size_t scoreboard_index(const struct scoreboard *board, const struct slot *slot)
{
    return (size_t)(slot - board->slots);
}

void scoreboard_sum(const struct scoreboard *board, struct metrics *totals)
{
    memcpy(totals, &board->past, sizeof(*totals));
    for (size_t i = 0; i < SCOREBOARD_SLOTS; i++)
        if (atomic_load_explicit(&board->slots[i].phase, memory_order_relaxed) != SLOT_FREE)
            metrics_sum(totals, &board->metrics[i]);
}

void slot_wake(struct slot *slot)
{
    atomic_store(&slot->watched, 1); /* the master will have a timer: once is enough */
    if (slot->wake_fd < 0)
        return;
    /* EAGAIN: the pipe is full, so the master is about to look. EPIPE, EBADF: it is gone, which the
     * worker learns by other means. */
    ssize_t ignored = write(slot->wake_fd, "w", 1);
    (void)ignored;
}

void slot_set_phase(struct slot *slot, enum slot_phase phase)
{
    atomic_store(&slot->phase, phase);
    slot_wake(slot);
}

void slot_retire(struct slot *slot, enum reason reason)
{
    atomic_store(&slot->retire_reason, (uint8_t)reason);
    slot_set_phase(slot, SLOT_RETIRING);
}

bool slot_unwatch(struct slot *slot)
{
    atomic_store(&slot->watched, 0);
    if (atomic_load(&slot->busy_since) == 0)
        return true;
    atomic_store(&slot->watched, 1);
    return false;
}
