#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "serve/engine/budget.h"
#include "serve/engine/limits.h"
#include "serve/request/outq.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILE_SIZE = 300 * 1000, EXPECTED_MAX = 8 * 1024 * 1024 };

struct world {
    struct budget budget;
    struct outq q;
    int ours, peer;
    int refs; /* that came back */
    char *expected, *got;
    size_t expected_size, got_size;
};

static char referenced[200 * 1000];
static int file = -1;

static int open_world(void **state)
{
    static struct world world;
    int ends[2], size = 4096;
    memset(&world, 0, sizeof(world));
    budget_init(&world.budget, 0, 0);
    outq_init(&world.q, &world.budget);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    world.ours = ends[0];
    world.peer = ends[1];
    world.expected = malloc(EXPECTED_MAX);
    world.got = malloc(EXPECTED_MAX);
    *state = &world;
    return 0;
}

static void discard(struct world *world, struct part *parts)
{
    while (parts) {
        struct part *next = parts->next;
        if (parts->kind == PART_REF) {
            assert_ptr_equal(parts->ref, world);
            world->refs++;
        }
        part_free(parts);
        parts = next;
    }
}

static int close_world(void **state)
{
    struct world *world = *state;
    mem_fail_never();
    discard(world, outq_clear(&world->q));
    outq_destroy(&world->q);
    budget_destroy(&world->budget);
    close(world->ours);
    if (world->peer >= 0)
        close(world->peer);
    free(world->expected);
    free(world->got);
    return 0;
}

static void expect(struct world *world, const char *data, size_t n)
{
    assert_true(world->expected_size + n <= EXPECTED_MAX);
    memcpy(world->expected + world->expected_size, data, n);
    world->expected_size += n;
}

static void add_copy(struct world *world, const char *text)
{
    assert_int_equal(outq_copy(&world->q, text, strlen(text)), 0);
    expect(world, text, strlen(text));
}

static void add_ref(struct world *world, size_t n)
{
    assert_int_equal(outq_ref(&world->q, referenced, n, world, n), 0);
    expect(world, referenced, n);
}

static void add_file(struct world *world, off_t offset, size_t n)
{
    assert_int_equal(outq_file(&world->q, dup(file), offset, n), 0);
    assert_int_equal(pread(file, world->expected + world->expected_size, n, offset), n);
    world->expected_size += n;
}

/* As FastCGI's records, with an end that says how long the piece is. */
static void put_frame(char out[FRAME_HEADER_SIZE], uint16_t id, uint16_t n)
{
    char text[FRAME_HEADER_SIZE + 1];
    snprintf(text, sizeof(text), "%03u%05u", id % 1000u, n);
    memcpy(out, text, FRAME_HEADER_SIZE);
}

static const struct outq_framing framing = {.piece = 65528, .header = put_frame};

static void add_framed(struct world *world, off_t offset, size_t n)
{
    char header[FRAME_HEADER_SIZE];
    assert_int_equal(outq_framed_file(&world->q, dup(file), offset, n, &framing, 7), 0);
    while (n > 0) {
        size_t piece = n < framing.piece ? n : framing.piece;
        put_frame(header, 7, (uint16_t)piece);
        expect(world, header, sizeof(header));
        assert_int_equal(pread(file, world->expected + world->expected_size, piece, offset), piece);
        world->expected_size += piece;
        offset += (off_t)piece;
        n -= piece;
    }
}

static int spool(struct world *world, const char *data, size_t n, const char *dir)
{
    if (outq_spool_write(&world->q, data, n, dir) < 0)
        return -1;
    return outq_spool_append(&world->q, n);
}

static void add_spooled(struct world *world, const char *data, size_t n)
{
    assert_int_equal(spool(world, data, n, NULL), 0);
    expect(world, data, n);
}

static void receive(struct world *world)
{
    ssize_t n;
    while ((n = recv(world->peer, world->got + world->got_size, EXPECTED_MAX - world->got_size,
                     0)) > 0)
        world->got_size += (size_t)n;
}

static enum outq_result flush(struct world *world, bool *progress)
{
    struct part *done = NULL;
    uint64_t taken = 0, before = world->q.sent;
    enum outq_result result = outq_flush(&world->q, world->ours, NULL, &done, &taken);
    assert_int_equal(world->q.sent - before, taken);
    *progress = taken > 0;
    discard(world, done);
    return result;
}

