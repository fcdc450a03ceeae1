#include "proc/scoreboard.h"

#include <sys/mman.h>
#include <unistd.h>

int scoreboard_open(struct scoreboard *board)
{
    size_t size = SCOREBOARD_SLOTS * sizeof(struct slot);
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED)
        return -1;
    board->slots = map;
    return 0;
}

void scoreboard_close(struct scoreboard *board)
{
    if (board->slots)
        munmap(board->slots, SCOREBOARD_SLOTS * sizeof(struct slot));
    board->slots = NULL;
}

struct slot *scoreboard_take(struct scoreboard *board, uint32_t age, uint32_t generation,
                             int wake_fd)
{
    for (size_t i = 0; i < SCOREBOARD_SLOTS; i++) {
        struct slot *slot = &board->slots[i];

        if (atomic_load_explicit(&slot->phase, memory_order_relaxed) != SLOT_FREE)
            continue;
        memset(slot, 0, sizeof(*slot));
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

void scoreboard_release(struct slot *slot)
{
    memset(slot, 0, sizeof(*slot));
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

bool slot_unwatch(struct slot *slot)
{
    atomic_store(&slot->watched, 0);
    if (atomic_load(&slot->busy_since) == 0)
        return true;
    atomic_store(&slot->watched, 1);
    return false;
}
