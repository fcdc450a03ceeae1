#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "guarded.h"
#include "http2_client.h"
#include "proto/http2/session.h"

/* The session against nghttp2's client, and against bytes that no client of nghttp2 sends. */

enum { BUFFER = 64 * 1024, STREAMS = 8, BIG = 300 * 1000, PIECE = 16 * 1024 };

static struct h2_client client;

/* The server: it writes down its events, and answers "hello" when a request has ended. */
static struct server {
    struct http2_session *session;
    FILE *log;
    char *text;
    size_t text_size;
    const char *lines; /* fields of its answers */
    size_t body_size;  /* of big answers; 0: "hello" */
    bool trailers, silent, refuses, hoards;
    uint64_t now_ms;
    bool reads;
    unsigned pongs;
} server;

struct stream {
    int32_t id; /* 0: free */
    struct head head;
    char *data;
    size_t sent;
    size_t received;
};

static struct stream streams[STREAMS];

static void *on_begin(void *context, int32_t id, struct http2_head *in)
{
    (void)context;
    for (int i = 0; i < STREAMS && !server.refuses; i++) {
        struct stream *stream = &streams[i];
        if (stream->id)
            continue;
        *stream = (struct stream){.id = id, .data = malloc(1)};
        in->head = &stream->head;
        in->data = stream->data;
        in->capacity = 1;
        return stream;
    }
    return NULL;
}

static bool on_grow(void *owner, struct http2_head *in, size_t n)
{
    struct stream *stream = owner;
    stream->data = realloc(stream->data, in->size + n);
    in->data = stream->data;
    in->capacity = in->size + (uint32_t)n;
    return true;
}

static void respond(struct stream *stream)
{
    const struct str lines[] = {STR("Content-Type: text/plain\r\n"),
                                {server.lines, server.lines ? strlen(server.lines) : 0}};
    if (!server.silent)
        http2_answer(server.session, stream->id, 200, lines, 2, true);
}

static void on_head(void *owner, const struct http2_head *in, bool ended)
{
    struct stream *stream = owner;
    const struct head *head = in->head;
    if (in->fault != HTTP2_NO_FAULT) {
        fprintf(server.log, "%d %s\n", stream->id, http2_fault_text(in->fault));
        http2_answer(server.session, stream->id, http2_fault_status(in->fault), NULL, 0, false);
        return;
    }
    fprintf(server.log, "%d %.*s %.*s %.*s?%.*s%s", stream->id, (int)head->method_len,
            in->data + head->method, (int)head->target_len, in->data + head->target,
            (int)head->path_len, in->data + head->path, (int)head->query_len,
            in->data + head->query, ended ? " end" : "");
    for (uint32_t i = 0; i < head->field_count; i++)
        fprintf(server.log, " [%.*s=%.*s]", (int)head->fields[i].name_len,
                in->data + head->fields[i].name, (int)head->fields[i].value_len,
                in->data + head->fields[i].value);
    if (head->framing == HEAD_LENGTH)
        fprintf(server.log, " length %llu", (unsigned long long)head->content_length);
    fprintf(server.log, "\n");
    if (ended)
        respond(stream);
}

static void on_data(void *owner, const char *data, size_t n)
{
    struct stream *stream = owner;
    (void)data;
    stream->received += n;
    if (!server.hoards)
        http2_consume(server.session, stream->id, n);
}

static void on_ended(void *owner)
{
    struct stream *stream = owner;
    fprintf(server.log, "%d body %zu\n", stream->id, stream->received);
    respond(stream);
}

static void on_closed(void *owner, uint32_t code)
{
    struct stream *stream = owner;
    fprintf(server.log, "%d closed %u\n", stream->id, code);
    head_free(&stream->head);
    free(stream->data);
    *stream = (struct stream){0};
}

