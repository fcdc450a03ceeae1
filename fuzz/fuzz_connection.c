/*
 * One connection through the whole engine, over a socket pair: a client that sends in pieces,
 * pauses, reads late or not at all, closes half or all, and an application that answers in the
 * ways that the request's path names. One thread and no stand-by: each input runs the same twice.
 *
 * The input's first byte chooses the settings, then come actions: a byte whose low three bits are
 * the kind and whose others are its argument; a piece to send is a length byte and its bytes.
 */
#include "base/mem.h"
#include "serve/engine.h"
#include "serve/refusal.h"
#include "serve/response.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ANSWERS_MAX = 4096,
    OUTPUT_MAX = 64 * 1024 * 1024,
    BLOCK_SIZE = 64 * 1024, /* an item of a large answer */
    SOCKET_SIZE = 4 * 1024, /* so that large answers have to wait */
    END_TURNS = 100 * 1000, /* turns of the loop in which a connection must end */
};

/* What the application did with a request, for whoever reads the answer. */
struct answer {
    bool head, refused;
    uint16_t status;
    uint64_t body; /* bytes that the client must get, unless the answer was cut */
    bool checked;  /* `body` is known */
};

static struct {
    struct engine *engine;
    int client; /* -1 when closed */
    bool half_closed;
    bool may_be_cut; /* somebody gave up: an answer may end anywhere */
    struct answer answers[ANSWERS_MAX];
    size_t answer_count;
    uint32_t invalid;        /* refusals that were noted */
    long refs;               /* given to the engine and not released */
    struct request *put_off; /* answered half, goes on later */
    char *output;
    size_t output_size;
} world;

static char block[BLOCK_SIZE];
static int file = -1;

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* The application */

static void give_up(struct request *request)
{
    world.may_be_cut = true;
    response_abort(request);
}

static void field(struct request *request, const char *name, const char *value)
{
    struct str n = {name, strlen(name)}, v = {value, strlen(value)};
    enum response_error error = response_field(request, n, v);
    require(error == RESPONSE_OK || error == RESPONSE_NO_MEMORY);
    if (error != RESPONSE_OK)
        give_up(request);
}

static void add_length(struct request *request, uint64_t n)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    field(request, "Content-Length", text);
}

static bool start(struct request *request, struct answer *answer, const char *status)
{
    answer->status = (uint16_t)atoi(status);
    enum response_error error = response_start(request, status, strlen(status));
    require(error == RESPONSE_OK || error == RESPONSE_NO_MEMORY);
    if (error != RESPONSE_OK)
        give_up(request);
    return error == RESPONSE_OK;
}

static void put(struct request *request, const char *data, size_t n, bool last)
{
    bool kept = false;
    enum response_error error = response_write(request, data, n, &world, &kept, last);
    world.refs += kept;
    if (error != RESPONSE_OK)
        give_up(request);
}

static void finish(struct request *request)
{
    if (response_finish(request) != RESPONSE_OK)
        give_up(request);
}

static void put_all(struct request *request, struct answer *answer, uint64_t n)
{
    answer->checked = true;
    answer->body = n;
    for (; n > BLOCK_SIZE; n -= BLOCK_SIZE)
        put(request, block, BLOCK_SIZE, false);
    put(request, block, (size_t)n, true);
    finish(request);
}

static void answer_hello(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "200 OK"))
        return;
    add_length(request, 5);
    put_all(request, answer, 5);
}

static void answer_large(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "200 OK"))
        return;
    add_length(request, 200 * 1000);
    put_all(request, answer, 200 * 1000);
}

static void answer_large_chunked(struct request *request, struct answer *answer)
{
    if (start(request, answer, "200 OK"))
        put_all(request, answer, 150 * 1000);
}

/* A body that streams would make this thread wait for a client that is itself. */
static void echo(struct request *request, struct answer *answer)
{
    char piece[1000];
    ssize_t n;
    if (!request->body.complete && world.client >= 0) {
        shutdown(world.client, SHUT_WR);
        world.half_closed = true;
    }
    while ((n = body_read(request, piece, sizeof(piece))) > 0) {
        answer->body += (uint64_t)n;
        put(request, piece, (size_t)n, false);
    }
    if (n < 0)
        give_up(request);
    else
        finish(request);
}

static void answer_echo(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "200 OK"))
        return;
    answer->checked = true;
    if (request->body.complete)
        add_length(request, request->body.stored);
    echo(request, answer);
}

static void answer_echo_chunked(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "207 Multi-Status"))
        return;
    answer->checked = true;
    echo(request, answer);
}

static void answer_no_content(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "204 No Content"))
        return;
    put(request, block, 10, false);
    finish(request);
}

