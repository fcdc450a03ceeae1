#include "proto/websocket/mask.h"

#include <string.h>

/* The compiler makes of these whatever wide registers the machine's baseline has. */
typedef uint8_t wide __attribute__((vector_size(16)));

enum { BLOCK = 4 * sizeof(wide) };

static wide load(const char *from)
{
    wide bytes;
    memcpy(&bytes, from, sizeof(bytes));
    return bytes;
}

static void mask_wide(char *to, const char *from, wide mask)
{
    wide bytes = load(from) ^ mask;
    memcpy(to, &bytes, sizeof(bytes));
}

static void mask_block(char *to, const char *from, wide mask)
{
    wide blocks[4];
    for (size_t i = 0; i < 4; i++)
        blocks[i] = load(from + i * sizeof(wide)) ^ mask;
    memcpy(to, blocks, sizeof(blocks));
}

void ws_mask(char *to, const char *from, size_t size, const uint8_t key[4], uint64_t position)
{
    char turned[sizeof(wide)];
    size_t i = 0;
    for (size_t k = 0; k < sizeof(turned); k++)
        turned[k] = (char)key[(position + k) & 3];
    wide mask = load(turned);
    for (; size - i >= BLOCK; i += BLOCK)
        mask_block(to + i, from + i, mask);
    for (; size - i >= sizeof(wide); i += sizeof(wide))
        mask_wide(to + i, from + i, mask);
    for (; i < size; i++)
        to[i] = (char)(from[i] ^ turned[i & 3]);
}
