#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/access/access_format.h"
#include "serve/access/access_log.h"
#include "serve/engine/host.h"
#include "threaded.h"
#include "toy_protocol.h"

#include <sys/mman.h>

/*
 * The whole engine with a protocol that is not HTTP/1: many requests on one connection, answered in
 * any order, with the same limits, deadlines, log lines and endings.
 */

enum { BIG = 3 * 1000 * 1000 };

static char big[BIG];

static struct engine_options toy_options(void)
{
    struct engine_options options = served_options();
    options.protocol = &toy_protocol;
    return options;
}

static void answer_path(struct request *request)
{
    struct str target = request_target(request);
    served_put(request, target.p, target.n, NULL, &(bool){false});
}

static void open_toy(const struct engine_options *options)
{
    served_open(options, answer_path);
    served_connect(false);
}

/* One thread */

static void requests_are_interleaved(void **state)
{
    (void)state;
    struct engine_options options = toy_options();
    open_toy(&options);
    served_say("1 PUT /first 6\n2 PUT /second ?\n1 data 3\nabc2 data 2\nxy3 GET /third\n");
    assert_string_equal(served_answer(),
                        "3 head 200 OK|Content-Length: 6|\n3 data 6\n/third3 end\n");
    assert_string_equal(served_ask("2 end\n"),
                        "2 head 200 OK|Content-Length: 7|\n2 data 7\n/second2 end\n");
    assert_string_equal(served_ask("1 data 3\ndef"),
                        "1 head 200 OK|Content-Length: 6|\n1 data 6\n/first1 end\n");
    assert_true(served_is_open());
    assert_int_equal(served.engine->metrics->connections[ACTIVITY_IDLE], 1);
    served_close();
}

static void answer_body(struct request *request)
{
    char body[64];
    size_t n = 0;
    for (ssize_t got; (got = body_read(request, body + n, sizeof(body) - n)) > 0;)
        n += (size_t)got;
    response_interim(request, 103, STR("Link: </a>\r\n"));
    response_start(request, "201 Made", 8);
    response_field(request, STR("X-A"), STR("b"));
    response_write(request, body, n, NULL, &(bool){false}, false);
    response_write(request, "!", 1, NULL, &(bool){false}, true);
    response_finish(request);
}

static void bodies_and_fields_arrive(void **state)
{
    (void)state;
    struct engine_options options = toy_options();
    served_open(&options, answer_body);
    served_connect(false);
    assert_string_equal(served_ask("5 PUT / ?\n5 data 2\nab5 data 3\ncde5 end\n"),
                        "5 info 103 Link: </a>\n5 head 201 Made|X-A: b|\n5 data 5\nabcde5 data 1\n"
                        "!5 end\n");
    served_close();
}

static void a_body_has_its_limit(void **state)
{
    (void)state;
    struct engine_options options = toy_options();
    options.body_max = 5;
    open_toy(&options);
    const char *answer = served_ask("1 PUT /a 6\n2 PUT /b ?\n2 data 6\nabcdef3 PUT /c 5\n");
    assert_non_null(strstr(answer, "1 head 413 Content Too Large|Content-Type: text/html|"));
    assert_non_null(strstr(answer, "2 head 413 "));
    assert_non_null(strstr(answer, "limit_request_body is 5"));
    assert_non_null(strstr(served_ask("3 data 5\nabcde"), "3 head 200 OK"));
    assert_int_equal(served.engine->metrics->refused[REFUSED_BODY_SIZE], 2);
    assert_true(served_is_open());
    served_close();
}

static void too_many_at_a_time_are_refused(void **state)
{
    (void)state;
    struct engine_options options = toy_options();
    options.limit_concurrency = 2;
    open_toy(&options);
    const char *answer = served_ask("1 GET /a\n2 GET /b\n3 GET /c\n4 GET /d\n");
    assert_non_null(strstr(answer, "1 head 200 OK"));
    assert_non_null(strstr(answer, "2 head 200 OK"));
    assert_non_null(strstr(answer, "3 head 503 Service Unavailable|"));
    assert_non_null(strstr(answer, "|Retry-After: 1|"));
    assert_non_null(strstr(answer, "4 head 503 "));
    assert_int_equal(served.engine->metrics->refused[REFUSED_CONCURRENCY], 2);
    assert_int_equal(served.engine->in_flight, 0);
    assert_non_null(strstr(served_ask("5 GET /e\n"), "5 head 200 OK"));
    served_close();
}

