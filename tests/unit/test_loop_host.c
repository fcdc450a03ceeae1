#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/engine/loop_host.h"
#include "served.h"

#include <dlfcn.h>
#include <poll.h>
#include <time.h>

/* The engine in a foreign loop, which comes to it when its descriptor says so. */

enum { KEEPALIVE_MS = 50, PATIENCE_MS = 20000 };

static const struct timespec *coarse; /* where the kernel's coarse clock stands still; NULL: goes */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (clock != CLOCK_MONOTONIC_COARSE || !coarse)
        return real(clock, now);
    *now = *coarse;
    return 0;
}

static void run(struct request *request)
{
    bool kept;
    served_put(request, "hello", 5, &served, &kept);
}

/* What the loop does: it sleeps until it is told, then leads a step and runs what is ready. */
static void come_when_told(void)
{
    assert_int_equal(socket_wait(loop_host_fd(served.engine), POLLIN, PATIENCE_MS), 1);
    loop_host_step(served.engine);
    while (loop_host_ready(served.engine))
        loop_host_run_one(served.engine);
    loop_host_rest(served.engine);
}

static void open_engine(void)
{
    struct engine_options options = served_options();
    options.loop_host = true;
    options.sign_of_life_ms = 1000;
    options.keepalive_ms = KEEPALIVE_MS;
    served_open(&options, run);
}

static void say(const char *text)
{
    assert_int_equal(send(served.client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void an_idle_client_is_closed_by_the_alarm(void **state)
{
    (void)state;
    open_engine();
    served_connect(false);
    say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while (served_is_open())
        come_when_told();
    assert_int_equal(served.runs, 1);
    served_close();
}

/* As on a virtual machine whose processor with the tick does not run. */
static void an_alarm_that_rings_before_its_time_is_set_anew(void **state)
{
    struct timespec now;

    (void)state;
    open_engine();
    served_connect(false);
    say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while (served.runs == 0)
        come_when_told();
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    coarse = &now;
    come_when_told();
    coarse = NULL;
    while (served_is_open())
        come_when_told();
    served_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_client_is_closed_by_the_alarm),
        cmocka_unit_test(an_alarm_that_rings_before_its_time_is_set_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
