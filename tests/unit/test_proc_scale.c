/* The number of workers under loads of several shapes: a server of numbers, without a process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proc/children/scale.h"

#include <limits.h>
#include <string.h>

/* ---- a server of numbers ---- */

typedef double (*load)(int64_t ms); /* requests a second */

struct shape {
    const char *name;
    load load;
    double service_s;   /* of a request */
    double cpu;         /* the part of it that is processor time */
    double processors;  /* of the machine */
    unsigned threads;   /* of a worker */
    int64_t boot_ms;    /* of a worker */
    int64_t each, leak; /* bytes of a worker when it boots; bytes a second */
    int64_t memory;     /* of the machine; 0: enough */
    int64_t seconds;    /* that it runs */
    /* What is expected. */
    unsigned peak_least, peak_most; /* workers at the most */
    int64_t peak_ms;                /* by then there are peak_least; 0: at any time */
    unsigned end;                   /* workers at the end, at most */
    unsigned ups;                   /* additions at most */
};

struct server {
    struct scale scale;
    int64_t booted_at[SCALE_WORKERS]; /* of each worker, when it serves; the last ones go first */
    unsigned count;
    double queue, running, begun;
};

enum { LEAST = 1, MOST = 16, UP_WAIT_MS = 100, DOWN_IDLE_MS = 10000 };

static unsigned count_ready(const struct server *server, int64_t now)
{
    unsigned ready = 0;

    for (unsigned i = 0; i < server->count; i++)
        ready += server->booted_at[i] <= now;
    return ready;
}

