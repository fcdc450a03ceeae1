#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/engine/limits.h"
#include "served.h"

#include <fcntl.h>

/* What becomes of requests and answers when the budget is short. */

enum { MEMORY = 64 << 20, LARGE = 300 * 1000, WINDOW = 400 * 1000 };

static char large[LARGE];
static uint64_t most_ahead;

static void echo_size(struct request *request)
{
    char data[4096], text[24];
    size_t size = 0;
    ssize_t n;
    while ((n = body_read(request, data, sizeof(data))) > 0)
        size += (size_t)n;
    snprintf(text, sizeof(text), "%zu", size);
    served_put(request, text, strlen(text), NULL, &(bool){false});
}

static void open_with(void (*run)(struct request *request))
{
    struct engine_options options = served_options();
    options.client_memory = options.client_disk = MEMORY;
    options.stream_window = WINDOW;
    served_open(&options, run);
}

/* Others have taken all of it, or give it back. */
static void take_all(void)
{
    budget_force(&served.engine->budget, MEMORY);
    budget_adopt(&served.engine->budget, MEMORY);
}

static void give_back(void)
{
    budget_give(&served.engine->budget, MEMORY);
    budget_unspool(&served.engine->budget, MEMORY);
    budget_close(&served.engine->budget);
}

static void say_much(void)
{
    char field[6000];
    memset(field, 'a', sizeof(field));
    served_say("GET / HTTP/1.1\r\nX-One: ");
    served_send(field, sizeof(field));
    served_say("\r\nX-Two: ");
    served_send(field, sizeof(field));
}

static void assert_says(const char *expected)
{
    if (!strstr(served_answer(), expected))
        fail_msg("\"%s\" is not in \"%s\"", expected, served.output);
}

static void a_head_waits_for_room(void **state)
{
    (void)state;
    open_with(echo_size);
    struct conn *conn = served_connect(false);
    served_say("GET /small HTTP/1.1\r\n\r\n");
    assert_says("200 OK");
    take_all();
    say_much();
    assert_true(conn->parked);
    assert_non_null(strstr(served.notes, "have to wait: clients occupy 64 MiB"));
    served_expire(conn);
    assert_true(conn->parked);
    give_back();
    served_expire(conn);
    assert_false(conn->parked);
    served.output_size = 0;
    served_say("\r\n\r\n");
    assert_says("200 OK");
    assert_int_equal(conn->parked_ms, 0);
    served_close();
}

static void but_not_for_ever(void **state)
{
    (void)state;
    open_with(echo_size);
    struct conn *conn = served_connect(false);
    served_say("G");
    take_all();
    say_much();
    for (int ms = 0; ms < PARK_MAX_MS; ms += PARK_LOOK_MS) {
        assert_true(conn->parked);
        served_expire(conn);
    }
    assert_says("503 Service Unavailable");
    assert_int_equal(conn->state, CONN_LINGER);
    give_back();
    served_close();
}

static void one_that_has_gone_does_not_wait(void **state)
{
    (void)state;
    open_with(echo_size);
    served_connect(false);
    served_say("G");
    take_all();
    say_much();
    close(served.client);
    served.client = -1;
    for (int i = 0; i < 5; i++)
        served_turn();
    assert_false(served_is_open());
    give_back();
    served_close();
}

static void a_request_waits_for_room(void **state)
{
    (void)state;
    open_with(echo_size);
    take_all();
    struct conn *conn = served_connect(false);
    served_say("GET / HTTP/1.1\r\n\r\n");
    assert_true(conn->parked);
    assert_null(conn->request);
    served_expire(conn);
    assert_true(conn->parked);
    give_back();
    served_expire(conn);
    assert_says("200 OK");
    served_close();
}

static void without_a_request_it_is_closed(void **state)
{
    (void)state;
    open_with(echo_size);
    take_all();
    struct conn *conn = served_connect(false);
    for (int ms = 0; ms < PARK_MAX_MS; ms += PARK_LOOK_MS)
        served_expire(conn);
    assert_false(served_is_open());
    give_back();
    served_close();
}

static void a_body_waits_for_room(void **state)
{
    const char *head = *state;
    open_with(echo_size);
    struct conn *conn = served_connect(false);
    served_send(head, 1);
    take_all();
    served_say(head + 1);
    served_send(large, 10);
    assert_true(conn->parked);
    assert_int_equal(conn->activity, ACTIVITY_BODY);
    give_back();
    served_expire(conn);
    assert_false(conn->parked);
    served_send(large + 10, LARGE - 10);
    served_say("\r\n0\r\n\r\n");
    assert_says("\r\n\r\n300000");
    served_close();
}

