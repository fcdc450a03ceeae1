#include "proto/head.h"

#include "base/mem.h"

void head_init(struct head *head)
{
    *head = (struct head){0};
}

void head_reset(struct head *head)
{
    struct head_field *fields = head->fields;
    uint32_t capacity = head->field_capacity;
    *head = (struct head){.fields = fields, .field_capacity = capacity};
}

void head_free(struct head *head)
{
    mem_free(head->fields);
    *head = (struct head){0};
}