static ssize_t on_read(void *owner, char *out, size_t n, enum http2_more *more)
{
    struct stream *stream = owner;
    size_t size = server.body_size ? server.body_size : 5;
    if (n > size - stream->sent)
        n = size - stream->sent;
    for (size_t i = 0; i < n; i++)
        out[i] = server.body_size ? 'x' : "hello"[stream->sent + i];
    stream->sent += n;
    if (stream->sent < size)
        return (ssize_t)n;
    *more = server.trailers ? HTTP2_TRAILERS : HTTP2_END;
    if (server.trailers)
        http2_trailers(server.session, stream->id, STR("Sum: 1\r\n"));
    return (ssize_t)n;
}

static void on_pong(void *context)
{
    (void)context;
    server.pongs++;
}

static const struct http2_events events = {
    .begin = on_begin,
    .grow = on_grow,
    .head = on_head,
    .data = on_data,
    .ended = on_ended,
    .closed = on_closed,
    .read = on_read,
    .ponged = on_pong,
};

static struct http1_limits limits = {.request_line = 200, .fields = 10, .field_size = 100};
static struct http2_settings settings = {
    .streams = 4, .window = 65535, .frame_size = 16384, .header_list_size = 600, .limits = &limits};

static void open_server(void)
{
    server = (struct server){.reads = true};
    server.session = http2_new(&settings, &events, NULL);
    assert_non_null(server.session);
    server.log = open_memstream(&server.text, &server.text_size);
    h2_open(&client);
}

static void close_server(void)
{
    http2_free(server.session);
    for (int i = 0; i < STREAMS; i++)
        if (streams[i].id)
            on_closed(&streams[i], 0);
    fclose(server.log);
    free(server.text);
    h2_close(&client);
}

static int server_streams(void)
{
    int count = 0;
    for (int i = 0; i < STREAMS; i++)
        count += streams[i].id != 0;
    return count;
}

static const char *server_lines(void)
{
    static char lines[16 * 1024];
    fflush(server.log);
    snprintf(lines, sizeof(lines), "%.*s", (int)server.text_size, server.text);
    rewind(server.log);
    return lines;
}

static size_t send_back(void)
{
    static char out[PIECE];
    size_t n, all = 0;
    while ((n = http2_send(server.session, out, sizeof(out))) > 0) {
        h2_receive(&client, out, n);
        all += n;
    }
    return all;
}

/* The client's bytes go in pieces of that size; both sides go on until they have nothing to say. */
static void exchange_by(size_t piece)
{
    for (;;) {
        struct str bytes = h2_bytes(&client);
        for (size_t at = 0; at < bytes.n && server.reads; at += piece) {
            size_t n = bytes.n - at < piece ? bytes.n - at : piece;
            server.reads = http2_receive(server.session, bytes.p + at, n, server.now_ms);
        }
        if (send_back() == 0 && bytes.n == 0)
            return;
    }
}

static void exchange(void)
{
    exchange_by(SIZE_MAX / 2);
}

/* Bytes of frames, as they are. */
static void say(const char *bytes, size_t n)
{
    struct str before = h2_bytes(&client);
    server.reads = http2_receive(server.session, before.p, before.n, server.now_ms);
    server.reads = http2_receive(server.session, bytes, n, server.now_ms);
    send_back();
}

/* Requests */

static void a_request_is_answered(void **state)
{
    (void)state;
    open_server();
    h2_request(&client,
               ":method GET\n:scheme http\n:authority a:1\n:path /p?q=1\naccept x\ncookie a=1\n"
               "te trailers\ncookie b=2\n",
               NULL, 0, false);
    exchange();
    assert_string_equal(server_lines(),
                        "1 GET /p?q=1 /p?q=1 end [host=a:1] [accept=x] [cookie=a=1; b=2] "
                        "[te=trailers]\n1 closed 0\n");
    assert_string_equal(h2_lines(&client), "1 :status 200\n1 content-type text/plain\n"
                                           "1 closed 0 with 5: hello\n");
    close_server();
}

static void pieces_of_any_size_are_the_same(void **state)
{
    static const char body[1000];
    (void)state;
    for (size_t piece = 1; piece < 40; piece++) {
        open_server();
        h2_post(&client, "/a", body, sizeof(body));
        h2_get(&client, "/b");
        exchange_by(piece);
        assert_string_equal(server_lines(), "1 POST /a /a? [host=a]\n3 GET /b /b? end [host=a]\n"
                                            "1 body 1000\n1 closed 0\n3 closed 0\n");
        close_server();
    }
}

