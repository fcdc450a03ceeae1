#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends.h"
#include "base/mem.h"
#include "net/loop.h"
#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Every test runs with every backend: the contract is the same. */

enum { SOON_MS = 5000, NOT_MS = 20, MANY = 200 };

struct watched {
    struct io io;
    unsigned events; /* told in the last wait */
    int count;       /* of events told so far */
    struct watched *removes;
};

struct world {
    struct loop *loop;
    struct watched ours;
    int peer; /* the other end of ours */
    int alarms;
};

static void told(struct io *io, unsigned events, void *context)
{
    struct watched *watched = (struct watched *)io;
    struct world *world = context;
    watched->events = events;
    watched->count++;
    if (watched->removes)
        loop_remove(world->loop, &watched->removes->io);
}

static void watch(struct world *world, struct watched *watched, int fd, unsigned interest)
{
    *watched = (struct watched){.io = {.fd = fd, .on_event = told}};
    assert_int_equal(loop_add(world->loop, &watched->io, interest), 0);
}

static int open_world(void **state)
{
    static struct world world;
    const char *name = *state;
    int ends[2];
    world.loop = loop_create(name);
    assert_non_null(world.loop);
    assert_string_equal(world.loop->ops->name, name);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    world.ours = (struct watched){.io = {.fd = ends[0], .on_event = told}};
    world.peer = ends[1];
    *state = &world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;
    loop_destroy(world->loop);
    close(world->ours.io.fd);
    if (world->peer >= 0)
        close(world->peer);
    return 0;
}

static int wait_for(struct world *world, int timeout_ms)
{
    world->ours.events = 0;
    int found = loop_wait(world->loop, timeout_ms, world);
    assert_true(found >= 0);
    return found;
}

static void send_byte(struct world *world)
{
    assert_int_equal(send(world->peer, "x", 1, 0), 1);
}

