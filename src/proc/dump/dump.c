#include "proc/dump/dump.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__

#include <sys/syscall.h>

enum { SIGNAL_ABOVE_MIN = 9 }; /* of the real-time signals, which hardly anybody uses */

int dump_signal(void)
{
    return SIGRTMIN + SIGNAL_ABOVE_MIN;
}

static int open_file(void)
{
    return memfd_create("stacks", MFD_CLOEXEC);
}

static uint32_t this_thread(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

static int signal_thread(pid_t pid, pid_t thread)
{
    return (int)syscall(SYS_tgkill, pid, thread, dump_signal());
}

#else

int dump_signal(void)
{
    return 0;
}

static int open_file(void)
{
    errno = ENOSYS;
    return -1;
}

static uint32_t this_thread(void)
{
    return 0;
}

static int signal_thread(pid_t pid, pid_t thread)
{
    (void)pid, (void)thread;
    errno = ENOSYS;
    return -1;
}

#endif

/* In a worker: the means of its threads to answer. */
static struct {
    struct dump_shared *shared;
    void (*write_stack)(int signo);
    int wake_fd;
} answering;

void dump_open(struct dump *dump)
{
    *dump = (struct dump){.file = -1};
    writer_init(&dump->text, DUMP_SIZE);
    void *map = mmap(NULL, sizeof(struct dump_shared), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return;
    dump->shared = map;
    dump->file = open_file();
}

void dump_close(struct dump *dump)
{
    dump_end(dump);
    /* Threads of a worker may be asked until it ends: the rest is the kernel's to take back. */
    if (answering.shared)
        return;
    if (dump->file >= 0)
        close(dump->file);
    if (dump->shared)
        munmap(dump->shared, sizeof(struct dump_shared));
    dump->file = -1;
    dump->shared = NULL;
}

/* ---- in the worker ---- */

static void on_request(int signo)
{
    int saved = errno;
    uint32_t self = this_thread();

    if (answering.shared) {
        /* Before the look at `wanted`, which the master takes away before it looks at this. */
        atomic_fetch_add(&answering.shared->writing, 1);
        if (atomic_load(&answering.shared->wanted) == self)
            answering.write_stack(signo);
        /* Unless the master has given up on it, and asks another one. */
        atomic_compare_exchange_strong(&answering.shared->wanted, &self, 0);
        atomic_fetch_sub(&answering.shared->writing, 1);
        (void)!write(answering.wake_fd, "d", 1);
    }
    errno = saved;
}

static void handle(int signo, void (*handler)(int signo))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_ONSTACK};

    sigemptyset(&action.sa_mask);
    sigaction(signo, &action, NULL);
}

void dump_ignore(void)
{
    if (dump_signal() > 0)
        handle(dump_signal(), on_request);
}

int dump_accept(const struct dump *dump, struct slot *slot)
{
    struct sigaction present;

    if (dump->file < 0 || sigaction(dump_signal(), NULL, &present) < 0)
        return -1;
    if (present.sa_handler == SIG_DFL || present.sa_handler == SIG_IGN ||
        present.sa_handler == on_request) {
        errno = EINVAL;
        return -1;
    }
    answering.write_stack = present.sa_handler;
    answering.wake_fd = slot->wake_fd;
    answering.shared = dump->shared;
    handle(dump_signal(), on_request);
    atomic_store(&slot->shared->dumps, 1);
    return 0;
}

/* ---- in the master ---- */

/* The worker's slot; NULL when it has none or is dead, and its number may be that of another
 * process by now. */
static const struct slot *slot_of(struct children *children, pid_t pid)
{
    const struct child *child = children_find(children, pid);

    return child ? child->slot : NULL;
}

/* A worker that died amid its answer does not write any more. */
static void forget_the_dead(struct dump *dump, struct children *children, pid_t pid)
{
    if (!slot_of(children, pid))
        atomic_store(&dump->shared->writing, 0);
}

/* Whether the file is still being written to on behalf of the last dump. */
static bool is_written(struct dump *dump, struct children *children)
{
    if (dump->late)
        forget_the_dead(dump, children, dump->late);
    if (atomic_load(&dump->shared->writing) == 0)
        dump->late = 0;
    return dump->late != 0;
}

