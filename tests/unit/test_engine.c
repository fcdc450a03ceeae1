#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backends.h"
#include "served.h"

#include "base/clock.h"
#include "serve/engine/limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

/* Every test runs with every backend of the loop. */

enum { LARGE = 100 * 1000, CLIENTS = 5, SOON_MS = 10 * 1000 };

static char large[LARGE];

static void put(struct request *request, const char *data, size_t n)
{
    bool kept = false;
    if (!served_put(request, data, n, &served, &kept))
        response_abort(request);
    served.releases -= kept;
}

/* Answers with the target's name, or with much for "/large". */
static void run(struct request *request)
{
    struct str target = request_target(request);
    if (str_eq(target, STR("/large")))
        put(request, large, LARGE);
    else
        put(request, target.p + 1, target.n - 1);
}

static struct engine_options options_of(void **state)
{
    struct engine_options options = served_options();
    options.loop = *state;
    return options;
}

static void open_with(void **state)
{
    struct engine_options options = options_of(state);
    served_open(&options, run);
}

/* The bodies of all answers that were received, one after the other. */
static const char *bodies(void)
{
    static char out[8192];
    size_t size = 0;
    char *at = served.output, *end = served.output + served.output_size;
    while (at < end) {
        char *length = strstr(at, "\r\nContent-Length: "), *body = strstr(at, "\r\n\r\n");
        assert_true(length && body && length < body);
        size_t n = strtoul(length + 18, NULL, 10);
        assert_true(body + 4 + n <= end && size + n < sizeof(out));
        memcpy(out + size, body + 4, n);
        size += n;
        at = body + 4 + n;
    }
    out[size] = '\0';
    return out;
}

/* Requests on one connection */

