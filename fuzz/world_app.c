#include "world.h"

#include "serve/conn/http2_private.h"
#include "serve/request/refusal.h"
#include "serve/request/response.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char block[BLOCK_SIZE];
static int file = -1;

static void give_up(struct request *request)
{
    world.may_be_cut = true;
    for (size_t i = 0; i < world.answer_count; i++)
        if (world.answers[i].request == request)
            world.answers[i].given_up = true;
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
    if (!request->body.complete)
        world_end_input();
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
    if (response_interim(request, 103, STR("Link: </a>\r\n")) == RESPONSE_OK)
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

static void put_rest(struct request *request)
{
    put(request, block, 10, false);
    finish(request);
}

static void answer_later(struct request *request, struct answer *answer)
{
    if (!start(request, answer, "200 OK"))
        return;
    put(request, block, 9000, false);
    answer->checked = true;
    answer->body = 9010;
    if (world.put_off) /* of another stream */
        put_rest(request);
    else
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

void app_run(struct request *request)
{
    require(world.answer_count < ANSWERS_MAX);
    require(world.invalid == 0 || world.wire->streams); /* nothing is handed on after a refusal */
    struct answer *answer = &world.answers[world.answer_count++];
    *answer =
        (struct answer){.request = request, .head = str_eq(request_method(request), STR("HEAD"))};
    if (request_is_http2(request))
        answer->stream = http2_stream(request)->id;
    ways[way_of(request)](request, answer);
}

void app_finish_put_off(void)
{
    struct request *request = world.put_off;
    if (!request)
        return;
    world.put_off = NULL;
    put_rest(request);
    engine_finish(world.engine, request);
}

void app_init(void)
{
    char path[] = "/tmp/fuzz-XXXXXX";
    memset(block, 'x', sizeof(block));
    file = mkostemp(path, O_CLOEXEC);
    require(file >= 0 && unlink(path) == 0);
    require(write(file, block, sizeof(block)) == (ssize_t)sizeof(block));
}
