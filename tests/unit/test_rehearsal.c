#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/engine/rehearsal.h"
#include "served.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/resource.h>

static int listener_fd;
static struct sockaddr_in address;

static void hello(struct request *request)
{
    assert_true(request->conn->listener->inner || request->conn->listener->local == false);
    response_start(request, "200 OK", 6);
    response_write(request, "hello", 5, NULL, &(bool){false}, true);
    response_finish(request);
}

static int setup(void **state)
{
    socklen_t size = sizeof(address);
    struct engine_options options = served_options();

    (void)state;
    served_open(&options, hello);
    engine_destroy(served.engine); /* ours has a listener */
    listener_fd = socket(AF_INET, SOCK_STREAM, 0);
    address = (struct sockaddr_in){.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener_fd, (struct sockaddr *)&address, size) < 0 || listen(listener_fd, 16) < 0 ||
        getsockname(listener_fd, (struct sockaddr *)&address, &size) < 0)
        return -1;
    served.engine = engine_create(&options, &served_ops, NULL, &listener_fd, 1);
    return served.engine ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    engine_destroy(served.engine);
    if (served.client >= 0)
        close(served.client);
    free(served.output);
    close(listener_fd);
    return 0;
}

static int connect_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void no_client_is_taken_before_the_end(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    (void)state;
    int client = connect_client();
    assert_int_equal(send(client, request, sizeof(request) - 1, 0), sizeof(request) - 1);
    served.client = rehearsal_connect(served.engine);
    assert_true(served.client >= 0);
    assert_non_null(strstr(served_ask(request), "hello"));
    assert_int_equal(served.runs, 1);
    assert_int_equal(served.engine->connections, 0);

    rehearsal_end(served.engine);
    close(served.client);
    served.client = client;
    assert_non_null(strstr(served_answer(), "hello"));
    assert_int_equal(served.runs, 2);
}

static void many_connections_can_be_made(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        if (served.client >= 0)
            close(served.client);
        served.client = rehearsal_connect(served.engine);
        assert_true(served.client >= 0);
    }
    assert_int_equal(served.engine->connections, 3);
    assert_non_null(strstr(served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "hello"));
}

static void failures_leave_the_engine_as_it_was(void **state)
{
    struct rlimit before, none;

    (void)state;
    mem_fail_after(0);
    assert_int_equal(rehearsal_connect(served.engine), -1);
    assert_int_equal(errno, ENOMEM);
    mem_fail_never();
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    assert_int_equal(rehearsal_connect(served.engine), -1);
    assert_int_equal(errno, EMFILE);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(served.engine->connections, 0);
    assert_int_equal(served.engine->paused, 0);

    assert_true(engine_lead(served.engine));
    assert_int_equal(rehearsal_connect(served.engine), -1); /* it runs already */
    assert_int_equal(errno, EBUSY);
    engine_yield(served.engine);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_client_is_taken_before_the_end),
        TEST(many_connections_can_be_made),
        TEST(failures_leave_the_engine_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