static void many_requests_on_one_connection(void **state)
{
    open_with(state);
    served_connect(false);
    for (int i = 0; i < 100; i++) {
        served_ask("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_string_equal(bodies(), "again");
    }
    assert_int_equal(served.engine->connections, 1);
    served_close();
}

static const char pipelined[] =
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
    "POST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nxx"
    "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n0\r\n\r\n"
    "\r\nGET /d HTTP/1.1\r\nHost: a\r\n\r\n"
    "GET /e HTTP/1.1\r\nConnection: close\r\n\r\n"
    "GET /never HTTP/1.1\r\nHost: a\r\n\r\n";

static void pipelined_in_pieces_of_any_size(void **state)
{
    for (size_t piece = 1; piece <= sizeof(pipelined); piece = piece * 3 / 2 + 1) {
        open_with(state);
        served_connect(false);
        for (size_t at = 0; at < sizeof(pipelined) - 1; at += piece) {
            size_t left = sizeof(pipelined) - 1 - at;
            served_send(pipelined + at, piece < left ? piece : left);
            served_read();
            if (strchr(bodies(), 'e'))
                break;
        }
        served_answer();
        assert_string_equal(bodies(), "abcde");
        assert_int_equal(served.runs, 5);
        shutdown(served.client, SHUT_WR);
        served_answer();
        assert_false(served_is_open());
        served_close();
    }
}

/* As if its answer had broken off while the thread waited for place in the queue. */
static void break_off(struct request *request)
{
    assert_int_equal(request->out.ahead, 0);
    put(request, "x", 1);
    request->out.ahead = 1;
}

static void a_broken_answer_leaves_nothing_to_the_next(void **state)
{
    open_with(state);
    served.run = break_off;
    served_connect(false);
    for (int i = 1; i <= 2; i++) {
        served_ask("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_int_equal(served.runs, i);
        assert_string_equal(bodies(), "x");
        served_connect(false);
    }
    served_close();
}

static void an_idle_connection_holds_no_buffer(void **state)
{
    open_with(state);
    struct conn *conn = served_connect(false);
    served_ask("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_null(conn->request);
    assert_int_equal(served.engine->pooled, 1);
    served_say("G");
    assert_non_null(conn->request);
    assert_int_equal(served.engine->pooled, 0);
    served_ask("ET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_null(conn->request);
    served_close();
}

static void a_refused_head_ends_the_connection(void **state)
{
    open_with(state);
    served_connect(false);
    served_ask("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nA : b\r\n\r\n"
               "GET /c HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(served.runs, 1);
    assert_non_null(strstr(served.output, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"));
    assert_non_null(strstr(served.notes, "Invalid request from ip="));
    /* What the client goes on sending is thrown away, and it ends when the client does. */
    for (int i = 0; i < 100; i++)
        served_send(large, 1000);
    assert_true(served_is_open());
    shutdown(served.client, SHUT_WR);
    served_answer();
    assert_false(served_is_open());
    served_close();
}

static void a_refusal_to_who_does_not_read(void **state)
{
    open_with(state);
    struct conn *conn = served_connect(true);
    served.reads_while_waiting = false;
    while (send(conn->io.fd, large, sizeof(large), MSG_DONTWAIT) > 0)
        ;
    served_say("nonsense\r\n\r\n");
    served_turn();
    assert_int_equal(conn->activity, ACTIVITY_FLUSH);
    assert_int_equal(served.waits, 0);
    served_answer();
    assert_int_equal(conn->state, CONN_LINGER);
    served_close();
}

static void the_client_leaves(void **state)
{
    static const char *const after[] = {"", "GET",
                                        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc"};
    for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
        open_with(state);
        served_connect(false);
        served_say(after[i]);
        served_turn();
        assert_true(served_is_open());
        close(served.client);
        served.client = -1;
        served_turn();
        assert_false(served_is_open());
        assert_int_equal(served.runs, 0);
        served_close();
    }
}

/* The loop tells of the last bytes and of the end at once. */
static void the_last_words_of_a_client_that_was_refused(void **state)
{
    open_with(state);
    struct conn *conn = served_connect(false);
    served_say("nonsense\r\n\r\n");
    served_answer();
    assert_int_equal(conn->state, CONN_LINGER);
    assert_int_equal(send(served.client, "more", 4, MSG_NOSIGNAL), 4);
    assert_int_equal(shutdown(served.client, SHUT_WR), 0);
    served_turn();
    served_turn();
    assert_false(served_is_open());
    served_close();
}

static void the_client_leaves_while_an_answer_waits(void **state)
{
    open_with(state);
    struct conn *conn = served_connect(true);
    served_say("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    served_turn();
    assert_int_equal(conn->activity, ACTIVITY_FLUSH);
    close(served.client);
    served.client = -1;
    served_turn();
    served_turn();
    assert_false(served_is_open());
    assert_int_equal(served.releases, 0); /* as many as were kept */
    served_close();
}

static void a_slow_reader_gets_all_of_it(void **state)
{
    open_with(state);
    struct conn *conn = served_connect(true);
    served.reads_while_waiting = false;
    served_say("GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 10; i++)
        served_turn();
    assert_int_equal(conn->activity, ACTIVITY_FLUSH);
    assert_int_equal(served.runs, 1); /* the next request waits for its turn */
    served_answer();
    assert_int_equal(served.runs, 2);
    assert_int_equal(served.waits, 0);
    const char *body = strstr(served.output, "\r\n\r\n") + 4;
    assert_memory_equal(body, large, LARGE);
    assert_memory_equal(body + LARGE, "HTTP/1.1 200 OK\r\n", 17);
    served_close();
}

/* A client that sends faster than we read has its turn, then the others. */
static void a_fast_sender_does_not_keep_the_engine(void **state)
{
    enum { MUCH = 4 * READ_TURN };
    for (int refused = 0; refused < 2; refused++) {
        open_with(state);
        struct conn *conn = served_connect(false);
        int size = MUCH;
        setsockopt(served.client, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        served_say(refused ? "nonsense\r\n\r\n"
                           : "POST /a HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n");
        served_answer();
        size_t queued = 0, turns = 0;
        ssize_t n;
        while (queued < MUCH && (n = send(served.client, large, LARGE, MSG_DONTWAIT)) > 0)
            queued += (size_t)n;
        for (int left = 1; left > 0; turns++) {
            served_turn();
            assert_int_equal(ioctl(conn->io.fd, FIONREAD, &left), 0);
            assert_true(turns < SERVED_TURNS);
        }
        /* How much the system takes at once is its own affair. */
        assert_true(turns >= queued / (READ_TURN + BODY_MEMORY_MAX));
        assert_true(served_is_open());
        served_close();
    }
}

/* Deadlines */

static uint64_t deadline_of(const struct conn *conn)
{
    return conn->timer.deadline ? conn->timer.deadline - served.engine->now_ms : 0;
}

static void assert_within(uint64_t ms, uint64_t limit)
{
    assert_true(ms <= limit && ms + 5000 > limit); /* however slow this machine is */
}

static void each_state_has_its_deadline(void **state)
{
    open_with(state);
    struct conn *conn = served_connect(true);
    served.reads_while_waiting = false;
    assert_within(deadline_of(conn), served.engine->options.header_timeout_ms);
    served_say("POST /large HTTP/1.1\r\n");
    assert_within(deadline_of(conn), served.engine->options.header_timeout_ms);
    served_say("Content-Length: 2\r\n\r\n");
    assert_within(deadline_of(conn), BODY_TIMEOUT_MS);
    served_say("xx");
    served_turn();
    assert_int_equal(conn->activity, ACTIVITY_FLUSH);
    assert_within(deadline_of(conn), served.engine->options.send_timeout_ms);
    served_answer();
    assert_int_equal(conn->activity, ACTIVITY_IDLE);
    assert_within(deadline_of(conn), served.engine->options.keepalive_ms);
    served_say("nonsense\r\n\r\n");
    served_answer();
    assert_int_equal(conn->state, CONN_LINGER);
    assert_within(deadline_of(conn), LINGER_IDLE_MS);
    served_close();
}

static void expired_in_any_state(void **state)
{
    static const char *const before[] = {"", "GET",
                                         "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
                                         "nonsense\r\n\r\n", "GET /large HTTP/1.1\r\n\r\n"};
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        open_with(state);
        struct conn *conn = served_connect(true);
        served_say(before[i]);
        served_turn();
        served_expire(conn);
        assert_false(served_is_open());
        served_close();
    }
}

/* A request that takes long must not count against the idle time after it. */
static void dawdle(struct request *request)
{
    served.engine->now_ms -= 10 * 1000; /* as if the engine had stood still for so long */
    put(request, "x", 1);
}

static void idle_time_begins_with_the_answer(void **state)
{
    struct engine_options options = options_of(state);
    options.keepalive_ms = 2000;
    served_open(&options, dawdle);
    struct conn *conn = served_connect(false);
    served_ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(conn->timer.deadline + 1000 > clock_ms());
    served_close();
}

/* Listeners */

static int listener = -1, clients[64];
static struct sockaddr_in address;

static void open_listening(struct engine_options *options)
{
    socklen_t size = sizeof(address);
    memset(&served, 0, sizeof(served));
    served.run = run;
    served.client = -1;
    served.output = malloc(SERVED_OUTPUT_MAX);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 100), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    served.engine = engine_create(options, &served_ops, NULL, &listener, 1);
    assert_non_null(served.engine);
}

static void close_listening(void)
{
    served_close();
    close(listener);
}

static int connect_client(void)
{
    int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (client >= 0)
        assert_true(connect(client, (struct sockaddr *)&address, sizeof(address)) == 0 ||
                    errno == EINPROGRESS);
    return client;
}

/* Turns until the client was answered or its connection was closed; true when it was answered. */
static bool is_answered(int client)
{
    char got[512];
    uint64_t end = clock_ms() + SOON_MS;
    while (clock_ms() < end) {
        ssize_t n = recv(client, got, sizeof(got), MSG_DONTWAIT);
        if (n >= 0 || errno != EAGAIN)
            return n > 0;
        assert_true(engine_lead(served.engine));
        engine_step(served.engine, 10);
        engine_yield(served.engine);
        served_turn();
    }
    fail_msg("no answer, and not closed either");
    return false;
}

static void ask(int client)
{
    static const char text[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(send(client, text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
}

static bool serves(int client)
{
    ask(client);
    return is_answered(client);
}

/* TCP's urgent data ends a read before what stands behind it. */
static void urgent_data_hides_nothing(void **state)
{
    static const char head[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    struct engine_options options = options_of(state);
    open_listening(&options);
    int client = connect_client();
    ask(client);
    assert_true(is_answered(client));
    assert_int_equal(send(client, head, 10, 0), 10);
    assert_int_equal(send(client, "!", 1, MSG_OOB), 1);
    assert_int_equal(send(client, head + 10, sizeof(head) - 11, 0), sizeof(head) - 11);
    assert_true(is_answered(client));
    assert_int_equal(send(client, head, sizeof(head) - 1, 0), sizeof(head) - 1);
    assert_int_equal(send(client, "!", 1, MSG_OOB), 1);
    assert_int_equal(send(client, head, sizeof(head) - 1, 0), sizeof(head) - 1);
    for (int ms = 0; served.runs < 4 && ms < SOON_MS; ms++) {
        served_turn();
        usleep(1000);
    }
    assert_int_equal(served.runs, 4);
    close(client);
    close_listening();
}

static void more_clients_than_connections(void **state)
{
    struct engine_options options = options_of(state);
    options.worker_connections = 2;
    open_listening(&options);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = connect_client();
        assert_true(serves(clients[i]));
        assert_true(served.engine->connections <= 2);
    }
    /* Those who were idle for longest had to go. */
    for (int i = 0; i < CLIENTS; i++) {
        bool there = i >= CLIENTS - 2;
        assert_true(there ? serves(clients[i]) : !is_answered(clients[i]));
        close(clients[i]);
    }
    close_listening();
}

static void nobody_is_closed_who_waits_for_an_answer(void **state)
{
    struct engine_options options = options_of(state);
    struct request *request = NULL;
    options.worker_connections = 1;
    open_listening(&options);
    int first = connect_client();
    ask(first);
    for (int turns = 0; !(request = engine_poll(served.engine)) && turns < SERVED_TURNS; turns++) {
        assert_true(engine_lead(served.engine));
        engine_step(served.engine, 1);
        engine_yield(served.engine);
    }
    assert_non_null(request);
    int second = connect_client();
    ask(second);
    for (int i = 0; i < 20; i++)
        served_turn();
    assert_int_equal(served.engine->connections, 1);
    assert_int_equal(served.engine->paused, PAUSE_FULL);
    run(request);
    engine_put_back(served.engine, request);
    /* The first is idle now: it makes room at once, not when its time is over. */
    assert_int_equal(served.engine->paused, 0);
    assert_true(is_answered(first));
    assert_true(is_answered(second));
    close(first);
    close(second);
    close_listening();
}

/* No descriptor can be opened; returns the limit that was before. */
static struct rlimit forbid_descriptors(void)
{
    struct rlimit old, limit;
    int lowest = dup(listener);
    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit = (struct rlimit){(rlim_t)lowest, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return old;
}

static void without_descriptors_it_tries_again(void **state)
{
    struct engine_options options = options_of(state);
    open_listening(&options);
    int client = connect_client();
    struct rlimit old = forbid_descriptors();
    ask(client);
    uint64_t begin = clock_ms();
    for (int turns = 0; !served.engine->paused && turns < SERVED_TURNS; turns++)
        served_turn();
    assert_int_equal(served.engine->paused, PAUSE_ERROR);
    for (int i = 0; i < 1000; i++)
        served_turn();
    /* A line for each try, and it does not try more often than it may. */
    unsigned tries = 0;
    for (char *at = served.notes; (at = strchr(at, '\n')); at++)
        tries++;
    assert_true(tries >= 1 && tries <= 1 + (clock_ms() - begin) / ACCEPT_PAUSE_MS);
    assert_non_null(strstr(served.notes, "Cannot accept a connection: "));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(is_answered(client));
    close(client);
    close_listening();
}

static void without_descriptors_the_idle_make_room(void **state)
{
    struct engine_options options = options_of(state);
    open_listening(&options);
    int first = connect_client();
    assert_true(serves(first));
    int second = connect_client();
    struct rlimit old = forbid_descriptors();
    assert_true(serves(second));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_false(is_answered(first));
    assert_string_equal(served.notes, "");
    close(first);
    close(second);
    close_listening();
}

/* The table of the poll backend is full and cannot grow: the listener waits, and is not forgotten.
 */
static void without_memory_it_tries_again(void **state)
{
    enum { TABLE = 64 };
    struct engine_options options = options_of(state);
    int kept[TABLE];
    options.shared = true;
    open_listening(&options);
    assert_true(engine_lead(served.engine));
    engine_pause(served.engine, PAUSE_BUSY);
    engine_yield(served.engine);
    for (int i = 1; i < TABLE; i++) {
        served_connect(false);
        kept[i] = served.client;
        served.client = -1;
    }
    assert_true(engine_lead(served.engine));
    mem_fail_after(0);
    engine_resume(served.engine, PAUSE_BUSY);
    mem_fail_never();
    engine_yield(served.engine);
    bool poll = strcmp(*state, "poll") == 0;
    assert_int_equal(served.engine->paused, poll ? PAUSE_ERROR : 0);
    int client = connect_client();
    assert_true(serves(client));
    for (int i = 1; i < TABLE; i++)
        close(kept[i]);
    close(client);
    close_listening();
}

/* Retiring */

static void drained_when_the_last_has_left(void **state)
{
    struct engine_options options = options_of(state);
    open_listening(&options);
    int idle = connect_client(), queued;
    assert_true(serves(idle));
    queued = connect_client();
    ask(queued);
    engine_drain(served.engine);
    served_turn();
    assert_false(atomic_load(&served.engine->stopped));
    /* Who has connected already is answered, and told that it was the last answer. */
    char got[512] = "";
    served.client = queued;
    assert_non_null(strstr(served_answer(), "\r\nConnection: close\r\n"));
    served.client = -1;
    /* An idle client may ask once more. */
    ask(idle);
    served_turn();
    assert_true(recv(idle, got, sizeof(got) - 1, MSG_DONTWAIT) > 0);
    assert_non_null(strstr(got, "\r\nConnection: close\r\n"));
    close(idle); /* a connection with input that was not read waits for that */
    served_turn();
    assert_int_equal(served.engine->connections, 0);
    assert_true(atomic_load(&served.engine->stopped));
    close(queued);
    close_listening();
}

static void drained_without_clients(void **state)
{
    struct engine_options options = options_of(state);
    open_listening(&options);
    engine_drain(served.engine);
    served_turn();
    assert_true(atomic_load(&served.engine->stopped));
    close_listening();
}

static void a_retiring_worker_does_not_wait_long(void **state)
{
    open_with(state);
    struct conn *conn = served_connect(false);
    served_ask("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(deadline_of(conn) > DRAIN_IDLE_MS);
    engine_drain(served.engine);
    served_turn();
    assert_true(deadline_of(conn) <= DRAIN_IDLE_MS);
    served_close();
}

static void the_master_has_died(void **state)
{
    struct engine_options options = options_of(state);
    int ends[2];
    open_listening(&options);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(engine_watch_master(served.engine, ends[0]), 0);
    served_turn();
    assert_false(atomic_load(&served.engine->stopped));
    close(ends[1]);
    served_turn();
    served_turn();
    assert_string_equal(served.notes, "Parent changed, shutting down\n");
    assert_true(atomic_load(&served.engine->stopped));
    close(ends[0]);
    close_listening();
}

/* Destroyed with connections in every state: nothing may leak. */
static void destroyed_amid_its_work(void **state)
{
    static const char *const before[] = {"", "GET",
                                         "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
                                         "nonsense\r\n\r\n", "GET /large HTTP/1.1\r\n\r\n"};
    enum { COUNT = sizeof(before) / sizeof(before[0]) };
    int kept[COUNT];
    open_with(state);
    for (int i = 0; i < COUNT; i++) {
        served_connect(true);
        served_say(before[i]);
        kept[i] = served.client;
        served.client = -1;
    }
    served_connect(false);
    assert_true(send(served.client, "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
    assert_true(engine_lead(served.engine));
    engine_step(served.engine, 0); /* ready, and nobody takes it */
    engine_yield(served.engine);
    assert_int_equal(served.engine->connections, COUNT + 1);
    served_close();
    for (int i = 0; i < COUNT; i++)
        close(kept[i]);
}

/* Memory */

static void echo(struct request *request)
{
    static char body[LARGE];
    size_t size = 0;
    ssize_t n;
    while ((n = body_read(request, body + size, sizeof(body) - size)) > 0)
        size += (size_t)n;
    if (n < 0)
        response_abort(request);
    else
        put(request, body, size);
}

/* The n-th allocation and all that follow fail; true when the answer was whole nevertheless. */
static bool answers_without(void **state, long n, bool chunked)
{
    struct engine_options options = options_of(state);
    char head[128];
    served_open(&options, echo);
    mem_fail_after(n);
    if (!served_connect(true)) {
        served_close();
        return false;
    }
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\n%s%s\r\n",
             chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "",
             chunked ? "186A0" : "Content-Length: 100000\r\n");
    const char *parts[] = {head, large, chunked ? "\r\n0\r\n\r\n" : ""};
    size_t sizes[] = {strlen(head), LARGE, strlen(parts[2])};
    for (int i = 0; i < 3; i++)
        for (size_t at = 0; at < sizes[i] && served_is_open();) {
            ssize_t sent = send(served.client, parts[i] + at, sizes[i] - at, MSG_NOSIGNAL);
            at += sent > 0 ? (size_t)sent : 0;
            served_answer();
        }
    mem_fail_never();
    shutdown(served.client, SHUT_WR);
    served_answer();
    served_answer();
    assert_false(served_is_open());
    /* Whole, refused, or cut: never something else. */
    bool whole = served.output_size > LARGE &&
                 memcmp(served.output, "HTTP/1.1 200 OK\r\n", 17) == 0 &&
                 memcmp(served.output + served.output_size - LARGE, large, LARGE) == 0;
    assert_true(whole || served.output_size == 0 ||
                memcmp(served.output, "HTTP/1.1 500", 12) == 0 ||
                memcmp(served.output, "HTTP/1.1 503", 12) == 0 ||
                memcmp(served.output, "HTTP/1.1 200", 12) == 0);
    assert_int_equal(served.releases, 0);
    served_close();
    return whole;
}

static void each_allocation_fails_in_turn(void **state)
{
    for (int chunked = 0; chunked < 2; chunked++) {
        long n = 0;
        while (!answers_without(state, n, chunked))
            assert_true(++n < 1000);
        assert_true(n > 3);
    }
}

/* It outgrows the first buffer, and there is no other. */
static void a_head_without_memory(void **state)
{
    char head[2 * INPUT_SIZE];
    memset(head, 'a', sizeof(head));
    open_with(state);
    served_connect(false);
    served_say("GET / HTTP/1.1\r\nX: ");
    served.engine->options.limits = (struct http1_limits){0};
    mem_fail_once(0);
    assert_int_equal(send(served.client, head, sizeof(head), 0), sizeof(head));
    served_answer();
    assert_true(mem_failed());
    assert_memory_equal(served.output, "HTTP/1.1 500 ", 13);
    assert_non_null(strstr(served.output, "Out of memory"));
    assert_string_equal(served.notes, "Cannot read a request from ip=: Cannot allocate memory\n");
    served_close();
}

static void no_engine_without_memory(void **state)
{
    struct engine_options options = options_of(state);
    struct engine *engine = NULL;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    long n = 0;
    assert_int_equal(listen(fd, 5), 0);
    for (; !engine && n < 100; n++) {
        mem_fail_after(n);
        engine = engine_create(&options, &served_ops, NULL, &fd, 1);
        mem_fail_never();
    }
    assert_non_null(engine);
    assert_true(n > 2);
    engine_destroy(engine);
    close(fd);
}

static int make_large(void **state)
{
    (void)state;
    for (int i = 0; i < LARGE; i++)
        large[i] = (char)('a' + (i / 7 + i) % 26);
    return 0;
}

#define WITH(test, backend) {#test " (" backend ")", test, NULL, NULL, (void *)backend}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EACH(many_requests_on_one_connection),
        WITH_EACH(pipelined_in_pieces_of_any_size),
        WITH_EACH(a_broken_answer_leaves_nothing_to_the_next),
        WITH_EACH(an_idle_connection_holds_no_buffer),
        WITH_EACH(a_refused_head_ends_the_connection),
        WITH_EACH(a_refusal_to_who_does_not_read),
        WITH_EACH(the_client_leaves),
        WITH_EACH(the_last_words_of_a_client_that_was_refused),
        WITH_EACH(the_client_leaves_while_an_answer_waits),
        WITH_EACH(a_slow_reader_gets_all_of_it),
        WITH_EACH(a_fast_sender_does_not_keep_the_engine),
        WITH_EACH(each_state_has_its_deadline),
        WITH_EACH(expired_in_any_state),
        WITH_EACH(idle_time_begins_with_the_answer),
        WITH_EACH(urgent_data_hides_nothing),
        WITH_EACH(more_clients_than_connections),
        WITH_EACH(nobody_is_closed_who_waits_for_an_answer),
        WITH_EACH(without_descriptors_it_tries_again),
        WITH_EACH(without_descriptors_the_idle_make_room),
        WITH_EACH(without_memory_it_tries_again),
        WITH_EACH(drained_when_the_last_has_left),
        WITH_EACH(drained_without_clients),
        WITH_EACH(a_retiring_worker_does_not_wait_long),
        WITH_EACH(the_master_has_died),
        WITH_EACH(destroyed_amid_its_work),
        WITH_EACH(each_allocation_fails_in_turn),
        WITH_EACH(a_head_without_memory),
        WITH_EACH(no_engine_without_memory),
    };
    return cmocka_run_group_tests(tests, make_large, NULL);
}