int dump_begin(struct dump *dump, const struct scoreboard *board, struct children *children,
               const pid_t *pids, size_t count, int64_t now)
{
    if (dump->active || dump->file < 0 || is_written(dump, children)) {
        errno = dump->file < 0 ? ENOSYS : EBUSY;
        return -1;
    }
    dump->pids = mem_alloc(sizeof(*pids) * (count + 1));
    if (!dump->pids)
        return -1;
    memcpy(dump->pids, pids, sizeof(*pids) * count);
    dump->count = count;
    dump->at = 0;
    dump->board = board;
    dump->children = children;
    dump->asked_first = false;
    dump->begun_at = now;
    dump->active = true;
    atomic_store(&dump->shared->writing, 0); /* no thread writes, in spite of any other value */
    return 0;
}

void dump_end(struct dump *dump)
{
    if (dump->shared) {
        atomic_store(&dump->shared->wanted, 0);
        if (dump->active && dump->at < dump->count && atomic_load(&dump->shared->writing))
            dump->late = dump->pids[dump->at];
    }
    mem_free(dump->pids);
    dump->pids = NULL;
    dump->active = dump->revoked = false;
    dump->asked_at = 0;
    writer_free(&dump->text);
}

int64_t dump_deadline(const struct dump *dump)
{
    if (!dump->active)
        return INT64_MAX;
    return dump->asked_at ? dump->asked_at + DUMP_THREAD_MS : 0;
}

static int by_number(const void *a, const void *b)
{
    return *(const pid_t *)a - *(const pid_t *)b;
}

/* The main thread has the lowest number. */
static void list_threads(struct dump *dump, pid_t pid)
{
    char path[64];
    struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    while (dir && dump->thread_count < DUMP_THREADS && (entry = readdir(dir)))
        if (atoi(entry->d_name) > 0)
            dump->threads[dump->thread_count++] = atoi(entry->d_name);
    if (dir)
        closedir(dir);
    qsort(dump->threads, dump->thread_count, sizeof(dump->threads[0]), by_number);
}

static void describe_requests(struct dump *dump, const struct slot *slot, int64_t now)
{
    struct running_request list[RUNNING_MAX];
    unsigned count = running_copy(slot->running, now, list);

    writer_format(&dump->text, "Worker %d (slot %zu): %u running\n", (int)dump->pids[dump->at],
                  scoreboard_index(dump->board, slot), count);
    for (unsigned i = 0; i < count; i++) {
        writer_format(&dump->text, "  thread %u, for %.3f s: ", list[i].thread,
                      (double)(now - list[i].since) / 1000.0);
        writer_escape(&dump->text, running_method(&list[i]), false);
        writer_text(&dump->text, " ");
        writer_json(&dump->text, running_path(&list[i]));
        writer_text(&dump->text, "\n");
    }
}

static void begin_worker(struct dump *dump, int64_t now)
{
    const struct slot *slot = slot_of(dump->children, dump->pids[dump->at]);

    dump->asked_first = true;
    dump->thread_count = dump->thread_at = 0;
    dump->asked_at = 0;
    if (!slot)
        return;
    describe_requests(dump, slot, now);
    if (atomic_load(&slot->shared->dumps))
        list_threads(dump, dump->pids[dump->at]);
    else
        writer_text(&dump->text, "  It cannot tell its stacks (yet).\n");
}

/* A line "Name:\tvalue" of a thread's status in /proc; false when there is none. */
static bool thread_status(pid_t pid, pid_t thread, const char *name, char *out, size_t size)
{
    char path[80], line[256];
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)thread);
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof(line), file)) {
        size_t n = strlen(name);

        found = strncmp(line, name, n) == 0 && line[n] == ':';
        if (found)
            snprintf(out, size, "%.*s", (int)strcspn(line + n + 2, "\n"), line + n + 2);
    }
    if (file)
        fclose(file);
    return found;
}

/* A thread that blocks the signal runs no Python: it is our stand-by or of some library. */
static bool listens(pid_t pid, pid_t thread)
{
    char blocked[32];

    if (!thread_status(pid, thread, "SigBlk", blocked, sizeof(blocked)))
        return false;
    return !(strtoull(blocked, NULL, 16) & (uint64_t)1 << (dump_signal() - 1));
}

