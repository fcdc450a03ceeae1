#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "serve/dispatch/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct exchange exchange;
static char bytes[PARCEL_BYTES_MAX];

static int set_up(void **state)
{
    (void)state;
    return exchange_open(&exchange);
}

static int tear_down(void **state)
{
    (void)state;
    exchange_close(&exchange);
    return 0;
}

static struct iovec text(const char *data)
{
    return (struct iovec){.iov_base = (char *)data, .iov_len = strlen(data)};
}

static struct parcel parcel_of(int fd, int file)
{
    return (struct parcel){
        .label = {.listener = 2, .served = 7, .readable = true},
        .fd = fd,
        .file = file,
        .pieces = {text("head"), text("body"), text("rest")},
    };
}

static enum exchange_result receive(struct parcel *parcel)
{
    return exchange_receive(&exchange, parcel, bytes);
}

/* How many descriptors this process has open. */
static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void what_is_sent_arrives(void **state)
{
    (void)state;
    int ends[2], file[2];
    struct parcel got;
    char word[8] = "";
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) | pipe(file), 0);
    struct parcel sent = parcel_of(ends[0], file[0]);
    sent.label.ready_ns = 5;
    assert_true(exchange_is_empty(&exchange));
    assert_int_equal(exchange_waiting(&exchange), 0);
    assert_int_equal(exchange_since(&exchange), 0);
    assert_true(exchange_send(&exchange, &sent));
    assert_false(exchange_is_empty(&exchange));
    assert_int_equal(exchange_since(&exchange), 5);
    assert_int_equal(exchange_waiting(&exchange), 1);
    close(ends[0]);
    close(file[0]);
    assert_int_equal(receive(&got), EXCHANGE_PARCEL);
    assert_int_equal(got.label.listener, 2);
    assert_int_equal(got.label.served, 7);
    assert_true(got.label.spooled && got.label.readable && !got.label.gone);
    assert_memory_equal(bytes, "headbodyrest", 12);
    assert_memory_equal(got.pieces[1].iov_base, "body", 4);
    assert_int_equal(got.pieces[2].iov_len, 4);
    assert_int_equal(fcntl(got.fd, F_GETFD) & fcntl(got.file, F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(got.fd, "hello", 5), 5);
    assert_int_equal(read(ends[1], word, sizeof(word)), 5);
    assert_int_equal(write(file[1], "f", 1), 1);
    assert_int_equal(read(got.file, word, sizeof(word)), 1);
    assert_int_equal(receive(&got), EXCHANGE_EMPTY);
    close(got.fd);
    close(got.file);
    close(ends[1]);
    close(file[1]);
}

static void what_is_too_large_is_not_sent(void **state)
{
    (void)state;
    struct parcel parcel = parcel_of(exchange.take, -1);
    parcel.pieces[0].iov_base = bytes;
    parcel.pieces[0].iov_len = PARCEL_BYTES_MAX - 8;
    assert_true(exchange_send(&exchange, &parcel));
    parcel.pieces[0].iov_len++;
    assert_false(exchange_send(&exchange, &parcel));
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(receive(&parcel), EXCHANGE_PARCEL);
    close(parcel.fd);
    assert_int_equal(receive(&parcel), EXCHANGE_EMPTY);
}

static void when_full_it_says_so(void **state)
{
    (void)state;
    struct parcel parcel = parcel_of(0, -1);
    int sent = 0, received = 0;
    while (exchange_send(&exchange, &parcel))
        assert_true(++sent < 1000000);
    assert_true(sent > 50);
    assert_int_equal(exchange_waiting(&exchange), sent);
    while (receive(&parcel) == EXCHANGE_PARCEL) {
        close(parcel.fd);
        received++;
    }
    assert_int_equal(received, sent);
}