static void answer_not_modified(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "304 Not Modified"))
        return;
    add_length(request, 10);
    finish(request);
}

static void answer_file(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "200 OK"))
        return;
    answer->checked = true;
    answer->body = BLOCK_SIZE - 7;
    if (response_file(request, file, 7, BLOCK_SIZE - 7) != RESPONSE_OK)
        give_up(request);
    finish(request);
}

static void answer_refusal(struct request *request, struct answer *answer)
{
    answer->status = 500;
    answer->refused = true;
    refusal_send(request, 500, "<it> \"failed\" & 'so on'");
}

static void answer_half(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "200 OK"))
        return;
    put(request, block, 100, false);
    give_up(request);
}

static void answer_interim(struct request *request, struct answer *answer)
{
    static const char hints[] = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    if (response_interim(request, hints, sizeof(hints) - 1) == RESPONSE_OK)
        answer_hello(request, answer);
    else
        give_up(request);
}

static void answer_short(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "200 OK"))
        return;
    world.may_be_cut = true;
    add_length(request, 1000);
    put(request, block, 999, false);
    finish(request);
}

static void answer_clipped(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "200 OK"))
        return;
    add_length(request, 10);
    put_all(request, answer, 11);
    answer->body = 10;
}

static void answer_again(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "200 OK"))
        return;
    add_length(request, 77);
    if (!start(request, answer, "500 Internal Server Error"))
        return;
    field(request, "X-Again", "yes");
    put_all(request, answer, 3);
}

static void answer_fields(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "200 OK"))
        return;
    require(response_field(request, STR("X Y"), STR("a")) == RESPONSE_BAD_NAME);
    require(response_field(request, STR("X"), STR("a\r\nb")) == RESPONSE_BAD_VALUE);
    field(request, "Connection", "keep-alive");
    field(request, "Transfer-Encoding", "gzip");
    field(request, "X-Long", "0123456789012345678901234567890123456789");
    put_all(request, answer, 1);
}

static void answer_later(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "200 OK"))
        return;
    put(request, block, 9000, false);
    answer->checked = true;
    answer->body = 9010;
    world.put_off = request;
}

static void (*const ways[])(struct request *request, struct answer *answer) = {
    answer_hello,        answer_echo,  answer_echo_chunked, answer_no_content,
    answer_not_modified, answer_file,  answer_refusal,      answer_half,
    answer_interim,      answer_short, answer_clipped,      answer_again,
    answer_fields,       answer_later, answer_large,        answer_large_chunked,
};

/* "/a" is the first way, "/b" the second ... */
static size_t way_of(const struct request *request)
{
    struct str target = request_target(request);
    size_t way = target.n > 1 ? (size_t)(unsigned char)target.p[1] - 'a' : 0;
    return way < sizeof(ways) / sizeof(ways[0]) ? way : 0;
}

static void run(void *app, struct request *request)
{
    (void)app;
    require(world.answer_count < ANSWERS_MAX);
    require(world.invalid == 0); /* nothing is handed on after a refusal */
    struct answer *answer = &world.answers[world.answer_count++];
    *answer = (struct answer){.head = str_eq(request_method(request), STR("HEAD"))};
    ways[way_of(request)](request, answer);
}

static void nothing(void *app)
{
    (void)app;
}

static bool receive(size_t n);

/* This thread is about to wait for the client, who is the same thread. */
static void read_all(void *app)
{
    (void)app;
    while (receive(BLOCK_SIZE))
        ;
}

static bool go_on(void *app)
{
    (void)app;
    return true;
}

static void note(void *app, enum note_level level, const char *text)
{
    (void)app;
    (void)level;
    if (strncmp(text, "Invalid request", 15) == 0)
        world.invalid++;
    require(world.invalid <= 1);
}

static void release(void *app, void *ref)
{
    (void)app;
    require(ref == &world && world.refs > 0);
    world.refs--;
}

static int wait_for(void *app, int fd, short events, int timeout_ms)
{
    if (events & POLLOUT)
        read_all(app);
    return socket_wait(fd, events, timeout_ms);
}

static const struct app_ops ops = {
    .run = run,
    .attach = nothing,
    .detach = read_all,
    .interrupted = go_on,
    .note = note,
    .wait = wait_for,
    .release = release,
};

static void finish_put_off(void)
{
    struct request *request = world.put_off;
    if (!request)
        return;
    world.put_off = NULL;
    put(request, block, 10, false);
    finish(request);
    engine_finish(world.engine, request);
}

/* Turns the loop once and runs what became ready; as the leader, or having given the lead away. */
static void turn(bool lead)
{
    struct engine *engine = world.engine;
    struct request *request;
    require(engine_lead(engine));
    engine_step(engine, 0);
    if (!lead)
        engine_yield(engine);
    while ((request = engine_poll(engine))) {
        run(NULL, request);
        if (!world.put_off)
            engine_finish(engine, request);
    }
    if (lead)
        engine_yield(engine);
    engine_collect(engine);
}

