#include "proto/forwarded.h"

#include "base/mem.h"

static bool add(struct forwarded_name **list, uint32_t *count, struct str name, struct str value)
{
    struct forwarded_name *grown = mem_realloc(*list, (*count + 1) * sizeof **list);
    if (grown == NULL)
        return false;
    *list = grown;
    char *text = mem_alloc(name.n + value.n + 1);
    if (text == NULL)
        return false;
    memcpy(text, name.p, name.n);
    memcpy(text + name.n, value.p, value.n);
    struct forwarded_name *entry = &grown[(*count)++];
    entry->name = (struct str){text, name.n};
    entry->value = (struct str){text + name.n, value.n};
    entry->id = field_lookup(entry->name);
    return true;
}

bool forwarded_add_name(struct forwarded *policy, struct str name)
{
    if (str_eq(name, STR("*"))) {
        policy->any_name = true;
        return true;
    }
    return add(&policy->names, &policy->name_count, name, STR(""));
}

bool forwarded_add_scheme(struct forwarded *policy, struct str name, struct str value)
{
    if (!add(&policy->schemes, &policy->scheme_count, name, value))
        return false;
    policy->scheme_ids |= field_bit(policy->schemes[policy->scheme_count - 1].id);
    return true;
}

static void free_list(struct forwarded_name *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        mem_free((char *)list[i].name.p);
    mem_free(list);
}

void forwarded_free(struct forwarded *policy)
{
    free_list(policy->names, policy->name_count);
    free_list(policy->schemes, policy->scheme_count);
    *policy = (struct forwarded){0};
}

/* Whether a field's name, put in capitals, is the configured one. */
static bool name_is(struct str name, struct str capitals)
{
    if (name.n != capitals.n)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (ascii_upper(name.p[i]) != capitals.p[i])
            return false;
    return true;
}

static const struct forwarded_name *find(const struct forwarded_name *list, uint32_t count,
                                         enum field_id id, struct str name)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].id == id && name_is(name, list[i].name))
            return &list[i];
    return NULL;
}

/* The scheme fields of one head: the first decides, all others have to say the same. */
struct scheme_state {
    const struct forwarded *policy;
    bool given;
};

static enum forwarded_result read_scheme(struct scheme_state *state, struct head *head,
                                         const char *data, const struct head_field *field)
{
    const struct forwarded *policy = state->policy;
    struct str name = head_slice(data, field->name, field->name_len);
    const struct forwarded_name *scheme =
        find(policy->schemes, policy->scheme_count, field->id, name);
    if (scheme == NULL)
        return FORWARDED_OK;
    bool https = str_eq(head_slice(data, field->value, field->value_len), scheme->value);
    if (state->given && https != head->https)
        return FORWARDED_CONTRADICTION;
    state->given = true;
    head->https = https;
    return FORWARDED_OK;
}

static bool may_keep(const struct forwarded *policy, struct str name, bool trusted)
{
    if (policy->map == FORWARDED_DANGEROUS)
        return true;
    if (!trusted)
        return false;
    return policy->any_name || find(policy->names, policy->name_count, FIELD_OTHER, name) != NULL;
}

/* A field whose name is not in the table, and so may have an underscore. */
static enum forwarded_result read_other(const struct forwarded *policy, struct head *head,
                                        const char *data, uint32_t index, bool trusted)
{
    struct head_field *field = &head->fields[index];
    struct str name = head_slice(data, field->name, field->name_len);
    if (memchr(name.p, '_', name.n) == NULL)
        return FORWARDED_OK;
    if (may_keep(policy, name, trusted)) {
        if (name_is(name, STR("SCRIPT_NAME")))
            head->script_name = index + 1;
        return FORWARDED_OK;
    }
    if (policy->map == FORWARDED_DROP) {
        field->id = FIELD_DROPPED;
        return FORWARDED_OK;
    }
    return FORWARDED_NO_FIELD;
}

static enum forwarded_result apply(const struct forwarded *policy, struct head *head,
                                   const char *data, bool trusted, uint32_t *culprit)
{
    struct scheme_state state = {policy, false};
    enum forwarded_result result = FORWARDED_OK;
    for (uint32_t i = 0; i < head->field_count && result == FORWARDED_OK; i++) {
        const struct head_field *field = &head->fields[i];
        *culprit = i;
        if (trusted && (policy->scheme_ids & field_bit(field->id)) != 0)
            result = read_scheme(&state, head, data, field);
        if (result == FORWARDED_OK && field->id == FIELD_OTHER)
            result = read_other(policy, head, data, i, trusted);
    }
    return result;
}

enum forwarded_result forwarded_apply(const struct forwarded *policy, struct head *head,
                                      const char *data, bool trusted, bool tls, uint32_t *culprit)
{
    head->https = tls;
    if (head->underscores == 0 && (!trusted || (head->seen & policy->scheme_ids) == 0))
        return FORWARDED_OK;
    return apply(policy, head, data, trusted, culprit);
}