static void no_byte_is_read_beyond(void **state)
{
    struct guarded guarded = guarded_open();
    (void)state;
    open_server();
    h2_get(&client, "/b");
    struct str bytes = h2_bytes(&client);
    const char *at = guarded_at_end(&guarded, bytes.p, bytes.n);
    assert_true(http2_receive(server.session, at, bytes.n, 0));
    send_back();
    assert_string_equal(server_lines(), "1 GET /b /b? end [host=a]\n1 closed 0\n");
    close_server();
    guarded_close(&guarded);
}

#define START ":method GET\n:scheme http\n:path /\n"

static const struct {
    const char *request, *expected;
} heads[] = {
    {START "host b\n", "1 GET / /? end [host=b]\n1 closed 0\n"},
    {START ":authority b\nhost B\n", "1 GET / /? end [host=b]\n1 closed 0\n"},
    {START ":authority b\nhost c\n", "1 Host and :authority differ\n1 closed 0\n"},
    {START ":authority u@b\n", "1 Invalid :authority\n1 closed 0\n"},
    {START "host u@b\n", "1 Invalid Host\n1 closed 0\n"},
    {":method GET\n:scheme a\n:path b\n:authority c\n", "1 Invalid :path\n1 closed 0\n"},
    {":method GET\n:scheme a\n:path *\n:authority c\n", "1 Invalid :path\n1 closed 0\n"},
    {":method GET\n:scheme a\n:path \n:authority c\n", "1 closed 1\n"},
    {":method GET\n:scheme a\n:path /b\n:authority c\n", "1 GET /b /b? end [host=c]\n1 closed 0\n"},
    {START ":authority b\nexpect 200\n", "1 Unknown expectation\n1 closed 0\n"},
    {START ":authority b\ncontent-type a\ncontent-type b\n",
     "1 Content-Type is there twice\n1 closed 0\n"},
    {":method get\n:scheme http\n:path /\n:authority b\n", "1 Invalid HTTP method\n1 closed 0\n"},
    {":method OPTIONS\n:scheme http\n:path *\n:authority b\n",
     "1 OPTIONS * *? end [host=b]\n1 closed 0\n"},
    {":method CONNECT\n:authority b:1\n", "1 CONNECT b:1 ? end [host=b:1]\n1 closed 0\n"},
    {START ":authority b\na 1\nb 2\nc 3\nd 4\ne 5\nf 6\ng 7\nh 8\ni 9\n",
     "1 GET / /? end [host=b] [a=1] [b=2] [c=3] [d=4] [e=5] [f=6] [g=7] [h=8] [i=9]\n"
     "1 closed 0\n"},
    {START ":authority b\na 1\nb 2\nc 3\nd 4\ne 5\nf 6\ng 7\nh 8\ni 9\nj 10\n",
     "1 Too many header fields (limit_request_fields)\n1 closed 0\n"},
    /* Malformed, as nghttp2 sees it: the stream is reset, and no event tells of a head. */
    {START ":authority b\nConnection close\n", "1 closed 1\n"},
    {START ":authority b\ntransfer-encoding chunked\n", "1 closed 1\n"},
    {START ":authority b\nte gzip\n", "1 closed 1\n"},
    {START "accept x\n:authority b\n", "1 closed 1\n"},
    {START ":path /x\n:authority b\n", "1 closed 1\n"},
    {START "content-length 5\n:authority b\n", "1 closed 1\n"},
    {START ":authority b\ncontent-length 5\n", "1 closed 1\n"},
    {START ":authority b\nx-y a\001b\n", "1 closed 1\n"},
    {START ":status 200\n:authority b\n", "1 closed 1\n"},
    {":method GET\n:scheme http\n:authority b\n", "1 closed 1\n"},
    {":method GET\n:scheme http\n:authority b\n:path x\n", "1 closed 1\n"},
};

static void heads_have_their_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        open_server();
        h2_request(&client, heads[i].request, NULL, 0, false);
        exchange();
        assert_string_equal(server_lines(), heads[i].expected);
        h2_get(&client, "/after");
        exchange();
        assert_non_null(strstr(server_lines(), "3 GET /after"));
        close_server();
    }
}

