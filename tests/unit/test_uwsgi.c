#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "guarded.h"
#include "proto/uwsgi.h"

/* Variables as "NAME=value" lines, and what is to be made of their packet, in one line of text. */
struct vector {
    const char *variables;
    const char *expected;
    struct http1_limits limits;
};

#define V .variables =
#define GET "REQUEST_METHOD=GET\nREQUEST_URI=/a%41?b\n"

/* A text may have escapes: "\a" stands for LF, "\b" for CR. */
static void put_text(char **out, const char *text, size_t size)
{
    *(*out)++ = (char)size;
    *(*out)++ = (char)(size >> 8);
    for (size_t i = 0; i < size; i++)
        *(*out)++ = text[i] == '\a' ? '\n' : text[i] == '\b' ? '\r' : text[i];
}

static size_t build(const char *variables, char *packet)
{
    char *out = packet + UWSGI_HEADER_SIZE;
    while (*variables != '\0') {
        const char *end = strchr(variables, '\n');
        const char *sign = memchr(variables, '=', (size_t)(end - variables));
        put_text(&out, variables, (size_t)(sign - variables));
        put_text(&out, sign + 1, (size_t)(end - sign - 1));
        variables = end + 1;
    }
    size_t size = (size_t)(out - packet) - UWSGI_HEADER_SIZE;
    packet[0] = packet[3] = 0;
    packet[1] = (char)size;
    packet[2] = (char)(size >> 8);
    return size + UWSGI_HEADER_SIZE;
}

static void summarize_head(const struct uwsgi *uwsgi, const struct head *head, const char *data,
                           FILE *out)
{
    fprintf(out, "%.*s %.*s %.*s?%.*s %u.%u %s", (int)head->method_len, data + head->method,
            (int)head->target_len, data + head->target, (int)head->path_len, data + head->path,
            (int)head->query_len, data + head->query, head->major, head->minor,
            head->https ? "https " : "");
    if (head->framing == HEAD_LENGTH)
        fprintf(out, "%llu", (unsigned long long)head->content_length);
    else
        fputs("none", out);
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        if (field->id != FIELD_DROPPED)
            fprintf(out, "|%.*s=%.*s", (int)field->name_len, data + field->name,
                    (int)field->value_len, data + field->value);
    }
    for (uint32_t i = 0; i < uwsgi->cgi->count; i++) {
        const struct cgi_variable *variable = &uwsgi->cgi->variables[i];
        if (variable->id == CGI_OTHER || variable->id == CGI_PATH_INFO)
            fprintf(out, "|%.*s:%.*s", (int)variable->name_len, data + variable->name,
                    (int)variable->value_len, data + variable->value);
    }
}

static char *summarize(enum uwsgi_result result, const struct uwsgi *uwsgi, const struct head *head,
                       const char *data)
{
    char *text = NULL;
    size_t size;
    char words[128];
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (result == UWSGI_OK) {
        summarize_head(uwsgi, head, data, out);
    } else if (result == UWSGI_ERROR) {
        uwsgi_error_text(uwsgi, words, sizeof words);
        fprintf(out, "%d %s", uwsgi_error_status(uwsgi), words);
    } else {
        fputs("partial", out);
    }
    fclose(out);
    return text;
}

/* At the guard, then once more in place, where names have been rewritten. */
static void check(char *data, size_t size, const struct http1_limits *limits, const char *expected)
{
    struct uwsgi uwsgi;
    struct cgi cgi;
    struct head head;
    cgi_init(&cgi);
    head_init(&head);
    for (int i = 0; i < 2; i++) {
        uwsgi_init(&uwsgi, &cgi);
        head_reset(&head);
        char *text = summarize(uwsgi_parse(&uwsgi, &head, data, size, limits), &uwsgi, &head, data);
        assert_string_equal(text, expected);
        free(text);
    }
    cgi_free(&cgi);
    head_free(&head);
}

static void check_prefixes(const struct guarded *guarded, const char *packet, size_t size)
{
    static const struct http1_limits limits;
    struct uwsgi uwsgi;
    struct cgi cgi;
    struct head head;
    cgi_init(&cgi);
    uwsgi_init(&uwsgi, &cgi);
    head_init(&head);
    for (size_t n = 0; n < size; n++)
        assert_int_equal(uwsgi_parse(&uwsgi, &head, guarded_at_end(guarded, packet, n), n, &limits),
                         UWSGI_PARTIAL);
    cgi_free(&cgi);
    head_free(&head);
}

static void run(const struct vector *vectors, size_t count)
{
    static char packet[8192];
    struct guarded guarded = guarded_open();
    for (const struct vector *vector = vectors; vector < vectors + count; vector++) {
        size_t size = build(vector->variables, packet);
        check(guarded_at_end(&guarded, packet, size), size, &vector->limits, vector->expected);
        check_prefixes(&guarded, packet, size);
    }
    guarded_close(&guarded);
}

#define RUN(vectors) run(vectors, sizeof(vectors) / sizeof(vectors)[0])