static void fork_missing(struct server *server, const struct shape *shape, int64_t now)
{
    while (server->count < server->scale.target)
        server->booted_at[server->count++] = now == 0 ? 0 : now + shape->boot_ms;
    server->count = server->scale.target;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* The work of SCALE_MS. Returns the processors that were used. */
static double work(struct server *server, const struct shape *shape, unsigned ready, int64_t now)
{
    double seconds = SCALE_MS / 1000.0, slots = (double)ready * shape->threads;
    double slowed = slots * shape->cpu > shape->processors
                        ? shape->processors / (slots * shape->cpu)
                        : 1; /* all want to compute at a time */
    double done, arrived = shape->load(now) * seconds;

    server->queue += arrived;
    done = least(server->queue, slots * slowed * seconds / shape->service_s);
    server->queue -= done;
    server->begun += done;
    server->running =
        least(slots, done * shape->service_s / seconds + (server->queue > 0 ? slots : 0));
    return done * shape->service_s * shape->cpu / seconds;
}

static struct scale_sample look(struct server *server, const struct shape *shape, int64_t now)
{
    unsigned ready = count_ready(server, now);
    double used = work(server, shape, ready, now);
    unsigned threads = shape->threads;
    int64_t each = shape->each + shape->leak * (now / 1000);
    unsigned whole = (unsigned)(server->running + 0.99);

    return (struct scale_sample){
        .now = now,
        .ready = ready,
        .busy = whole / threads,
        .running = whole,
        .waiting = (unsigned)server->queue,
        .threads = threads,
        .begun = (uint64_t)server->begun,
        .processors = used,
        .room = scale_room(shape->memory, 0, each),
    };
}

static struct scale_limits limits_of(const struct shape *shape)
{
    return (struct scale_limits){LEAST, MOST, UP_WAIT_MS, DOWN_IDLE_MS,
                                 (int64_t)(shape->processors * 1000)};
}

static void try_shape(const struct shape *shape)
{
    static struct server server;
    struct scale_limits limits = limits_of(shape);
    unsigned peak = 0, ups = 0;
    int64_t peak_ms = 0;

    memset(&server, 0, sizeof(server));
    scale_limit(&server.scale, &limits);
    for (int64_t now = 0; now < shape->seconds * 1000; now += SCALE_MS) {
        fork_missing(&server, shape, now);
        struct scale_sample sample = look(&server, shape, now + 1);
        unsigned before = server.scale.target;
        enum scale_decision decision = scale_decide(&server.scale, &sample);
        unsigned after = server.scale.target;

        ups += decision == SCALE_UP;
        assert_true(after >= LEAST && after <= MOST);
        assert_true(after <= before + 1 && before <= after + 1);
        if (sample.ready > peak) {
            peak = sample.ready;
            peak_ms = peak == shape->peak_least ? now : peak_ms;
        }
    }
    print_message("%-34s peak %2u, %u of it after %5.1f s, %3u additions, %2u at the end\n",
                  shape->name, peak, shape->peak_least, (double)peak_ms / 1000, ups,
                  server.scale.target);
    assert_in_range(peak, shape->peak_least, shape->peak_most);
    if (shape->peak_ms > 0)
        assert_in_range(peak_ms, 0, shape->peak_ms);
    assert_in_range(server.scale.target, LEAST, shape->end);
    assert_in_range(ups, 0, shape->ups);
}

/* ---- loads ---- */

static double idle(int64_t ms)
{
    (void)ms;
    return 0;
}

static double step(int64_t ms)
{
    return ms < 2000 ? 1 : 35;
}

static double ramp(int64_t ms)
{
    return ms < 120 * 1000 ? (double)ms / 1000 : 0;
}

static double burst(int64_t ms)
{
    return ms >= 2000 && ms < 17000 ? 160 : 0;
}

static double short_burst(int64_t ms)
{
    return ms >= 2000 && ms < 2200 ? 20 : 0;
}

static double steady(int64_t ms)
{
    (void)ms;
    return 8;
}

/* As much as two workers can take, and a little less, by turns. */
static double at_the_threshold(int64_t ms)
{
    return ms / 15000 % 2 ? 21 : 8;
}

static double too_much(int64_t ms)
{
    (void)ms;
    return 1000;
}

/* clang-format off */
static const struct shape shapes[] = {
    /* name, load; service_s, cpu, processors, threads, boot_ms; each, leak, memory; seconds; peak_least,
     * peak_most, peak_ms, end, ups */
    {"idle", idle,                                   0.1, 0.01, 2, 1,  500,   0,  0,   0,  60,  1,  1,     0,  1,  0},
    {"steady, one is enough", steady,                0.1, 0.01, 2, 1,  500,   0,  0,   0,  60,  1,  1,     0,  1,  0},
    {"a short burst, gone by itself", short_burst,   0.1, 0.01, 2, 1,  500,   0,  0,   0,  60,  1,  1,     0,  1,  0},
    {"step, sleeping workers", step,                 0.1, 0.05, 2, 1,  500,   0,  0,   0,  60,  4,  8,  5000,  4,  7},
    {"step, threads", step,                          0.4, 0.05, 2, 4,  500,   0,  0,   0,  60,  4,  8,  5000,  4,  7},
    {"step, computing, 4 processors", step,          0.1, 1,    4, 1,  500,   0,  0,   0,  60,  4,  7,  5000,  4,  6},
    {"step, computing, 1 processor", step,           0.1, 1,    1, 1,  500,   0,  0,   0,  60,  1,  1,     0,  1,  0},
    {"ramp up, then nothing", ramp,                  0.1, 0.01, 2, 1,  500,   0,  0,   0, 240, 11, 13,     0,  1, 15},
    {"burst of 16 times", burst,                     0.1, 0.01, 2, 1,  500,   0,  0,   0,  90, 16, 16,  7000,  1, 15},
    {"burst, workers that boot for 3 s", burst,      0.1, 0.01, 2, 1, 3000,   0,  0,   0,  90,  8, 16, 12000,  1, 15},
    {"oscillation at the threshold", at_the_threshold, 0.1, 0.01, 2, 1, 500,  0,  0,   0, 600,  3,  4,     0,  3,  6},
    {"too much for all", too_much,                   0.1, 0.01, 2, 1,  500,   0,  0,   0,  60, 16, 16,  5000, 16, 15},
    {"memory for 5", too_much,                       0.1, 0.01, 2, 1,  500, 100,  0, 599,  60,  5,  5,     0,  5,  4},
    {"slow leak: memory for 5, then for 2", too_much, 0.1, 0.01, 2, 1, 500, 100,  2, 599, 100,  5,  5,     0,  2,  4},
    {"slow leak beyond all memory", too_much,        0.1, 0.01, 2, 1,  500, 100, 50, 599,  60,  1,  3,     0,  1,  2},
};
/* clang-format on */

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        try_shape(&shapes[i]);
}

/* ---- single decisions ---- */

static struct scale scale;

static int begin(void **state)
{
    const struct scale_limits limits = {2, 4, 100, 10000, 8000};

    (void)state;
    memset(&scale, 0, sizeof(scale));
    scale_limit(&scale, &limits);
    return 0;
}

static struct scale_sample busy_at(int64_t now)
{
    return (struct scale_sample){.now = now,
                                 .ready = scale.target,
                                 .busy = scale.target,
                                 .running = scale.target,
                                 .waiting = 50,
                                 .threads = 1,
                                 .room = UINT_MAX};
}

