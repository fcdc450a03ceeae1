#include "proto/head_list.h"

#include "proto/token.h"

static bool list_names(struct str list, struct str wanted)
{
    struct str token;
    while (token_next_element(&list)) {
        if (token_take(&list, &token) && token_element_ends(&list) && str_ieq(token, wanted))
            return true;
        while (list.n > 0 && list.p[0] != ',')
            list.p++, list.n--;
    }
    return false;
}

bool head_names(const struct head *head, const char *data, enum field_id id, struct str wanted)
{
    if (!(head->seen & field_bit(id)))
        return false;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        if (field->id == id && list_names(head_slice(data, field->value, field->value_len), wanted))
            return true;
    }
    return false;
}