static void requests(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {V GET, "GET /a%41?b /a%41?b 1.1 none"},
        {V GET "QUERY_STRING=c\nPATH_INFO=/aA\nREMOTE_ADDR=192.0.2.1\nOWN=x\n",
         "GET /a%41?b /a%41?c 1.1 none|PATH_INFO:/aA|OWN:x"},
        {V "REQUEST_METHOD=POST\nPATH_INFO=/caf\xc3\xa9?#%\nCONTENT_LENGTH=12\nCONTENT_TYPE=a/b\n"
           "SERVER_PROTOCOL=HTTP/2.0\n",
         "POST /caf\xc3\xa9?#% /caf\xc3\xa9?#%? 2.0 12|CONTENT-LENGTH=12|CONTENT-TYPE=a/b"
         "|PATH_INFO:/caf\xc3\xa9?#%"},
        {V GET "CONTENT_LENGTH=\nCONTENT_TYPE=\n", "GET /a%41?b /a%41?b 1.1 none"},
        {V GET
         "HTTP_HOST=a\nHTTP_ACCEPT_ENCODING= br \nHTTP_X_Own=\nHTTP_COOKIE=a\nHTTP_COOKIE=b\n",
         "GET /a%41?b /a%41?b 1.1 none|HOST=a|ACCEPT-ENCODING=br|X-Own=|COOKIE=a|COOKIE=b"},
        {V GET "HTTP_HOST=a\nHTTP_A=1\nHTTP_HOST=b\n", "GET /a%41?b /a%41?b 1.1 none|A=1|HOST=b"},
        {V GET "HTTP_CONNECTION=x, close\n", "GET /a%41?b /a%41?b 1.1 none|CONNECTION=x, close"},
        {V GET "HTTP_TRANSFER_ENCODING=chunked\nHTTP_CONTENT_LENGTH=9\nHTTP_CONTENT-TYPE=x\n"
               "CONTENT_LENGTH=3\n",
         "GET /a%41?b /a%41?b 1.1 3|CONTENT-LENGTH=3"},
        {V GET "HTTPS=on\n", "GET /a%41?b /a%41?b 1.1 https none"},
        {V GET "HTTPS=off\nREQUEST_SCHEME=https\n", "GET /a%41?b /a%41?b 1.1 https none"},
        {V GET "wsgi.url_scheme=https\n", "GET /a%41?b /a%41?b 1.1 https none"},
        {V GET "HTTPS=\nREQUEST_SCHEME=http\n", "GET /a%41?b /a%41?b 1.1 none"},
        {V "REQUEST_METHOD=OPTIONS\nREQUEST_URI=*\nPATH_INFO=*\n",
         "OPTIONS * *? 1.1 none|PATH_INFO:*"},
        {V "REQUEST_METHOD=GET\nREQUEST_URI=http://a/b?c\nPATH_INFO=/old\nPATH_INFO=/b\n",
         "GET http://a/b?c /b?c 1.1 none|PATH_INFO:/old|PATH_INFO:/b"},
        {V "REQUEST_METHOD=GET\nPATH_INFO=\n", "GET  ? 1.1 none|PATH_INFO:"},
        {V GET "PATH_INFO=/a\ab\nSCRIPT_NAME=/app\n",
         "GET /a%41?b /a%41?b 1.1 none|PATH_INFO:/a\nb"},
    };
    RUN(vectors);
}

static void requests_that_are_malformed(void **state)
{
    (void)state;
#define LENGTH "400 Invalid HTTP Header: CONTENT_LENGTH is no decimal number"
#define TARGET "400 Invalid HTTP request: malformed REQUEST_URI"
#define TWICE "400 Invalid variable: CONTENT_TYPE or CONTENT_LENGTH occurs twice"
#define PATH "400 Invalid HTTP request: PATH_INFO or SCRIPT_NAME does not begin with '/'"
    static const struct vector vectors[] = {
        {V "", "400 Invalid HTTP method: no REQUEST_METHOD"},
        {V "REQUEST_METHOD=\nPATH_INFO=/\n", "400 Invalid HTTP method: no REQUEST_METHOD"},
        {V "REQUEST_METHOD=GE T\nPATH_INFO=/\n",
         "400 Invalid HTTP method: REQUEST_METHOD is no token"},
        {V "REQUEST_METHOD=GET\n", "400 Invalid HTTP request: neither REQUEST_URI nor PATH_INFO"},
        {V GET "CONTENT_LENGTH=abc\n", LENGTH},
        {V GET "CONTENT_LENGTH=-5\n", LENGTH},
        {V GET "CONTENT_LENGTH=+3\n", LENGTH},
        {V GET "CONTENT_LENGTH= \n", LENGTH},
        {V GET "CONTENT_LENGTH=1_0\n", LENGTH},
        {V GET "CONTENT_LENGTH=9223372036854775808\n", LENGTH},
        {V GET "CONTENT_LENGTH=1\nCONTENT_LENGTH=1\n", TWICE},
        {V GET "CONTENT_TYPE=a\nCONTENT_TYPE=a\n", TWICE},
        {V GET "HTTP_X=a\ab\n", "400 Invalid HTTP Header: its value has a control character"},
        {V GET "HTTP_X=a\bb\n", "400 Invalid HTTP Header: its value has a control character"},
        {V GET "QUERY_STRING=a\ab\n",
         "400 Invalid HTTP request: control character in QUERY_STRING"},
        {V GET "A B=a\n", "400 Invalid variable: its name is no token"},
        {V GET "=a\n", "400 Invalid variable: its name is no token"},
        {V "REQUEST_METHOD=GET\nREQUEST_URI=/a b\n", TARGET},
        {V "REQUEST_METHOD=GET\nREQUEST_URI=/a\ab\n", TARGET},
        {V "REQUEST_METHOD=GET\nREQUEST_URI=a\n", TARGET},
        {V "REQUEST_METHOD=GET\nREQUEST_URI=*\n", TARGET},
        {V "REQUEST_METHOD=GET\nREQUEST_URI=http://[a/\n", TARGET},
        {V GET "PATH_INFO=a\n", PATH},
        {V GET "SCRIPT_NAME=a\n", PATH},
        {V GET "SERVER_PROTOCOL=HTTP/1\n", "400 Invalid HTTP Version: malformed SERVER_PROTOCOL"},
        {V GET "HTTP_A=1\nHTTP_B=2\n", "431 limit request headers fields", {.fields = 1}},
        {V GET "HTTP_A=12345\n", "GET /a%41?b /a%41?b 1.1 none|A=12345", {.field_size = 10}},
        {V GET "HTTP_A=123456\n", "431 limit request headers fields size", {.field_size = 10}},
        {V GET, "414 Request Line is too large: REQUEST_URI", {.request_line = 6}},
    };
    RUN(vectors);
}

