#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "base/mem.h"
#include "proto/forwarded.h"
#include "proto/http1/parse.h"

static struct str text(const char *p)
{
    return (struct str){p, strlen(p)};
}

static bool has(const struct trust *trust, const char *address)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, address, bytes) == 1)
        return trust_has(trust, bytes, 4);
    assert_int_equal(inet_pton(AF_INET6, address, bytes), 1);
    return trust_has(trust, bytes, 16);
}

static bool only_has(const char *network, const char *inside, const char *outside)
{
    struct trust trust = {0};
    assert_int_equal(trust_add(&trust, text(network)), TRUST_OK);
    bool result = has(&trust, inside) && !has(&trust, outside);
    trust_free(&trust);
    return result;
}

static void networks(void **state)
{
    (void)state;
    assert_true(only_has("127.0.0.1", "127.0.0.1", "127.0.0.2"));
    assert_true(only_has("192.0.2.0/24", "192.0.2.255", "192.0.3.0"));
    assert_true(only_has("192.0.2.128/25", "192.0.2.128", "192.0.2.127"));
    assert_true(only_has("10.0.0.0/7", "11.255.0.1", "12.0.0.0"));
    assert_true(only_has("10.0.0.0/255.0.0.0", "10.9.9.9", "11.0.0.0"));
    assert_true(only_has("10.0.0.0/0.255.255.255", "10.9.9.9", "11.0.0.0"));
    assert_true(only_has("0.0.0.0/0", "203.0.113.9", "::1"));
    assert_true(only_has("0.0.0.0/0.0.0.0", "203.0.113.9", "::1"));
    assert_true(only_has("10.0.0.0/08", "10.9.9.9", "11.0.0.0"));
    assert_true(only_has("::1", "::1", "::2"));
    assert_true(only_has("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"));
    assert_true(only_has("::/0", "2001:db8::1", "127.0.0.1"));
    assert_true(only_has("::ffff:127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1"));
    assert_true(only_has("127.0.0.1", "127.0.0.1", "::ffff:127.0.0.1"));
}

static void what_is_no_network(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "localhost",
        "127.0.0",
        "127.0.0.1/",
        "127.0.0.1/33",
        "10.0.0.0/x",
        "10.0.0.0/-1",
        "10.0.0.0/255.0.255.0",
        "10.0.0.0/8/8",
        "::1/129",
        "::/ffff::",
        "127.0.0.01",
        " 127.0.0.1",
        "127.0.0.1 ",
        "fe80::1%eth0",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff/128",
    };
    struct trust trust = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(trust_add(&trust, text(bad[i])), TRUST_BAD_ADDRESS);
    assert_int_equal(trust_add(&trust, (struct str){"127.0.0.1\0", 10}), TRUST_BAD_ADDRESS);
    assert_int_equal(trust_add(&trust, text("192.0.2.1/24")), TRUST_HOST_BITS);
    assert_int_equal(trust_add(&trust, text("2001:db8::1/64")), TRUST_HOST_BITS);
    assert_int_equal(trust.count, 0);
    assert_null(trust.networks);
}

static void lists_and_everybody(void **state)
{
    (void)state;
    struct trust trust = {0};
    assert_false(has(&trust, "127.0.0.1"));
    assert_int_equal(trust_add(&trust, text("127.0.0.1")), TRUST_OK);
    assert_int_equal(trust_add(&trust, text("::1")), TRUST_OK);
    assert_true(has(&trust, "127.0.0.1"));
    assert_true(has(&trust, "::1"));
    assert_false(has(&trust, "192.0.2.1"));
    assert_int_equal(trust_add(&trust, text("*")), TRUST_OK);
    assert_true(has(&trust, "192.0.2.1"));
    trust_free(&trust);
    assert_false(has(&trust, "127.0.0.1"));
}

/* The scheme, or the words of the refusal, and the fields that are left. */
struct vector {
    const char *fields, *expected, *names;
    enum forwarded_map map;
    bool untrusted, tls, any_name, script_name;
};

static void init_policy(struct forwarded *policy, const struct vector *vector)
{
    *policy = (struct forwarded){.map = vector->map};
    assert_true(forwarded_add_name(policy, STR("SCRIPT_NAME")));
    assert_true(forwarded_add_name(policy, STR("lower_case")));
    assert_true(!vector->any_name || forwarded_add_name(policy, STR("*")));
    assert_true(forwarded_add_scheme(policy, STR("X-FORWARDED-PROTO"), STR("https")));
    assert_true(forwarded_add_scheme(policy, STR("X-FORWARDED-SSL"), STR("on")));
    assert_true(forwarded_add_scheme(policy, STR("X-OUR_OWN"), STR("yes")));
    assert_true(forwarded_add_scheme(policy, STR("x-lower"), STR("yes")));
}

static void check_names(const struct head *head, const char *data, const char *expected)
{
    char names[256] = "";
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        if (field->id == FIELD_DROPPED)
            continue;
        strncat(names, data + field->name, field->name_len);
        strcat(names, " ");
    }
    assert_string_equal(names, expected);
}

