#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guarded.h"
#include "proto/field.h"

static void every_name_has_its_id(void **state)
{
    (void)state;
#define CHECK(identifier, name)                                                                    \
    assert_int_equal(field_lookup(STR(name)), FIELD_##identifier);                                 \
    assert_true(str_eq(field_name(FIELD_##identifier), STR(name)));
    FIELD_TABLE(CHECK)
#undef CHECK
}

static void case_does_not_matter(void **state)
{
    (void)state;
    for (int id = 0; id < FIELD_COUNT; id++) {
        struct str name = field_name((enum field_id)id);
        char copy[64];
        for (unsigned pattern = 0; pattern < 8; pattern++) {
            for (size_t i = 0; i < name.n; i++)
                copy[i] = (pattern >> i % 3 & 1) != 0 ? ascii_upper(name.p[i]) : name.p[i];
            assert_int_equal(field_lookup((struct str){copy, name.n}), id);
        }
    }
}

/* Any byte of a name changed to any other makes it another name, unless only the case changes. */
static void near_misses_are_other(void **state)
{
    (void)state;
    for (int id = 0; id < FIELD_COUNT; id++) {
        struct str name = field_name((enum field_id)id);
        char copy[64];
        memcpy(copy, name.p, name.n);
        for (size_t i = 0; i < name.n; i++) {
            for (int c = 0; c < 256; c++) {
                copy[i] = (char)c;
                int found = field_lookup((struct str){copy, name.n});
                int expected = ascii_lower((char)c) == name.p[i] ? id : FIELD_OTHER;
                /* "te" and "dnt" are far from each other, but not every pair needs to be */
                if (found != expected)
                    assert_true(found != FIELD_OTHER && str_ieq(field_name((enum field_id)found),
                                                                (struct str){copy, name.n}));
            }
            copy[i] = name.p[i];
        }
        copy[name.n] = 'x';
        assert_int_equal(field_lookup((struct str){copy, name.n + 1}), FIELD_OTHER);
    }
}

static void odd_lengths_are_other(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'a', sizeof text);
    for (size_t n = 0; n <= sizeof text; n++)
        assert_int_equal(field_lookup((struct str){text, n}), FIELD_OTHER);
}

static void nothing_is_read_outside(void **state)
{
    (void)state;
    struct guarded guarded = guarded_open();
    for (int id = 0; id < FIELD_COUNT; id++) {
        struct str name = field_name((enum field_id)id);
        char *copy = guarded_at_end(&guarded, name.p, name.n);
        assert_int_equal(field_lookup((struct str){copy, name.n}), id);
        copy = guarded_at_begin(&guarded, name.p, name.n);
        assert_int_equal(field_lookup((struct str){copy, name.n}), id);
    }
    guarded_close(&guarded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_has_its_id),   cmocka_unit_test(case_does_not_matter),
        cmocka_unit_test(near_misses_are_other),   cmocka_unit_test(odd_lengths_are_other),
        cmocka_unit_test(nothing_is_read_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
