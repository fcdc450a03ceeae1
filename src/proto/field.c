#include "proto/field.h"

#include "proto/field_match.h"
#include "proto/octet.h"

_Static_assert(FIELD_HASH_NAMES == FIELD_COUNT, "run tools/field_hash.py: FIELD_TABLE has changed");
_Static_assert(FIELD_COUNT < 64, "http1_head.seen has a bit for each id, FIELD_OTHER included");
#define FIELD_CHECK(identifier, name)                                                              \
    _Static_assert(sizeof(name) - 1 >= FIELD_NAME_MIN && sizeof(name) - 1 <= FIELD_NAME_MAX,       \
                   "field_same() needs two bytes, field_entry has room for FIELD_NAME_MAX");
FIELD_TABLE(FIELD_CHECK)
#undef FIELD_CHECK

/* The first entry has size 0 and so equals no name: empty slots, being 0, point there. */
const struct field_entry field_entries[FIELD_COUNT + 1] = {
#define FIELD_ENTRY(identifier, text) [FIELD_##identifier + 1] = {sizeof(text) - 1, text},
    FIELD_TABLE(FIELD_ENTRY)
#undef FIELD_ENTRY
};

const uint8_t field_slots[FIELD_SLOT_COUNT] = {
#define FIELD_SLOT(slot, identifier) [slot] = FIELD_##identifier + 1,
    FIELD_HASH_SLOTS(FIELD_SLOT)
#undef FIELD_SLOT
};

static bool field_is_token(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!octet_is(name.p[i], OCTET_TOKEN))
            return false;
    return true;
}

enum field_id field_lookup(struct str name)
{
    return field_is_token(name) ? field_match(name.p, name.n) : FIELD_OTHER;
}

struct str field_name(enum field_id id)
{
    return (struct str){field_entries[id + 1].name, field_entries[id + 1].size};
}
