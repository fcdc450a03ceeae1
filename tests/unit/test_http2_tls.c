#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http2_client.h"
#include "serve/conn/http2.h"
#include "tls_served.h"

/* HTTP/2 over TLS: a client of nghttp2 behind one of OpenSSL. */

enum { BODY = 60 * 1000, BODIES = 8 };

static struct h2_client h2;
static char body[BODY];

static void answer_size(struct request *request)
{
    char text[24], part[4096];
    size_t size = 0;
    for (ssize_t n; (n = body_read(request, part, sizeof(part))) > 0;)
        size += (size_t)n;
    snprintf(text, sizeof(text), "%zu", size);
    served_put(request, text, strlen(text), NULL, &(bool){false});
}

/* All that both sides have to say. */
static const char *talk(void)
{
    for (struct str bytes; (bytes = h2_bytes(&h2)).n > 0;) {
        say(bytes.p, bytes.n);
        got_size = 0;
        settle();
        h2_receive(&h2, got, got_size);
    }
    return h2_lines(&h2);
}

static void open_http2(void)
{
    open_engine(answer_size);
    served.engine->options.protocol = &http2_protocol;
    h2_open(&h2);
    connect_client(TLS1_3_VERSION, false);
    talk();
}

/* As much as the socket takes arrives while the server is busy; no event tells of what it leaves
 * when it is the turn of others. */
static void what_came_at_once_is_read_to_its_end(void **state)
{
    (void)state;
    open_http2();
    for (int i = 0; i < BODIES; i++)
        h2_post(&h2, "/", body, sizeof(body));
    struct str bytes = h2_bytes(&h2);
    say(bytes.p, bytes.n);
    while (give())
        ;
    got_size = 0;
    settle();
    h2_receive(&h2, got, got_size);
    const char *lines = talk();
    for (int id = 1; id < 2 * BODIES; id += 2) {
        char closed[64];
        snprintf(closed, sizeof(closed), "%d closed 0 with 5: 60000\n", id);
        assert_non_null(strstr(lines, closed));
    }
    h2_close(&h2);
    close_engine();
}

int main(void)
{
    memset(body, 'b', sizeof(body));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_at_once_is_read_to_its_end),
    };
    return RUN_TLS_TESTS(tests);
}