/* Lets them become ready, and no thread takes them. */
static struct conn *wait_for_nobody(const struct engine_options *options, const char *lines)
{
    served_open(options, answer_path);
    struct conn *conn = served_connect(false);
    assert_int_equal(send(served.client, lines, strlen(lines), 0), (int)strlen(lines));
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    engine_yield(served.engine);
    return conn;
}

static void who_waits_too_long_is_refused(void **state)
{
    (void)state;
    struct engine_options options = toy_options();
    options.max_queue_ms = 1000;
    struct conn *conn = wait_for_nobody(&options, "1 GET /a\n2 GET /b\n");
    assert_int_equal(served.engine->in_flight, 2);
    assert_true(conn->timer.deadline > 0);
    served_expire(conn);
    const char *answer = served_answer();
    assert_non_null(strstr(answer, "1 head 503 "));
    assert_non_null(strstr(answer, "2 head 503 "));
    assert_int_equal(served.engine->metrics->refused[REFUSED_QUEUE_TIME], 2);
    assert_int_equal(served.runs, 0);
    assert_true(served_is_open());
    served_close();
}

static void an_idle_one_makes_room(void **state)
{
    (void)state;
    struct engine_options options = toy_options();
    open_toy(&options);
    struct conn *conn = list_entry(served.engine->idle.next, struct conn, link);
    served_say("1 PUT /a 100\n");
    served_answer();
    assert_int_equal(conn->activity, ACTIVITY_BODY);
    assert_true(engine_lead(served.engine));
    assert_false(engine_make_room(served.engine)); /* it had no time yet */
    conn->mark_ms = 0;
    assert_true(engine_make_room(served.engine));
    engine_yield(served.engine);
    const char *answer = served_answer();
    assert_non_null(strstr(answer, "1 head 408 Request Timeout|"));
    assert_false(served_is_open());
    assert_int_equal(served.engine->metrics->closed[CLOSE_ROOM], 1);
    served_close();
}

static void one_whose_requests_run_stays(void **state)
{
    (void)state;
    struct engine_options options = toy_options();
    struct conn *conn = wait_for_nobody(&options, "1 GET /a\n2 PUT /b 3\n");
    conn->mark_ms = 0;
    assert_int_equal(conn->activity, ACTIVITY_RUNNING);
    assert_true(engine_lead(served.engine));
    assert_false(engine_make_room(served.engine));
    engine_yield(served.engine);
    served_answer();
    assert_non_null(strstr(served_ask("2 data 3\nabc"), "2 head 200 OK"));
    served_close();
}

static void a_client_may_leave(void **state)
{
    (void)state;
    struct engine_options options = toy_options();
    wait_for_nobody(&options, "1 GET /a\n2 PUT /b 3\n");
    close(served.client);
    served.client = -1;
    while (served_turn())
        ;
    assert_false(served_is_open());
    assert_int_equal(served.engine->in_flight, 0);
    served_close();
}

static void who_drains_takes_what_has_come(void **state)
{
    (void)state;
    struct engine_options options = toy_options();
    struct conn *conn = wait_for_nobody(&options, "1 GET /a\n2 PUT /b 3\n");
    engine_drain(served.engine);
    const char *answer = served_answer();
    assert_non_null(strstr(answer, "1 head 200 OK"));
    assert_null(strstr(answer, "2 head"));
    assert_true(conn->timer.deadline > 0 &&
                conn->timer.deadline <= served.engine->now_ms + DRAIN_IDLE_MS);
    served_expire(conn);
    assert_non_null(strstr(served_answer(), "2 head 503 "));
    assert_false(served_is_open());
    assert_int_equal(served.engine->metrics->refused[REFUSED_DRAINING], 1);
    assert_true(served.engine->stopped);
    served_close();
}