static void receive_all(struct world *world)
{
    char bytes[64];
    while (recv(world->ours.io.fd, bytes, sizeof(bytes), 0) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
}

static void what_is_ready_already_is_told(void **state)
{
    struct world *world = *state;
    send_byte(world);
    watch(world, &world->ours, world->ours.io.fd, LOOP_READ | LOOP_WRITE);
    wait_for(world, SOON_MS);
    assert_int_equal(world->ours.events & ~LOOP_URGENT, LOOP_READ | LOOP_WRITE);
    assert_int_equal(world->ours.count, 1);
}

static void told_once_until_armed(void **state)
{
    struct world *world = *state;
    watch(world, &world->ours, world->ours.io.fd, LOOP_READ);
    assert_int_equal(wait_for(world, 0), 0); /* writable, but nobody asked */
    send_byte(world);
    wait_for(world, SOON_MS);
    assert_true(world->ours.events & LOOP_READ);
    assert_int_equal(wait_for(world, NOT_MS), 0);
    receive_all(world);
    loop_arm(world->loop, &world->ours.io, LOOP_READ);
    assert_int_equal(wait_for(world, NOT_MS), 0);
    send_byte(world);
    assert_int_equal(wait_for(world, SOON_MS), 1);
    assert_true(world->ours.events & LOOP_READ);
}

static void told_again_when_asked(void **state)
{
    struct world *world = *state;
    watch(world, &world->ours, world->ours.io.fd, LOOP_READ | LOOP_WRITE);
    send_byte(world);
    for (int i = 0; i < 3; i++) {
        wait_for(world, SOON_MS);
        assert_true(world->ours.events & LOOP_READ);
        loop_again(world->loop, &world->ours.io, LOOP_READ);
    }
    receive_all(world);
    loop_again(world->loop, &world->ours.io, LOOP_READ);
    wait_for(world, NOT_MS);
    assert_false(world->ours.events & LOOP_READ);
}

static void writable_after_being_full(void **state)
{
    struct world *world = *state;
    static char block[65536];
    watch(world, &world->ours, world->ours.io.fd, LOOP_READ | LOOP_WRITE);
    wait_for(world, SOON_MS);
    while (send(world->ours.io.fd, block, sizeof(block), 0) > 0)
        ;
    loop_arm(world->loop, &world->ours.io, LOOP_WRITE);
    assert_int_equal(wait_for(world, NOT_MS), 0);
    while (recv(world->peer, block, sizeof(block), 0) > 0)
        ;
    wait_for(world, SOON_MS);
    assert_true(world->ours.events & LOOP_WRITE);
}

static void a_half_close_is_readable(void **state)
{
    struct world *world = *state;
    char byte;
    watch(world, &world->ours, world->ours.io.fd, LOOP_READ);
    wait_for(world, 0);
    shutdown(world->peer, SHUT_WR);
    wait_for(world, SOON_MS);
    assert_true(world->ours.events & LOOP_READ);
    assert_int_equal(recv(world->ours.io.fd, &byte, 1, 0), 0);
}

static void a_hang_up_is_told_once(void **state)
{
    struct world *world = *state;
    watch(world, &world->ours, world->ours.io.fd, LOOP_READ | LOOP_WRITE);
    wait_for(world, SOON_MS);
    loop_arm(world->loop, &world->ours.io, LOOP_READ);
    close(world->peer);
    world->peer = -1;
    wait_for(world, SOON_MS);
    assert_true((world->ours.events & (LOOP_READ | LOOP_GONE)) == (LOOP_READ | LOOP_GONE));
    assert_int_equal(wait_for(world, NOT_MS), 0);
}

static void removed_is_silent(void **state)
{
    struct world *world = *state;
    watch(world, &world->ours, world->ours.io.fd, LOOP_READ);
    wait_for(world, 0);
    loop_remove(world->loop, &world->ours.io);
    send_byte(world);
    assert_int_equal(wait_for(world, NOT_MS), 0);
}

static void a_callback_removes_itself(void **state)
{
    struct world *world = *state;
    send_byte(world);
    watch(world, &world->ours, world->ours.io.fd, LOOP_READ);
    world->ours.removes = &world->ours;
    wait_for(world, SOON_MS);
    assert_int_equal(world->ours.count, 1);
    send_byte(world);
    assert_int_equal(wait_for(world, NOT_MS), 0);
}

/* What is removed leaves a hole in the table of the poll backend, which another one fills. */
static void the_others_stay(void **state)
{
    struct world *world = *state;
    struct watched many[MANY];
    int peers[MANY];
    for (int i = 0; i < MANY; i++) {
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        peers[i] = ends[1];
        watch(world, &many[i], ends[0], LOOP_READ);
    }
    for (int i = 0; i <= MANY / LOOP_BATCH; i++)
        wait_for(world, 0);
    for (int i = 0; i < MANY; i += 3)
        loop_remove(world->loop, &many[i].io);
    for (int i = 0; i < MANY; i++) {
        many[i].events = 0;
        assert_int_equal(send(peers[i], "x", 1, 0), 1);
    }
    for (int i = 0; i <= MANY / LOOP_BATCH; i++)
        wait_for(world, 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(many[i].events & LOOP_READ, i % 3 == 0 ? 0 : LOOP_READ);
        close(many[i].io.fd);
        close(peers[i]);
    }
}

static void a_listener_is_told_as_long_as_something_waits(void **state)
{
    struct world *world = *state;
    struct watched listener;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
        client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, size), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &size), 0);
    watch(world, &listener, fd, LOOP_LISTEN);
    assert_int_equal(wait_for(world, NOT_MS), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&name, size), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wait_for(world, SOON_MS), 1);
        assert_int_equal(listener.events, LOOP_READ);
    }
    int accepted = accept(fd, NULL, NULL);
    assert_true(accepted >= 0);
    assert_int_equal(wait_for(world, NOT_MS), 0);
    close(accepted);
    close(client);
    close(fd);
}

static void a_wake_ends_the_next_wait(void **state)
{
    struct world *world = *state;
    loop_wake(world->loop);
    loop_wake(world->loop);
    assert_int_equal(wait_for(world, SOON_MS), 1);
    assert_int_equal(wait_for(world, NOT_MS), 0);
}

static void *wake_later(void *argument)
{
    struct world *world = argument;
    usleep(NOT_MS * 1000);
    loop_wake(world->loop);
    return NULL;
}

static void a_wake_from_another_thread(void **state)
{
    struct world *world = *state;
    pthread_t thread;
    pthread_create(&thread, NULL, wake_later, world);
    wait_for(world, -1);
    pthread_join(thread, NULL);
}

static void *add_later(void *argument)
{
    struct world *world = argument;
    usleep(NOT_MS * 1000);
    send_byte(world);
    loop_add(world->loop, &world->ours.io, LOOP_READ);
    return NULL;
}

static void added_during_a_wait(void **state)
{
    struct world *world = *state;
    pthread_t thread;
    pthread_create(&thread, NULL, add_later, world);
    while (world->ours.count == 0)
        wait_for(world, SOON_MS);
    pthread_join(thread, NULL);
}

static void *arm_later(void *argument)
{
    struct world *world = argument;
    usleep(NOT_MS * 1000);
    receive_all(world);
    send_byte(world);
    loop_arm(world->loop, &world->ours.io, LOOP_READ);
    return NULL;
}

