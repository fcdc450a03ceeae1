#ifndef PROTO_FIELD_MATCH_H
#define PROTO_FIELD_MATCH_H

#include "proto/field.h"
#include "proto/field_hash.h"

#include <stdint.h>

/* The search behind field_lookup(), inline for the parser's loop. Private to src/proto. */

/* A shorter name is not in the table. field_slot() reads its second byte from the end. */
#define FIELD_NAME_MIN 2
#define FIELD_LOWER_32 0x20202020u
#define FIELD_LOWER_64 0x2020202020202020u

struct field_entry {
    uint8_t size;
    char name[FIELD_NAME_MAX + 1];
};

/* By id + 1. */
extern const struct field_entry field_entries[FIELD_COUNT + 1];
/* One more than an id, or 0. */
#define FIELD_SLOT_COUNT (1u << (32 - FIELD_HASH_SHIFT))
extern const uint8_t field_slots[FIELD_SLOT_COUNT];

static inline uint64_t field_load_64(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint32_t field_load_32(const char *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint32_t field_load_16(const char *p)
{
    uint16_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/*
 * Setting bit 5 folds the case of letters. Besides, it turns a CR into a '-', and no other byte
 * into one of a table name: without CR the comparison is exact. The last word overlaps the one
 * before it: no byte outside the n is read.
 */
static inline bool field_same(const char *name, const char *lower, size_t n)
{
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8)
            if ((field_load_64(name + i) | FIELD_LOWER_64) != field_load_64(lower + i))
                return false;
        return (field_load_64(name + n - 8) | FIELD_LOWER_64) == field_load_64(lower + n - 8);
    }
    if (n >= 4)
        return (field_load_32(name) | FIELD_LOWER_32) == field_load_32(lower) &&
               (field_load_32(name + n - 4) | FIELD_LOWER_32) == field_load_32(lower + n - 4);
    return ((field_load_16(name) | FIELD_LOWER_32) == (field_load_16(lower) | FIELD_LOWER_32)) &&
           ((field_load_16(name + n - 2) | FIELD_LOWER_32) ==
            (field_load_16(lower + n - 2) | FIELD_LOWER_32));
}

/* See key() in tools/field_hash.py. */
static inline uint32_t field_slot(const char *name, size_t n)
{
    uint32_t word = (uint32_t)(unsigned char)name[0] | (uint32_t)(unsigned char)name[n / 2] << 8 |
                    (uint32_t)(unsigned char)name[n - 2] << 16 |
                    (uint32_t)(unsigned char)name[n - 1] << 24;
    word = (word | FIELD_LOWER_32) + ((uint32_t)n << 3);
    return (word * FIELD_HASH_MULTIPLIER) >> FIELD_HASH_SHIFT;
}

/* The id of a name in which there is no CR. */
static inline enum field_id field_match(const char *name, size_t n)
{
    if (n < FIELD_NAME_MIN || n > FIELD_NAME_MAX)
        return FIELD_OTHER;
    unsigned index = field_slots[field_slot(name, n)];
    const struct field_entry *entry = &field_entries[index];
    bool same = entry->size == n && field_same(name, entry->name, n);
    return same ? (enum field_id)(index - 1) : FIELD_OTHER;
}

#endif