static void refusals_are_logged(void **state)
{
    (void)state;
    struct engine_options options = toy_options();
    char text[256];
    int fd = memfd_create("log", 0);
    options.limit_concurrency = 1;
    open_toy(&options);
    served.engine->access_log =
        access_log_create(access_format_compile(STR("%(m)s %(U)s %(H)s %(s)s %(b)s")), fd);
    assert_non_null(served.engine->access_log);
    served_ask("1 GET /a\n2 GET /b\n");
    engine_flush_log(served.engine);
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    assert_memory_equal(text, "GET /b HTTP/2.0 503 ", 20);
    served_close();
    close(fd);
}

static void answer_big(struct request *request)
{
    response_start(request, "200 OK", 6);
    response_write(request, big, BIG, NULL, &(bool){false}, true);
    response_finish(request);
}

/* What the socket does not take is sent on by the leader. */
static void a_slow_client_gets_all(void **state)
{
    (void)state;
    struct engine_options options = toy_options();
    served_open(&options, answer_big);
    struct conn *conn = served_connect(true);
    served_say("1 GET /a\n");
    served_turn();
    assert_int_equal(conn->activity, ACTIVITY_FLUSH);
    served_answer();
    assert_true(served.output_size > BIG);
    assert_string_equal(served.output + served.output_size - 6, "1 end\n");
    assert_int_equal(conn->activity, ACTIVITY_IDLE);
    served_close();
}

/* Beside the leader */

static struct request *busy;
static char order[64];

/* While the leader attends to one request, the thread of another asks for that, too, and ends. */
static void attend_slowly(struct engine *engine, struct request *request)
{
    strcat(order, request == busy ? "attend 2, " : "attend 1, ");
    if (request == busy)
        return;
    engine_attend(engine, busy);
    answer_path(busy);
    engine_put_back(engine, busy);
}

static void answered_slowly(struct engine *engine, struct request *request)
{
    strcat(order, request == busy ? "end 2, " : "end 1, ");
    toy_protocol.answered(engine, request);
}

/* By then its memory may be another request's. */
static void none_is_attended_after_its_end(void **state)
{
    (void)state;
    struct protocol protocol = toy_protocol;
    struct engine_options options = toy_options();
    protocol.attend = attend_slowly;
    protocol.answered = answered_slowly;
    options.protocol = &protocol;
    wait_for_nobody(&options, "1 GET /a\n2 GET /b\n");
    struct request *first = engine_poll(served.engine);
    busy = engine_poll(served.engine);
    assert_true(first && busy && engine_lead(served.engine));
    order[0] = '\0';
    engine_attend(served.engine, first);
    engine_yield(served.engine);
    assert_string_equal(order, "attend 1, attend 2, end 2, ");
    answer_path(first);
    engine_put_back(served.engine, first);
    assert_non_null(strstr(served_answer(), "2 data 2\n/b2 end\n1 head 200 OK"));
    served_close();
}

/* Two threads */

static struct {
    struct engine *engine;
    int listener, begun[2], go_on[2];
    struct sockaddr_in address;
    pthread_t threads[2];
    atomic_int overdue;
} world;

/* "/wait" holds its thread until it may go on. */
static enum run_result run_threaded(void *app, struct request *request)
{
    char byte;
    (void)app;
    if (str_eq(request_target(request), STR("/wait"))) {
        require(write(world.begun[1], "x", 1) == 1);
        require(read(world.go_on[0], &byte, 1) == 1);
    }
    answer_path(request);
    return RUN_DONE;
}

static void overdue(void *app)
{
    (void)app;
    atomic_fetch_add(&world.overdue, 1);
}

static const struct app_ops threaded_ops = {
    .run = run_threaded,
    .attach = threaded_app_nothing,
    .detach = threaded_app_nothing,
    .interrupted = served_app_interrupted,
    .note = threaded_app_note,
    .wait = threaded_app_wait,
    .overdue = overdue,
};

static void *serve(void *argument)
{
    host_run(world.engine, argument);
    return NULL;
}

static void open_threads(uint32_t request_timeout_ms)
{
    struct engine_options options = threaded_options(2, NULL);
    options.protocol = &toy_protocol;
    options.request_timeout_ms = request_timeout_ms;
    options.request_grace_ms = SOON_MS;
    memset(&world, 0, sizeof(world));
    world.listener = threaded_listen(&world.address);
    assert_int_equal(pipe(world.begun) | pipe(world.go_on), 0);
    world.engine = engine_create(&options, &threaded_ops, NULL, &world.listener, 1);
    assert_non_null(world.engine);
    pthread_create(&world.threads[0], NULL, serve, &world);
    pthread_create(&world.threads[1], NULL, serve, NULL);
}