static void armed_during_a_wait(void **state)
{
    struct world *world = *state;
    pthread_t thread;
    send_byte(world);
    watch(world, &world->ours, world->ours.io.fd, LOOP_READ);
    wait_for(world, SOON_MS);
    int before = world->ours.count;
    pthread_create(&thread, NULL, arm_later, world);
    while (world->ours.count == before)
        wait_for(world, SOON_MS);
    pthread_join(thread, NULL);
}

/* Its descriptor alone tells of an alarm: no event is given for it. */
static void an_alarm_makes_its_descriptor_readable(void **state)
{
    struct world *world = *state;
    int fd = loop_fd(world->loop);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(loop_alarm(world->loop, NOT_MS), 0);
        assert_int_equal(socket_wait(fd, POLLIN, 0), 0);
        assert_int_equal(socket_wait(fd, POLLIN, SOON_MS), 1);
        loop_wait(world->loop, 0, world);
        assert_int_equal(socket_wait(fd, POLLIN, 0), 0);
    }
    assert_int_equal(loop_alarm(world->loop, SOON_MS * 100), 0);
    assert_int_equal(loop_alarm(world->loop, 0), 0); /* in its place */
    assert_int_equal(socket_wait(fd, POLLIN, SOON_MS), 1);
}

static void count_alarm(void *context)
{
    ((struct world *)context)->alarms++;
}

static void an_alarm_ends_a_wait(void **state)
{
    struct world *world = *state;
    if (loop_fd(world->loop) < 0)
        return;
    world->alarms = 0;
    world->loop->rang = count_alarm;
    for (int round = 1; round <= 2; round++) {
        assert_int_equal(loop_alarm(world->loop, NOT_MS), 0);
        wait_for(world, SOON_MS);
        assert_int_equal(world->alarms, round);
        assert_int_equal(wait_for(world, NOT_MS), 0);
    }
    assert_int_equal(loop_alarm(world->loop, SOON_MS * 100), 0);
    assert_int_equal(loop_alarm(world->loop, 0), 0); /* in its place */
    wait_for(world, SOON_MS);
    assert_int_equal(world->alarms, 3);
}

static void its_descriptor_polls_when_there_is_one(void **state)
{
    struct world *world = *state;
    int fd = loop_fd(world->loop);
    assert_int_equal(fd >= 0, strcmp(world->loop->ops->name, "poll") != 0);
}

static void no_memory(void **state)
{
    const char *name = ((struct world *)*state)->loop->ops->name;
    int failures = 0;
    struct loop *loop = NULL;
    for (long n = 0; !loop; n++, failures++) {
        mem_fail_after(n);
        loop = loop_create(name);
        mem_fail_never();
    }
    assert_true(failures > 1);
    loop_destroy(loop);
}

static void no_descriptors(void **state)
{
    const char *name = ((struct world *)*state)->loop->ops->name;
    struct rlimit old, none = {0, 0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct loop *loop = loop_create(name);
    int error = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_null(loop);
    assert_int_equal(error, EMFILE);
}

static void unknown_backends_and_the_best(void **state)
{
    (void)state;
    assert_null(loop_create("kqueue2"));
    assert_int_equal(errno, EINVAL);
    struct loop *loop = loop_create(NULL);
    assert_non_null(loop);
    loop_destroy(loop);
}

#define WITH(test, backend) {#test " (" backend ")", test, open_world, close_world, (void *)backend}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EACH(what_is_ready_already_is_told),
        WITH_EACH(told_once_until_armed),
        WITH_EACH(told_again_when_asked),
        WITH_EACH(writable_after_being_full),
        WITH_EACH(a_half_close_is_readable),
        WITH_EACH(a_hang_up_is_told_once),
        WITH_EACH(removed_is_silent),
        WITH_EACH(a_callback_removes_itself),
        WITH_EACH(the_others_stay),
        WITH_EACH(a_listener_is_told_as_long_as_something_waits),
        WITH_EACH(a_wake_ends_the_next_wait),
        WITH_EACH(a_wake_from_another_thread),
        WITH_EACH(added_during_a_wait),
        WITH_EACH(armed_during_a_wait),
        WITH_EACH(its_descriptor_polls_when_there_is_one),
        WITH_EACH(an_alarm_ends_a_wait),
        /* The descriptor of libkqueue does not poll. */
        WITH(an_alarm_makes_its_descriptor_readable, "epoll"),
        WITH_EACH(no_memory),
        WITH_EACH(no_descriptors),
        cmocka_unit_test(unknown_backends_and_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