/* Bytes that are no packet of variables: each is refused as soon as its first four are there. */
static void other_packets(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        const char *expected;
    } vectors[] = {
        {"\1\0\0\0", 4, "501 Unsupported uWSGI modifier1: 1"},
        {"\xff\0\0\0", 4, "501 Unsupported uWSGI modifier1: 255"},
        {"GET / HTTP/1.1\r\n", 16,
         "400 Invalid uWSGI header: an HTTP request; protocol is uwsgi here"},
        {"\x16\3\1\2", 4,
         "400 Invalid uWSGI header: a TLS handshake; protocol is uwsgi here, without TLS"},
        {"\0\1\0\0\1", 5, "400 Invalid uWSGI header: a variable goes beyond the packet"},
        {"\0\3\0\0\2\0a", 7, "400 Invalid uWSGI header: a variable goes beyond the packet"},
        {"\0\4\0\0\1\0ab", 8, "400 Invalid uWSGI header: a variable goes beyond the packet"},
        {"\0\5\0\0\1\0a\1\0", 9, "400 Invalid uWSGI header: a variable goes beyond the packet"},
        {"\0\5\0\0\1\0a\1", 8, "partial"},
    };
    static const struct http1_limits limits;
    struct guarded guarded = guarded_open();
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        check(guarded_at_end(&guarded, vectors[i].data, vectors[i].size), vectors[i].size, &limits,
              vectors[i].expected);
    guarded_close(&guarded);
}

static void the_largest_packet(void **state)
{
    (void)state;
    static const struct http1_limits limits;
    char *data = malloc(UWSGI_PACKET_MAX);
    char *expected = malloc(UWSGI_PACKET_MAX + 64);
    assert_true(data != NULL && expected != NULL);
    size_t size = build(GET, data);
    size_t value = UWSGI_PACKET_MAX - size - 2 - 6 - 2;
    char *out = data + size;
    put_text(&out, "HTTP_X", 6);
    *out++ = (char)value;
    *out++ = (char)(value >> 8);
    memset(out, 'x', value);
    data[1] = data[2] = '\xff';
    int n = sprintf(expected, "GET /a%%41?b /a%%41?b 1.1 none|X=");
    memset(expected + n, 'x', value);
    expected[(size_t)n + value] = '\0';
    check(data, UWSGI_PACKET_MAX, &limits, expected);
    free(data);
    free(expected);
}

static void too_many_variables(void **state)
{
    (void)state;
    static char data[UWSGI_PACKET_MAX];
    static const struct http1_limits limits;
    char *out = data + build(GET, data);
    for (int i = 2; i < CGI_VARIABLES_MAX + 1; i++) {
        put_text(&out, "A", 1);
        put_text(&out, "", 0);
    }
    size_t size = (size_t)(out - data);
    data[1] = (char)(size - UWSGI_HEADER_SIZE);
    data[2] = (char)((size - UWSGI_HEADER_SIZE) >> 8);
    check(data, size, &limits, "431 more than 1000 variables");
}

static void no_memory(void **state)
{
    (void)state;
    static const struct http1_limits limits;
    char data[256];
    size_t size = build(GET "HTTP_A=b\n", data);
    for (long n = 0; n < 2; n++) {
        mem_fail_after(n);
        check(data, size, &limits, "500 Out of memory");
        mem_fail_never();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),           cmocka_unit_test(requests_that_are_malformed),
        cmocka_unit_test(other_packets),      cmocka_unit_test(the_largest_packet),
        cmocka_unit_test(too_many_variables), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
