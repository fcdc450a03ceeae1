#include "proc/children/scoreboard.h"

#include "base/system.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* Memory of one size for each slot, all zero. NULL with errno. */
static void *map_row(size_t size, int sharing)
{
    void *map = mmap(NULL, SCOREBOARD_SLOTS * size, PROT_READ | PROT_WRITE,
                     sharing | MAP_ANONYMOUS | SYSTEM_MAP_NORESERVE, -1, 0);

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
    board->slots = map_row(sizeof(struct slot), MAP_PRIVATE);
    board->accepted = map_row(sizeof(struct metrics), MAP_PRIVATE);
    board->shared = map_row(sizeof(struct slot_shared), MAP_SHARED);
    board->metrics = map_row(sizeof(struct metrics), MAP_SHARED);
    board->running = map_row(sizeof(struct running), MAP_SHARED);
    if (board->slots && board->accepted && board->shared && board->metrics && board->running)
        return 0;
    int saved = errno;
    scoreboard_close(board);
    errno = saved;
    return -1;
}

void scoreboard_close(struct scoreboard *board)
{
    unmap_row(board->slots, sizeof(struct slot));
    unmap_row(board->accepted, sizeof(struct metrics));
    unmap_row(board->shared, sizeof(struct slot_shared));
    unmap_row(board->metrics, sizeof(struct metrics));
    unmap_row(board->running, sizeof(struct running));
    memset(board, 0, sizeof(*board));
}

static struct slot *find_free(struct scoreboard *board)
{
    for (size_t i = 0; i < board->used; i++)
        if (!board->slots[i].taken)
            return &board->slots[i];
    return board->used < SCOREBOARD_SLOTS ? &board->slots[board->used++] : NULL;
}

static void clear(struct slot *slot)
{
    memset(slot->shared, 0, sizeof(*slot->shared));
    memset(slot->metrics, 0, sizeof(*slot->metrics));
    atomic_store(&slot->running->mask, 0);
}

struct slot *scoreboard_take(struct scoreboard *board, int wake_fd)
{
    struct slot *slot = find_free(board);

    if (!slot)
        return NULL;
    size_t i = scoreboard_index(board, slot);
    *slot = (struct slot){
        .shared = &board->shared[i],
        .metrics = &board->metrics[i],
        .running = &board->running[i],
        .wake_fd = wake_fd,
        .taken = true,
    };
    clear(slot);
    memset(&board->accepted[i], 0, sizeof(*board->accepted));
    /* Watched from the start: the master times the boot. */
    atomic_store(&slot->shared->watched, 1);
    atomic_store(&slot->shared->phase, SLOT_BOOTING);
    return slot;
}

/* The master's Python may still have the worker's object, and with it the slot: it stays readable.
 */
void scoreboard_release(struct scoreboard *board, struct slot *slot)
{
    metrics_fold(&board->past, scoreboard_figures(board, slot));
    clear(slot);
    slot->wake_fd = -1;
    slot->taken = false;
}

size_t scoreboard_index(const struct scoreboard *board, const struct slot *slot)
{
    return (size_t)(slot - board->slots);
}

const struct metrics *scoreboard_figures(const struct scoreboard *board, const struct slot *slot)
{
    struct metrics *accepted = &board->accepted[scoreboard_index(board, slot)];

    metrics_accept(accepted, slot->metrics);
    return accepted;
}

void scoreboard_sum(const struct scoreboard *board, struct metrics *totals)
{
    memcpy(totals, &board->past, sizeof(*totals));
    for (size_t i = 0; i < board->used; i++)
        if (board->slots[i].taken)
            metrics_sum(totals, scoreboard_figures(board, &board->slots[i]));
}

void slot_wake(struct slot *slot)
{
    atomic_store(&slot->shared->watched, 1); /* the master will have a timer: once is enough */
    if (slot->wake_fd < 0)
        return;
    /* EAGAIN: the pipe is full, so the master is about to look. EPIPE, EBADF: it is gone, which the
     * worker learns by other means. */
    ssize_t ignored = write(slot->wake_fd, "w", 1);
    (void)ignored;
}

void slot_set_phase(struct slot *slot, enum slot_phase phase)
{
    atomic_store(&slot->shared->phase, phase);
    slot_wake(slot);
}

void slot_retire(struct slot *slot, enum reason reason)
{
    atomic_store(&slot->shared->retire_reason, (uint8_t)reason);
    slot_set_phase(slot, SLOT_RETIRING);
}

bool slot_unwatch(struct slot *slot)
{
    atomic_store(&slot->shared->watched, 0);
    if (atomic_load(&slot->shared->busy_since) == 0)
        return true;
    atomic_store(&slot->shared->watched, 1);
    return false;
}