/* The client */

static bool receive(size_t n)
{
    if (world.client < 0)
        return false;
    require(world.output_size + n <= OUTPUT_MAX);
    ssize_t got = recv(world.client, world.output + world.output_size, n, MSG_DONTWAIT);
    if (got > 0)
        world.output_size += (size_t)got;
    return got > 0;
}

static void send_piece(const uint8_t *data, size_t n, bool lead)
{
    for (int tries = 0; n > 0 && tries < 8 && world.client >= 0 && !world.half_closed; tries++) {
        ssize_t sent = send(world.client, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            n -= (size_t)sent;
        }
        turn(lead);
    }
}

static void close_client(void)
{
    if (world.client >= 0)
        close(world.client);
    world.client = -1;
    world.may_be_cut = true;
}

static void half_close(void)
{
    if (world.client >= 0)
        shutdown(world.client, SHUT_WR);
    world.half_closed = true;
}

/* Every deadline that there is has passed. */
static void expire(void)
{
    struct engine *engine = world.engine;
    struct list *lists[] = {&engine->idle, &engine->active};
    require(engine_lead(engine));
    for (int i = 0; i < 2; i++)
        if (!list_empty(lists[i]))
            conn_expired(engine, list_entry(lists[i]->next, struct conn, link));
    engine_yield(engine);
    world.may_be_cut = true;
}

enum { SPECIAL_EXPIRE, SPECIAL_DRAIN, SPECIAL_GO_ON, SPECIAL_MEMORY_BACK, SPECIAL_NO_MEMORY };

static void special(unsigned argument)
{
    switch (argument) {
    case SPECIAL_EXPIRE:
        expire();
        break;
    case SPECIAL_DRAIN:
        engine_drain(world.engine);
        break;
    case SPECIAL_GO_ON:
        finish_put_off();
        break;
    case SPECIAL_MEMORY_BACK:
        mem_fail_never();
        break;
    default:
        world.may_be_cut = true;
        mem_fail_after((long)argument - SPECIAL_NO_MEMORY);
        break;
    }
}

static void act(const uint8_t *input, size_t size, bool lead)
{
    while (size > 0) {
        unsigned kind = *input & 7u, argument = *input >> 3;
        input++, size--;
        if (kind <= 2 && size > 0) {
            size_t n = *input + 1u + argument * 256u;
            input++, size--;
            n = n < size ? n : size;
            send_piece(input, n, lead);
            input += n;
            size -= n;
        } else if (kind == 3) {
            turn(lead);
        } else if (kind == 4) {
            receive((argument + 1) * 512u);
        } else if (kind == 5) {
            half_close();
        } else if (kind == 6) {
            close_client();
        } else if (kind == 7) {
            special(argument);
        }
    }
}

/* The answers, as a client reads them (RFC 9112 §6.3) */

struct reader {
    const char *p, *end;
};

/* A line without its CRLF; false when the output ends before. */
static bool line(struct reader *reader, struct str *out)
{
    const char *end = memmem(reader->p, (size_t)(reader->end - reader->p), "\r\n", 2);
    if (!end)
        return false;
    *out = (struct str){reader->p, (size_t)(end - reader->p)};
    reader->p = end + 2;
    return true;
}

static bool skip(struct reader *reader, uint64_t n)
{
    if ((uint64_t)(reader->end - reader->p) < n)
        return false;
    reader->p += n;
    return true;
}

struct framing {
    int status;
    bool close, chunked, has_length;
    uint64_t length;
};

static bool read_field(struct str text, struct framing *framing)
{
    const char *colon = memchr(text.p, ':', text.n);
    require(colon && colon > text.p && colon[1] == ' ');
    struct str name = {text.p, (size_t)(colon - text.p)};
    struct str value = {colon + 2, text.n - name.n - 2};
    if (str_ieq(name, STR("connection"))) {
        framing->close = str_eq(value, STR("close"));
    } else if (str_ieq(name, STR("transfer-encoding"))) {
        require(str_eq(value, STR("chunked")) && !framing->chunked);
        framing->chunked = true;
    } else if (str_ieq(name, STR("content-length"))) {
        require(!framing->has_length);
        framing->has_length = true;
        framing->length = strtoull(value.p, NULL, 10);
    }
    return true;
}

static bool read_head(struct reader *reader, struct framing *framing)
{
    struct str text;
    *framing = (struct framing){0};
    if (!line(reader, &text))
        return false;
    require(text.n >= 12 && memcmp(text.p, "HTTP/1.", 7) == 0 && text.p[8] == ' ');
    framing->status = atoi(text.p + 9);
    require(framing->status >= 100 && framing->status <= 599);
    while (line(reader, &text)) {
        if (text.n == 0)
            return true;
        read_field(text, framing);
    }
    return false;
}