/* Sends in turns with a client that reads; returns how often the socket was full. */
static int exchange(struct world *world)
{
    int blocked = 0;
    bool progress;
    while (flush(world, &progress) != OUTQ_EMPTY) {
        assert_true(atomic_load(&world->q.pending));
        receive(world);
        blocked++;
    }
    receive(world);
    assert_false(atomic_load(&world->q.pending));
    assert_int_equal(world->q.memory, 0);
    assert_int_equal(world->got_size, world->expected_size);
    assert_memory_equal(world->got, world->expected, world->got_size);
    return blocked;
}

static void empty_is_not_pending(void **state)
{
    struct world *world = *state;
    bool progress;
    assert_false(atomic_load(&world->q.pending));
    assert_int_equal(flush(world, &progress), OUTQ_EMPTY);
    assert_false(progress);
}

static void a_small_copy_leaves_at_once(void **state)
{
    struct world *world = *state;
    char text[] = "hello";
    add_copy(world, text);
    memset(text, 0, sizeof(text)); /* the queue has its own */
    assert_true(atomic_load(&world->q.pending));
    assert_int_equal(world->q.memory, sizeof(struct part) + 5);
    assert_int_equal(atomic_load(&world->budget.memory), world->q.memory);
    assert_int_equal(exchange(world), 0);
}

static void all_kinds_in_their_order(void **state)
{
    struct world *world = *state;
    add_copy(world, "head");
    add_ref(world, sizeof(referenced));
    add_copy(world, "between");
    add_file(world, 7, FILE_SIZE - 7);
    add_spooled(world, "spooled", 7);
    add_spooled(world, referenced, sizeof(referenced));
    add_copy(world, "end");
    add_spooled(world, "again", 5);
    assert_int_equal(world->q.memory, 7 * sizeof(struct part) + 4 + sizeof(referenced) + 7 + 3);
    assert_int_equal(atomic_load(&world->budget.files), 2); /* the other's, and one of ours */
    assert_true(exchange(world) > 3);
    assert_int_equal(world->refs, 1);
}

static void a_file_with_headers(void **state)
{
    struct world *world = *state;
    add_copy(world, "head");
    add_framed(world, 9, FILE_SIZE - 9);
    add_framed(world, 0, 65528);
    add_framed(world, 0, 1);
    add_copy(world, "end");
    assert_true(exchange(world) > 3);
}

static void many_small_parts(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 1000; i++) {
        char text[32];
        snprintf(text, sizeof(text), "part %d,", i);
        add_copy(world, text);
    }
    exchange(world);
}

static void what_is_spooled_in_a_row_is_one_part(void **state)
{
    struct world *world = *state;
    bool progress;
    for (int i = 0; i < 5; i++)
        add_spooled(world, referenced, 40 * 1000);
    assert_ptr_equal(world->q.head, world->q.tail);
    assert_int_equal(world->q.head->left, 5 * 40 * 1000);
    /* It may still become longer when some of it has been sent. */
    assert_int_equal(flush(world, &progress), OUTQ_BLOCKED);
    assert_true(progress);
    add_spooled(world, "more", 4);
    assert_ptr_equal(world->q.head, world->q.tail);
    exchange(world);
}

/* What was sent does not count, and its place on the disk is given back. */
static void a_spool_that_is_sent_makes_room(void **state)
{
    struct world *world = *state;
    enum { TIMES = 2 * OUT_SPOOL_FILE / (4 * 200 * 1000) };
    uint64_t largest = 0;
    for (int i = 0; i < TIMES; i++) {
        world->expected_size = world->got_size = 0;
        for (int n = 0; n < 4; n++)
            add_spooled(world, referenced, sizeof(referenced));
        assert_int_equal(world->q.kept, 4 * sizeof(referenced));
        if (world->q.spool->size > largest)
            largest = world->q.spool->size;
        exchange(world);
        assert_int_equal(world->q.kept, 0);
    }
    assert_true(largest > OUT_SPOOL_FILE / 2);
    assert_true(largest < OUT_SPOOL_FILE + 4 * sizeof(referenced));
}

