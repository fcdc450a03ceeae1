#ifndef TESTS_UNIT_SERVED_H
#define TESTS_UNIT_SERVED_H

#include "base/clock.h"
#include "base/mem.h"
#include "serve/access/refused.h"
#include "serve/engine/engine.h"
#include "serve/engine/host.h"
#include "serve/request/response.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The engine in one thread, one client over a socket pair, and an application that is a function.
 * Whoever tests calls served_turn() where a server would wait, so that nothing depends on time.
 */

enum { SERVED_OUTPUT_MAX = 16 * 1024 * 1024, SERVED_TURNS = 20000, SERVED_SMALL = 4096 };

struct served {
    struct engine *engine;
    void (*run)(struct request *request);
    enum run_result (*begin)(struct request *request); /* in place of run() */
    void (*events)(struct request *request, unsigned events);
    int client; /* -1 when closed */
    char *output;
    size_t output_size;
    int runs, releases, waits; /* calls of the application, of release(), of detach() */
    char notes[4096];          /* what was noted, a line each */
    struct tls_context *tls;   /* what new clients find; borrowed; NULL: plain */
    void (*waiting)(void);     /* a thread waits, for no descriptor */
    bool reads_while_waiting;  /* the client reads when the application's thread waits for it */
};

static struct served served;

static inline void served_read(void)
{
    ssize_t n;
    while (served.client >= 0 &&
           (n = recv(served.client, served.output + served.output_size,
                     SERVED_OUTPUT_MAX - served.output_size - 1, MSG_DONTWAIT)) > 0)
        served.output_size += (size_t)n;
    served.output[served.output_size] = '\0';
}

static inline enum run_result served_app_run(void *app, struct request *request)
{
    (void)app;
    served.runs++;
    if (served.begin)
        return served.begin(request);
    served.run(request);
    return RUN_DONE;
}

static inline void served_app_events(void *app, struct request *request, unsigned events)
{
    (void)app;
    served.events(request, events);
}

static inline void served_app_attach(void *app)
{
    (void)app;
}

static inline void served_app_detach(void *app)
{
    (void)app;
    served.waits++;
    if (served.reads_while_waiting)
        served_read();
}

static inline bool served_app_interrupted(void *app)
{
    (void)app;
    return true;
}

static inline void served_app_note(void *app, enum note_level level, const char *text)
{
    (void)app;
    (void)level;
    size_t at = strlen(served.notes);
    snprintf(served.notes + at, sizeof(served.notes) - at, "%s\n", text);
}

/* Its line is among the notes. */
static inline void served_app_refused(void *app, const struct refused *refused)
{
    char line[256];
    const struct head *head = &refused->head;
    snprintf(line, sizeof(line), "%u: %.*s, %u fields, %u", refused->number, (int)head->target_len,
             refused->input + head->target, head->field_count, refused->status);
    served_app_note(app, NOTE_INFO, line);
}

static inline int served_app_wait(void *app, int fd, short events, int timeout_ms)
{
    served_app_detach(app);
    if (fd < 0 && served.waiting)
        served.waiting();
    int result = socket_wait(fd, events, served.waiting ? 0 : timeout_ms);
    served_app_attach(app);
    return result;
}

static inline void served_app_release(void *app, void *ref)
{
    (void)app;
    assert_ptr_equal(ref, &served);
    served.releases++;
}

static const struct app_ops served_ops = {
    .run = served_app_run,
    .attach = served_app_attach,
    .detach = served_app_detach,
    .interrupted = served_app_interrupted,
    .note = served_app_note,
    .refused = served_app_refused,
    .wait = served_app_wait,
    .release = served_app_release,
};

/* The same for one that answers later. */
static const struct app_ops served_later_ops = {
    .run = served_app_run,
    .events = served_app_events,
    .attach = served_app_attach,
    .detach = served_app_detach,
    .interrupted = served_app_interrupted,
    .note = served_app_note,
    .refused = served_app_refused,
    .wait = served_app_wait,
    .release = served_app_release,
};

static inline struct engine_options served_options(void)
{
    static const struct forwarded forwarded;
    static const struct trust trust;
    return (struct engine_options){
        .limits = {.request_line = 4094, .fields = 100, .field_size = 8190},
        .forwarded = &forwarded,
        .trust = &trust,
        .keepalive_ms = 3600 * 1000,
        .header_timeout_ms = 60 * 1000,
        .send_timeout_ms = 60 * 1000,
        .worker_connections = 1000,
        .threads = 1,
    };
}

