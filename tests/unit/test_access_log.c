#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"
#include "serve/access/access_log.h"
#include "serve/access/access_text.h"

static struct str text(const char *p)
{
    return (struct str){p, strlen(p)};
}

/* What the source of the tests' lines knows, by enum access_text; NULL: nothing. */
struct source {
    const char *texts[ACCESS_VARIABLE + 1];
    char asked[64]; /* the last name that was asked for */
};

static struct str source_text(void *context, enum access_text what, struct str name)
{
    struct source *source = context;
    snprintf(source->asked, sizeof(source->asked), "%.*s", (int)name.n, name.p);
    const char *found = source->texts[what];
    return found ? text(found) : (struct str){NULL, 0};
}

static struct source usual(void)
{
    return (struct source){
        .texts =
            {
                [ACCESS_REMOTE] = "192.0.2.1",
                [ACCESS_AUTHORIZATION] = "Basic YnJpYW46c2VjcmV0",
                [ACCESS_METHOD] = "GET",
                [ACCESS_TARGET] = "/shop?item=1",
                [ACCESS_PROTOCOL] = "HTTP/1.1",
                [ACCESS_PATH] = "/shop",
                [ACCESS_QUERY] = "item=1",
                [ACCESS_HOST] = "example.org",
                [ACCESS_REFERER] = "http://a.example/",
                [ACCESS_AGENT] = "curl/8",
                [ACCESS_FIELD_IN] = "in",
                [ACCESS_FIELD_OUT] = "out",
                [ACCESS_VARIABLE] = "variable",
            },
    };
}

static struct access_entry entry_of(struct source *source)
{
    return (struct access_entry){
        .status = 200,
        .sent = 1024,
        .duration_ns = 2345678901,
        .waited_ns = 1000002999,
        .text = source_text,
        .context = source,
    };
}

/* The line of a format, without its newline, in a buffer that the next call uses again. */
static const char *line_of(const char *form, struct source *source)
{
    static char out[8192];
    struct access_format *format = access_format_compile(text(form));
    assert_non_null(format);
    struct access_entry entry = entry_of(source);
    struct access_line line;
    access_line_init(&line);
    access_format_line(format, &entry, &line);
    assert_false(line.failed);
    assert_true(line.n > 0 && line.n < sizeof(out) && line.p[line.n - 1] == '\n');
    memcpy(out, line.p, line.n - 1);
    out[line.n - 1] = '\0';
    access_line_free(&line);
    access_format_free(format);
    return out;
}

