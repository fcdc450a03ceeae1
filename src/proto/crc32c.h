#ifndef PROTO_CRC32C_H
#define PROTO_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#define CRC32C_START 0xffffffffu

/* CRC32c (RFC 4960 appendix B) over pieces: begin with CRC32C_START, end with crc32c_end(). */
uint32_t crc32c_add(uint32_t crc, const void *data, size_t size);

static inline uint32_t crc32c_end(uint32_t crc)
{
    return ~crc;
}

#endif