static void heads_have_their_limits(void **state)
{
    char request[1000];
    (void)state;
    open_server();
    snprintf(request, sizeof(request), START ":authority b\nx-y %0100d\n", 0);
    h2_request(&client, request, NULL, 0, false);
    snprintf(request, sizeof(request), ":method GET\n:scheme http\n:authority b\n:path /%0200d\n",
             0);
    h2_request(&client, request, NULL, 0, false);
    snprintf(request, sizeof(request), START ":authority b\na %090d\nb %090d\nc %090d\nd %090d\n",
             0, 0, 0, 0);
    h2_request(&client, request, NULL, 0, false);
    exchange();
    const char *lines = server_lines();
    assert_non_null(strstr(lines, "1 A header field is too long (limit_request_field_size)\n"));
    assert_non_null(strstr(lines, "3 Request line is too long (limit_request_line)\n"));
    assert_non_null(strstr(lines, "5 The header fields are too long (http2_max_header_list_size)"));
    close_server();
}

/* Bodies and answers */

static void a_body_is_paid_for_as_it_is_taken(void **state)
{
    static const char body[BIG];
    (void)state;
    open_server();
    server.hoards = true;
    h2_post(&client, "/a", body, sizeof(body));
    h2_post(&client, "/b", body, sizeof(body));
    exchange();
    assert_string_equal(server_lines(), "1 POST /a /a? [host=a]\n3 POST /b /b? [host=a]\n");
    for (int i = 0; i < 2; i++)
        assert_int_equal(streams[i].received, 65535); /* one does not hold up the other */
    for (size_t taken = 0; taken < BIG; taken += 65535) {
        http2_consume(server.session, 1, 65535);
        exchange();
    }
    assert_string_equal(server_lines(), "1 body 300000\n1 closed 0\n");
    close_server();
}

static void a_length_is_kept(void **state)
{
    (void)state;
    open_server();
    h2_request(&client, ":method POST\n:scheme http\n:authority a\n:path /\ncontent-length 4\n",
               "abc", 3, false);
    exchange();
    assert_string_equal(server_lines(), "1 POST / /? [host=a] [content-length=4] length 4\n"
                                        "1 closed 1\n");
    close_server();
}

static void a_big_answer_comes_whole(void **state)
{
    (void)state;
    open_server();
    server.body_size = BIG;
    server.trailers = true;
    h2_get(&client, "/a");
    h2_get(&client, "/b");
    exchange();
    const char *lines = h2_lines(&client);
    assert_non_null(strstr(lines, "1 sum 1\n1 closed 0 with 300000: xxx"));
    assert_non_null(strstr(lines, "3 sum 1\n3 closed 0 with 300000: xxx"));
    close_server();
}

static void forbidden_fields_are_left_out(void **state)
{
    (void)state;
    open_server();
    server.lines = "X-A:  b \r\nConnection: close\r\nUpgrade: websocket\r\nKeep-Alive: 1\r\n";
    h2_get(&client, "/a");
    exchange();
    assert_string_equal(h2_lines(&client), "1 :status 200\n1 content-type text/plain\n1 x-a b\n"
                                           "1 closed 0 with 5: hello\n");
    close_server();
}

static void an_answer_may_come_before_the_body(void **state)
{
    (void)state;
    open_server();
    int32_t id =
        h2_request(&client, ":method POST\n:scheme http\n:authority a\n:path /\n", "abc", 3, true);
    exchange();
    http2_interim(server.session, id, 103, STR("Link: </a>\r\n"));
    http2_answer(server.session, id, 413, NULL, 0, false);
    exchange();
    assert_string_equal(h2_lines(&client), "1 :status 103\n1 link </a>\n1 :status 413\n"
                                           "1 closed 0 with 0: \n");
    close_server();
}

/* The end */