/* Nothing is left for its first bytes. */
static void a_body_that_finds_nothing_is_refused(void **state)
{
    (void)state;
    open_with(echo_size);
    struct conn *conn = served_connect(false);
    served_say("P");
    take_all();
    served_say("OST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\nbody");
    assert_says("503 Service Unavailable");
    assert_int_equal(conn->state, CONN_LINGER);
    assert_non_null(strstr(served.notes, "are refused: clients occupy"));
    give_back();
    served_close();
}

/* Answers */

static void stream(struct request *request)
{
    struct outq *q = &request->out;
    assert_int_equal(response_start(request, "200 OK", 6), RESPONSE_OK);
    request->response.streamed = true;
    for (int i = 0; i < 20; i++) {
        bool kept = false;
        /* Slow to begin with, if there is a place for what it does not take. */
        served.reads_while_waiting = i > 0 || served.engine->options.stream_window == 0;
        assert_int_equal(response_write(request, large, LARGE, &served, &kept, false), RESPONSE_OK);
        if (!kept)
            served_app_release(NULL, &served);
        if (q->memory + q->kept > most_ahead)
            most_ahead = q->memory + q->kept;
    }
    assert_int_equal(response_finish(request), RESPONSE_OK);
}

static void ask_for_stream(void)
{
    most_ahead = 0;
    served_connect(true);
    served_ask("GET / HTTP/1.0\r\n\r\n");
    char *body = strstr(served.output, "\r\n\r\n") + 4;
    assert_int_equal(served.output_size - (size_t)(body - served.output), 20 * LARGE);
    for (int i = 0; i < 20; i++)
        assert_memory_equal(body + (size_t)i * LARGE, large, LARGE);
    assert_int_equal(served.releases, 20);
    assert_true(served.waits > 1);
}

static void a_stream_is_ahead_by_its_window(void **state)
{
    (void)state;
    open_with(stream);
    ask_for_stream();
    assert_in_range(most_ahead, LARGE, WINDOW);
    served_close();
}

static void without_room_the_thread_waits(void **state)
{
    (void)state;
    open_with(stream);
    served_connect(true);
    served_ask("G"); /* its request is there */
    take_all();
    served.engine->options.stream_window = 0;
    served_ask("ET / HTTP/1.0\r\n\r\n");
    give_back();
    char *body = strstr(served.output, "\r\n\r\n") + 4;
    assert_int_equal(served.output_size - (size_t)(body - served.output), 20 * LARGE);
    assert_int_equal(served.releases, 20);
    served_close();
}

static void send_a_file(struct request *request)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(large, 1, LARGE, file), LARGE);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(response_start(request, "200 OK", 6), RESPONSE_OK);
    assert_int_equal(response_file(request, fileno(file), 0, LARGE), RESPONSE_OK);
    assert_int_equal(response_finish(request), RESPONSE_OK);
    fclose(file);
}

static void without_a_descriptor_a_file_is_waited_for(void **state)
{
    (void)state;
    open_with(send_a_file);
    served.engine->budget.files_max = 0;
    served_connect(true);
    served_ask("GET / HTTP/1.0\r\n\r\n");
    char *body = strstr(served.output, "\r\n\r\n") + 4;
    assert_int_equal(served.output_size - (size_t)(body - served.output), LARGE);
    assert_memory_equal(body, large, LARGE);
    assert_true(served.waits > 1);
    served_close();
}

static void put_large(struct request *request)
{
    bool kept = false;
    served_put(request, large, LARGE, NULL, &kept);
}

static void without_a_file_memory_is_used(void **state)
{
    (void)state;
    open_with(put_large);
    served.engine->budget.files_max = 0;
    served.reads_while_waiting = false;
    served_connect(true);
    served_say("GET / HTTP/1.0\r\n\r\n");
    served_turn();
    assert_int_equal(served.waits, 0);
    served_answer();
    served_close();
}

int main(void)
{
    static char length[] = "POST / HTTP/1.1\r\nContent-Length: 300000\r\n\r\n";
    static char chunks[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_waits_for_room),
        cmocka_unit_test(but_not_for_ever),
        cmocka_unit_test(one_that_has_gone_does_not_wait),
        cmocka_unit_test(a_request_waits_for_room),
        cmocka_unit_test(without_a_request_it_is_closed),
        {"a_body_waits_for_room (chunks)", a_body_waits_for_room, NULL, NULL, chunks},
        {"a_body_waits_for_room (length)", a_body_waits_for_room, NULL, NULL, length},
        cmocka_unit_test(a_body_that_finds_nothing_is_refused),
        cmocka_unit_test(a_stream_is_ahead_by_its_window),
        cmocka_unit_test(without_room_the_thread_waits),
        cmocka_unit_test(without_a_descriptor_a_file_is_waited_for),
        cmocka_unit_test(without_a_file_memory_is_used),
    };
    for (int i = 0; i < LARGE; i++)
        large[i] = (char)('a' + (i / 7 + i) % 26);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
