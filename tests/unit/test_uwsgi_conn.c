#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/cgi.h"
#include "serve/conn/http1.h"
#include "serve/request/stream.h"
#include "served.h"

/* The engine under clients of uwsgi: what memory they take is given back, whatever fails. */

enum { BODY = 5, OWN = 40, PACKET = 4096, ALLOCATIONS_MAX = 1000 };

static char packet[PACKET + BODY];
static size_t packet_size;

static void put(const char *name, const char *value)
{
    const char *texts[] = {name, value};
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(texts[i]);
        packet[packet_size] = (char)n;
        packet[packet_size + 1] = (char)(n >> 8);
        memcpy(packet + packet_size + 2, texts[i], n);
        packet_size += 2 + n;
    }
}

/* More fields and more variables than their tables have room for at first. */
static int build(void **state)
{
    (void)state;
    char name[16];
    packet_size = 4;
    put("REQUEST_METHOD", "POST");
    put("REQUEST_URI", "/a");
    put("REMOTE_ADDR", "192.0.2.7");
    put("CONTENT_LENGTH", "5");
    for (int i = 0; i < OWN; i++) {
        snprintf(name, sizeof(name), "HTTP_X%d", i);
        put(name, "x");
        snprintf(name, sizeof(name), "OWN%d", i);
        put(name, "own");
    }
    assert_true(packet_size < PACKET);
    packet[1] = (char)(packet_size - 4);
    packet[2] = (char)((packet_size - 4) >> 8);
    memcpy(packet + packet_size, "hello", BODY);
    packet_size += BODY;
    return 0;
}

static void answer(struct request *request)
{
    char body[16];
    assert_int_equal(body_read(request, body, sizeof(body)), BODY);
    assert_int_equal(request->cgi->count, OWN + 3);
    assert_int_equal(request->head.field_count, OWN + 1);
    assert_int_equal(request_peer(request)->address[3], 7);
    served_put(request, body, BODY, NULL, &(bool){false});
}

static void open_uwsgi(void)
{
    struct engine_options options = served_options();
    options.protocol = &uwsgi_protocol;
    served_open(&options, answer);
}

static void ask(void)
{
    served_connect(false);
    for (size_t at = 0; at < packet_size && served_is_open(); at += 1000) {
        size_t n = packet_size - at < 1000 ? packet_size - at : 1000;
        served_send(packet + at, n);
    }
    served_answer();
}

static void check_answer(void)
{
    assert_memory_equal(served.output, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(served.output, "\r\nConnection: close\r\n"));
    assert_string_equal(served.output + served.output_size - BODY, "hello");
}

/* One after the other: the tables of a request are used again. */
static void requests_are_answered(void **state)
{
    (void)state;
    open_uwsgi();
    for (int i = 0; i < 3; i++) {
        ask();
        check_answer();
        assert_false(served_is_open());
    }
    served_close();
}

static bool ask_without(long n, bool once)
{
    open_uwsgi();
    if (once)
        mem_fail_once(n);
    else
        mem_fail_after(n);
    struct conn *conn = served_connect(false);
    if (conn) {
        for (size_t at = 0; at < packet_size && served_is_open(); at += 1000)
            if (send(served.client, packet + at, packet_size - at < 1000 ? packet_size - at : 1000,
                     MSG_NOSIGNAL) > 0)
                served_answer();
    }
    bool enough = !mem_failed();
    mem_fail_never();
    if (enough)
        check_answer();
    if (served_is_open()) {
        shutdown(served.client, SHUT_WR);
        served_answer();
    }
    assert_false(served_is_open());
    ask();
    check_answer();
    served_close();
    return enough;
}

static void without_memory_at_any_point(void **state)
{
    (void)state;
    for (int once = 0; once < 2; once++) {
        long n = 0;
        while (!ask_without(n, once))
            assert_true(++n < ALLOCATIONS_MAX);
        assert_true(n > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered),
        cmocka_unit_test(without_memory_at_any_point),
    };
    return cmocka_run_group_tests(tests, build, NULL);
}