static void too_many_are_refused_alone(void **state)
{
    (void)state;
    open_server();
    server.silent = true;
    exchange(); /* the client knows the limit now */
    nghttp2_session_set_local_window_size(client.ng, 0, 0, 1 << 20);
    for (int i = 0; i < 4; i++)
        h2_get(&client, "/");
    exchange();
    server_lines();
    /* HEADERS of stream 9: GET / of "a" by the static table. */
    say("\0\0\7\1\5\0\0\0\11\202\206\204\101\1a\0", 16);
    assert_int_equal(nghttp2_session_want_read(client.ng), 1);
    assert_true(server.reads);
    assert_string_equal(server_lines(), "");
    close_server();
}

static void goaway_names_the_last_request(void **state)
{
    (void)state;
    open_server();
    server.silent = true;
    h2_get(&client, "/a");
    exchange();
    http2_announce_end(server.session);
    h2_get(&client, "/raced");
    struct str raced = h2_bytes(&client);
    assert_true(http2_receive(server.session, raced.p, raced.n, 0));
    send_back();
    assert_string_equal(h2_lines(&client), "goaway 2147483647 0\n");
    assert_int_equal(server.pongs, 0);
    exchange();
    assert_int_equal(server.pongs, 1);
    http2_end(server.session);
    exchange();
    assert_string_equal(h2_lines(&client), "goaway 3 0\n");
    server.silent = false;
    respond(&streams[0]);
    respond(&streams[1]);
    exchange();
    assert_false(http2_wants_write(server.session));
    assert_int_equal(server_streams(), 0);
    close_server();
}

/* Floods */

#define POST ":method POST\n:scheme http\n:authority a\n:path /\n"

static void resets_are_counted(void **state)
{
    (void)state;
    open_server();
    for (int i = 0; i <= HTTP2_RESETS_MAX && server.reads; i++) {
        int32_t id = h2_request(&client, POST, "", 0, true);
        exchange();
        nghttp2_submit_rst_stream(client.ng, 0, id, NGHTTP2_CANCEL);
        exchange();
        server_lines();
    }
    assert_false(server.reads);
    assert_string_equal(http2_violation(server.session), "too many streams were reset");
    assert_non_null(strstr(h2_lines(&client), " 11\n")); /* ENHANCE_YOUR_CALM */
    close_server();
}

static void resets_in_time_are_not(void **state)
{
    (void)state;
    open_server();
    for (int i = 0; i <= HTTP2_RESETS_MAX; i++) {
        int32_t id = h2_request(&client, POST, "", 0, true);
        exchange();
        nghttp2_submit_rst_stream(client.ng, 0, id, NGHTTP2_CANCEL);
        server.now_ms += 100;
        exchange();
        server_lines();
    }
    assert_true(server.reads);
    close_server();
}

static const struct {
    const char *frame;
    size_t size;
} idle_frames[] = {
    {"\0\0\10\6\0\0\0\0\0abcdefgh", 17},   /* PING */
    {"\0\0\0\4\0\0\0\0\0", 9},             /* SETTINGS */
    {"\0\0\4\10\0\0\0\0\0\0\0\0\1", 13},   /* WINDOW_UPDATE by 1 */
    {"\0\0\5\2\0\0\0\0\11\0\0\0\0\1", 14}, /* PRIORITY */
    {"\0\0\0\0\0\0\0\0\1", 9},             /* DATA without bytes, */
    {"\0\0\2\0\10\0\0\0\1\1\0", 11},       /* and with padding alone */
    {"\0\0\1\143\0\0\0\0\0x", 10},         /* of a type that nobody knows */
};

static void idle_frames_are_counted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(idle_frames) / sizeof(idle_frames[0]); i++) {
        open_server();
        h2_request(&client, POST, "", 0, true);
        exchange();
        for (int n = 0; n <= HTTP2_IDLE_FRAMES; n++)
            http2_receive(server.session, idle_frames[i].frame, idle_frames[i].size, 0);
        assert_false(http2_receive(server.session, "", 0, 0));
        assert_string_equal(http2_violation(server.session), "too many frames without a request");
        close_server();
    }
}

