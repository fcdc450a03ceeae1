#include "proto/websocket/sha1.h"

enum { BLOCK = 64, LENGTH = 8, ROUNDS = 80 };

static uint32_t rotate(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

static void expand(uint32_t words[ROUNDS], const uint8_t block[BLOCK])
{
    for (unsigned i = 0; i < 16; i++)
        words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                   (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (unsigned i = 16; i < ROUNDS; i++)
        words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
}

static uint32_t mix(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
    if (round < 20)
        return ((b & c) | (~b & d)) + 0x5a827999;
    if (round < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (round < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

static void add_block(uint32_t hash[5], const uint8_t block[BLOCK])
{
    uint32_t words[ROUNDS];
    uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];
    expand(words, block);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t next = rotate(a, 5) + mix(i, b, c, d) + e + words[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    hash[0] += a;
    hash[1] += b;
    hash[2] += c;
    hash[3] += d;
    hash[4] += e;
}

/* The rest of the text, a bit, zeros, and the length in bits at the end of a block. */
static void add_end(uint32_t hash[5], struct str rest, uint64_t size)
{
    uint8_t end[2 * BLOCK] = {0};
    size_t blocks = rest.n + 1 + LENGTH > BLOCK ? 2 : 1;
    memcpy(end, rest.p, rest.n);
    end[rest.n] = 0x80;
    for (unsigned i = 0; i < LENGTH; i++)
        end[blocks * BLOCK - 1 - i] = (uint8_t)(size * 8 >> 8 * i);
    for (size_t i = 0; i < blocks; i++)
        add_block(hash, end + i * BLOCK);
}

void sha1(struct str text, uint8_t digest[SHA1_SIZE])
{
    uint32_t hash[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t done = 0;
    for (; text.n - done >= BLOCK; done += BLOCK)
        add_block(hash, (const uint8_t *)text.p + done);
    add_end(hash, (struct str){text.p + done, text.n - done}, text.n);
    for (unsigned i = 0; i < SHA1_SIZE; i++)
        digest[i] = (uint8_t)(hash[i / 4] >> (24 - i % 4 * 8));
}
