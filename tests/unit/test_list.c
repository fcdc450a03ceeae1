#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int value;
    struct list link;
};

static void empty_until_pushed(void **state)
{
    struct list head;
    struct item item;
    (void)state;
    list_init(&head);
    assert_true(list_empty(&head));
    list_push(&head, &item.link);
    assert_false(list_empty(&head));
}

static void pushed_last_comes_last(void **state)
{
    struct list head;
    struct item items[3] = {{.value = 0}, {.value = 1}, {.value = 2}};
    int expected = 0;
    (void)state;
    list_init(&head);
    for (int i = 0; i < 3; i++)
        list_push(&head, &items[i].link);
    for (struct list *l = head.next; l != &head; l = l->next)
        assert_int_equal(list_entry(l, struct item, link)->value, expected++);
    assert_int_equal(expected, 3);
    for (struct list *l = head.prev; l != &head; l = l->prev)
        assert_int_equal(list_entry(l, struct item, link)->value, --expected);
}

static void removed_from_the_middle(void **state)
{
    struct list head;
    struct item items[3];
    (void)state;
    list_init(&head);
    for (int i = 0; i < 3; i++)
        list_push(&head, &items[i].link);
    list_remove(&items[1].link);
    assert_ptr_equal(head.next, &items[0].link);
    assert_ptr_equal(items[0].link.next, &items[2].link);
    assert_ptr_equal(items[2].link.prev, &items[0].link);
}

static void removed_twice_is_harmless(void **state)
{
    struct list head;
    struct item item;
    (void)state;
    list_init(&head);
    list_push(&head, &item.link);
    list_remove(&item.link);
    assert_true(list_empty(&item.link));
    list_remove(&item.link);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_until_pushed),
        cmocka_unit_test(pushed_last_comes_last),
        cmocka_unit_test(removed_from_the_middle),
        cmocka_unit_test(removed_twice_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