static enum scale_decision decide(struct scale_sample sample)
{
    return scale_decide(&scale, &sample);
}

static void test_limits_move_the_target(void **state)
{
    (void)state;
    assert_int_equal(scale.target, 2);
    scale_limit(&scale, &(struct scale_limits){3, 4, 100, 10000, 8000}); /* TTIN */
    assert_int_equal(scale.target, 3);
    scale_limit(&scale,
                &(struct scale_limits){1, 4, 100, 10000, 8000}); /* TTOU: idleness decides */
    assert_int_equal(scale.target, 3);
    scale_limit(&scale, &(struct scale_limits){1, 2, 100, 10000, 8000}); /* HUP */
    assert_int_equal(scale.target, 2);
    scale_limit(&scale, &(struct scale_limits){9, 2, 100, 10000, 8000}); /* above the most */
    assert_int_equal(scale.target, 9);
    assert_false(scale_is_on(&scale));
    scale_limit(&scale, &(struct scale_limits){0, 4, 100, 10000, 8000}); /* WINCH */
    assert_int_equal(scale.target, 0);
    assert_false(scale_is_on(&scale));
}

static void test_two_samples_decide(void **state)
{
    (void)state;
    assert_int_equal(decide(busy_at(1000)), SCALE_STAY); /* they wait since now */
    assert_int_equal(decide(busy_at(1200)), SCALE_STAY);
    assert_int_equal(decide(busy_at(1400)), SCALE_UP);
    assert_int_equal(decide(busy_at(1500)), SCALE_STAY); /* not twice in SCALE_MS */
    assert_int_equal(decide(busy_at(1600)), SCALE_UP);
    assert_int_equal(decide(busy_at(1800)), SCALE_HELD_MOST);
    assert_int_equal(decide(busy_at(2000)), SCALE_STAY); /* that was said */
    assert_int_equal(decide(busy_at(1800 + SCALE_LOG_MS)), SCALE_HELD_MOST);
}

static void test_a_free_worker_is_enough(void **state)
{
    (void)state;
    for (int64_t now = 1000; now < 5000; now += SCALE_MS) {
        struct scale_sample sample = busy_at(now);

        sample.busy--;
        assert_int_equal(decide(sample), SCALE_STAY);
    }
}

/* A queue that moves: 50 wait, and 1,000 begin in 200 ms, so each waits for 10 ms. */
static void test_a_queue_that_moves_is_no_reason(void **state)
{
    (void)state;
    for (int64_t now = 1000; now < 5000; now += SCALE_MS) {
        struct scale_sample sample = busy_at(now);

        sample.begun = (uint64_t)now * 5;
        assert_int_equal(decide(sample), SCALE_STAY);
        assert_in_range(scale.waited_ms, 0, 10);
    }
}

static void test_processors_that_are_used_up(void **state)
{
    (void)state;
    for (int64_t now = 1000; now < 1400; now += SCALE_MS)
        decide(busy_at(now));
    struct scale_sample sample = busy_at(1400);

    sample.processors = 7.5;
    assert_int_equal(decide(sample), SCALE_HELD_PROCESSOR);
    sample.now += SCALE_LOG_MS;
    sample.processors = 1;
    sample.delayed = 6.5; /* other programs have them */
    assert_int_equal(decide(sample), SCALE_HELD_PROCESSOR);
    sample.now += SCALE_MS;
    sample.delayed = 0;
    sample.processors = -1; /* not known */
    assert_int_equal(decide(sample), SCALE_UP);
}

static void test_workers_that_boot_are_waited_for(void **state)
{
    (void)state;
    for (int64_t now = 1000; now <= 1400; now += SCALE_MS)
        decide(busy_at(now));
    assert_int_equal(scale.target, 3);
    struct scale_sample sample = busy_at(1600);

    sample.ready = sample.busy = 1;
    assert_int_equal(decide(sample), SCALE_STAY);
    sample.now += SCALE_MS;
    sample.ready = sample.busy = 2;
    sample.waiting = 1; /* the one that boots will take it */
    assert_int_equal(decide(sample), SCALE_STAY);
    sample.now += SCALE_MS;
    sample.waiting = 9;
    assert_int_equal(decide(sample), SCALE_UP);
}

