#ifndef PROTO_WEBSOCKET_MASK_H
#define PROTO_WEBSOCKET_MASK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Masks or unmasks `size` bytes (RFC 6455 §5.3) from `from` to `to`, which are the same place or do
 * not overlap. `position`: how many bytes of the frame's payload stand before from[0]; only its
 * last two bits count.
 */
void ws_mask(char *to, const char *from, size_t size, const uint8_t key[4], uint64_t position);

#endif