static void endless_heads_are_counted(void **state)
{
    (void)state;
    open_server();
    exchange();
    say("\0\0\1\1\0\0\0\0\1\202", 10); /* HEADERS that go on */
    assert_true(http2_awaits_head(server.session));
    for (int n = 0; n <= HTTP2_IDLE_FRAMES && server.reads; n++) /* CONTINUATION of no bytes */
        server.reads = http2_receive(server.session, "\0\0\0\11\0\0\0\0\1", 9, 0);
    assert_false(server.reads);
    exchange();
    assert_non_null(strstr(h2_lines(&client), " 11\n"));
    close_server();
}

/* Its frame has come, though nothing is heard of it: the time for heads is not to go on. */
static void a_malformed_head_is_not_awaited(void **state)
{
    static const char frame[] = "\0\0\5\1\5\0\0\0\1\0\1A\1x";
    (void)state;
    open_server();
    exchange();
    say(frame, 13);
    assert_true(http2_awaits_head(server.session));
    say(frame + 13, 1);
    assert_false(http2_awaits_head(server.session));
    assert_true(server.reads);
    close_server();
}

/* A long field that few bytes name again and again, also where nobody looks at it. */
static void bombs_end_the_connection(void **state)
{
    static char frame[9 + 8000] = "\0\x1f\x40\1\4\0\0\0\3\202\206\204";
    char request[5000];
    (void)state;
    for (int refuses = 0; refuses < 2; refuses++) {
        open_server();
        server.refuses = refuses;
        snprintf(request, sizeof(request), START ":authority b\nx-y %02900d\n", 0);
        h2_request(&client, request, NULL, 0, false);
        exchange();
        memset(frame + 12, '\276', sizeof(frame) - 12); /* the newest field */
        say(frame, sizeof(frame));
        assert_false(server.reads);
        assert_string_equal(http2_violation(server.session), "header fields that are far too long");
        assert_non_null(strstr(h2_lines(&client), " 11\n"));
        close_server();
    }
}

static void other_protocols_are_none(void **state)
{
    static const char hello[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    (void)state;
    open_server();
    assert_false(http2_receive(server.session, hello, sizeof(hello) - 1, 0));
    assert_string_equal(http2_violation(server.session), "it does not begin as HTTP/2 does");
    close_server();
}

/* Memory */

static void talk(void)
{
    static const char body[100];
    server = (struct server){.reads = true};
    server.session = http2_new(&settings, &events, NULL);
    server.log = open_memstream(&server.text, &server.text_size);
    if (server.session) {
        h2_post(&client, "/a", body, sizeof(body));
        h2_get(&client, "/b");
        exchange();
        http2_free(server.session);
    }
    for (int i = 0; i < STREAMS; i++)
        if (streams[i].id)
            on_closed(&streams[i], 0);
    fclose(server.log);
    free(server.text);
}

static void no_memory_is_survived(void **state)
{
    (void)state;
    for (long count = 0, failed = 1; failed; count++) {
        h2_open(&client);
        mem_fail_after(count);
        talk();
        failed = mem_failed();
        mem_fail_never();
        h2_close(&client);
        assert_true(count < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered),
        cmocka_unit_test(pieces_of_any_size_are_the_same),
        cmocka_unit_test(no_byte_is_read_beyond),
        cmocka_unit_test(heads_have_their_rules),
        cmocka_unit_test(heads_have_their_limits),
        cmocka_unit_test(a_body_is_paid_for_as_it_is_taken),
        cmocka_unit_test(a_length_is_kept),
        cmocka_unit_test(a_big_answer_comes_whole),
        cmocka_unit_test(forbidden_fields_are_left_out),
        cmocka_unit_test(an_answer_may_come_before_the_body),
        cmocka_unit_test(too_many_are_refused_alone),
        cmocka_unit_test(goaway_names_the_last_request),
        cmocka_unit_test(resets_are_counted),
        cmocka_unit_test(resets_in_time_are_not),
        cmocka_unit_test(idle_frames_are_counted),
        cmocka_unit_test(a_malformed_head_is_not_awaited),
        cmocka_unit_test(endless_heads_are_counted),
        cmocka_unit_test(bombs_end_the_connection),
        cmocka_unit_test(other_protocols_are_none),
        cmocka_unit_test(no_memory_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