static void test_an_idle_worker_goes_after_its_time(void **state)
{
    (void)state;
    for (int64_t now = 1000; now <= 1600; now += SCALE_MS)
        decide(busy_at(now));
    assert_int_equal(scale.target, 4);
    struct scale_sample sample = {.ready = 4, .threads = 1, .room = UINT_MAX};

    for (sample.now = 2000; sample.now < 11600; sample.now += 1000)
        assert_int_equal(decide(sample), SCALE_STAY);
    sample.now = 11600;
    assert_int_equal(decide(sample), SCALE_DOWN_IDLE);
    sample.now += SCALE_DOWN_MS - 1;
    assert_int_equal(decide(sample), SCALE_STAY);
    sample.now++;
    assert_int_equal(decide(sample), SCALE_DOWN_IDLE);
    assert_int_equal(scale.target, 2);
    sample.now += 100000;
    assert_int_equal(decide(sample), SCALE_STAY); /* the least */
}

static void test_a_worker_that_was_needed_again_stays_longer(void **state)
{
    struct scale_sample sample = {.threads = 1, .room = UINT_MAX};
    int64_t now = 1000;

    (void)state;
    for (unsigned patience = 1; patience <= SCALE_PATIENCE; patience *= 2) {
        while (scale.target == 2)
            decide(busy_at(now += SCALE_MS));
        int64_t since = now;

        while (scale.target == 3) {
            sample.now = now += SCALE_MS;
            sample.ready = scale.target;
            decide(sample);
        }
        assert_in_range(now - since, 10000 * patience, 10000 * patience + SCALE_DOWN_MS);
    }
    now += 10 * 60 * 1000; /* it is calm for long */
    while (scale.target == 2)
        decide(busy_at(now += SCALE_MS));
    assert_int_equal(scale.patience, 1);
}

/* A worker may write anything: nothing but one step within the limits follows. */
static void test_false_figures(void **state)
{
    uint32_t random = 1;
    int64_t now = 1000;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        uint32_t words[6];

        for (int k = 0; k < 6; k++) {
            random = random * 1664525 + 1013904223;
            words[k] = random >> (random >> 27);
        }
        unsigned before = scale.target;
        struct scale_sample sample = {now += words[0] % 500,
                                      words[1],
                                      words[2],
                                      words[3],
                                      words[4],
                                      1 + words[5] % 9,
                                      words[0] * 1000000000ull,
                                      words[1] / 3.0 - 5,
                                      words[2] / 7.0,
                                      words[3]};

        decide(sample);
        assert_in_range(scale.target, 2, 4);
        assert_true(scale.target <= before + 1 && before <= scale.target + 1);
        assert_true(scale.waited_ms >= 0);
    }
}

static void test_room(void **state)
{
    (void)state;
    assert_int_equal(scale_room(1000, 100, 300), 3);
    assert_int_equal(scale_room(1000, 2000, 300), 0);
    assert_int_equal(scale_room(0, 100, 300), UINT_MAX);
    assert_int_equal(scale_room(1000, -1, 300), UINT_MAX);
    assert_int_equal(scale_room(1000, 100, 0), UINT_MAX);
    assert_int_equal(scale_room(INT64_MAX, 0, 1), UINT_MAX);
}

static void test_size(void **state)
{
    int64_t size = scale_size(50, 100);
    (void)state;
    assert_int_equal(size, 100);
    size = scale_size(size * SCALE_SIZE_LOOKS, 50 * SCALE_SIZE_LOOKS);
    assert_int_equal(size, 100 * SCALE_SIZE_LOOKS - 50);
    for (int i = 0; i < 8 * SCALE_SIZE_LOOKS; i++)
        size = scale_size(size, 0);
    assert_true(size < SCALE_SIZE_LOOKS);
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < SCALE_DECISIONS; i++)
        assert_non_null(scale_decision_name(i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test_setup(test_limits_move_the_target, begin),
        cmocka_unit_test_setup(test_two_samples_decide, begin),
        cmocka_unit_test_setup(test_a_free_worker_is_enough, begin),
        cmocka_unit_test_setup(test_a_queue_that_moves_is_no_reason, begin),
        cmocka_unit_test_setup(test_processors_that_are_used_up, begin),
        cmocka_unit_test_setup(test_workers_that_boot_are_waited_for, begin),
        cmocka_unit_test_setup(test_an_idle_worker_goes_after_its_time, begin),
        cmocka_unit_test_setup(test_a_worker_that_was_needed_again_stays_longer, begin),
        cmocka_unit_test_setup(test_false_figures, begin),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