static void close_threads(void)
{
    for (int i = 0; i < 2; i++)
        pthread_join(world.threads[i], NULL);
    engine_destroy(world.engine);
    int fds[] = {world.listener, world.begun[0], world.begun[1], world.go_on[0], world.go_on[1]};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
}

static void wait_until_begun(void)
{
    char byte;
    assert_int_equal(read(world.begun[0], &byte, 1), 1);
}

static void let_go_on(void)
{
    assert_int_equal(write(world.go_on[1], "x", 1), 1);
}

static void say(int client, const char *text)
{
    threaded_send(client, text, strlen(text));
}

static void assert_gets(int client, const char *text)
{
    char got[256];
    size_t n = strlen(text);
    assert_int_equal(recv(client, got, n, MSG_WAITALL), (int)n);
    got[n] = '\0';
    assert_string_equal(got, text);
}

__attribute__((format(printf, 2, 0))) static void say_with(int client, const char *format,
                                                           unsigned id)
{
    char text[64];
    snprintf(text, sizeof(text), format, id);
    say(client, text);
}

static void assert_gets_path(int client, unsigned id, const char *path)
{
    char text[256];
    size_t n = strlen(path);
    snprintf(text, sizeof(text), "%u head 200 OK|Content-Length: %zu|\n%u data %zu\n%s%u end\n", id,
             n, id, n, path, id);
    assert_gets(client, text);
}

static void two_threads_answer_out_of_order(void **state)
{
    (void)state;
    open_threads(0);
    int client = threaded_connect(&world.address);
    for (unsigned id = 1; id < 40; id += 2) { /* a number may be in use still: each is new */
        say_with(client, "%u GET /wait\n", id);
        wait_until_begun();
        say_with(client, "%u GET /a\n", id + 1);
        assert_gets_path(client, id + 1, "/a");
        let_go_on();
        assert_gets_path(client, id, "/wait");
    }
    close(client);
    engine_stop(world.engine);
    close_threads();
}

static void the_late_one_is_found(void **state)
{
    (void)state;
    open_threads(50);
    int client = threaded_connect(&world.address);
    say(client, "1 GET /wait\n2 GET /a\n");
    wait_until_begun();
    for (int ms = 0; !atomic_load(&world.overdue) && ms < SOON_MS; ms++)
        usleep(1000);
    assert_true(atomic_load(&world.overdue) > 0);
    let_go_on();
    assert_gets(client, "2 head 200 OK|Content-Length: 2|\n2 data 2\n/a2 end\n");
    assert_gets(client, "1 head 200 OK|Content-Length: 5|\n1 data 5\n/wait1 end\n");
    close(client);
    engine_stop(world.engine);
    close_threads();
}

/* The worker ends by itself when the last answer is sent. */
static void it_drains_while_one_runs(void **state)
{
    (void)state;
    open_threads(0);
    int client = threaded_connect(&world.address);
    char byte;
    say(client, "1 GET /wait\n");
    wait_until_begun();
    engine_drain(world.engine);
    let_go_on();
    assert_gets(client, "1 head 200 OK|Content-Length: 5|\n1 data 5\n/wait1 end\n");
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    close_threads();
    close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_interleaved),
        cmocka_unit_test(bodies_and_fields_arrive),
        cmocka_unit_test(a_body_has_its_limit),
        cmocka_unit_test(too_many_at_a_time_are_refused),
        cmocka_unit_test(who_waits_too_long_is_refused),
        cmocka_unit_test(an_idle_one_makes_room),
        cmocka_unit_test(one_whose_requests_run_stays),
        cmocka_unit_test(a_client_may_leave),
        cmocka_unit_test(who_drains_takes_what_has_come),
        cmocka_unit_test(refusals_are_logged),
        cmocka_unit_test(a_slow_client_gets_all),
        cmocka_unit_test(none_is_attended_after_its_end),
        cmocka_unit_test(two_threads_answer_out_of_order),
        cmocka_unit_test(the_late_one_is_found),
        cmocka_unit_test(it_drains_while_one_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