static void atoms(void **state)
{
    (void)state;
    struct source source = usual();
    char pid[32];
    snprintf(pid, sizeof(pid), "<%d>", (int)getpid());
    assert_string_equal(
        line_of("%(h)s %(l)s %(u)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"", &source),
        "192.0.2.1 - brian \"GET /shop?item=1 HTTP/1.1\" 200 1024 "
        "\"http://a.example/\" \"curl/8\"");
    assert_string_equal(line_of("%(m)s|%(U)s|%(q)s|%(H)s|%(B)s", &source),
                        "GET|/shop|item=1|HTTP/1.1|1024");
    assert_string_equal(line_of("%(T)s %(M)s %(D)s %(L)s", &source), "2 2345 2345678 2.345678");
    assert_string_equal(line_of("%(Q)s", &source), "1.000002");
    assert_string_equal(line_of("%(p)s", &source), pid);
    assert_string_equal(line_of("%(x)s%(xx)s%({a}x)s%({a)s%()s", &source), "-----");
    assert_string_equal(line_of("100%% of %%(h)s", &source), "100% of %(h)s");
    assert_string_equal(line_of("", &source), "");
    assert_string_equal(line_of("plain", &source), "plain");
}

static void names_in_braces(void **state)
{
    (void)state;
    struct source source = usual();
    assert_string_equal(line_of("%({X-Id}i)s", &source), "in");
    assert_string_equal(source.asked, "x-id");
    assert_string_equal(line_of("%({Content-Type}o)s", &source), "out");
    assert_string_equal(source.asked, "content-type");
    assert_string_equal(line_of("%({wsgi.(x)}e)s.", &source), "variable.");
    assert_string_equal(source.asked, "wsgi.(x)");
    source.texts[ACCESS_FIELD_IN] = NULL;
    assert_string_equal(line_of("%({x-id}I)s", &source), "-");
}

static void what_python_has_to_format(void **state)
{
    (void)state;
    static const char *const forms[] = {"%(h)d", "%(h)10s", "%(h)r",  "%s",    "%",
                                        "a%(h",  "%(h)",    "%(h) s", "%-(h)s"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        assert_null(access_format_compile(text(forms[i])));
}

static void escapes(void **state)
{
    (void)state;
    struct source source = usual();
    source.texts[ACCESS_AGENT] = "a\"b\\c\n\x1b[2J\x7f\x85\xe9 \t%(h)s";
    assert_string_equal(line_of("%(a)s", &source),
                        "a\\\"b\\\\c\\x0a\\x1b[2J\\x7f\\x85\xc3\xa9 \\x09%(h)s");
    char longest[2001];
    memset(longest, 0x01, 2000);
    longest[2000] = '\0';
    source.texts[ACCESS_AGENT] = longest;
    assert_int_equal(strlen(line_of("%(a)s", &source)), 8000);
}

static void users(void **state)
{
    (void)state;
    static const struct {
        const char *header, *user;
    } cases[] = {
        {"Basic dTpw", "u"},        {"basic   dTpw  ", "u"}, {"Basic dQ==", "u"},
        {"Basic OnB3", "-"},        {"Basic", "-"},          {"Basic ", "-"},
        {"Bearer dTpw", "-"},       {"Basic d*pw", "-"},     {"Basic /zpw", "-"},
        {"Basic w6k6", "\xc3\xa9"}, {"Basic woU6", "\\x85"}, {"Basic Ihs6", "\\\"\\x1b"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct source source = usual();
        source.texts[ACCESS_AUTHORIZATION] = cases[i].header;
        assert_string_equal(line_of("%(u)s", &source), cases[i].user);
    }
    struct source source = usual();
    source.texts[ACCESS_AUTHORIZATION] = NULL;
    assert_string_equal(line_of("%(u)s", &source), "-");
}

static void json(void **state)
{
    (void)state;
    struct source source = usual();
    source.texts[ACCESS_AGENT] = "a\"\n\x1b\xe9";
    source.texts[ACCESS_REFERER] = NULL;
    source.texts[ACCESS_AUTHORIZATION] = "Basic w6nwn5iAOg==";
    char expected[1024];
    const char *line = line_of("json", &source);
    assert_int_equal(strncmp(line, "{\"time\": \"20", 12), 0);
    const char *rest = strstr(line, "\", \"pid\"");
    assert_non_null(rest);
    assert_int_equal(rest - line, 10 + 27);
    snprintf(
        expected, sizeof(expected),
        "\", \"pid\": %d, \"remote_addr\": \"192.0.2.1\", \"user\": \"\\u00e9\\ud83d\\ude00\", "
        "\"method\": \"GET\", \"target\": \"/shop?item=1\", \"path\": \"/shop\", "
        "\"query\": \"item=1\", \"protocol\": \"HTTP/1.1\", \"host\": \"example.org\", "
        "\"status\": 200, \"bytes\": 1024, \"duration_us\": 2345678, \"referer\": null, "
        "\"user_agent\": \"a\\\"\\n\\u001b\\u00e9\"}",
        (int)getpid());
    assert_string_equal(rest, expected);
}

static void time_of_a_line(void **state)
{
    (void)state;
    struct source source = usual();
    const char *line = line_of("%(t)s", &source);
    assert_int_equal(strlen(line), 28);
    assert_true(line[0] == '[' && line[12] == ':' && line[21] == ' ' && line[27] == ']');
}

static void no_memory(void **state)
{
    (void)state;
    for (long count = 0; count < 3; count++) {
        mem_fail_after(count);
        assert_null(access_format_compile(text("%(h)s")));
        mem_fail_never();
    }
    char longest[ACCESS_LINE_SIZE + 1];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    struct source source = usual();
    source.texts[ACCESS_AGENT] = longest;
    struct access_entry entry = entry_of(&source);
    struct access_format *format = access_format_compile(text("%(a)s %(a)s"));
    struct access_line line;
    access_line_init(&line);
    mem_fail_after(0);
    access_format_line(format, &entry, &line);
    mem_fail_never();
    assert_true(line.failed);
    access_line_free(&line);
    int fd = open("/dev/null", O_WRONLY);
    mem_fail_after(0);
    assert_null(access_log_create(format, fd));
    mem_fail_never();
    close(fd);
    access_format_free(format);
}

static size_t read_all(int fd, char *out, size_t size)
{
    ssize_t n = read(fd, out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static void one_write_a_batch(void **state)
{
    (void)state;
    int ends[2], others[2];
    char out[2 * ACCESS_BATCH_SIZE];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    assert_int_equal(pipe2(others, O_NONBLOCK), 0);
    struct access_log *log = access_log_create(access_format_compile(text("%(m)s")), ends[1]);
    assert_non_null(log);
    close(ends[1]);
    struct source source = usual();
    struct access_entry entry = entry_of(&source);
    access_log_add(log, &entry);
    access_log_add(log, &entry);
    assert_int_equal(read_all(ends[0], out, sizeof(out)), 0);
    access_log_flush(log);
    access_log_flush(log);
    read_all(ends[0], out, sizeof(out));
    assert_string_equal(out, "GET\nGET\n");

    access_log_add(log, &entry);
    assert_int_equal(access_log_reopen(log, others[1]), 0);
    assert_int_equal(access_log_reopen(log, -1), -1);
    access_log_add(log, &entry);
    access_log_destroy(log);
    read_all(ends[0], out, sizeof(out));
    assert_string_equal(out, "GET\n");
    assert_int_equal(read_all(others[0], out, sizeof(out)), 4);
    close(ends[0]);
    close(others[0]);
    close(others[1]);
    access_log_destroy(NULL);
    access_log_flush(NULL);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY);
    if (fd < 0)
        skip();
    struct access_log *log = access_log_create(access_format_compile(text("%(m)s")), fd);
    assert_non_null(log);
    close(fd);
    struct source source = usual();
    struct access_entry entry = entry_of(&source);
    assert_int_equal(access_log_flush(log), 0);
    access_log_add(log, &entry);
    assert_int_equal(access_log_flush(log), ENOSPC);
    assert_int_equal(access_log_flush(log), 0);
    for (int bytes = 0; bytes <= ACCESS_BATCH_SIZE; bytes += 4) /* written when there are so many */
        access_log_add(log, &entry);
    int null = open("/dev/null", O_WRONLY);
    assert_true(null >= 0);
    assert_int_equal(access_log_reopen(log, null), 0);
    close(null);
    access_log_add(log, &entry);
    assert_int_equal(access_log_flush(log), ENOSPC);
    access_log_add(log, &entry);
    assert_int_equal(access_log_flush(log), 0);
    access_log_destroy(log);
}

static int full_pipe; /* its reading end */
static volatile sig_atomic_t interruptions;

static void interrupt(int signo)
{
    char waste[PIPE_BUF];
    int saved = errno;
    (void)signo;
    if (++interruptions == 3)
        while (read(full_pipe, waste, sizeof(waste)) > 0)
            ;
    errno = saved;
}

/* The client of a pipe is waited for, whatever signals come meanwhile. */
static void a_signal_costs_no_line(void **state)
{
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = interrupt}, before;
    int ends[2];
    char out[PIPE_BUF];
    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    full_pipe = ends[0];
    interruptions = 0;
    struct access_log *log = access_log_create(access_format_compile(text("%(m)s")), ends[1]);
    struct source source = usual();
    struct access_entry entry = entry_of(&source);
    memset(out, 'x', sizeof(out));
    while (write(ends[1], out, sizeof(out)) > 0)
        ;
    access_log_add(log, &entry);
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    access_log_flush(log);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    read_all(ends[0], out, sizeof(out));
    assert_string_equal(out, "GET\n");
    access_log_destroy(log);
    close(ends[0]);
    close(ends[1]);
}

/* Pipes take whole lines up to PIPE_BUF at once: no write is longer, and none ends within a line.
 */
static void whole_lines_only(void **state)
{
    (void)state;
    int ends[2];
    char out[ACCESS_BATCH_SIZE], word[301];
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_DIRECT), 0);
    struct access_log *log = access_log_create(access_format_compile(text("%(a)s")), ends[1]);
    memset(word, 'x', 300);
    word[300] = '\0';
    struct source source = usual();
    source.texts[ACCESS_AGENT] = word;
    struct access_entry entry = entry_of(&source);
    for (int i = 0; i < 40; i++)
        access_log_add(log, &entry);
    access_log_flush(log);
    size_t n, total = 0;
    while ((n = read_all(ends[0], out, sizeof(out))) > 0) {
        assert_true(n <= 4096);
        assert_int_equal(n % 301, 0);
        total += n;
    }
    assert_int_equal(total, 40 * 301);
    access_log_destroy(log);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(atoms),
        cmocka_unit_test(names_in_braces),
        cmocka_unit_test(what_python_has_to_format),
        cmocka_unit_test(escapes),
        cmocka_unit_test(users),
        cmocka_unit_test(json),
        cmocka_unit_test(time_of_a_line),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(one_write_a_batch),
        cmocka_unit_test(a_full_disk_is_told),
        cmocka_unit_test(a_signal_costs_no_line),
        cmocka_unit_test(whole_lines_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