static bool read_chunks(struct reader *reader, uint64_t *body)
{
    struct str text;
    for (;;) {
        if (!line(reader, &text))
            return false;
        uint64_t n = strtoull(text.p, NULL, 16);
        *body += n;
        if (!skip(reader, n) || !line(reader, &text))
            return false;
        require(text.n == 0);
        if (n == 0)
            return true;
    }
}

static bool read_body(struct reader *reader, const struct framing *framing, bool head,
                      uint64_t *body)
{
    if (head || framing->status == 204 || framing->status == 304)
        return true;
    if (framing->chunked)
        return read_chunks(reader, body);
    *body = framing->has_length ? framing->length : (uint64_t)(reader->end - reader->p);
    require(framing->has_length || framing->close);
    return skip(reader, *body);
}

/* One final answer with what goes before it; false when it is cut. */
static bool read_answer(struct reader *reader, const struct answer *answer, bool *closed)
{
    struct framing framing;
    uint64_t body = 0;
    do
        if (!read_head(reader, &framing))
            return false;
    while (framing.status < 200);
    bool head = answer && answer->head && !answer->refused;
    if (!read_body(reader, &framing, head, &body))
        return false;
    require(!answer || answer->status == framing.status || world.may_be_cut);
    require(answer || framing.status >= 400);
    if (answer && answer->checked && !head && framing.status == answer->status && !world.may_be_cut)
        require(body == answer->body);
    *closed = framing.close;
    return true;
}

static void check_output(void)
{
    struct reader reader = {world.output, world.output + world.output_size};
    size_t count = 0;
    bool closed = false;
    while (reader.p < reader.end) {
        const struct answer *answer = count < world.answer_count ? &world.answers[count] : NULL;
        if (!read_answer(&reader, answer, &closed)) {
            require(world.may_be_cut || count >= world.answer_count);
            return;
        }
        count++;
        require(!closed || reader.p == reader.end);
    }
    require(count <= world.answer_count + 1);
    require(count >= world.answer_count || world.may_be_cut);
}

/* One input */

static void open_world(uint8_t settings, int *server)
{
    static const struct forwarded forwarded;
    static const struct trust trust;
    struct engine_options options = {
        .limits = {.request_line = settings & 1 ? 64 : 4094,
                   .fields = settings & 1 ? 3 : 100,
                   .field_size = settings & 1 ? 64 : 8190},
        .forwarded = &forwarded,
        .trust = &trust,
        .keepalive_ms = settings & 2 ? 0 : 3600 * 1000,
        .header_timeout_ms = 60 * 1000,
        .send_timeout_ms = 60 * 1000,
        .worker_connections = 10,
        .threads = 1,
        .loop = settings & 4 ? "poll" : NULL,
    };
    int ends[2], size = SOCKET_SIZE;
    char *output = world.output;
    memset(&world, 0, sizeof(world));
    world.output = output;
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    if (settings & 8)
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    world.client = ends[1];
    *server = ends[0];
    world.engine = engine_create(&options, &ops, NULL, NULL, 0);
    require(world.engine != NULL);
}

/* The client says that nothing more comes and reads on: now the connection must end. */
static void run_out(bool lead)
{
    mem_fail_never();
    half_close();
    for (int turns = 0; world.engine->connections > 0; turns++) {
        require(turns < END_TURNS);
        finish_put_off();
        turn(lead);
        read_all(NULL);
    }
    read_all(NULL);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    char path[] = "/tmp/fuzz-XXXXXX";
    memset(block, 'x', sizeof(block));
    world.output = malloc(OUTPUT_MAX);
    file = mkostemp(path, O_CLOEXEC);
    require(file >= 0 && unlink(path) == 0 && world.output != NULL);
    require(write(file, block, sizeof(block)) == (ssize_t)sizeof(block));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static struct listener listener = {.local = true};
    static const struct peer peer = {.family = AF_UNIX};
    int server;
    if (size < 2)
        return 0;
    bool lead = (input[0] & 16) != 0;
    open_world(input[0], &server);
    require(engine_lead(world.engine));
    struct conn *conn = conn_create(world.engine, &listener, server, &peer);
    require(conn != NULL);
    conn_read(world.engine, conn);
    engine_yield(world.engine);
    act(input + 1, size - 1, lead);
    run_out(lead);
    engine_destroy(world.engine);
    require(world.refs == 0 && atomic_load(&outq_memory_total) == 0);
    if (world.client >= 0)
        close(world.client);
    check_output();
    return 0;
}
