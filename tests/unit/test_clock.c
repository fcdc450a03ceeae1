#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* What the system's own formatting makes of the same second. */
static void reference(time_t at, char out[64])
{
    struct tm tm;
    gmtime_r(&at, &tm);
    assert_int_equal(strftime(out, 64, "%a, %d %b %Y %H:%M:%S GMT", &tm), CLOCK_DATE_SIZE);
}

static void the_date_is_now_in_rfc_9110_form(void **state)
{
    char text[64];
    time_t at = time(NULL) - 1; /* the coarse clock may be a tick behind */
    (void)state;
    const char *date = clock_date();
    for (reference(at, text); memcmp(date, text, CLOCK_DATE_SIZE) != 0; reference(at, text))
        assert_true(++at <= time(NULL));
}

static void the_date_is_kept(void **state)
{
    (void)state;
    assert_ptr_equal(clock_date(), clock_date());
}

static void the_clocks_go_forward(void **state)
{
    uint64_t ms = clock_ms(), ns = clock_ns();
    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_true(clock_ms() >= ms);
        assert_true(clock_ns() >= ns);
        ms = clock_ms();
        ns = clock_ns();
    }
    assert_true(clock_ms() <= clock_ns() / 1000000 + 1); /* of the same origin */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_date_is_now_in_rfc_9110_form),
        cmocka_unit_test(the_date_is_kept),
        cmocka_unit_test(the_clocks_go_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