/* Sends a label with that much behind it, and descriptors. */
static void send_raw(struct parcel_label label, size_t size, size_t more, int fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } space;
    int numbers[3] = {0, 0, 0};
    struct iovec parts[2] = {{&label, size}, {bytes, more}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (fds > 0) {
        message.msg_control = &space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fds);
        struct cmsghdr *control = CMSG_FIRSTHDR(&message);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fds);
        memcpy(CMSG_DATA(control), numbers, sizeof(int) * (size_t)fds);
    }
    assert_true(sendmsg(exchange.give, &message, 0) >= 0);
}

static void nonsense_is_thrown_away(void **state)
{
    (void)state;
    struct parcel parcel = parcel_of(0, -1);
    assert_true(exchange_send(&exchange, &parcel));
    assert_int_equal(receive(&parcel), EXCHANGE_PARCEL);
    close(parcel.fd);
    struct parcel_label good = parcel.label, bad;
    int before = open_descriptors();

    send_raw(good, sizeof(good), 12, 1);
    assert_int_equal(receive(&parcel), EXCHANGE_PARCEL);
    close(parcel.fd);

    send_raw(good, sizeof(good) - 1, 0, 1); /* too short for a label */
    send_raw(good, sizeof(good), 11, 1);    /* fewer bytes than it says, and more */
    send_raw(good, sizeof(good), 13, 1);
    send_raw(good, sizeof(good), 12, 0); /* fewer descriptors, and more */
    send_raw(good, sizeof(good), 12, 2);
    send_raw(good, sizeof(good), 12, 3);
    bad = good;
    bad.spooled = true;
    send_raw(bad, sizeof(bad), 12, 1);
    bad = good;
    bad.version++;
    send_raw(bad, sizeof(bad), 12, 1);
    bad = good;
    bad.sizes[1] = UINT32_MAX;
    send_raw(bad, sizeof(bad), 12, 1);
    bad = good;
    bad.sizes[0] = 0; /* no head */
    send_raw(bad, sizeof(bad), 8, 1);
    for (int i = 0; i < 10; i++)
        assert_int_equal(receive(&parcel), EXCHANGE_BROKEN);
    assert_int_equal(receive(&parcel), EXCHANGE_EMPTY);
    assert_int_equal(open_descriptors(), before);
}

