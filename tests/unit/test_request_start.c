#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/request_start.h"

static void every_unit_is_told_by_its_magnitude(void **state)
{
    static const char *const texts[] = {
        "t=1700000000.123456", "1700000000.123456",  "t=1700000000123.456",  "1700000000123456",
        "t=1700000000123456",  "1700000000.1234569", "t=1700000000123456.7",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(request_start_us((struct str){texts[i], strlen(texts[i])}),
                         1700000000123456);
    assert_int_equal(request_start_us(STR("t=1700000000.5")), 1700000000500000);
    assert_int_equal(request_start_us(STR("1700000000")), 1700000000000000);
}

static void nothing_else_is_a_time(void **state)
{
    static const char *const texts[] = {
        "",
        "t=",
        "now",
        "t=12",
        "-1700000000",
        "1700000000s",
        "1700000000.1x",
        "1700000000..1",
        "17000000000",
        "99999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(request_start_us((struct str){texts[i], strlen(texts[i])}), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_unit_is_told_by_its_magnitude),
        cmocka_unit_test(nothing_else_is_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
