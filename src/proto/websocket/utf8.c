#include "proto/websocket/utf8.h"

#include <string.h>

/*
 * An automaton whose row for a byte holds the next states of all states, six bits each: a state is
 * the distance by which a row is shifted right. FAILED is 0, so that rows need not mention it.
 */
enum {
    FAILED = 0,
    START = WS_UTF8_START,
    LAST = 12,        /* one continuation byte is missing */
    TWO = 18,         /* two are */
    THREE = 24,       /* three are */
    AFTER_E0 = 30,    /* A0..BF, then one */
    AFTER_ED = 36,    /* 80..9F, then one */
    AFTER_F0 = 42,    /* 90..BF, then two */
    AFTER_F4 = 48,    /* 80..8F, then two */
    STATE_BITS = 0x3f /* of a shifted row */
};

#define FROM(state, next) ((uint64_t)(next) << (state))
#define CONTINUES (FROM(LAST, START) | FROM(TWO, LAST) | FROM(THREE, TWO))

static const uint64_t rows[256] = {
    [0x00 ... 0x7f] = FROM(START, START),
    [0x80 ... 0x8f] = CONTINUES | FROM(AFTER_ED, LAST) | FROM(AFTER_F4, TWO),
    [0x90 ... 0x9f] = CONTINUES | FROM(AFTER_ED, LAST) | FROM(AFTER_F0, TWO),
    [0xa0 ... 0xbf] = CONTINUES | FROM(AFTER_E0, LAST) | FROM(AFTER_F0, TWO),
    [0xc2 ... 0xdf] = FROM(START, LAST),
    [0xe0] = FROM(START, AFTER_E0),
    [0xe1 ... 0xec] = FROM(START, TWO),
    [0xed] = FROM(START, AFTER_ED),
    [0xee ... 0xef] = FROM(START, TWO),
    [0xf0] = FROM(START, AFTER_F0),
    [0xf1 ... 0xf3] = FROM(START, THREE),
    [0xf4] = FROM(START, AFTER_F4),
};

enum { BLOCK = 32 };

static uint64_t run(uint64_t state, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        state = rows[(unsigned char)bytes[i]] >> (state & STATE_BITS);
    return state & STATE_BITS;
}

static bool is_ascii(const char *bytes)
{
    uint64_t words[BLOCK / 8];
    memcpy(words, bytes, BLOCK);
    return ((words[0] | words[1] | words[2] | words[3]) & UINT64_C(0x8080808080808080)) == 0;
}

bool ws_utf8_check(uint8_t *state, const char *bytes, size_t size)
{
    uint64_t now = *state;
    for (; size >= BLOCK && now != FAILED; bytes += BLOCK, size -= BLOCK)
        if (now != START || !is_ascii(bytes))
            now = run(now, bytes, BLOCK);
    *state = (uint8_t)run(now, bytes, size);
    return *state != FAILED;
}

size_t ws_utf8_cut(const char *bytes, size_t size, size_t limit)
{
    if (size <= limit)
        return size;
    while (limit > 0 && ((unsigned char)bytes[limit] & 0xc0) == 0x80)
        limit--;
    return limit;
}