/* A whole answer; the rest as in response_write(). False when the client does not take it. */
static inline bool served_put(struct request *request, const char *data, size_t n, void *ref,
                              bool *kept)
{
    char length[24];
    snprintf(length, sizeof(length), "%zu", n);
    bool sent = response_start(request, "200 OK", 6) == RESPONSE_OK &&
                response_field(request, STR("Content-Length"),
                               (struct str){length, strlen(length)}) == RESPONSE_OK &&
                response_write(request, data, n, ref, kept, true) == RESPONSE_OK &&
                response_finish(request) == RESPONSE_OK;
    return sent;
}

static inline void served_create(const struct engine_options *options, const struct app_ops *ops)
{
    memset(&served, 0, sizeof(served));
    served.client = -1;
    served.output = malloc(SERVED_OUTPUT_MAX);
    served.output[0] = '\0';
    served.reads_while_waiting = true;
    served.engine = engine_create(options, ops, NULL, NULL, 0);
    assert_non_null(served.engine);
}

static inline void served_open(const struct engine_options *options,
                               void (*run)(struct request *request))
{
    served_create(options, &served_ops);
    served.run = run;
}

static inline void served_open_later(const struct engine_options *options,
                                     enum run_result (*begin)(struct request *request),
                                     void (*events)(struct request *request, unsigned events))
{
    served_create(options, &served_later_ops);
    served.begin = begin;
    served.events = events;
}

/* A new client; with small buffers an answer of some KiB has to wait for it. NULL: no memory. */
static inline struct conn *served_connect(bool small)
{
    static struct listener listener = {.local = true};
    static const struct peer peer = {.family = AF_UNIX};
    int ends[2], size = SERVED_SMALL;
    listener.tls = served.tls;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    if (small)
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (served.client >= 0)
        close(served.client);
    served.client = ends[1];
    served.output_size = 0;
    assert_true(engine_lead(served.engine));
    struct conn *conn = conn_create(served.engine, &listener, ends[0], &peer);
    if (conn)
        conn_read(served.engine, conn);
    else
        close(ends[0]);
    engine_yield(served.engine);
    return conn;
}

/* One turn of the loop and what it made ready; true when a request was run. */
static inline bool served_turn(void)
{
    struct request *request;
    bool ran = false;
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0);
    engine_yield(served.engine);
    if (engine_has_events(served.engine)) {
        host_give_events(served.engine);
        ran = true;
    }
    while ((request = engine_poll(served.engine))) {
        host_leave_engine(served.engine);
        host_run_one(served.engine, request);
        ran = true;
    }
    engine_collect(served.engine);
    return ran;
}

static inline void served_send(const char *data, size_t n)
{
    for (int turns = 0; n > 0; turns++) {
        ssize_t sent = send(served.client, data, n, MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            n -= (size_t)sent;
        }
        served_turn();
        assert_true(turns < SERVED_TURNS);
    }
}

static inline void served_say(const char *text)
{
    served_send(text, strlen(text));
}

/* Reads and turns until there is nothing more to read. */
static inline const char *served_answer(void)
{
    int quiet = 0;
    while (quiet < 3) {
        size_t before = served.output_size;
        bool ran = served_turn();
        served_read();
        quiet = ran || served.output_size > before ? 0 : quiet + 1;
    }
    return served.output;
}

/* Sends, and gives all that is answered. */
static inline const char *served_ask(const char *text)
{
    served.output_size = 0;
    served_say(text);
    return served_answer();
}

/* The answer's Date is the present one: replaced by "DATE" to compare with. */
static inline const char *served_dateless(void)
{
    for (char *at = served.output; (at = strstr(at, "\r\nDate: "));) {
        at += strlen("\r\nDate: ");
        char *end = strstr(at, "\r\n");
        assert_non_null(end);
        assert_int_equal(end - at, 29);
        memcpy(at, "DATE", 4);
        memmove(at + 4, end, strlen(end) + 1);
    }
    served.output_size = strlen(served.output);
    return served.output;
}

/* The connection's time is over. */
static inline void served_expire(struct conn *conn)
{
    assert_true(engine_lead(served.engine));
    conn_expired(served.engine, conn);
    engine_yield(served.engine);
    engine_collect(served.engine);
}

static inline bool served_is_open(void)
{
    return served.engine->connections > 0;
}

static inline void served_close(void)
{
    mem_fail_never();
    engine_destroy(served.engine);
    if (served.client >= 0)
        close(served.client);
    free(served.output);
}

#endif