/* Asks the next thread that listens; false when there is none left. */
static bool ask_next(struct dump *dump, int64_t now)
{
    pid_t pid = dump->pids[dump->at];

    if (!slot_of(dump->children, pid))
        return false;
    for (; dump->thread_at < dump->thread_count; dump->thread_at++) {
        pid_t thread = dump->threads[dump->thread_at];

        if (!listens(pid, thread) || ftruncate(dump->file, 0) < 0 ||
            lseek(dump->file, 0, SEEK_SET) < 0)
            continue;
        atomic_store(&dump->shared->wanted, (uint32_t)thread);
        if (signal_thread(pid, thread) == 0) {
            dump->asked_at = now;
            return true;
        }
    }
    return false;
}

/* Of any length and content, as any worker may write to the file. */
static void copy_stack(struct dump *dump)
{
    char bytes[4096];
    off_t at = 0;
    ssize_t n;

    while (!dump->text.error && (n = pread(dump->file, bytes, sizeof(bytes), at)) > 0) {
        writer_escape(&dump->text, (struct str){bytes, (size_t)n}, true);
        at += n;
    }
}

/* "Thread 12 (python3)": with the name that the thread has given itself. */
static void describe_thread(struct dump *dump, pid_t pid, pid_t thread)
{
    char name[64] = "?";

    thread_status(pid, thread, "Name", name, sizeof(name));
    writer_format(&dump->text, "Thread %d (", (int)thread);
    writer_escape(&dump->text, (struct str){name, strlen(name)}, false);
    writer_text(&dump->text, ")");
}

/* Adds the thread's stack to the text. */
static void take_answer(struct dump *dump)
{
    pid_t pid = dump->pids[dump->at], thread = dump->threads[dump->thread_at];
    char state[64] = "gone";
    struct stat stat;
    bool wrote = fstat(dump->file, &stat) == 0 && stat.st_size > 0;

    if (wrote || dump->revoked)
        describe_thread(dump, pid, thread);
    if (wrote) {
        writer_text(&dump->text, "\n");
    } else if (dump->revoked) {
        thread_status(pid, thread, "State", state, sizeof(state));
        writer_format(&dump->text, ", %s: it gave no answer within %d ms\n", state, DUMP_THREAD_MS);
    }
    copy_stack(dump);
    dump->asked_at = 0;
    dump->revoked = false;
    dump->thread_at++;
}

/* Whether the thread that was asked is done, by its answer or because it is too late for one. */
static bool is_done(struct dump *dump, int64_t now)
{
    uint32_t thread = (uint32_t)dump->threads[dump->thread_at];

    if (now >= dump->asked_at + DUMP_THREAD_MS) {
        dump->asked_at = now; /* when it writes still, this is looked at again */
        if (atomic_compare_exchange_strong(&dump->shared->wanted, &thread, 0))
            dump->revoked = true;
        forget_the_dead(dump, dump->children, dump->pids[dump->at]);
    }
    if (now > dump->begun_at + DUMP_TOTAL_MS)
        return true;
    return atomic_load(&dump->shared->wanted) == 0 && atomic_load(&dump->shared->writing) == 0;
}

/* It is too long, or takes too long: the part that is there goes out, and says so. */
static void cut(struct dump *dump)
{
    static const char mark[] = "…\n";
    size_t most = dump->text.limit - sizeof(mark);

    dump->text.error = 0;
    if (dump->text.size > most)
        dump->text.size = most;
    writer_text(&dump->text, mark);
}

bool dump_step(struct dump *dump, int64_t now)
{
    while (dump->active && dump->at < dump->count) {
        if (!dump->asked_first)
            begin_worker(dump, now);
        if (dump->asked_at) {
            if (!is_done(dump, now))
                return false;
            take_answer(dump);
        }
        if (dump->text.error || now > dump->begun_at + DUMP_TOTAL_MS) {
            cut(dump);
            return true;
        }
        if (ask_next(dump, now))
            continue;
        writer_text(&dump->text, "\n");
        dump->asked_first = false;
        dump->at++;
    }
    return true;
}