static void run(const struct vector *vector)
{
    char data[512];
    char words[128];
    struct http1_limits none = {0};
    struct http1_parser parser = {0};
    struct head head;
    struct forwarded policy;
    init_policy(&policy, vector);
    int size = snprintf(data, sizeof data, "GET / HTTP/1.1\r\n%s\r\n", vector->fields);
    head_init(&head);
    assert_int_equal(http1_parse(&parser, &head, data, (size_t)size, &none), HTTP1_OK);
    if (http1_apply_forwarded(&parser, &policy, &head, data, !vector->untrusted, vector->tls) ==
        HTTP1_OK) {
        assert_string_equal(head.https ? "https" : "http", vector->expected);
        assert_int_equal(head.script_name != 0, vector->script_name);
        if (vector->names != NULL)
            check_names(&head, data, vector->names);
    } else {
        assert_int_equal(http1_error_status(parser.error), 400);
        http1_error_text(&parser, data, words, sizeof words);
        assert_string_equal(words, vector->expected);
    }
    head_free(&head);
    forwarded_free(&policy);
}

static void schemes(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {.fields = "", .expected = "http"},
        {.fields = "", .expected = "https", .tls = true},
        {.fields = "X-Forwarded-Proto: https\r\n", .expected = "https"},
        {.fields = "x-forwarded-proto: https\r\n", .expected = "https"},
        {.fields = "X-Forwarded-Proto: HTTPS\r\n", .expected = "http"},
        {.fields = "X-Forwarded-Proto: http\r\n", .expected = "http", .tls = true},
        {.fields = "X-Forwarded-Proto: https\r\n", .expected = "http", .untrusted = true},
        {.fields = "X-Forwarded-Proto: http\r\n",
         .expected = "https",
         .tls = true,
         .untrusted = true},
        {.fields = "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on\r\n", .expected = "https"},
        {.fields = "X-Forwarded-Proto: http\r\nX-Forwarded-Ssl: off\r\n", .expected = "http"},
        {.fields = "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n",
         .expected = "Contradictory scheme headers"},
        {.fields = "X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n",
         .expected = "Contradictory scheme headers"},
        {.fields = "X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n",
         .expected = "http",
         .untrusted = true},
        {.fields = "X-Our_Own: yes\r\n", .expected = "https", .names = ""},
        {.fields = "X-Lower: yes\r\n", .expected = "http"},
        {.fields = "X-Our_Owl: yes\r\nX-Unrelated: yes\r\n", .expected = "http"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        run(&vectors[i]);
}

static void underscores(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {.fields = "A: b\r\nA_b: c\r\n_: d\r\nHost: e\r\n", .expected = "http", .names = "A Host "},
        {.fields = "A_b: c\r\n", .expected = "http", .names = "A_b ", .map = FORWARDED_DANGEROUS},
        {.fields = "A: b\r\na_b: c\r\n",
         .expected = "Invalid HTTP header name: 'A_B'",
         .map = FORWARDED_REFUSE},
        {.fields = "script_name: /x\r\nA_b: c\r\n",
         .expected = "http",
         .names = "script_name ",
         .script_name = true},
        {.fields = "SCRIPT_NAME: /x\r\n",
         .expected = "http",
         .names = "SCRIPT_NAME ",
         .map = FORWARDED_REFUSE,
         .script_name = true},
        {.fields = "SCRIPT_NAME: /x\r\n", .expected = "http", .names = "", .untrusted = true},
        {.fields = "SCRIPT_NAME: /x\r\n",
         .expected = "Invalid HTTP header name: 'SCRIPT_NAME'",
         .map = FORWARDED_REFUSE,
         .untrusted = true},
        {.fields = "SCRIPT_NAME: /x\r\n",
         .expected = "http",
         .names = "SCRIPT_NAME ",
         .map = FORWARDED_DANGEROUS,
         .untrusted = true,
         .script_name = true},
        {.fields = "Lower_Case: c\r\n", .expected = "http", .names = ""},
        {.fields = "A_b: c\r\n", .expected = "http", .names = "A_b ", .any_name = true},
        {.fields = "A_b: c\r\n",
         .expected = "http",
         .names = "",
         .any_name = true,
         .untrusted = true},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        run(&vectors[i]);
}

/* Builds all that can be built while memory lasts. True if it lasted. */
static bool build(struct trust *trust, struct forwarded *policy)
{
    return trust_add(trust, text("127.0.0.1")) == TRUST_OK &&
           trust_add(trust, text("::1")) == TRUST_OK &&
           forwarded_add_name(policy, STR("SCRIPT_NAME")) &&
           forwarded_add_name(policy, STR("PATH_INFO")) &&
           forwarded_add_scheme(policy, STR("X-FORWARDED-PROTO"), STR("https"));
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    bool built = false;
    int failures = 0;
    for (; !built; failures++) {
        struct trust trust = {0};
        struct forwarded policy = {0};
        mem_fail_after(failures);
        built = build(&trust, &policy);
        mem_fail_never();
        assert_int_equal(policy.scheme_count, built ? 1 : 0);
        trust_free(&trust);
        forwarded_free(&policy);
    }
    assert_true(failures > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks),
        cmocka_unit_test(what_is_no_network),
        cmocka_unit_test(lists_and_everybody),
        cmocka_unit_test(schemes),
        cmocka_unit_test(underscores),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