static void what_is_spooled_in_two_files_stays_in_order(void **state)
{
    struct world *world = *state;
    add_spooled(world, "the end of one", 14);
    atomic_fetch_add(&world->budget.spooled, OUT_SPOOL_FILE - world->q.spool->size);
    world->q.spool->size = OUT_SPOOL_FILE;
    add_spooled(world, ", the beginning", 15);
    add_spooled(world, " of another", 11);
    assert_ptr_equal(world->q.head->next, world->q.tail);
    assert_int_equal(world->q.spool->size, 26);
    assert_int_equal(world->q.kept, 40);
    exchange(world);
    add_spooled(world, "cleared", 7);
    world->expected_size -= 7;
    discard(world, outq_clear(&world->q));
    assert_int_equal(world->q.kept, 0);
}

static void a_full_socket_makes_no_progress(void **state)
{
    struct world *world = *state;
    bool progress;
    add_ref(world, sizeof(referenced));
    assert_int_equal(flush(world, &progress), OUTQ_BLOCKED);
    assert_true(progress);
    while (progress)
        assert_int_equal(flush(world, &progress), OUTQ_BLOCKED);
    assert_int_equal(world->refs, 0);
    exchange(world);
    assert_int_equal(world->refs, 1);
}

static void others_have_their_turn(void **state)
{
    struct world *world = *state;
    int size = 8 * SEND_TURN;
    socklen_t length = sizeof(size);
    bool progress;
    setsockopt(world->ours, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    getsockopt(world->ours, SOL_SOCKET, SO_SNDBUF, &size, &length);
    if (size < 4 * SEND_TURN)
        skip(); /* the system's bound: this socket is full before the turn is over */
    for (int i = 0; i < SEND_TURN / FILE_SIZE + 2; i++)
        add_file(world, 0, FILE_SIZE);
    assert_int_equal(flush(world, &progress), OUTQ_MORE);
    assert_true(progress);
    assert_true(atomic_load(&world->q.pending));
    exchange(world);
}

static void a_peer_that_has_gone(void **state)
{
    struct world *world = *state;
    bool progress;
    add_copy(world, "never read");
    add_ref(world, 10);
    add_file(world, 0, 10);
    close(world->peer);
    world->peer = -1;
    assert_int_equal(flush(world, &progress), OUTQ_BROKEN);
    assert_false(progress);
    discard(world, outq_clear(&world->q));
    assert_int_equal(world->refs, 1);
    assert_int_equal(world->q.memory, 0);
    assert_false(atomic_load(&world->q.pending));
}

static void a_file_shorter_than_promised(void **state)
{
    struct world *world = *state;
    bool progress;
    enum outq_result result;
    assert_int_equal(outq_file(&world->q, dup(file), FILE_SIZE - 10, 11), 0);
    while ((result = flush(world, &progress)) == OUTQ_BLOCKED)
        receive(world);
    assert_int_equal(result, OUTQ_BROKEN);
    receive(world);
    assert_int_equal(world->got_size, 10);
}

static void no_memory(void **state)
{
    struct world *world = *state;
    mem_fail_after(0);
    assert_int_equal(outq_copy(&world->q, "x", 1), -1);
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(outq_ref(&world->q, "x", 1, world, 1), -1);
    assert_int_equal(outq_file(&world->q, file, 0, 1), -1);
    assert_int_equal(spool(world, "x", 1, NULL), -1);
    assert_null(world->q.spool);
    assert_false(atomic_load(&world->q.pending));
    mem_fail_never();
    add_spooled(world, "y", 1);
    exchange(world);
}

static void no_place_on_disk(void **state)
{
    struct world *world = *state;
    struct rlimit old, small;
    assert_int_equal(spool(world, "x", 1, "/nonexistent/dir"), -1);
    assert_int_equal(errno, ENOENT);
    signal(SIGXFSZ, SIG_IGN);
    add_spooled(world, "first", 5);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){1000, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int result = spool(world, referenced, 2000, NULL);
    int error = errno;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(result, -1);
    assert_int_equal(error, EFBIG);
    add_spooled(world, "second", 6); /* nothing of what failed is in between */
    exchange(world);
}

static void out_of_descriptors(void **state)
{
    struct world *world = *state;
    struct rlimit old, none;
    add_copy(world, "first");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){1, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int result = spool(world, "lost", 4, NULL);
    int error = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(result, -1);
    assert_int_equal(error, EMFILE);
    add_spooled(world, "second", 6);
    exchange(world);
}

/* Its parts share the file. */
static void a_spool_needs_one_descriptor(void **state)
{
    struct world *world = *state;
    int before = dup(file), after;
    close(before);
    for (int i = 0; i < 10; i++) {
        add_spooled(world, "spooled", 7);
        add_copy(world, ",");
    }
    after = dup(file);
    close(after);
    assert_int_equal(after, before + 1);
    assert_int_equal(atomic_load(&world->budget.files), 1);
    exchange(world);
    assert_int_equal(atomic_load(&world->budget.spooled), 70);
    outq_end_spool(&world->q);
    assert_int_equal(atomic_load(&world->budget.spooled), 0);
    assert_int_equal(atomic_load(&world->budget.files), 0);
}

static void what_the_budget_refuses(void **state)
{
    struct world *world = *state;
    world->budget.memory_max = BUDGET_ANSWER_SHARE * 1000 * 4 / 3;
    assert_int_equal(outq_ref(&world->q, referenced, 10, world, 1000), -1); /* it keeps them all */
    assert_int_equal(errno, ENOBUFS);
    assert_int_equal(outq_copy(&world->q, referenced, 1000), -1);
    add_copy(world, "small");
    world->budget.disk_max = 20;
    assert_int_equal(spool(world, referenced, 11, NULL), -1);
    assert_int_equal(errno, ENOBUFS);
    add_spooled(world, "half of it", 10);
    world->budget.files_max = 1;
    assert_int_equal(outq_file(&world->q, file, 0, 1), -1);
    assert_int_equal(errno, EMFILE);
    exchange(world);
}

/* It holds none, and is there because memory is short. */
static void a_file_needs_no_memory(void **state)
{
    struct world *world = *state;
    world->budget.memory_max = BUDGET_ANSWER_SHARE * 1000 * 4 / 3;
    assert_int_equal(outq_copy(&world->q, referenced, 700), 0);
    expect(world, referenced, 700);
    assert_int_equal(outq_copy(&world->q, "x", 1), -1);
    assert_int_equal(errno, ENOBUFS);
    add_spooled(world, "spooled", 7);
    add_file(world, 0, FILE_SIZE);
    exchange(world);
    assert_int_equal(atomic_load(&world->budget.memory), 0);
}

/* What was written for a part that could not be had is written over. */
static void what_is_in_no_part_takes_no_room(void **state)
{
    struct world *world = *state;
    add_spooled(world, "first", 5);
    add_copy(world, ",");
    assert_int_equal(outq_spool_write(&world->q, "lost", 4, NULL), 0);
    mem_fail_after(0);
    assert_int_equal(outq_spool_append(&world->q, 4), -1);
    assert_int_equal(errno, ENOMEM);
    mem_fail_never();
    assert_int_equal(atomic_load(&world->budget.spooled), 5);
    add_spooled(world, "second", 6);
    assert_int_equal(world->q.spool->size, 11);
    exchange(world);
}

static int open_file(void **state)
{
    (void)state;
    char path[] = "/tmp/test-outq-XXXXXX", piece[1000];
    file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    for (int i = 0; i < FILE_SIZE / (int)sizeof(piece); i++) {
        memset(piece, 'a' + i % 26, sizeof(piece));
        assert_int_equal(write(file, piece, sizeof(piece)), sizeof(piece));
    }
    for (size_t i = 0; i < sizeof(referenced); i++)
        referenced[i] = (char)('A' + i % 23);
    return 0;
}

static int close_file(void **state)
{
    (void)state;
    return close(file);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(empty_is_not_pending),
        IN_WORLD(a_small_copy_leaves_at_once),
        IN_WORLD(all_kinds_in_their_order),
        IN_WORLD(a_file_with_headers),
        IN_WORLD(many_small_parts),
        IN_WORLD(what_is_spooled_in_a_row_is_one_part),
        IN_WORLD(a_spool_that_is_sent_makes_room),
        IN_WORLD(what_is_spooled_in_two_files_stays_in_order),
        IN_WORLD(a_full_socket_makes_no_progress),
        IN_WORLD(others_have_their_turn),
        IN_WORLD(a_peer_that_has_gone),
        IN_WORLD(a_file_shorter_than_promised),
        IN_WORLD(no_memory),
        IN_WORLD(no_place_on_disk),
        IN_WORLD(out_of_descriptors),
        IN_WORLD(a_spool_needs_one_descriptor),
        IN_WORLD(what_the_budget_refuses),
        IN_WORLD(a_file_needs_no_memory),
        IN_WORLD(what_is_in_no_part_takes_no_room),
    };
    return cmocka_run_group_tests(tests, open_file, close_file);
}