static void without_a_descriptor_the_message_stays(void **state)
{
    (void)state;
    struct parcel parcel = parcel_of(exchange.take, exchange.give);
    struct rlimit old, limit;
    assert_true(exchange_send(&exchange, &parcel));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int lowest = dup(0);
    close(lowest);
    for (int spare = 0; spare < 2; spare++) {
        limit = (struct rlimit){(rlim_t)(lowest + spare), old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(receive(&parcel), EXCHANGE_NO_ROOM);
        assert_int_equal(errno, EMFILE);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(receive(&parcel), EXCHANGE_PARCEL);
    close(parcel.fd);
    close(parcel.file);
}

/* Another thread of the process, which opens what it can just before such a call of recvmsg(). */
static struct {
    int calls; /* until then */
    int fds[8], count;
} greedy = {.calls = -1};

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    int last = -1;
    while (greedy.calls == 0 && (last = dup(0)) >= 0)
        greedy.fds[greedy.count++] = last;
    if (greedy.calls >= 0)
        greedy.calls--;
    return syscall(SYS_recvmsg, fd, message, flags);
}

static void whenever_others_take_the_last_descriptor_no_message_is_lost(void **state)
{
    (void)state;
    struct parcel sent = parcel_of(0, exchange.give), got;
    struct rlimit old, limit;
    int before = open_descriptors(), lowest = dup(0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit = (struct rlimit){(rlim_t)lowest + 2, old.rlim_max};
    for (int calls = 0; calls < 4; calls++) {
        assert_true(exchange_send(&exchange, &sent));
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        greedy.calls = calls;
        enum exchange_result result = receive(&got);
        greedy.calls = -1;
        while (greedy.count > 0)
            close(greedy.fds[--greedy.count]);
        if (result == EXCHANGE_NO_ROOM)
            result = receive(&got);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(result, EXCHANGE_PARCEL);
        assert_memory_equal(got.pieces[1].iov_base, "body", 4);
        close(got.fd);
        close(got.file);
    }
    assert_true(exchange_is_empty(&exchange));
    assert_int_equal(open_descriptors(), before);
}

static void begin_taking(void)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    if (fcntl(exchange.take, F_SETLK, &range) < 0)
        _exit(2);
}

static void who_is_stopped_while_it_takes_holds_nobody_up(void **state)
{
    (void)state;
    struct parcel parcel = parcel_of(0, -1);
    int status;
    assert_true(exchange_send(&exchange, &parcel));
    pid_t taker = fork();
    if (taker == 0) {
        begin_taking();
        raise(SIGSTOP);
        _exit(1);
    }
    assert_int_equal(waitpid(taker, &status, WUNTRACED), taker);
    assert_int_equal(receive(&parcel), EXCHANGE_EMPTY);
    assert_false(exchange_is_empty(&exchange));
    kill(taker, SIGKILL);
    assert_int_equal(waitpid(taker, &status, 0), taker);
    assert_int_equal(receive(&parcel), EXCHANGE_PARCEL);
    close(parcel.fd);
}

static void who_dies_while_it_takes_leaves_the_rest_to_others(void **state)
{
    (void)state;
    struct parcel parcel = parcel_of(0, -1);
    int status;
    assert_true(exchange_send(&exchange, &parcel));
    for (int i = 0; i < 2; i++) {
        pid_t taker = fork();
        if (taker == 0) {
            begin_taking();
            _exit(0);
        }
        assert_int_equal(waitpid(taker, &status, 0), taker);
        assert_int_equal(receive(&parcel), i == 0 ? EXCHANGE_PARCEL : EXCHANGE_EMPTY);
        if (i == 0)
            close(parcel.fd);
    }
}

static void the_board_tells_who_is_idle(void **state)
{
    (void)state;
    unsigned pulses[EXCHANGE_SEATS] = {0};
    assert_false(exchange_has_others(&exchange, 1));
    exchange.seats[1].number = 1;
    exchange.seats[2].number = 2;
    exchange.seats[1].pulse = 5;
    assert_false(exchange_has_others(&exchange, 1));
    exchange.seats[0].pulse = 2;
    exchange.seats[2].pulse = 7;
    exchange.seats[63].pulse = 9;
    assert_true(exchange_has_others(&exchange, 1));
    assert_int_equal(exchange_resting(&exchange, 1), 2);
    assert_int_equal(exchange_resting(&exchange, 2), 2);
    /* The first look has nothing to compare with. */
    assert_int_equal(exchange_idle(&exchange, 1, pulses), 0);
    assert_int_equal(exchange_idle(&exchange, 1, pulses), 2);
    exchange.seats[2].pulse = 9; /* it worked, and waits again */
    assert_int_equal(exchange_idle(&exchange, 1, pulses), 1);
    assert_int_equal(exchange_idle(&exchange, 1, pulses), 2);
    exchange.seats[63].pulse = 0;
    assert_int_equal(exchange_idle(&exchange, 1, pulses), 1);
}

static void the_board_tells_who_has_least(void **state)
{
    (void)state;
    assert_int_equal(exchange_least_load(&exchange, 0), EXCHANGE_STUCK);
    exchange.seats[0].pulse = exchange.seats[5].pulse = exchange.seats[7].pulse = 2;
    exchange.seats[7].number = 7;
    exchange.seats[5].load = 9;
    exchange.seats[7].load = 8;
    assert_int_equal(exchange_least_load(&exchange, 0), 8);
    assert_int_equal(exchange_least_load(&exchange, 7), 0);
    exchange_leave(&exchange, 7);
    assert_int_equal(exchange_least_load(&exchange, 0), 9);
}

/* Workers come and go: the numbers of two that live may be any multiple of 64 apart. */
static void numbers_of_any_distance_have_seats_of_their_own(void **state)
{
    (void)state;
    atomic_uint *first = exchange_sit(&exchange, 3, 2);
    exchange_set_load(&exchange, 3, 7);
    atomic_uint *second = exchange_sit(&exchange, 3 + EXCHANGE_SEATS, 1);
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(exchange_sit(&exchange, 3, 2), first); /* it has one already */
    exchange_set_load(&exchange, 3, 7);
    assert_true(exchange_has_others(&exchange, 3));
    assert_int_equal(exchange_resting(&exchange, 3), 1);
    assert_int_equal(exchange_resting(&exchange, 3 + EXCHANGE_SEATS), 0);
    assert_int_equal(exchange_least_load(&exchange, 3 + EXCHANGE_SEATS), 7);
    exchange_leave(&exchange, 3);
    assert_false(exchange_has_others(&exchange, 3 + EXCHANGE_SEATS));
    assert_true(exchange_has_others(&exchange, 3));
    exchange_leave(&exchange, 3 + EXCHANGE_SEATS);
    assert_false(exchange_has_others(&exchange, 0));
}

/* More workers than seats: the last ones share, and one that ends takes nothing from the other. */
static void where_all_seats_are_taken_two_share(void **state)
{
    (void)state;
    for (uint32_t number = 1; number <= EXCHANGE_SEATS; number++)
        exchange_sit(&exchange, number, 2);
    exchange_sit(&exchange, 3 + EXCHANGE_SEATS, 2);
    exchange_set_load(&exchange, 3, EXCHANGE_STUCK);
    exchange_leave(&exchange, 3);
    assert_int_equal(exchange_least_load(&exchange, 1), 0);
    for (uint32_t number = 1; number <= EXCHANGE_SEATS; number++)
        exchange_leave(&exchange, number);
    assert_true(exchange_has_others(&exchange, 1));
    exchange_leave(&exchange, 3 + EXCHANGE_SEATS);
    assert_false(exchange_has_others(&exchange, 1));
}

enum { ROUNDS = 3000 };

static void *sit_down(void *round)
{
    for (int i = 0; i < ROUNDS; i++) {
        while (atomic_load((atomic_int *)round) < i)
            sched_yield();
        exchange_sit(&exchange, 3 + EXCHANGE_SEATS, 2);
        atomic_fetch_add((atomic_int *)round + 1, 1);
    }
    return NULL;
}

/* It sits down at the moment at which the older one leaves: with a pulse, and a load that counts.
 */
static void who_sits_down_is_not_taken_for_who_leaves(void **state)
{
    atomic_int rounds[2] = {-1, 0}; /* begun; sat down in */
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, sit_down, rounds), 0);
    for (int i = 0; i < ROUNDS; i++) {
        exchange_sit(&exchange, 3, 4);
        atomic_store(&rounds[0], i);
        exchange_leave(&exchange, 3);
        while (atomic_load(&rounds[1]) <= i)
            sched_yield();
        assert_true(exchange_has_others(&exchange, 4));
        exchange_set_load(&exchange, 3 + EXCHANGE_SEATS, 5);
        assert_int_equal(exchange_least_load(&exchange, 4), 5);
    }
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_sent_arrives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_too_large_is_not_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(when_full_it_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_is_thrown_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_descriptor_the_message_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whenever_others_take_the_last_descriptor_no_message_is_lost,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_stopped_while_it_takes_holds_nobody_up, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_dies_while_it_takes_leaves_the_rest_to_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_board_tells_who_is_idle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_board_tells_who_has_least, set_up, tear_down),
        cmocka_unit_test_setup_teardown(where_all_seats_are_taken_two_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_of_any_distance_have_seats_of_their_own, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_sits_down_is_not_taken_for_who_leaves, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
